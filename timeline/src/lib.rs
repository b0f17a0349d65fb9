//! From perf records to processes, namespaces and containers over time.
//!
//! Push records in time order into a [`Timeline`]; then ask which [`containers`](Timeline::containers) they reveal, by
//! whichever [`Definition`]. Memory grows with the tasks that live, with names and with namespace sets, not with
//! records: equal sets and strings are stored once, and of the tasks that have ended so many are kept as the caller
//! [asks for](Timeline::keeping); the others are counted.

#![no_std]

extern crate alloc;

mod container;
mod definition;
pub mod filter;
mod gone;
mod intern;
mod kinds;
pub mod order;
pub mod process;
pub mod runtime;
pub mod select;
pub mod told;
mod tracepoint;

pub use container::{Container, Key, Keys, Namespaced, Pod};
pub use definition::Definition;
pub use intern::Interner;
pub use kinds::Kinds;
pub use process::Process;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::attr::{AttrFlags, CONFIG_TASK_CLOCK, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::wire::task_namespaces::{Reason, TaskNamespaces};
use nsscope_codec::{Endian, LittleEndian, Order, RawRecord, Record};
use tracepoint::{Tracepoint, Tracepoints};
use zerocopy::{Immutable, IntoBytes};

/// Identity of each of a task's namespaces, indexed by [`NsKind`]. `ino` 0: not known, or not in this kernel. The time
/// namespace is known only where [`told::TASK_NAMESPACES`] is in the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct NsSet(pub [NsId; NsKind::ALL.len()]);

impl NsSet {
    /// The namespace of this type.
    pub fn get(&self, kind: NsKind) -> NsId {
        self.0[kind.index()]
    }

    /// The namespace of this type as `/proc/PID/ns` names it: `net:[4026532000]`.
    pub fn label(&self, kind: NsKind) -> String {
        label(kind, self.get(kind))
    }

    /// The types in which this set is known to differ from `other`.
    pub fn differences(&self, other: &Self) -> impl Iterator<Item = NsKind> + use<> {
        let (ours, theirs) = (*self, *other);
        NsKind::ALL.into_iter().filter(move |&kind| {
            let (a, b) = (ours.get(kind), theirs.get(kind));
            a.ino != 0 && b.ino != 0 && a != b
        })
    }
}

/// A namespace as `/proc/PID/ns` names it.
pub(crate) fn label(kind: NsKind, id: NsId) -> String {
    alloc::format!("{}:[{}]", kind.name(), id.ino)
}

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
    /// Names over time: indices into [`Timeline::names`].
    pub names: Vec<Since<u32>>,
    /// Namespaces over time: indices into [`Timeline::ns_sets`].
    pub namespaces: Vec<Since<u32>>,
    /// Cgroups over time: numbers for [`Timeline::cgroup_paths`].
    pub cgroups: Vec<Since<u32>>,
    /// Its pid in each pid namespace from the host's inwards, where /proc told.
    pub nspids: Vec<u32>,
    /// Where it is now: an index into [`Timeline::places`].
    place: u32,
    /// When the thread that leads its process began: with the pid, what tells one process from another.
    process_start: u64,
    /// The threads before and behind it in the list of its process; [`NONE`]: there is none.
    before: u32,
    behind: u32,
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

    /// The task's life, cut where its namespaces or cgroups change: place, from, to (`None`: it lives).
    fn states(&self) -> States<'_> {
        let time = |facts: &[Since<u32>]| facts.first().map_or(u64::MAX, |since| since.time);
        let first = self.start.min(time(&self.namespaces)).min(time(&self.cgroups));
        States { task: self, namespaces: 0, cgroups: 0, next: Some(first) }
    }
}

/// What [`Task::states`] gives.
struct States<'t> {
    task: &'t Task,
    /// How many of the task's changes are behind.
    namespaces: usize,
    cgroups: usize,
    /// When the next state begins.
    next: Option<u64>,
}

impl Iterator for States<'_> {
    type Item = (Place, u64, Option<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { task, namespaces, cgroups, next } = self;
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
        Some((Place { namespaces: namespaces.0, cgroups: cgroups.0 }, from, next.or(task.end)))
    }
}

