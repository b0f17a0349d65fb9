//! Processes: threads by the id they share. Not here: containers.

use crate::membership::NsSet;
use crate::order::{distinct, sorted};
use crate::task::Since;
use crate::task::Task;
use crate::timeline::Timeline;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A process, told by its threads.
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Process id of the parent, where known.
    pub ppid: Option<u32>,
    /// The thread that stands for it, its leader where that is known: an index for [`Timeline::task_at`].
    pub leader: usize,
    /// Its threads: indices for [`Timeline::task_at`].
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
        let task = |index: u64| &self.tasks[index as u32 as usize];
        // Grouped by what tells processes from one another.
        let threads = distinct(of.into_iter().map(|index| {
            let task = &self.tasks[index];
            (task.process_start, u64::from(task.pid) << 32 | index as u64)
        }));
        let processes = threads
            .chunk_by(|a, b| a.0 == b.0 && task(a.1).pid == task(b.1).pid)
            .map(|threads| {
                let indices = threads.iter().map(|&(_, index)| index as u32 as usize);
                self.process(task(threads[0].1).pid, indices.collect())
            })
            .collect();
        sorted(processes, |process: &Process| (process.start, process.pid))
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
        task.cgroups.last().map_or_else(Vec::new, |&Since { value, .. }| self.cgroup_paths(value))
    }

    /// The paths of a cgroup set, by hierarchy id.
    pub fn cgroup_paths(&self, set: u32) -> Vec<(u32, String)> {
        let set = self.cgroup_sets.get(set);
        set.iter().map(|&[root, path]| (root, String::from_utf8_lossy(self.paths.get(path)).into_owned())).collect()
    }
}

/// Children behind their parents: how deep each is, and its place among those given.
pub fn in_tree_order(processes: &[Process]) -> Vec<(usize, usize)> {
    // By pid; of one pid in the order of their beginning. One that was there already may be the parent of any, also of
    // one that was seen before it.
    let start = |process: &Process| if process.start_exact { process.start } else { 0 };
    let by_start = distinct(processes.iter().enumerate().map(|(index, process)| (start(process), index as u64)));
    let at = |rank: u64| by_start[rank as usize].1 as usize;
    let ranks = by_start.iter().enumerate();
    let by_pid = distinct(ranks.map(|(rank, &(_, index))| (u64::from(processes[index as usize].pid), rank as u64)));
    // Of several with the parent's pid the one that lived at the time.
    let parent_of = |process: &Process| {
        let ppid = u64::from(process.ppid?);
        let from = by_pid.partition_point(|&(pid, _)| pid < ppid);
        let until = by_pid.partition_point(|&(pid, rank)| {
            (pid, if pid == ppid { by_start[rank as usize].0 } else { 0 }) <= (ppid, process.start)
        });
        by_pid[from..until].last().map(|&(_, rank)| at(rank))
    };
    // Children by their parent's number, counted from 1 on; 0: those of nobody.
    let children = distinct(processes.iter().enumerate().map(|(index, process)| {
        let parent = parent_of(process).filter(|&parent| parent != index);
        (parent.map_or(0, |parent| parent as u64 + 1), index as u64)
    }));
    let mut taken = vec![false; processes.len() + 1];
    let mut take = |parent: u64| {
        let from = children.partition_point(|&(of, _)| of < parent);
        let len = children[from..].iter().take_while(|&&(of, _)| of == parent).count();
        let first = !core::mem::replace(&mut taken[parent as usize], true);
        children[from..from + if first { len } else { 0 }].iter().rev().map(|&(_, child)| child as usize)
    };
    let mut out = Vec::with_capacity(processes.len());
    // The roots are behind no parent; what is left then goes round in circles, which only a damaged file says.
    for family in children.chunk_by(|a, b| a.0 == b.0) {
        let mut waiting: Vec<(usize, usize)> = take(family[0].0).map(|at| (0, at)).collect();
        while let Some((depth, at)) = waiting.pop() {
            out.push((depth, at));
            waiting.extend(take(at as u64 + 1).map(|child| (depth + 1, child)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stand_behind_their_parents_whenever_they_were_seen() {
        let process = |pid, ppid, start, start_exact| Process {
            pid,
            ppid: Some(ppid),
            leader: 0,
            threads: Vec::new(),
            start,
            start_exact,
            end: None,
        };
        let order = |processes: &[Process]| -> Vec<(usize, u32)> {
            in_tree_order(processes).into_iter().map(|(depth, at)| (depth, processes[at].pid)).collect()
        };
        // The parent has the higher pid, so /proc showed it later.
        let seen = [process(1, 0, 10, false), process(5, 9, 11, false), process(9, 1, 12, false)];
        assert_eq!(order(&seen), [(0, 1), (1, 9), (2, 5)]);
        // One that began in the recording is a child of one that was there before, whenever that was seen.
        let seen = [process(5, 9, 11, true), process(9, 1, 12, false), process(6, 9, 13, true)];
        assert_eq!(order(&seen), [(0, 9), (1, 5), (1, 6)]);
        // One that began in the recording is no child of one that began after it.
        let began = [process(5, 9, 11, true), process(9, 1, 12, true)];
        assert_eq!(order(&began), [(0, 5), (0, 9)]);
        // Nobody is lost in a circle.
        let circle = [process(5, 9, 11, false), process(9, 5, 12, false)];
        assert_eq!(order(&circle).len(), 2);
    }
}
