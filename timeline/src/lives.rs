//! The lives of tasks: who begins, forks, runs a program and ends, and which of those that have ended are kept. Not
//! here: namespaces and cgroups.

use crate::membership::Membership;
use crate::registry::NONE;
use crate::task::{Since, Source, Task};
use crate::timeline::{NOBODY, Timeline, Usage};
use alloc::vec::Vec;

impl Timeline {
    /// The task that has this thread id now, or had it last.
    pub(crate) fn has(&self, tid: u32) -> Option<usize> {
        match self.recent.iter().flatten().find(|&&(recent, _)| recent == tid) {
            Some(&(_, index)) => Some(index as usize),
            None => self.current.get(&u64::from(tid)).map(|&index| index as usize),
        }
    }

    /// The task that has this thread id, made if it is not known yet.
    pub(crate) fn task(&mut self, pid: u32, tid: u32, time: u64) -> usize {
        let index = match self.has(tid) {
            // A record for a task that ended is a new task whose FORK was lost; its EXIT may carry an equal time.
            Some(index) if self.tasks[index].end.is_none_or(|end| time <= end) => index,
            _ => self.add(pid, tid, time),
        };
        self.recent[0] = Some((tid, index as u32));
        index
    }

    pub(crate) fn add(&mut self, pid: u32, tid: u32, time: u64) -> usize {
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
            membership: self.membership(Membership::default()),
            born: NONE,
            ran: Vec::new(),
            previous_thread: NONE,
            next_thread: NONE,
            process_start: if tid == pid { None } else { self.leader(pid) }
                .map_or(time, |leader| self.tasks[leader].start),
        };
        let index = self.free.pop().unwrap_or(self.tasks.len());
        match self.tasks.get_mut(index) {
            Some(free) => *free = task,
            None => self.tasks.push(task),
        }
        self.count(index, self.tasks[index].membership, 1);
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
        (self.tasks[index].previous_thread, self.tasks[index].next_thread) = (NONE, first);
        if let Some(first) = self.tasks.get_mut(first as usize) {
            first.previous_thread = index as u32;
        }
    }

    /// Takes a task from the threads of its process.
    fn unlink(&mut self, index: usize) {
        let Task { pid, previous_thread, next_thread, .. } = self.tasks[index];
        if self.tasks[index].leads() {
            return;
        }
        match (self.tasks.get_mut(previous_thread as usize), next_thread) {
            (Some(previous_thread), _) => previous_thread.next_thread = next_thread,
            (None, NONE) => drop(self.threads.remove(&u64::from(pid))),
            (None, _) => drop(self.threads.insert(u64::from(pid), next_thread)),
        }
        if let Some(next_thread) = self.tasks.get_mut(next_thread as usize) {
            next_thread.previous_thread = previous_thread;
        }
    }

    /// The threads of a process that live.
    pub(crate) fn threads_of(&self, pid: u32) -> Vec<usize> {
        let mut all: Vec<usize> = self.leader(pid).into_iter().collect();
        let mut next = self.threads.get(&u64::from(pid)).copied().unwrap_or(NONE);
        while let Some(task) = self.tasks.get(next as usize) {
            all.push(next as usize);
            next = task.next_thread;
        }
        all
    }

    /// The number of a membership. The kernel gives the inode of a namespace again: where a task gets a membership in a later
    /// life of its pid namespace, and something was counted there in the one before, it gets another.
    pub(crate) fn membership(&mut self, membership: Membership) -> u32 {
        let (number, new) = self.memberships.number(membership);
        let known = self.usage.get(number as usize);
        let over = known.is_some_and(|usage| {
            usage.tasks == 0
                && usage.left > 0
                && self.registry.is_over(usage.spaces[1], usage.left)
                && self.is_counted(number)
        });
        if !new && !over {
            return number;
        }
        let (earlier, number) = if over { (number, self.memberships.renew(membership)) } else { (NONE, number) };
        let spaces = membership.namespaces.map_or([NONE; 2], |set| self.registry.spaces_of(set, self.ns_sets.get(set)));
        self.usage.push(Usage { membership, spaces, first: u64::MAX, earlier, ..Usage::default() });
        number
    }

    /// Whether samples or switches were counted for a membership.
    fn is_counted(&self, number: u32) -> bool {
        #[cfg(feature = "full")]
        if self.switches.counted.contains_key(&u64::from(number)) {
            return true;
        }
        self.usage[number as usize].samples > 0
    }

    /// Counts a task that gets or loses a membership.
    fn count(&mut self, index: usize, membership: u32, step: i32) {
        let task = &self.tasks[index];
        if task.end.is_some() {
            return;
        }
        let tid = task.tid;
        let before = !task.start_exact && task.namespaces.len() == 1;
        let usage = &mut self.usage[membership as usize];
        usage.first = usage.first.min(self.now);
        usage.tasks = usage.tasks.saturating_add_signed(step);
        usage.left = self.now;
        if task.leads() {
            usage.live = usage.live.saturating_add_signed(step);
            usage.peak = usage.peak.max(usage.live);
        }
        let (spaces, cgroups) = (usage.spaces, usage.membership.cgroups);
        if spaces == [NONE; 2] {
            return;
        }
        let init = if self.inits.is_empty() { None } else { self.inits.get(&u64::from(tid)).copied() };
        let container = self.registry.of_cgroups(cgroups).or(init);
        for space in spaces {
            if step < 0 {
                self.registry.leave(space, self.now);
            } else if let Some(since) = self.registry.enter(space, container, tid, self.now, before) {
                self.adopt(space, since);
            }
        }
    }

    /// A space has a new owner: so have the memberships that tasks got since it lives, where they had none.
    pub(crate) fn adopt(&mut self, space: u32, since: u64) {
        if since == self.now {
            return;
        }
        for number in 0..self.usage.len() {
            let Usage { membership, spaces, first, earlier, .. } = self.usage[number];
            if membership.owner.is_none() && spaces.contains(&space) && first >= since {
                let owned = self.registry.membership(membership.namespaces, membership.cgroups, self.now);
                let before = (earlier != NONE).then_some(earlier);
                if owned != membership && self.memberships.change(membership, owned, before) {
                    self.usage[number].membership = owned;
                }
            }
        }
    }

    /// The host is another than was thought: what belongs to whom is found out anew.
    pub(crate) fn forget_spaces(&mut self) {
        self.registry.forget_spaces();
        for number in 0..self.usage.len() {
            let set = self.usage[number].membership.namespaces;
            self.usage[number].spaces =
                set.map_or([NONE; 2], |set| self.registry.spaces_of(set, self.ns_sets.get(set)));
        }
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            if task.end.is_some() || task.tid == NOBODY {
                continue;
            }
            let Usage { spaces, membership, .. } = self.usage[task.membership as usize];
            let container = self.registry.of_cgroups(membership.cgroups);
            for space in spaces {
                self.registry.enter(space, container, self.tasks[index].tid, self.now, false);
            }
        }
    }

    /// Cgroup paths may be other containers' than before: so are the namespaces of who is in them.
    pub(crate) fn paths_changed(&mut self) {
        let paths = &self.paths;
        self.registry.look_again(&self.cgroup_sets, paths.values(), |path| paths.number(path));
        for number in 0..self.usage.len() {
            let Usage { spaces, membership, tasks, .. } = self.usage[number];
            if let Some(container) = self.registry.of_cgroups(membership.cgroups).filter(|_| tasks > 0) {
                self.claim(spaces, container);
            }
        }
    }

    /// A container is said to be in these spaces.
    pub(crate) fn claim(&mut self, spaces: [u32; 2], container: u32) {
        for space in spaces {
            if let Some(since) = self.registry.claim(space, container) {
                self.adopt(space, since);
            }
        }
    }

    /// A task's namespaces or cgroups may have changed.
    pub(crate) fn settle(&mut self, index: usize) {
        self.registry.look_at_sets(&self.ns_sets);
        let task = &self.tasks[index];
        let last = |facts: &[Since<u32>]| facts.last().map(|since| since.value);
        let membership = self.registry.membership(last(&task.namespaces), last(&task.cgroups), self.now);
        let before = task.membership;
        if membership != self.usage[before as usize].membership {
            let membership = self.membership(membership);
            self.tasks[index].membership = membership;
            // In before out: a namespace that both have goes on.
            self.count(index, membership, 1);
            self.count(index, before, -1);
            #[cfg(feature = "full")]
            self.moved(index);
        }
    }

    pub(crate) fn end(&mut self, index: usize, time: u64) {
        if self.tasks[index].end.is_some() {
            return;
        }
        self.count(index, self.tasks[index].membership, -1);
        let task = &mut self.tasks[index];
        #[cfg(feature = "full")]
        self.switches.ended(task.tid);
        task.end = Some(time);
        if !self.inits.is_empty() {
            self.inits.remove(&u64::from(task.tid));
        }
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
        states.extend(self.tasks[index].states(&self.registry));
        let mut memberships = core::mem::take(&mut self.way);
        memberships.extend(states.iter().map(|&(membership, ..)| self.membership(membership)));
        let task = &mut self.tasks[index];
        self.ended_groups.add(&mut memberships, states.iter().map(|&(_, from, to)| (from, to.unwrap_or(from))), task);
        states.clear();
        memberships.clear();
        (self.states, self.way) = (states, memberships);
        if self.current.get(&u64::from(task.tid)) == Some(&(index as u32)) {
            self.current.remove(&u64::from(task.tid));
            self.recent = [None; 2];
        }
        (task.pid, task.tid) = (NOBODY, NOBODY);
        (task.names, task.namespaces, task.cgroups) = (Vec::new(), Vec::new(), Vec::new());
        task.ran = Vec::new();
        self.free.push(index);
    }

    /// After exec a process has one thread, and that is its leader, whichever called. The leader's EXIT was recorded
    /// when the other took its place; of the other there is none (`de_thread` in fs/exec.c).
    pub(crate) fn exec(&mut self, (pid, tid): (u32, u32), time: u64) {
        if pid == tid && !self.threads.contains_key(&u64::from(pid)) {
            return;
        }
        let mut others = self.threads_of(pid);
        others.retain(|&at| self.tasks[at].tid != tid);
        if others.is_empty() {
            return;
        }
        if let Some(leader) = self.has(pid).filter(|&at| self.tasks[at].end.is_some()) {
            self.tasks[leader].end = None;
            self.count(leader, self.tasks[leader].membership, 1);
        }
        for other in others {
            self.end(other, time);
        }
    }

    pub(crate) fn fork(&mut self, (pid, tid): (u32, u32), ppid: u32, ptid: u32, time: u64, exact: bool) -> usize {
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
        // What a runtime starts on its way into a container is none of the container's programs.
        let own = |task: &Task| {
            let own = task.ran.iter().rev().find(|&&(time, _)| !self.helps(task, time));
            own.map_or(task.born, |&(_, membership)| membership)
        };
        let born = parent.filter(|_| exact).map_or(NONE, own);
        let task = &mut self.tasks[index];
        task.ppid = Some(if pid == tid { ppid } else { pid });
        task.start_exact = exact;
        task.born = born;
        task.names.extend(name);
        task.namespaces.extend(ns);
        task.cgroups.extend(cgroup);
        self.settle(index);
        index
    }
}