/// Namespace set and cgroup set that tasks have at the same time, each `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    namespaces: Option<u32>,
    cgroups: Option<u32>,
}

impl Place {
    /// Both as one number.
    fn packed(self) -> u64 {
        let half = |number: Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
        half(self.namespaces) << 32 | half(self.cgroups)
    }

    fn unpacked(packed: u64) -> Self {
        let half = |half: u64| (half as u32).checked_sub(1);
        Self { namespaces: half(packed >> 32), cgroups: half(packed) }
    }
}

/// What happens in a place.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    place: Place,
    /// Processes there now.
    live: u32,
    /// Most at one time.
    peak: u32,
    samples: u64,
    cpu: u64,
}

/// What a runtime calls a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its image; empty where that is not known.
    pub image: String,
}

/// How a recording was made, where its recorder says so ([`told::RECORDER`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorder {
    /// `perf`, `proc` or `snapshot`.
    pub backend: String,
    /// ns between two looks at /proc; 0 where the kernel told by itself.
    pub interval: u32,
    /// Types of the recorder's own namespaces where they were not the machine's first ones: it ran in a container.
    pub own: Vec<String>,
}

/// Records that the kernel could not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostInterval {
    /// When it was noticed, ns.
    pub time: u64,
    /// How many.
    pub count: u64,
}

/// Everything known about the tasks of a recording.
#[derive(Debug, Default)]
pub struct Timeline {
    tasks: Vec<Task>,
    /// Tasks that have ended, the longest ago first.
    ended: VecDeque<usize>,
    /// How many of those are kept; `None`: all.
    keep: Option<usize>,
    /// Entries of `tasks` that hold nothing.
    free: Vec<usize>,
    gone: gone::Gone,
    /// Room to count a task in.
    states: Vec<(Place, u64, Option<u64>)>,
    way: Vec<u32>,
    /// Thread id to the task that has it now, or had it last.
    current: BTreeMap<u64, u32>,
    /// Entries of it that were of use last, a task's and a parent's: records of a task stand together, and those of its
    /// children.
    recent: [Option<(u32, u32)>; 2],
    /// Process id to the first of its threads that live, the leader left out.
    threads: BTreeMap<u64, u32>,
    /// What happens in each place, by number.
    usage: Vec<Usage>,
    /// A place, [packed](Place::packed), to its number.
    places: BTreeMap<u64, u32>,
    /// Cgroup id to path, from CGROUP records.
    cgroup_ids: BTreeMap<u64, u32>,
    /// Ids of containers that have a name, and what their runtimes call them.
    container_ids: Interner<Vec<u8>>,
    container_names: Vec<Named>,
    ns_sets: Interner<NsSet>,
    /// Hierarchy and path of each cgroup that a task is in at a time.
    cgroup_sets: Interner<Vec<[u32; 2]>>,
    names: Interner<Vec<u8>>,
    paths: Interner<Vec<u8>>,
    lost: Vec<LostInterval>,
    tracepoints: Tracepoints,
    recorder: Option<Recorder>,
    span: Option<(u64, u64)>,
    faulty: u64,
    outside: u64,
}

impl Timeline {
    /// An empty timeline that keeps all tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty timeline that keeps about so many of the tasks that have ended, the latest; of the others it keeps
    /// counts.
    pub fn keeping(ended: usize) -> Self {
        Self { keep: Some(ended), ..Self::default() }
    }

