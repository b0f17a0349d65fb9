//! Processes: threads by the id they share.

use crate::{NsSet, Since, Task, Timeline};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A process, told by its threads.
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent, where known.
    pub ppid: Option<u32>,
    /// The thread that stands for it, its leader where that is known: an index for [`Timeline::at`].
    pub leader: usize,
    /// Its threads: indices for [`Timeline::at`].
    pub threads: Vec<usize>,
    /// When it began or was first seen, ns.
    pub start: u64,
    /// Whether `start` is its creation; otherwise it was already running.
    pub start_exact: bool,
    /// When its last thread ended, ns; `None`: it lives.
    pub end: Option<u64>,
}

impl Timeline {
    /// The processes of some threads, in order of their beginning.
    pub fn processes(&self, of: impl IntoIterator<Item = usize>) -> Vec<Process> {
        let mut threads: BTreeMap<(u32, u64), Vec<usize>> = BTreeMap::new();
        for index in of {
            let task = &self.tasks[index];
            threads.entry((task.pid, task.process_start)).or_default().push(index);
        }
        let mut processes: Vec<Process> =
            threads.into_iter().map(|((pid, _), threads)| self.process(pid, threads)).collect();
        processes.sort_by_key(|process| (process.start, process.pid));
        processes
    }

    fn process(&self, pid: u32, threads: Vec<usize>) -> Process {
        let leader = threads.iter().copied().find(|&at| self.tasks[at].leads()).unwrap_or(threads[0]);
        let first = threads.iter().copied().min_by_key(|&at| self.tasks[at].start).unwrap_or(leader);
        let ends = threads.iter().map(|&at| self.tasks[at].end);
        Process {
            pid,
            ppid: self.tasks[leader].ppid.filter(|&ppid| ppid != pid),
            leader,
            start: self.tasks[first].start,
            start_exact: self.tasks[first].start_exact,
            end: ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max()),
            threads,
        }
    }

    /// A task's name at its end, or now.
    pub fn last_name(&self, task: &Task) -> Option<String> {
        let name = self.names.get(task.names.last()?.value);
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// A task's namespaces at its end, or now.
    pub fn last_namespaces(&self, task: &Task) -> Option<NsSet> {
        Some(*self.ns_sets.get(task.namespaces.last()?.value))
    }

    /// A task's cgroup paths at its end, or now, by hierarchy id; 0 is the unified one.
    pub fn last_cgroups(&self, task: &Task) -> Vec<(u32, String)> {
        let Some(&Since { value, .. }) = task.cgroups.last() else { return Vec::new() };
        let set = &self.cgroup_sets.get(value).0;
        set.iter().map(|&(root, path)| (root, String::from_utf8_lossy(self.paths.get(path)).into_owned())).collect()
    }
}
