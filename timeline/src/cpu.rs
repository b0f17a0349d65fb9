//! CPU time and waiting time by container: what [`switches`](crate::switches) counts, for the memberships of a timeline. Not
//! here: how switches are counted.

use crate::definition::Definition;
use crate::keys::{Key, Keys};
use crate::limit::CpuStat;
use crate::membership::Membership;
use crate::order::{distinct, sorted};
use crate::switches::{ALL_CPUS, Counted, IDLE, KERNEL, Runs, UNKNOWN, Wait};
use crate::timeline::Timeline;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::synthetic::{CpuSum, CpuWait, TaskGroup};
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::{Order, RawRecord};

/// Who has a CPU, or waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A container.
    Container(Key),
    /// Processes in no container.
    Host,
    /// The kernel's own threads.
    Kernel,
    /// Nobody: the CPU is idle.
    Idle,
    /// Not known: records are missing, or the recording had just begun.
    Unknown,
}

/// CPU time and waits of one who runs.
#[derive(Clone, Debug)]
pub struct CpuUsage {
    /// Whose.
    pub runner: Runner,
    /// Time on each CPU, ns. Empty where it was [summed](Timeline::is_summed).
    pub cpus: Vec<(u32, u64)>,
    /// Time on all CPUs, ns.
    pub on_cpu: u64,
    /// Time in which its threads would have run and did not, ns.
    pub waited: u64,
    /// How many waits that were.
    pub waits: u64,
    /// What half of them did not exceed, ns, within an eighth. Not known where it was [summed](Timeline::is_summed).
    pub p50: Option<u64>,
    /// What 99 of 100 did not exceed, ns, within an eighth. See `p50`.
    pub p99: Option<u64>,
    /// The longest, ns.
    pub max: u64,
    /// How often a thread gave up its CPU.
    pub slept: u64,
    /// How often its CPU was taken from a thread.
    pub preempted: u64,
    /// How often a thread came to another CPU.
    pub migrations: u64,
    /// Who ran on the CPUs that it waited for; the longest first.
    pub ran_instead: Vec<RanInstead>,
    /// What its cgroup's limit of CPU time did to it, where the recording says so.
    pub limit: Option<CpuStat>,
}

/// Who ran while another waited.
#[derive(Clone, Debug)]
pub struct RanInstead {
    /// Who.
    pub runner: Runner,
    /// For how long, ns.
    pub ns: u64,
    /// The same on each CPU. Empty where it was [summed](Timeline::is_summed).
    pub cpus: Vec<(u32, u64)>,
}

impl Timeline {
    /// Whether the recording has context switches: whether CPU time is exact.
    pub fn has_switches(&self) -> bool {
        !self.switches.counted.is_empty()
    }

    /// Whether that was summed in the kernel: on which CPU, and how waits spread, is not known then.
    pub fn is_summed(&self) -> bool {
        self.switches.summed
    }

