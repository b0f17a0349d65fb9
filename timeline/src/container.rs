//! Containers: a definition applied to the facts.
//!
//! From the strongest evidence to the weakest: a cgroup path with a runtime's id; else a pid namespace and a mount
//! namespace that are not the host's.

use crate::runtime::{self, Runtime};
use crate::{NsSet, Since, Task, Timeline};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::{NsId, NsKind};

/// Why something is a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A cgroup path names the runtime and the id.
    Cgroup(Runtime),
    /// Its processes have this pid namespace, and a mount namespace, apart from the host's.
    PidAndMnt(NsId),
}

/// A container and what was seen of it.
#[derive(Clone, Debug)]
pub struct Container {
    /// Why it is one.
    pub evidence: Evidence,
    /// Its cgroup path, where that is the evidence.
    pub cgroup: Option<String>,
    /// The namespaces of its init: of the first process that is in a pid namespace of its own, once it has set itself
    /// up; where there is none, of the first process.
    pub namespaces: NsSet,
    /// The types in which those differ from the host's.
    pub differs: Vec<NsKind>,
    /// Tasks that were in it: indices into [`Timeline::tasks`].
    pub tasks: BTreeSet<usize>,
    /// Processes that were in it.
    pub processes: usize,
    /// Most processes in it at one time.
    pub peak_processes: usize,
    /// When it was first seen, ns.
    pub first: u64,
    /// Whether `first` is its beginning; otherwise it was already there.
    pub first_exact: bool,
    /// When its last process ended or left, ns; `None` while there is one.
    pub last: Option<u64>,
    /// Names its processes had, in the order of appearance.
    pub commands: Vec<String>,
}

impl Container {
    /// The runtime's id, or the inode of the pid namespace.
    pub fn id(&self) -> String {
        match &self.evidence {
            Evidence::Cgroup(runtime) => runtime.id.clone(),
            Evidence::PidAndMnt(ns) => alloc::format!("pid:[{}]", ns.ino),
        }
    }

    /// The namespaces in which it differs from the host, as `/proc/PID/ns` names them: `net:[4026532000]`.
    pub fn own_namespaces(&self) -> impl Iterator<Item = String> {
        self.differs.iter().map(|&kind| alloc::format!("{}:[{}]", kind.name(), self.namespaces.get(kind).ino))
    }

    /// The runtime, where the cgroup path tells it.
    pub fn runtime(&self) -> Option<&'static str> {
        match &self.evidence {
            Evidence::Cgroup(runtime) => Some(runtime.name),
            Evidence::PidAndMnt(_) => None,
        }
    }
}

/// A task that has namespaces of its own but is in no container.
#[derive(Clone, Debug)]
pub struct Namespaced {
    /// Index into [`Timeline::tasks`].
    pub task: usize,
    /// The types in which it differs from the host.
    pub differs: Vec<NsKind>,
}

impl Timeline {
    /// The host's namespaces: the first init's. Where pid 1 may not be read, the kernel's own thread 2 (`kthreadd`)
    /// has the same; where neither is in the recording, the kernel's fixed inode numbers.
    pub fn host(&self) -> NsSet {
        let of = |pid: u32| {
            let task = self.tasks.iter().find(|task| task.tid == pid && !task.namespaces.is_empty())?;
            let kthreadd = task.names.iter().any(|since| self.names.get(since.value) == b"kthreadd");
            (pid == 1 || kthreadd).then(|| *self.ns_sets.get(task.namespaces[0].value))
        };
        of(1).or_else(|| of(2)).unwrap_or_else(|| {
            let dev = self.ns_sets.values().first().map_or(0, |set| set.0[0].dev);
            let initial =
                |set: &&NsSet| NsKind::ALL.iter().filter(|&&kind| set.get(kind).ino == kind.initial_ino()).count();
            // The set that is most like the first one; the earliest of those.
            let host = self.ns_sets.values().iter().rev().max_by_key(initial);
            let mut set = NsSet(NsKind::ALL.map(|kind| NsId { dev, ino: kind.initial_ino() }));
            if let Some(host) = host {
                // Older kernels number these two at boot.
                for kind in [NsKind::Net, NsKind::Mnt] {
                    set.0[kind.index()] = host.get(kind);
                }
            }
            set
        })
    }

