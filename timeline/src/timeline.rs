//! Everything known about the tasks of a recording, from its records. Not here: what is made of the facts.

use crate::ended::Ended;
use crate::intern::Interner;
use crate::limit::{Read, Throttled};
use crate::membership::{Membership, MembershipNumbers, NsSet};
use crate::numbers::Numbers;
use crate::registry::Registry;
use crate::task::{Since, Source, Task, set_value};
use crate::tracepoint::{Tracepoints, Wakeup};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Order, RawRecord, Record};

/// What the tasks with a membership do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) membership: Membership,
    /// The mount and the pid namespace, where they are not the host's.
    pub(crate) spaces: [u32; 2],
    /// When a task first came there, ns.
    pub(crate) first: u64,
    /// Tasks there now.
    pub(crate) tasks: u32,
    /// When the last of them left, ns, where there are none.
    pub(crate) left: u64,
    /// The number that the membership had in an earlier life of its pid namespace; `NONE`.
    pub(crate) earlier: u32,
    /// Processes there now.
    pub(crate) live: u32,
    /// Most at one time.
    pub(crate) peak: u32,
    pub(crate) samples: u64,
    pub(crate) cpu: u64,
}

impl Usage {
    /// Until when there were any tasks, ns.
    pub(crate) fn until(&self) -> u64 {
        if self.tasks == 0 { self.left } else { u64::MAX }
    }
}

/// How a recording was made, where its recorder says so ([`synthetic::RECORDER`](nsscope_codec::synthetic::RECORDER)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderInfo {
    /// `perf`, `proc` or `snapshot`.
    pub backend: String,
    /// ns between two looks at /proc; 0 where the kernel told by itself.
    pub interval: u32,
    /// Types of the recorder's own namespaces where they were not the machine's first ones: it ran in a container.
    pub own_namespaces: Vec<String>,
}

/// A namespace that something but a task keeps, as the recorder found it ([`synthetic::KEPT_NAMESPACE`](nsscope_codec::synthetic::KEPT_NAMESPACE)).
#[cfg(feature = "full")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptNamespace {
    /// Its type.
    pub kind: NsKind,
    /// Device and inode.
    pub id: NsId,
    /// The kernel's number that is never given again (`NS_GET_ID` of ioctl_nsfs(2)); 0 where it has none.
    pub unique: u64,
    /// What keeps it: `mount /run/netns/x`, `fd 5 of 1234 (dockerd)`.
    pub by: String,
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
    pub(crate) tasks: Vec<Task>,
    /// Tasks that have ended, the longest ago first.
    pub(crate) ended: VecDeque<usize>,
    /// How many of those are kept; `None`: all.
    pub(crate) keep: Option<usize>,
    /// Entries of `tasks` that hold nothing.
    pub(crate) free: Vec<usize>,
    pub(crate) ended_groups: Ended,
    /// Room to count a task in.
    pub(crate) states: Vec<(Membership, u64, Option<u64>)>,
    pub(crate) way: Vec<u32>,
    /// Thread id to the task that has it now, or had it last.
    pub(crate) current: Numbers,
    /// Entries of it that were of use last, a task's and a parent's: records of a task stand together, and those of its
    /// children.
    pub(crate) recent: [Option<(u32, u32)>; 2],
    /// Process id to the first of its threads that live, the leader left out.
    pub(crate) threads: Numbers,
    /// What the tasks with each membership do, by its number.
    pub(crate) usage: Vec<Usage>,
    pub(crate) memberships: MembershipNumbers,
    /// Cgroup id to path, from CGROUP records.
    pub(crate) cgroup_ids: Numbers,
    pub(crate) registry: Registry,
    /// Pids that runtimes have named as those of their containers' inits, of processes that have not ended.
    pub(crate) inits: Numbers,
    /// Namespaces that nobody need be in.
    #[cfg(feature = "full")]
    pub(crate) kept: Vec<KeptNamespace>,
    pub(crate) ns_sets: Interner<NsSet>,
    /// Hierarchy and path of each cgroup that a task is in at a time.
    pub(crate) cgroup_sets: Interner<Vec<[u32; 2]>>,
    pub(crate) names: Interner<Vec<u8>>,
    pub(crate) paths: Interner<Vec<u8>>,
    pub(crate) lost: Vec<LostInterval>,
    #[cfg(feature = "full")]
    pub(crate) switches: crate::switches::Switches,
    /// By the inode of a namespace, whatever its type: when it had which number that is never given again.
    #[cfg(feature = "full")]
    pub(crate) uniques: BTreeMap<u64, Vec<(u64, u64)>>,
    /// By the number of a cgroup's path.
    pub(crate) limits: BTreeMap<u64, Read>,
    /// What a reading has said of them that was not taken.
    pub(crate) throttled: Option<Throttled>,
    pub(crate) woken: Option<Wakeup>,
    pub(crate) tracepoints: Tracepoints,
    pub(crate) recorder: Option<RecorderInfo>,
    pub(crate) span: Option<(u64, u64)>,
    /// The time of the record that was pushed last, ns.
    pub(crate) now: u64,
    pub(crate) faulty: u64,
    pub(crate) outside: u64,
}