    /// Who ran and who waited until `time` (ns), most CPU time first; the sum of all is the time of all CPUs. Empty without
    /// context switches.
    pub fn cpu_usage(&self, definition: &Definition, time: u64) -> Vec<CpuUsage> {
        let mut keys = self.keys(definition);
        let mut number = |who: u64| runner(who as u32, &mut keys);
        // By runner; containers by their keys' numbers.
        let mut found: BTreeMap<u64, (Counted, ByRunner)> = BTreeMap::new();
        for (&who, counted) in &self.switches.counted {
            let (all, _) = found.entry(number(who)).or_default();
            for (&cpu, &ns) in &counted.on_cpu {
                *all.on_cpu.entry(cpu).or_default() += ns;
            }
            all.waited += counted.waited;
            all.waits += counted.waits;
            all.longest = all.longest.max(counted.longest);
            all.lengths.merge(&counted.lengths);
            all.slept += counted.slept;
            all.preempted += counted.preempted;
            all.migrations += counted.migrations;
        }
        for (who, cpu, ns) in self.switches.running(time) {
            *found.entry(number(who.into())).or_default().0.on_cpu.entry(cpu).or_default() += ns;
        }
        for (tid, ns) in self.switches.waiting(time) {
            found.entry(number(self.counted_as(tid).into())).or_default().0.waited += ns;
        }
        for (&(waits, ran, cpu), &ns) in &self.switches.meanwhile {
            let (waits, ran) = (number(u64::from(waits)), number(u64::from(ran)));
            *found.entry(waits).or_default().1.entry(ran).or_default().entry(cpu).or_default() += ns;
        }
        let named = |number: u64| named(number, &keys);
        let summed = self.switches.summed;
        let all = found.into_iter().map(|(who, (counted, meanwhile))| {
            let runner = named(who);
            let mut meanwhile = meanwhile;
            if summed {
                // The longest waits are longer than what the kernel keeps of who ran.
                let known: u64 = meanwhile.values().flat_map(BTreeMap::values).sum();
                let unknown = counted.waited.saturating_sub(known);
                if unknown > 0 {
                    *meanwhile.entry(UNKNOWN.into()).or_default().entry(ALL_CPUS).or_default() += unknown;
                }
            }
            let meanwhile = meanwhile.into_iter().map(|(who, cpus)| RanInstead {
                runner: named(who),
                ns: cpus.values().sum(),
                cpus: on_cpus(cpus),
            });
            let own_limit = |runner: &Runner| match runner {
                Runner::Container(key) => self.limit(key).map(|limit| limit.stat),
                _ => None,
            };
            let quantile = |per_mille| (!summed).then(|| counted.lengths.quantile(per_mille).min(counted.longest));
            CpuUsage {
                limit: own_limit(&runner),
                runner,
                on_cpu: counted.on_cpu.values().sum(),
                cpus: on_cpus(distinct(counted.on_cpu).into_iter().map(|(cpu, ns)| (cpu as u32, ns))),
                waited: counted.waited,
                waits: counted.waits,
                p50: quantile(500),
                p99: quantile(990),
                max: counted.longest,
                slept: counted.slept,
                preempted: counted.preempted,
                migrations: counted.migrations,
                ran_instead: sorted(meanwhile.collect(), |one| (u64::MAX - one.ns, 0)),
            }
        });
        sorted(all.collect(), |one| (u64::MAX - one.on_cpu, 0))
    }

    /// How long the wait was that ended last, ns, until it is [taken](Self::take_wait).
    pub fn last_wait(&self) -> Option<u64> {
        self.switches.last_wait.map(|wait| wait.to - wait.from)
    }

    /// The wait that ended since this was asked last, if one did, and who ran most of it.
    pub fn take_wait(&mut self, definition: &Definition) -> Option<(Wait, Runner)> {
        let wait = self.switches.last_wait.take()?;
        let longest = self.switches.last_ran.iter().max_by_key(|&&(_, ns)| ns).map_or(UNKNOWN, |&(who, _)| who);
        let mut keys = self.keys(definition);
        let number = runner(longest, &mut keys);
        Some((wait, named(number, &keys)))
    }

    /// What the kernel has summed of a group of tasks.
    pub(crate) fn summed(&mut self, sum: &CpuSum) {
        self.switches.sum(self.who_is(&sum.group), sum);
    }

    /// For whom a group of tasks waited.
    pub(crate) fn summed_wait(&mut self, wait: &CpuWait) {
        let pair = (self.who_is(&wait.waited), self.who_is(&wait.ran), ALL_CPUS);
        *self.switches.meanwhile.entry(pair).or_default() += wait.ns;
    }

    fn who_is(&self, group: &TaskGroup) -> u32 {
        match group.kind {
            1 => KERNEL,
            2 => IDLE,
            _ => self.membership_of_group(group).unwrap_or(UNKNOWN),
        }
    }

    /// The membership of a group's tasks: that of the thread of the group which ran last, where it still has it; else that of
    /// any task in these namespaces, in this cgroup where there is one.
    fn membership_of_group(&self, group: &TaskGroup) -> Option<u32> {
        let path = self.cgroup_ids.get(&group.cgroup).copied();
        // A thread that ends is in fewer and fewer of them.
        let is = |ino: u32, of: u64| ino == 0 || u64::from(ino) == of;
        let is_there = |membership: Membership| {
            let set = membership.namespaces.map(|number| self.ns_sets.get(number));
            set.is_some_and(|set| {
                is(group.pid_ns, set.get(NsKind::Pid).ino) && is(group.mnt_ns, set.get(NsKind::Mnt).ino)
            })
        };
        let has_cgroup = |membership: Membership| {
            let set = membership.cgroups.map(|number| self.cgroup_sets.get(number));
            set.is_some_and(|set| set.iter().any(|&[root, of]| root == 0 && Some(of) == path))
        };
        // One that has moved since says nothing of where it was.
        let fits = |membership: Membership| {
            is_there(membership) && (path.is_none() || membership.cgroups.is_none() || has_cgroup(membership))
        };
        let own = self.has(group.tid).map(|index| self.tasks[index].membership);
        if let Some(own) = own.filter(|&own| self.usage.get(own as usize).is_some_and(|usage| fits(usage.membership))) {
            return Some(own);
        }
        if group.pid_ns == 0 {
            return None;
        }
        let there = || (0..self.usage.len()).rev().filter(|&number| is_there(self.usage[number].membership));
        let found = there().find(|&number| has_cgroup(self.usage[number].membership)).or_else(|| there().next());
        found.map(|number| number as u32)
    }

