//! From perf records to processes, namespaces and containers over time.
//!
//! Push records in time order into a [`Timeline`]; then ask which [`containers`](Timeline::containers) they reveal.
//! Memory grows with tasks, names and namespace sets, not with records: equal sets and strings are stored once.

#![no_std]

extern crate alloc;

mod container;
mod intern;
pub mod runtime;
pub mod task_cgroup;
mod tracepoint;

pub use container::{Container, Evidence, Namespaced};
pub use intern::Interner;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::MISC_FORK_EXEC;
use nsscope_codec::wire::namespaces::{NR_NAMESPACES, NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Endian, Order, RawRecord, Record};
use tracepoint::{Tracepoint, Tracepoints};

/// Identity of each of a task's namespaces, indexed by [`NsKind`]. `ino` 0: not known, or not in this kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NsSet(pub [NsId; NR_NAMESPACES]);

impl NsSet {
    /// The namespace of this type.
    pub fn get(&self, kind: NsKind) -> NsId {
        self.0[kind.index()]
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

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A record of the kernel: exact.
    Kernel,
    /// The `cgroup_attach_task` tracepoint: exact.
    Tracepoint,
    /// Read from /proc when the recording began: exact then.
    Proc,
    /// Taken over from the parent at fork: exact until a move that no record tells of.
    Inherited,
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

/// A cgroup membership: hierarchy and path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupSet(pub Vec<(u32, u32)>);

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
    /// Cgroups over time: indices into [`Timeline::cgroup_sets`].
    pub cgroups: Vec<Since<u32>>,
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
    /// Thread id to the task that has it now, or had it last.
    current: BTreeMap<u32, usize>,
    /// Process id to the tasks that ever had it.
    threads: BTreeMap<u32, Vec<usize>>,
    ns_sets: Interner<NsSet>,
    cgroup_sets: Interner<CgroupSet>,
    names: Interner<Vec<u8>>,
    paths: Interner<Vec<u8>>,
    lost: Vec<LostInterval>,
    tracepoints: Tracepoints,
    span: Option<(u64, u64)>,
    faulty: u64,
}

impl Timeline {
    /// An empty timeline.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record in time order. Records of types that do not matter here are ignored; a record that
    /// cannot be read is counted in [`faulty`](Self::faulty).
    pub fn push<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>) {
        if raw.kind().is_user() {
            return;
        }
        let Ok(record) = raw.parse() else {
            self.faulty += 1;
            return;
        };
        let trailer_time = known_time(session.time(raw));
        // perf's synthesized records have no time: they tell of the moment before the first that has one.
        let time = trailer_time.or(self.span.map(|(first, _)| first)).unwrap_or(0);
        if let Some(time) = trailer_time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        match record {
            Record::Namespaces(ns) => {
                let set = NsSet(core::array::from_fn(|i| ns.links.get(i).map_or(NsId::default(), |&l| l.into())));
                // perf writes zeros for a process whose namespaces it may not read.
                if set == NsSet::default() {
                    return;
                }
                let value = self.ns_sets.intern(&set);
                let task = self.task(ns.pid(), ns.tid(), time);
                let source = if is_synthesized(session, raw) { Source::Proc } else { Source::Kernel };
                set_value(&mut task.namespaces, Since { time, value, source });
            }
            Record::Comm(comm) => {
                let value = self.names.intern_with(comm.comm, <[u8]>::to_vec);
                let task = self.task(comm.fixed.pid.get(), comm.fixed.tid.get(), time);
                set_value(&mut task.names, Since { time, value, source: Source::Kernel });
            }
            Record::Fork(fork) => {
                let ids = (fork.pid.get(), fork.tid.get());
                self.fork(ids, fork.ppid.get(), fork.ptid.get(), time, raw.misc() & MISC_FORK_EXEC == 0);
            }
            Record::Exit(exit) => {
                let task = self.task(exit.pid.get(), exit.tid.get(), time);
                task.end = Some(time);
            }
            Record::Lost(lost) => self.lost.push(LostInterval { time, count: lost.lost.get() }),
            Record::LostSamples(lost) => self.lost.push(LostInterval { time, count: lost.lost.get() }),
            Record::Sample => self.sample(session, raw, time),
            _ => {}
        }
    }

    /// The stream is over: what perf synthesized without a time is dated to the first record that has one.
    pub fn finish(&mut self) {
        let Some((first, _)) = self.span else { return };
        for task in &mut self.tasks {
            if task.start == 0 {
                task.start = first;
            }
            let all = task.names.iter_mut().chain(&mut task.namespaces).chain(&mut task.cgroups);
            for since in all.filter(|since| since.time == 0) {
                since.time = first;
            }
        }
    }