    /// The containers there were, in order of appearance.
    pub fn containers(&self) -> Vec<Container> {
        let host = self.host();
        let mut found: BTreeMap<Evidence, Building> = BTreeMap::new();
        for (index, task) in self.tasks.iter().enumerate() {
            for state in self.states(task) {
                let Some((evidence, cgroup)) = self.evidence(&state, &host) else { continue };
                let building = found.entry(evidence).or_insert_with(|| Building { cgroup, stays: Vec::new() });
                let namespaces = state.namespaces.unwrap_or_default();
                building.stays.push(Stay { task: index, from: state.from, to: state.to, namespaces });
            }
        }
        let mut containers: Vec<_> =
            found.into_iter().map(|(evidence, building)| building.finish(self, evidence, &host)).collect();
        containers.sort_by_key(|container| container.first);
        containers
    }

    /// Tasks that at some time had namespaces of their own while in no container.
    pub fn namespaced(&self) -> Vec<Namespaced> {
        let host = self.host();
        let all = self.tasks.iter().enumerate();
        all.filter_map(|(index, task)| {
            // The kernel's own threads (parent kthreadd) are not anybody's container.
            if task.ppid == Some(2) {
                return None;
            }
            let states = self.states(task);
            let outside = states.iter().filter(|state| self.evidence(state, &host).is_none());
            let differs: BTreeSet<NsKind> =
                outside.filter_map(|s| s.namespaces).flat_map(|set| set.differences(&host)).collect();
            (!differs.is_empty()).then(|| Namespaced { task: index, differs: differs.into_iter().collect() })
        })
        .collect()
    }

    fn evidence(&self, state: &State, host: &NsSet) -> Option<(Evidence, Option<String>)> {
        let set = state.cgroups.map(|number| self.cgroup_sets.get(number));
        for &(_, path) in set.iter().flat_map(|set| &set.0) {
            let path = self.paths.get(path);
            if let Some(runtime) = runtime::recognise(path) {
                return Some((Evidence::Cgroup(runtime), Some(String::from_utf8_lossy(path).into_owned())));
            }
        }
        let namespaces = state.namespaces?;
        let differs: BTreeSet<NsKind> = namespaces.differences(host).collect();
        (differs.contains(&NsKind::Pid) && differs.contains(&NsKind::Mnt))
            .then(|| (Evidence::PidAndMnt(namespaces.get(NsKind::Pid)), None))
    }

    /// The task's life, cut where its namespaces or cgroups change.
    fn states(&self, task: &Task) -> Vec<State> {
        let changes = task.namespaces.iter().chain(&task.cgroups).map(|since| since.time);
        let cuts: BTreeSet<u64> = changes.chain([task.start]).collect();
        let cuts: Vec<u64> = cuts.into_iter().collect();
        let at = |facts: &[Since<u32>], time| facts.iter().rev().find(|s| s.time <= time).map(|s| s.value);
        let starts = cuts.iter().copied();
        let ends = cuts.iter().skip(1).map(|&cut| Some(cut)).chain([task.end]);
        starts
            .zip(ends)
            .map(|(from, to)| State {
                from,
                to,
                namespaces: at(&task.namespaces, from).map(|number| *self.ns_sets.get(number)),
                cgroups: at(&task.cgroups, from),
            })
            .collect()
    }
}

/// Part of a task's life in which nothing changes.
struct State {
    from: u64,
    to: Option<u64>,
    namespaces: Option<NsSet>,
    cgroups: Option<u32>,
}