impl Timeline {
    /// An empty timeline that keeps all tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty timeline that keeps about so many of the tasks that have ended, the latest; of the others it keeps
    /// counts.
    pub fn with_ended_limit(ended: usize) -> Self {
        Self { keep: Some(ended), ..Self::default() }
    }

    /// An empty timeline for a stream without an end: it keeps the last thousand tasks that have ended, because their
    /// last records may come a little later.
    pub fn for_stream() -> Self {
        Self::with_ended_limit(1000)
    }

    /// Takes the next record in time order, and returns the task that it tells of. Records of types that do not matter
    /// here are ignored; a record that cannot be read is counted in [`malformed`](Self::malformed).
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
        self.now = time;
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
                if ns.pid() == 1 && self.registry.set_host(set.get(NsKind::Pid)) {
                    self.forget_spaces();
                }
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
                if raw.misc() & MISC_COMM_EXEC != 0 {
                    self.tasks[index].run(time);
                }
                return Some(index);
            }
            Record::Fork(fork) => {
                let ids = (fork.pid.get(), fork.tid.get());
                return Some(self.fork(ids, fork.ppid.get(), fork.ptid.get(), time, raw.misc() & MISC_FORK_EXEC == 0));
            }
            Record::Exit(exit) => {
                let (pid, tid) = (exit.pid.get(), exit.tid.get());
                let index = self.task(pid, tid, time);
                // One that was there already, and ends before it is described.
                self.tasks[index].ppid.get_or_insert(if pid == tid { exit.ppid.get() } else { pid });
                self.end(index, time);
                return Some(index);
            }
            Record::Cgroup(cgroup) => {
                let path = self.paths.intern(cgroup.path);
                self.cgroup_ids.insert(cgroup.fixed.id.get(), path);
            }
            Record::Lost(lost) => {
                self.lost.push(LostInterval { time, count: lost.lost.get() });
                #[cfg(feature = "full")]
                if let Some(cpu) = session.sample_id(raw).cpu {
                    self.switches.lost(cpu);
                }
            }
            #[cfg(feature = "full")]
            Record::Switch => self.switched(session, raw, None, time),
            #[cfg(feature = "full")]
            Record::SwitchCpuWide(switch) => self.switched(session, raw, Some(switch.next_prev_tid.get()), time),
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
        #[cfg(feature = "full")]
        self.finish_switches();
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
    pub fn task_at(&self, index: usize) -> &Task {
        &self.tasks[index]
    }

    /// The thread that has this id now, or had it last.
    pub fn task_of_tid(&self, tid: u32) -> Option<(usize, &Task)> {
        let index = self.has(tid)?;
        Some((index, &self.tasks[index]))
    }

    /// The membership that a thread has now or had last: the number of its namespaces and cgroups together.
    pub fn membership_of(&self, task: usize) -> u32 {
        self.tasks[task].membership
    }

    /// Namespace set and cgroup set of a membership, by number, each where it is known.
    pub fn sets_of_membership(&self, membership: u32) -> (Option<u32>, Option<u32>) {
        let Membership { namespaces, cgroups, .. } = self.usage[membership as usize].membership;
        (namespaces, cgroups)
    }

    /// How many threads there were, those that are only counted included.
    pub fn threads_seen(&self) -> u64 {
        (self.tasks.len() - self.free.len()) as u64 + self.ended_groups.tasks()
    }

    /// How many threads have ended and are only counted.
    pub fn threads_not_kept(&self) -> u64 {
        self.ended_groups.tasks()
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
    pub fn malformed(&self) -> u64 {
        self.faulty
    }

    /// How many records are of tasks outside the recorder's pid namespace, which have no pid there
    /// (`perf_event_pid_type()` in kernel/events/core.c); they are left out.
    pub fn outside_pid_namespace(&self) -> u64 {
        self.outside
    }

    /// How the recording was made, where its recorder says so.
    pub fn recorder(&self) -> Option<&RecorderInfo> {
        self.recorder.as_ref()
    }

    /// Namespaces that something but a task keeps, as far as the recorder looked.
    #[cfg(feature = "full")]
    pub fn kept(&self) -> &[KeptNamespace] {
        &self.kept
    }

    /// First and last time, ns.
    pub fn span(&self) -> Option<(u64, u64)> {
        self.span
    }
}

/// Thread id of an entry that holds no task: no kernel gives it.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Whether the recorder, not the kernel, made the record: its trailer names no task.
fn is_synthesized<O: Order>(session: &Session, raw: &RawRecord<'_, O>) -> bool {
    matches!(session.sample_id(raw).tid, Some(0 | u32::MAX))
}
