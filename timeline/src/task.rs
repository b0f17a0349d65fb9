//! A thread over time. Not here: other tasks.

use crate::membership::Membership;
use crate::registry::Registry;
use alloc::vec::Vec;

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A record of the kernel: exact.
    Kernel,
    /// The `cgroup_attach_task` tracepoint: exact.
    Tracepoint,
    /// A sample that carries its task's cgroup (`PERF_SAMPLE_CGROUP`): exact then.
    Sample,
    /// Read from /proc when the recording began: exact then.
    Proc,
    /// Taken over from the parent at fork: exact until a move that no record tells of.
    Inherited,
}

impl Source {
    /// Whether the fact was seen; otherwise it was concluded.
    pub fn is_exact(self) -> bool {
        self != Self::Inherited
    }
}

/// A value and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since<T> {
    /// Time in ns of the recording's clock.
    pub time: u64,
    /// The value from then on.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// A thread over time.
#[derive(Clone, Debug)]
pub struct Task {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Process id of the parent, where known.
    pub ppid: Option<u32>,
    /// When it began or was first seen, ns.
    pub start: u64,
    /// Whether `start` is its creation; otherwise it was already running.
    pub start_exact: bool,
    /// When it ended, ns.
    pub end: Option<u64>,
    /// Names over time: indices into [`Timeline::names`](crate::Timeline::names).
    pub names: Vec<Since<u32>>,
    /// Namespaces over time: indices into [`Timeline::ns_sets`](crate::Timeline::ns_sets).
    pub namespaces: Vec<Since<u32>>,
    /// Cgroups over time: numbers for [`Timeline::cgroup_paths`](crate::Timeline::cgroup_paths).
    pub cgroups: Vec<Since<u32>>,
    /// Its pid in each pid namespace from the host's inwards, where /proc told.
    pub nspids: Vec<u32>,
    /// Where it is now: the number of a membership.
    pub(crate) membership: u32,
    /// Where the program was started that it runs since its fork, the number of a membership; `u32::MAX`: not known.
    pub(crate) born: u32,
    /// Programs that it started itself, each somewhere else than the one before: when, and the number of the membership.
    pub(crate) ran: Vec<(u64, u32)>,
    /// When the thread that leads its process began: with the pid, what tells one process from another.
    pub(crate) process_start: u64,
    /// Its neighbours in the list of its process's threads; `u32::MAX`: there is none.
    pub(crate) previous_thread: u32,
    pub(crate) next_thread: u32,
}

impl Task {
    /// Whether this thread leads its process.
    pub fn leads(&self) -> bool {
        self.pid == self.tid
    }

    /// Its pid in the innermost pid namespace, where that is another than the host's.
    pub fn inner_pid(&self) -> Option<u32> {
        self.nspids.last().copied().filter(|_| self.nspids.len() > 1)
    }

    /// Where the program that it runs was started; `u32::MAX`: not known.
    pub(crate) fn program(&self) -> u32 {
        self.ran.last().map_or(self.born, |&(_, membership)| membership)
    }

    /// A program was started.
    pub(crate) fn run(&mut self, time: u64) {
        if self.program() != self.membership {
            self.ran.reserve_exact(1);
            self.ran.push((time, self.membership));
        }
    }

    /// The task's life, cut where its namespaces or cgroups change: membership, from, to (`None`: it lives).
    pub(crate) fn states<'t>(&'t self, registry: &'t Registry) -> States<'t> {
        let time = |facts: &[Since<u32>]| facts.first().map_or(u64::MAX, |since| since.time);
        let first = self.start.min(time(&self.namespaces)).min(time(&self.cgroups));
        States { task: self, registry, namespaces: 0, cgroups: 0, next: Some(first) }
    }
}

/// What [`Task::states`] gives.
pub(crate) struct States<'t> {
    task: &'t Task,
    registry: &'t Registry,
    /// How many of the task's changes are behind.
    namespaces: usize,
    cgroups: usize,
    /// When the next state begins.
    next: Option<u64>,
}

impl Iterator for States<'_> {
    type Item = (Membership, u64, Option<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { task, registry, namespaces, cgroups, next } = self;
        let from = (*next)?;
        // Of some facts the one that holds then, and when the next one does.
        let at = |facts: &[Since<u32>], behind: &mut usize| {
            while facts.get(*behind).is_some_and(|since| since.time <= from) {
                *behind += 1;
            }
            let holds = behind.checked_sub(1).map(|last| facts[last].value);
            (holds, facts.get(*behind).map_or(u64::MAX, |since| since.time))
        };
        let (namespaces, cgroups) = (at(&task.namespaces, namespaces), at(&task.cgroups, cgroups));
        let start = if task.start > from { task.start } else { u64::MAX };
        let cut = namespaces.1.min(cgroups.1).min(start);
        *next = (cut != u64::MAX).then_some(cut);
        Some((registry.membership(namespaces.0, cgroups.0, from), from, next.or(task.end)))
    }
}

/// Adds a value if it is news.
pub(crate) fn set_value(values: &mut Vec<Since<u32>>, mut since: Since<u32>) {
    // One that came late holds from now on: the values stand in the order of their times.
    since.time = since.time.max(values.last().map_or(0, |last| last.time));
    match values.last_mut() {
        Some(last) if last.value == since.value => last.source = last.source.min(since.source),
        // Several facts of one moment are one state.
        Some(last) if last.time == since.time => *last = since,
        _ => values.push(since),
    }
}
