//! How a container came to be: its first processes, who made it, and who came in from outside. Not here: which
//! container a process is in.

use crate::members::{Members, Stay, Who};
use crate::membership::NsSet;
use crate::order::distinct;
use crate::task::Task;
use crate::timeline::Timeline;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::NsKind;

impl Timeline {
    /// Whether a task is the first in a pid namespace that is not the host's: a container that is started again has
    /// several. Where its pid inside is known, that says so; those that were found in /proc were looked at in any order.
    pub(crate) fn is_init(&self, task: &Task, host: &NsSet) -> bool {
        if task.inner_pid().is_some_and(|pid| pid != 1) {
            return false;
        }
        let mut states = task.states(&self.registry);
        let own = states.find_map(|(membership, from, _)| {
            let pid = self.ns_sets.get(membership.namespaces?).get(NsKind::Pid);
            (pid.ino != 0 && pid != host.get(NsKind::Pid)).then_some((pid, from))
        });
        // One that was there before it was seen is the first that was described.
        let is_first = |pid| !task.start_exact && self.registry.first_in(pid) == Some(task.tid);
        task.leads() && own.is_some_and(|(pid, from)| self.registry.life(pid, from) == Some(from) || is_first(pid))
    }

    /// The program that set up a container: the name that its first process had before it started one of its own.
    pub(crate) fn maker(&self, task: &Task, time: u64) -> String {
        let before = task.names.iter().take_while(|name| name.time < time).last().or(task.names.first());
        let name =
            before.map_or(String::new(), |name| String::from_utf8_lossy(self.names.get(name.value)).into_owned());
        // runc's stages: `runc:[2:INIT]`.
        name.split_once(":[").map_or(name.clone(), |(name, _)| name.to_string())
    }

    /// Takes out the stays of a runtime's own processes, and returns how many processes those are.
    pub(crate) fn without_helpers(&self, all: &Members, stays: &mut Vec<Stay>) -> usize {
        let mut helpers = Vec::new();
        let mut counted = 0;
        stays.retain(|stay| {
            let names: Vec<u32> = match stay.who {
                Who::Task(index) => self.tasks[index].names.last().map(|name| name.value).into_iter().collect(),
                Who::Ended(number) => self.ended_groups.group(number).names.iter().map(|&(_, name, _)| name).collect(),
            };
            let known = !names.is_empty() && names.iter().all(|&name| self.is_helper(name));
            let before = |to: u64| all.created.is_some_and(|(created, _)| to <= created);
            let helper = all.since(stay.who).is_none() && (known || stay.to.is_some_and(before));
            if helper {
                match stay.who {
                    Who::Task(index) => {
                        helpers.push((u64::from(self.tasks[index].pid), self.tasks[index].process_start));
                    }
                    Who::Ended(number) => counted += self.ended_groups.group(number).processes as usize,
                }
            }
            !helper
        });
        distinct(helpers).len() + counted
    }

    /// The thread that a container begins with: the first in its pid namespace, else the first that was there.
    pub(crate) fn root(&self, tasks: &[usize], stays: &[Stay]) -> Option<usize> {
        let leads = || tasks.iter().copied().filter(|&task| self.tasks[task].leads());
        let init = leads().find(|&task| self.tasks[task].inner_pid() == Some(1));
        let first = || {
            let stays = stays.iter().filter_map(|stay| Some((stay.who.task()?, stay.from)));
            let leads = stays.filter(|&(task, _)| self.tasks[task].leads());
            leads.min_by_key(|&(task, from)| (from, self.tasks[task].pid)).map(|(task, _)| task)
        };
        init.or_else(first)
    }

    /// The tasks that came in from outside to run a program there.
    pub(crate) fn entered(&self, all: &Members, tasks: &[usize], inits: &[usize]) -> Vec<usize> {
        let members = distinct(tasks.iter().map(|&task| (u64::from(self.tasks[task].pid), 0)));
        let is_member = |pid: u32| members.binary_search(&(u64::from(pid), 0)).is_ok();
        let from_outside = |&task: &usize| {
            let (index, task) = (task, &self.tasks[task]);
            // One that was there before may be a child of somebody else's although it is not the first.
            let came = all.since(Who::Task(index)).is_some_and(|since| since > 0) || !task.start_exact;
            let outside = task.ppid.is_some_and(|ppid| !is_member(ppid));
            came && outside && task.leads() && !inits.contains(&index)
        };
        tasks.iter().copied().filter(from_outside).collect()
    }

    /// The namespaces of the container's init.
    pub(crate) fn namespaces_of_init(&self, stays: &[Stay], host: &NsSet) -> NsSet {
        let set = |stay: &Stay| stay.membership.namespaces.map_or(NsSet::default(), |number| *self.ns_sets.get(number));
        // A runtime joins the container's cgroup before it makes its namespaces.
        let inside = stays.iter().filter(|stay| set(stay).differences(host).any(|kind| kind == NsKind::Pid));
        let init = inside.min_by_key(|stay| stay.from).or(stays.iter().min_by_key(|stay| stay.from));
        let its = stays.iter().filter(|stay| Some(stay.who) == init.map(|init| init.who));
        its.max_by_key(|stay| stay.from).map_or(NsSet::default(), set)
    }
}