    /// What a thread is counted as.
    pub(crate) fn counted_as(&self, tid: u32) -> u32 {
        if tid == 0 {
            return IDLE;
        }
        self.has(tid).map_or(UNKNOWN, |index| {
            let task = &self.tasks[index];
            // kthreadd, and what it has started.
            if task.pid == 2 || task.ppid == Some(2) { KERNEL } else { task.membership }
        })
    }

    /// A context switch. `other`: the thread that comes or that leaves, where the record says so.
    pub(crate) fn switched<O: Order>(
        &mut self,
        session: &Session,
        raw: &RawRecord<'_, O>,
        other: Option<u32>,
        time: u64,
    ) {
        let id = session.sample_id(raw);
        let (Some(tid), Some(cpu)) = (id.tid, id.cpu) else { return };
        let out = raw.misc() & MISC_SWITCH_OUT != 0;
        // Mostly the record of who left has said who comes.
        if !out && self.switches.is_running(cpu, tid) {
            return;
        }
        // It matters at the first switch of a CPU alone.
        let began = if self.switches.knows(cpu) { time } else { self.began(session, time) };
        let runs = |tid| Runs { tid, who: self.counted_as(tid) };
        let preempted = raw.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
        let this = runs(tid);
        match (out, other.map(runs)) {
            (true, Some(next)) => self.switches.switch(cpu, this, preempted, next, time, began),
            (true, None) => self.switches.switch_out(cpu, this, preempted, time, began),
            (false, before) => self.switches.switch_in(cpu, this, before, time, began),
        }
    }

    /// Since when a recording that is at `time` has records, ns.
    fn began(&self, session: &Session, time: u64) -> u64 {
        let begun = session.sample_time().map(|(from, _)| from).filter(|&from| from > 0 && from <= time);
        begun.or(self.span.map(|(first, _)| first)).unwrap_or(time)
    }

    /// What was counted for one membership is of another.
    pub(crate) fn moved(&mut self, index: usize) {
        if !self.switches.counted.is_empty() {
            let tid = self.tasks[index].tid;
            self.switches.moves(tid, self.counted_as(tid), self.now);
        }
    }

    /// The recording is over.
    pub(crate) fn finish_switches(&mut self) {
        let Some((_, last)) = self.span.filter(|_| self.has_switches()) else { return };
        let mut switches = core::mem::take(&mut self.switches);
        switches.finish(last, |tid| self.counted_as(tid));
        self.switches = switches;
    }
}

/// Time by the number of who ran, and by CPU, ns.
type ByRunner = BTreeMap<u64, BTreeMap<u32, u64>>;

/// Time by CPU, where the CPU is known.
fn on_cpus(times: impl IntoIterator<Item = (u32, u64)>) -> Vec<(u32, u64)> {
    times.into_iter().filter(|&(cpu, _)| cpu != ALL_CPUS).collect()
}

/// The number of what is in no container, beside those of keys.
const HOST: u32 = u32::MAX - 3;

/// A number for the container of a membership.
fn runner(who: u32, keys: &mut Keys<'_>) -> u64 {
    u64::from(match who {
        IDLE | KERNEL | UNKNOWN => who,
        membership => keys.of_membership(membership).unwrap_or(HOST),
    })
}

/// Who has a number that [`runner`] gave.
fn named(number: u64, keys: &Keys<'_>) -> Runner {
    match number as u32 {
        IDLE => Runner::Idle,
        KERNEL => Runner::Kernel,
        UNKNOWN => Runner::Unknown,
        HOST => Runner::Host,
        key => Runner::Container(keys.key(key).clone()),
    }
}