    /// Takes the next record in time order, and returns the task that it tells of. Records of types that do not matter
    /// here are ignored; a record that cannot be read is counted in [`faulty`](Self::faulty).
    pub fn push<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>) -> Option<usize> {
        if raw.kind().is_user() {
            return None;
        }
        let Ok(record) = raw.parse() else {
            self.faulty += 1;
            return None;
        };
        let trailer_time = known_time(session.time(raw));
        // perf's synthesized records have no time: they tell of the moment before the first that has one.
        let time = trailer_time.or(self.span.map(|(first, _)| first)).unwrap_or(0);
        if let Some(time) = trailer_time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        let pid = match &record {
            Record::Namespaces(ns) => Some(ns.pid()),
            Record::Comm(comm) => Some(comm.fixed.pid.get()),
            Record::Fork(task) | Record::Exit(task) => Some(task.pid.get()),
            _ => None,
        };
        // Nobody makes the idle task: this is one that has no pid in the recorder's pid namespace.
        if matches!(pid, Some(0 | NOBODY)) {
            self.outside += 1;
            return None;
        }
        match record {
            Record::Namespaces(ns) => {
                let mut set = NsSet::default();
                for kind in NsKind::RECORDED {
                    set.0[kind.index()] = ns.get(kind).unwrap_or_default();
                }
                // perf writes zeros for a process whose namespaces it may not read.
                if set == NsSet::default() {
                    return None;
                }
                let source = if is_synthesized(session, raw) { Source::Proc } else { Source::Kernel };
                let index = self.task(ns.pid(), ns.tid(), time);
                // The record does not tell of the time namespace; who can tell says so of each change.
                let before =
                    self.tasks[index].namespaces.last().map(|since| (since.value, *self.ns_sets.get(since.value)));
                set.0[NsKind::Time.index()] = before.map_or(NsId::default(), |(_, before)| before.get(NsKind::Time));
                // Most say again what was inherited.
                let value = match before {
                    Some((value, before)) if before == set => value,
                    _ => self.ns_sets.intern(&set),
                };
                set_value(&mut self.tasks[index].namespaces, Since { time, value, source });
                self.settle(index);
                return Some(index);
            }
            Record::Comm(comm) => {
                let value = self.names.intern(comm.comm);
                let ids = (comm.fixed.pid.get(), comm.fixed.tid.get());
                if raw.misc() & MISC_COMM_EXEC != 0 {
                    self.exec(ids, time);
                }
                let index = self.task(ids.0, ids.1, time);
                set_value(&mut self.tasks[index].names, Since { time, value, source: Source::Kernel });
                return Some(index);
            }
            Record::Fork(fork) => {
                let ids = (fork.pid.get(), fork.tid.get());
                return Some(self.fork(ids, fork.ppid.get(), fork.ptid.get(), time, raw.misc() & MISC_FORK_EXEC == 0));
            }
            Record::Exit(exit) => {
                let index = self.task(exit.pid.get(), exit.tid.get(), time);
                self.end(index, time);
                return Some(index);
            }
            Record::Cgroup(cgroup) => {
                let path = self.paths.intern(cgroup.path);
                self.cgroup_ids.insert(cgroup.fixed.id.get(), path);
            }
            Record::Lost(lost) => self.lost.push(LostInterval { time, count: lost.lost.get() }),
            Record::LostSamples(lost) => self.lost.push(LostInterval { time, count: lost.lost.get() }),
            Record::Sample => return self.sample(session, raw, time),
            _ => {}
        }
        None
    }

    /// The stream is over: what perf synthesized without a time is dated to the first record that has one.
    pub fn finish(&mut self, session: &Session) {
        let Some((first, last)) = self.span else { return };
        // A recorder may say how long it looked; in silence that is longer than its records tell.
        if let Some((from, to)) = session.sample_time() {
            self.span = Some((if from == 0 { first } else { first.min(from) }, last.max(to)));
        }
        for task in &mut self.tasks {
            if task.start == 0 {
                task.start = first;
            }
            if task.process_start == 0 {
                task.process_start = first;
            }
            let all = task.names.iter_mut().chain(&mut task.namespaces).chain(&mut task.cgroups);
            all.filter(|since| since.time == 0).for_each(|since| since.time = first);
        }
    }

    /// The threads that are kept, by index; those that live and those that have ended, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.tasks.iter().enumerate().filter(|(_, task)| task.tid != NOBODY)
    }

    /// The thread at an index that a container or a process names.
    pub fn at(&self, index: usize) -> &Task {
        &self.tasks[index]
    }

    /// The thread that has this id now, or had it last.
    pub fn current(&self, tid: u32) -> Option<(usize, &Task)> {
        let index = self.has(tid)?;
        Some((index, &self.tasks[index]))
    }

    /// The place that a thread is in now or was in last: the number that namespaces and cgroups have together.
    pub fn place_of(&self, task: usize) -> u32 {
        self.tasks[task].place
    }

    /// Namespace set and cgroup set of a place, by number, each where it is known.
    pub fn at_place(&self, place: u32) -> (Option<u32>, Option<u32>) {
        let Place { namespaces, cgroups } = self.usage[place as usize].place;
        (namespaces, cgroups)
    }

    /// How many threads there were, those that are only counted included.
    pub fn threads_seen(&self) -> u64 {
        (self.tasks.len() - self.free.len()) as u64 + self.gone.tasks()
    }

    /// How many threads have ended and are only counted.
    pub fn threads_gone(&self) -> u64 {
        self.gone.tasks()
    }

    /// Namespace sets by index.
    pub fn ns_sets(&self) -> &Interner<NsSet> {
        &self.ns_sets
    }

    /// Names by index.
    pub fn names(&self) -> &Interner<Vec<u8>> {
        &self.names
    }

    /// Gaps in the recording.
    pub fn lost(&self) -> &[LostInterval] {
        &self.lost
    }

    /// How many records could not be read.
    pub fn faulty(&self) -> u64 {
        self.faulty
    }

    /// How many records are of tasks outside the recorder's pid namespace, which have no pid there
    /// (`perf_event_pid_type()` in kernel/events/core.c); they are left out.
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// How the recording was made, where its recorder says so.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// First and last time, ns.
    pub fn span(&self) -> Option<(u64, u64)> {
        self.span
    }

    /// The task that has this thread id now, or had it last.
    fn has(&self, tid: u32) -> Option<usize> {
        match self.recent.iter().flatten().find(|&&(recent, _)| recent == tid) {
            Some(&(_, index)) => Some(index as usize),
            None => self.current.get(&u64::from(tid)).map(|&index| index as usize),
        }
    }

    /// The task that has this thread id, made if it is not known yet.
    fn task(&mut self, pid: u32, tid: u32, time: u64) -> usize {
        let index = match self.has(tid) {
            // A record for a task that ended is a new task whose FORK was lost; its EXIT may carry an equal time.
            Some(index) if self.tasks[index].end.is_none_or(|end| time <= end) => index,
            _ => self.add(pid, tid, time),
        };
        self.recent[0] = Some((tid, index as u32));
        index
    }

    fn add(&mut self, pid: u32, tid: u32, time: u64) -> usize {
        let task = Task {
            pid,
            tid,
            ppid: None,
            start: time,
            start_exact: false,
            end: None,
            names: Vec::new(),
            namespaces: Vec::new(),
            cgroups: Vec::new(),
            nspids: Vec::new(),
            place: self.place(Place::default()),
            before: NONE,
            behind: NONE,
            process_start: if tid == pid { None } else { self.leader(pid) }
                .map_or(time, |leader| self.tasks[leader].start),
        };
        let index = self.free.pop().unwrap_or(self.tasks.len());
        match self.tasks.get_mut(index) {
            Some(free) => *free = task,
            None => self.tasks.push(task),
        }
        self.count(index, 1);
        self.current.insert(u64::from(tid), index as u32);
        self.recent[0] = Some((tid, index as u32));
        self.link(index);
        index
    }

    /// The thread that leads a process, if it lives.
    fn leader(&self, pid: u32) -> Option<usize> {
        self.has(pid).filter(|&index| self.tasks[index].leads() && self.tasks[index].end.is_none())
    }

    /// Adds a task to the threads of its process.
    fn link(&mut self, index: usize) {
        if self.tasks[index].leads() {
            return;
        }
        let first = self.threads.insert(u64::from(self.tasks[index].pid), index as u32).unwrap_or(NONE);
        (self.tasks[index].before, self.tasks[index].behind) = (NONE, first);
        if let Some(first) = self.tasks.get_mut(first as usize) {
            first.before = index as u32;
        }
    }

    /// Takes a task from the threads of its process.
    fn unlink(&mut self, index: usize) {
        let Task { pid, before, behind, .. } = self.tasks[index];
        if self.tasks[index].leads() {
            return;
        }
        match (self.tasks.get_mut(before as usize), behind) {
            (Some(before), _) => before.behind = behind,
            (None, NONE) => drop(self.threads.remove(&u64::from(pid))),
            (None, _) => drop(self.threads.insert(u64::from(pid), behind)),
        }
        if let Some(behind) = self.tasks.get_mut(behind as usize) {
            behind.before = before;
        }
    }

    /// The threads of a process that live.
    fn threads_of(&self, pid: u32) -> Vec<usize> {
        let mut all: Vec<usize> = self.leader(pid).into_iter().collect();
        let mut next = self.threads.get(&u64::from(pid)).copied().unwrap_or(NONE);
        while let Some(task) = self.tasks.get(next as usize) {
            all.push(next as usize);
            next = task.behind;
        }
        all
    }

    fn place(&mut self, place: Place) -> u32 {
        let packed = place.packed();
        if let Some(&number) = self.places.get(&packed) {
            return number;
        }
        let number = self.usage.len() as u32;
        self.usage.push(Usage { place, ..Usage::default() });
        self.places.insert(packed, number);
        number
    }

    /// Counts a process in or out of its place.
    fn count(&mut self, index: usize, step: i32) {
        let task = &self.tasks[index];
        if task.leads() && task.end.is_none() {
            let usage = &mut self.usage[task.place as usize];
            usage.live = usage.live.saturating_add_signed(step);
            usage.peak = usage.peak.max(usage.live);
        }
    }

    /// A task's namespaces or cgroups may have changed.
    fn settle(&mut self, index: usize) {
        let task = &self.tasks[index];
        let last = |facts: &[Since<u32>]| facts.last().map(|since| since.value);
        let place = Place { namespaces: last(&task.namespaces), cgroups: last(&task.cgroups) };
        let before = task.place;
        if place != self.usage[before as usize].place {
            let place = self.place(place);
            self.count(index, -1);
            self.tasks[index].place = place;
            self.count(index, 1);
        }
    }

    fn end(&mut self, index: usize, time: u64) {
        if self.tasks[index].end.is_some() {
            return;
        }
        self.count(index, -1);
        let task = &mut self.tasks[index];
        task.end = Some(time);
        self.unlink(index);
        self.ended.push_back(index);
        let Some(keep) = self.keep else { return };
        // A few more: records of the moment of its end may still come.
        while self.ended.len() > keep + 1024 {
            let Some(oldest) = self.ended.pop_front() else { break };
            self.forget(oldest);
        }
    }

    /// Keeps of a task only what it adds to the counts.
    fn forget(&mut self, index: usize) {
        // It lives again, after an exec; or was forgotten already.
        if self.tasks[index].end.is_none() || self.tasks[index].tid == NOBODY {
            return;
        }
        let mut states = core::mem::take(&mut self.states);
        states.extend(self.tasks[index].states());
        let mut places = core::mem::take(&mut self.way);
        places.extend(states.iter().map(|&(place, ..)| self.place(place)));
        let task = &mut self.tasks[index];
        self.gone.add(&places, states.iter().map(|&(_, from, to)| (from, to.unwrap_or(from))), task);
        states.clear();
        places.clear();
        (self.states, self.way) = (states, places);
        if self.current.get(&u64::from(task.tid)) == Some(&(index as u32)) {
            self.current.remove(&u64::from(task.tid));
            self.recent = [None; 2];
        }
        (task.pid, task.tid) = (NOBODY, NOBODY);
        (task.names, task.namespaces, task.cgroups) = (Vec::new(), Vec::new(), Vec::new());
        self.free.push(index);
    }

    /// After exec a process has one thread, and that is its leader, whichever called. The leader's EXIT was recorded
    /// when the other took its place; of the other there is none (`de_thread` in fs/exec.c).
    fn exec(&mut self, (pid, tid): (u32, u32), time: u64) {
        let mut others = self.threads_of(pid);
        others.retain(|&at| self.tasks[at].tid != tid);
        if others.is_empty() {
            return;
        }
        if let Some(leader) = self.has(pid).filter(|&at| self.tasks[at].end.is_some()) {
            self.tasks[leader].end = None;
            self.count(leader, 1);
        }
        for other in others {
            self.end(other, time);
        }
    }

    fn fork(&mut self, (pid, tid): (u32, u32), ppid: u32, ptid: u32, time: u64, exact: bool) -> usize {
        let known = self.has(tid);
        // A synthesized FORK tells the parent of a task that may be known already.
        if let Some(index) = known.filter(|&index| !exact && self.tasks[index].end.is_none()) {
            self.tasks[index].ppid = Some(ppid);
            return index;
        }
        if let Some(index) = known {
            // The id is used again: the EXIT in between was lost.
            self.end(index, time);
        }
        let index = self.add(pid, tid, time);
        let parent = self.has(ptid);
        self.recent[1] = parent.map(|parent| (ptid, parent as u32));
        let parent = parent.map(|parent| &self.tasks[parent]);
        let inherit = |facts: fn(&Task) -> &Vec<Since<u32>>| {
            let last = parent.filter(|_| exact).and_then(|parent| facts(parent).last());
            last.map(|since| Since { time, source: Source::Inherited, ..*since })
        };
        let (name, ns, cgroup) = (inherit(|t| &t.names), inherit(|t| &t.namespaces), inherit(|t| &t.cgroups));
        let task = &mut self.tasks[index];
        task.ppid = Some(if pid == tid { ppid } else { pid });
        task.start_exact = exact;
        task.names.extend(name);
        task.namespaces.extend(ns);
        task.cgroups.extend(cgroup);
        self.settle(index);
        index
    }

    fn sample<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>, time: u64) -> Option<usize> {
        let event = session.event_of(raw)?;
        let Ok(sample) = event.sample.parse(raw) else {
            self.faulty += 1;
            return None;
        };
        if event.attr.kind.get() != TYPE_TRACEPOINT {
            let tid = sample.tid.filter(|&tid| tid != 0)?;
            let index = self.task(sample.pid.unwrap_or(tid), tid, time);
            if let Some(&path) = sample.cgroup.and_then(|id| self.cgroup_ids.get(&id)) {
                self.move_to(index, 0, path, time, Source::Sample);
            }
            let usage = &mut self.usage[self.tasks[index].place as usize];
            usage.samples += 1;
            // A clock's period is in ns; of other events it is not time.
            let clock = event.attr.kind.get() == TYPE_SOFTWARE && event.attr.config.get() <= CONFIG_TASK_CLOCK;
            if clock {
                let fixed = if event.attr.flags().has(AttrFlags::FREQ) { 0 } else { event.attr.sample_period.get() };
                usage.cpu += sample.period.unwrap_or(fixed);
            }
            return Some(index);
        }
        let bytes = sample.raw?;
        let big = O::ENDIAN == Endian::Big;
        match self.tracepoints.read(session, &event.attr, bytes, big) {
            Some(Tracepoint::Attach { root, path, tid }) => self.attach(tid, root, path, time, Source::Tracepoint),
            Some(Tracepoint::TaskCgroup { root, path, tid }) => self.attach(tid, root, path, time, Source::Proc),
            Some(Tracepoint::TaskNspid { tid, pids }) => {
                let index = self.has(tid)?;
                let pids = core::str::from_utf8(pids).unwrap_or_default().split_ascii_whitespace();
                self.tasks[index].nspids = pids.map_while(|pid| pid.parse().ok()).take(MAX_PID_LEVELS).collect();
                Some(index)
            }
            Some(Tracepoint::TaskNamespaces(told)) => {
                let index = self.has(told.tid.get())?;
                self.tell(index, &told, time);
                Some(index)
            }
            Some(Tracepoint::ContainerName { id, name, image }) => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let number = self.container_ids.intern(id) as usize;
                let named = Named { name: text(name), image: text(image) };
                match self.container_names.get_mut(number) {
                    Some(known) => *known = named,
                    None => self.container_names.push(named),
                }
                None
            }
            Some(Tracepoint::Recorder { interval, backend, own }) => {
                let own = String::from_utf8_lossy(own);
                self.recorder = Some(Recorder {
                    backend: String::from_utf8_lossy(backend).into_owned(),
                    interval,
                    own: own.split_ascii_whitespace().map(String::from).collect(),
                });
                None
            }
            None => None,
        }
    }

    /// What [`TaskNamespaces`] tells of a task.
    fn tell(&mut self, index: usize, told: &TaskNamespaces<LittleEndian>, time: u64) {
        let source = if told.reason.get() == Reason::FOUND.0 { Source::Proc } else { Source::Kernel };
        if let Some(mut set) = self.last_namespaces(&self.tasks[index]) {
            // All are of one file system.
            let dev = set.0.iter().map(|id| id.dev).max().unwrap_or(0);
            set.0[NsKind::Time.index()] = NsId { dev, ino: u64::from(told.time.get()) };
            let value = self.ns_sets.intern(&set);
            set_value(&mut self.tasks[index].namespaces, Since { time, value, source });
            self.settle(index);
        }
        let levels = told.levels.get() as usize;
        if levels > 1 {
            self.tasks[index].nspids = told.pids.iter().take(levels).map(|pid| pid.get()).collect();
        }
        if let Some(&path) = self.cgroup_ids.get(&told.cgroup.get()) {
            self.move_to(index, 0, path, time, source);
        }
    }

    /// A task is in a cgroup of a hierarchy from now on; with the first thread of a process, so are the others
    /// (`cgroup_attach_task` is traced once for a whole process).
    fn attach(&mut self, tid: u32, root: u32, path: &[u8], time: u64, source: Source) -> Option<usize> {
        let path = self.paths.intern(path);
        let index = match self.has(tid) {
            // /proc still tells of a task that has ended and that nobody has waited for.
            Some(index) if source == Source::Proc && self.tasks[index].end.is_some_and(|end| end < time) => {
                return None;
            }
            Some(index) => index,
            None => self.add(tid, tid, time),
        };
        let pid = self.tasks[index].pid;
        let whole = pid == tid && source == Source::Tracepoint;
        let siblings = if whole { self.threads_of(pid) } else { Vec::new() };
        for at in siblings.into_iter().filter(|&at| at != index).chain([index]) {
            self.move_to(at, root, path, time, source);
        }
        Some(index)
    }

    fn move_to(&mut self, index: usize, root: u32, path: u32, time: u64, source: Source) {
        let before = self.tasks[index].cgroups.last().map(|since| self.cgroup_sets.get(since.value).clone());
        let mut set = before.unwrap_or_default();
        match set.binary_search_by_key(&root, |&[root, _]| root) {
            Ok(found) => set[found][1] = path,
            Err(place) => set.insert(place, [root, path]),
        }
        let value = self.cgroup_sets.intern(set.as_slice());
        set_value(&mut self.tasks[index].cgroups, Since { time, value, source });
        self.settle(index);
    }
}

/// Pid namespaces are nested at most so deep (`MAX_PID_NS_LEVEL`), and one is the host's.
const MAX_PID_LEVELS: usize = 33;

/// Thread id of an entry that holds no task: no kernel gives it.
const NOBODY: u32 = u32::MAX;

/// The number of no task.
const NONE: u32 = u32::MAX;

/// Adds a value if it is news.
fn set_value(values: &mut Vec<Since<u32>>, mut since: Since<u32>) {
    // One that came late holds from now on: the values stand in the order of their times.
    since.time = since.time.max(values.last().map_or(0, |last| last.time));
    match values.last_mut() {
        Some(last) if last.value == since.value => last.source = last.source.min(since.source),
        // Several facts of one moment are one state.
        Some(last) if last.time == since.time => *last = since,
        _ => values.push(since),
    }
}

/// Whether the recorder, not the kernel, made the record: its trailer names no task.
fn is_synthesized<O: Order>(session: &Session, raw: &RawRecord<'_, O>) -> bool {
    matches!(session.sample_id(raw).tid, Some(0 | u32::MAX))
}