/// A task in a container.
struct Stay {
    task: usize,
    from: u64,
    to: Option<u64>,
    namespaces: NsSet,
}

struct Building {
    cgroup: Option<String>,
    stays: Vec<Stay>,
}

impl Building {
    /// The namespaces of the container's init.
    fn namespaces(&self, host: &NsSet) -> NsSet {
        // A runtime joins the container's cgroup before it makes its namespaces.
        let inside = self.stays.iter().filter(|stay| stay.namespaces.differences(host).any(|kind| kind == NsKind::Pid));
        let init = inside.min_by_key(|stay| stay.from).or(self.stays.iter().min_by_key(|stay| stay.from));
        let its = self.stays.iter().filter(|stay| Some(stay.task) == init.map(|init| init.task));
        its.max_by_key(|stay| stay.from).map_or(NsSet::default(), |stay| stay.namespaces)
    }

    fn finish(self, timeline: &Timeline, evidence: Evidence, host: &NsSet) -> Container {
        let namespaces = self.namespaces(host);
        let tasks: BTreeSet<usize> = self.stays.iter().map(|stay| stay.task).collect();
        let first_stay = self.stays.iter().min_by_key(|stay| stay.from);
        let first = first_stay.map_or(0, |stay| stay.from);
        let first_exact = first_stay.is_some_and(|stay| {
            let task = &timeline.tasks[stay.task];
            task.start_exact || stay.from > task.start
        });
        let still = self.stays.iter().any(|stay| stay.to.is_none());
        let last = if still { None } else { self.stays.iter().filter_map(|stay| stay.to).max() };

        let processes: BTreeSet<(u32, u64)> = tasks.iter().map(|&t| timeline.process_of(t)).collect();
        let mut commands: Vec<(u64, u32)> = Vec::new();
        for stay in &self.stays {
            let task = &timeline.tasks[stay.task];
            for (position, name) in task.names.iter().enumerate() {
                let until = task.names.get(position + 1).map(|next| next.time);
                let during = stay.to.is_none_or(|to| name.time < to) && until.is_none_or(|until| until > stay.from);
                if during {
                    commands.push((name.time.max(stay.from), name.value));
                }
            }
        }
        commands.sort_unstable();
        let mut seen = BTreeSet::new();
        let commands = commands.into_iter().filter(|&(_, name)| seen.insert(name));
        Container {
            cgroup: self.cgroup,
            namespaces,
            differs: namespaces.differences(host).collect(),
            processes: processes.len(),
            peak_processes: peak(timeline, &self.stays),
            tasks,
            first,
            first_exact,
            last,
            commands: commands
                .map(|(_, name)| String::from_utf8_lossy(timeline.names.get(name)).into_owned())
                .collect(),
            evidence,
        }
    }
}

impl Timeline {
    /// What tells one process from another: its id and the start of the thread that leads it.
    fn process_of(&self, index: usize) -> (u32, u64) {
        let task = &self.tasks[index];
        if task.pid == task.tid {
            return (task.pid, task.start);
        }
        let leaders = self.current.get(&task.pid).map(|&leader| &self.tasks[leader]);
        (task.pid, leaders.map_or(task.start, |leader| leader.start))
    }
}

/// Most processes at one time.
fn peak(timeline: &Timeline, stays: &[Stay]) -> usize {
    let leads = stays.iter().filter(|stay| timeline.tasks[stay.task].pid == timeline.tasks[stay.task].tid);
    // A change of state that keeps a task in the container ends one stay and begins the next at the same time:
    // ends count first.
    let mut steps: Vec<(u64, i32)> =
        leads.flat_map(|stay| [(stay.from, 1), (stay.to.unwrap_or(u64::MAX), -1)]).collect();
    steps.sort_unstable();
    let mut now = 0;
    let counts = steps.into_iter().map(|(_, step)| {
        now += step;
        now
    });
    counts.max().unwrap_or(0) as usize
}