    /// All threads, in the order they were first seen.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Namespace sets by index.
    pub fn ns_sets(&self) -> &Interner<NsSet> {
        &self.ns_sets
    }

    /// Cgroup memberships by index.
    pub fn cgroup_sets(&self) -> &Interner<CgroupSet> {
        &self.cgroup_sets
    }

    /// Names by index.
    pub fn names(&self) -> &Interner<Vec<u8>> {
        &self.names
    }

    /// Cgroup paths by index.
    pub fn paths(&self) -> &Interner<Vec<u8>> {
        &self.paths
    }

    /// Gaps in the recording.
    pub fn lost(&self) -> &[LostInterval] {
        &self.lost
    }

    /// How many records could not be read.
    pub fn faulty(&self) -> u64 {
        self.faulty
    }

    /// First and last time, ns.
    pub fn span(&self) -> Option<(u64, u64)> {
        self.span
    }

    /// The task that has this thread id, made if it is not known yet.
    fn task(&mut self, pid: u32, tid: u32, time: u64) -> &mut Task {
        let index = match self.current.get(&tid) {
            // A record for a task that ended is a new task whose FORK was lost; its EXIT may carry an equal time.
            Some(&index) if self.tasks[index].end.is_none_or(|end| time <= end) => index,
            _ => self.add(pid, tid, time),
        };
        &mut self.tasks[index]
    }

    fn add(&mut self, pid: u32, tid: u32, time: u64) -> usize {
        let index = self.tasks.len();
        self.tasks.push(Task {
            pid,
            tid,
            ppid: None,
            start: time,
            start_exact: false,
            end: None,
            names: Vec::new(),
            namespaces: Vec::new(),
            cgroups: Vec::new(),
        });
        self.current.insert(tid, index);
        self.threads.entry(pid).or_default().push(index);
        index
    }

    fn fork(&mut self, (pid, tid): (u32, u32), ppid: u32, ptid: u32, time: u64, exact: bool) {
        let known = self.current.get(&tid).map(|&index| &mut self.tasks[index]);
        // A synthesized FORK tells the parent of a task that may be known already.
        let index = match known {
            Some(task) if !exact && task.end.is_none() => {
                task.ppid = Some(ppid);
                return;
            }
            Some(task) => {
                // The id is used again: the EXIT in between was lost.
                task.end.get_or_insert(time);
                self.add(pid, tid, time)
            }
            None => self.add(pid, tid, time),
        };
        let parent = self.current.get(&ptid).map(|&parent| &self.tasks[parent]);
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
    }

    fn sample<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>, time: u64) {
        let Some(event) = session.event_of(raw) else { return };
        let Ok(sample) = event.sample.parse(raw) else {
            self.faulty += 1;
            return;
        };
        let Some(bytes) = sample.raw else { return };
        let big = O::ENDIAN == Endian::Big;
        match self.tracepoints.read(session, &event.attr, bytes, big) {
            Some(Tracepoint::Attach { root, path, tid }) => self.attach(tid, root, path, time, Source::Tracepoint),
            Some(Tracepoint::TaskCgroup { root, path, tid }) => self.attach(tid, root, path, time, Source::Proc),
            None => {}
        }
    }

    /// A task is in a cgroup of a hierarchy from now on; with the first thread of a process, so are the others
    /// (`cgroup_attach_task` is traced once for a whole process).
    fn attach(&mut self, tid: u32, root: u32, path: &[u8], time: u64, source: Source) {
        let path = self.paths.intern_with(path, <[u8]>::to_vec);
        let index = match self.current.get(&tid) {
            Some(&index) => index,
            None => self.add(tid, tid, time),
        };
        let pid = self.tasks[index].pid;
        let whole = pid == tid && source == Source::Tracepoint;
        let siblings = self.threads.get(&pid).filter(|_| whole).into_iter().flatten().copied();
        let moved: Vec<usize> = siblings.filter(|&at| at != index && self.tasks[at].end.is_none()).collect();
        for at in moved.into_iter().chain([index]) {
            let before = self.tasks[at].cgroups.last().map(|since| self.cgroup_sets.get(since.value).clone());
            let mut set = before.unwrap_or_default();
            match set.0.binary_search_by_key(&root, |&(root, _)| root) {
                Ok(found) => set.0[found].1 = path,
                Err(place) => set.0.insert(place, (root, path)),
            }
            let value = self.cgroup_sets.intern(&set);
            set_value(&mut self.tasks[at].cgroups, Since { time, value, source });
        }
    }

    /// A task's name at its end, or now.
    pub fn last_name(&self, task: &Task) -> Option<String> {
        let name = self.names.get(task.names.last()?.value);
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

/// Adds a value if it is news.
fn set_value(values: &mut Vec<Since<u32>>, since: Since<u32>) {
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
