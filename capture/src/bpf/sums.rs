//! What the eBPF programs have summed of each group, as records of an interval. Not here: how it is summed.

use super::chain::{failed, map};
use super::shared::{Pair, Running, Sum, TaskGroup};
use crate::clock;
use crate::error::Result;
use crate::synth::Synthesizer;
use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues};
use nsscope_codec::synthetic::{self, CpuSum, CpuWait};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many groups are summed at once. What comes when so many are there is left out.
pub(super) const MAX_GROUPS: u32 = 4096;

/// How many pairs of who waited and who ran meanwhile.
pub(super) const MAX_PAIRS: u32 = 2 * MAX_GROUPS;

/// How many threads may wait at once while another one waits whose place is the same.
pub(super) const MAX_DISPLACED: u32 = 1 << 14;

/// Of what has changed nothing for so many intervals is forgotten once half of a map is used.
const FORGOTTEN: u32 = 60;

/// What part of an interval two have to be a pair for before that is said, so that a recording of days stays small. What
/// is less is said with what comes later.
const PART: u64 = 1000;

// SAFETY: whole numbers, and no padding.
unsafe impl aya::Pod for TaskGroup {}
// SAFETY: likewise.
unsafe impl aya::Pod for Pair {}
// SAFETY: likewise.
unsafe impl aya::Pod for Sum {}
// SAFETY: likewise.
unsafe impl aya::Pod for Running {}

/// What was said so far, of a group or of a pair, and for how many intervals there has been nothing to say.
#[derive(Clone, Copy, Debug, Default)]
struct Said<T> {
    sum: T,
    idle: u32,
}

/// Numbers of intervals, and a longest wait of each, ns.
type Longest = Vec<(u64, u64)>;

/// The sums, and when they are to be read.
pub(super) struct Sums {
    groups: PerCpuHashMap<MapData, TaskGroup, Sum>,
    pairs: PerCpuHashMap<MapData, Pair, u64>,
    running: PerCpuArray<MapData, Running>,
    began: Array<MapData, u64>,
    /// ns.
    interval: u64,
    /// When the next interval begins, ns.
    next: u64,
    said: BTreeMap<TaskGroup, Said<Sum>>,
    said_of_pairs: BTreeMap<Pair, Said<u64>>,
}

impl Sums {
    pub(super) fn new(programs: &mut Ebpf, interval: Duration) -> Result<Self> {
        let interval = nanoseconds(interval);
        Ok(Self {
            groups: map(programs, "SUMS")?,
            pairs: map(programs, "MEANWHILE")?,
            running: map(programs, "RUNNING")?,
            began: map(programs, "BEGAN")?,
            interval,
            next: (clock::now() / interval + 1) * interval,
            said: BTreeMap::new(),
            said_of_pairs: BTreeMap::new(),
        })
    }

    /// The programs run on all CPUs: who runs where none has seen a switch has run since before this.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.began.set(0, clock::now(), 0).map_err(failed)
    }

    /// Writes what the interval had, if one has ended or the recording is `over`.
    pub(super) fn read(&mut self, over: bool, synth: &mut Synthesizer) -> Result<()> {
        let now = clock::now();
        if now < self.next && !over {
            return Ok(());
        }
        // What the longest waits are asked for: the interval that has ended, or the one that never will.
        let interval = if now < self.next { self.next / self.interval - 1 } else { now / self.interval - 1 };
        self.next = (now / self.interval + 1) * self.interval;
        // Before the groups: a wait that ends in between is in both of them next time, and till then in the group alone.
        let pairs = self.pair_totals()?;
        let mut totals = self.totals()?;
        // Who runs now is in no sum yet. What is said too much or too little of it is made up for in the next interval.
        for running in self.running.get(&0, 0).map_err(failed)?.iter() {
            if running.since != 0 && running.since == running.again && running.watched != 0 {
                let (sum, _) = totals.entry(running.group).or_default();
                sum.ran += now.saturating_sub(running.since);
                sum.tid = running.tid;
            }
        }
        for (group, (total, longest)) in &totals {
            let said = self.said.entry(*group).or_default();
            let ran = total.ran.saturating_sub(said.sum.ran);
            let sum = CpuSum {
                group: group_of(group, total.tid),
                ran,
                waited: total.waited.saturating_sub(said.sum.waited),
                longest: longest.iter().filter(|&&(of, _)| of == interval).map(|&(_, ns)| ns).max().unwrap_or(0),
                waits: total.waits.wrapping_sub(said.sum.waits),
                slept: total.slept.wrapping_sub(said.sum.slept),
                preempted: total.preempted.wrapping_sub(said.sum.preempted),
            };
            if (sum.ran, sum.waits, sum.slept, sum.preempted) == (0, 0, 0, 0) {
                said.idle += 1;
                continue;
            }
            let ran = said.sum.ran + ran;
            *said = Said { sum: Sum { ran, ..*total }, idle: 0 };
            synth.cpu_sum(&sum);
        }
        self.write_pairs(over, &pairs, &totals, synth);
        forget(&mut self.said, MAX_GROUPS, |group| self.groups.remove(group).is_ok());
        forget(&mut self.said_of_pairs, MAX_PAIRS, |pair| self.pairs.remove(pair).is_ok());
        Ok(())
    }

    /// Writes who waited for whom.
    fn write_pairs(
        &mut self,
        over: bool,
        pairs: &[(Pair, u64)],
        groups: &BTreeMap<TaskGroup, (Sum, Longest)>,
        synth: &mut Synthesizer,
    ) {
        let least = if over { 1 } else { (self.interval / PART).max(1) };
        let group = |group: &TaskGroup| group_of(group, groups.get(group).map_or(0, |(sum, _)| sum.tid));
        for &(pair, total) in pairs {
            let said = self.said_of_pairs.entry(pair).or_default();
            let ns = total.saturating_sub(said.sum);
            if ns < least {
                said.idle += 1;
                continue;
            }
            *said = Said { sum: total, idle: 0 };
            synth.cpu_wait(&CpuWait { waited: group(&pair.waited), ran: group(&pair.ran), ns });
        }
    }

    /// How long who waited for whom on all CPUs, ns.
    fn pair_totals(&self) -> Result<Vec<(Pair, u64)>> {
        let total = |each: std::result::Result<(Pair, PerCpuValues<u64>), _>| {
            each.map(|(pair, cpus)| (pair, cpus.iter().sum())).map_err(failed)
        };
        self.pairs.iter().map(total).collect()
    }

    /// The sums of all CPUs, with the longest waits of the intervals that each CPU has.
    fn totals(&self) -> Result<BTreeMap<TaskGroup, (Sum, Longest)>> {
        let mut totals: BTreeMap<TaskGroup, (Sum, Longest)> = BTreeMap::new();
        for each in &self.groups {
            let (group, cpus) = each.map_err(failed)?;
            let (total, longest) = totals.entry(group).or_default();
            for sum in cpus.iter() {
                total.ran += sum.ran;
                total.waited += sum.waited;
                total.waits = total.waits.wrapping_add(sum.waits);
                total.slept = total.slept.wrapping_add(sum.slept);
                total.preempted = total.preempted.wrapping_add(sum.preempted);
                if sum.tid != 0 {
                    total.tid = sum.tid;
                }
                longest.extend(sum.intervals.into_iter().zip(sum.longest));
            }
        }
        Ok(totals)
    }
}

/// A group as a record has it, with a thread of it.
fn group_of(group: &TaskGroup, tid: u32) -> synthetic::TaskGroup {
    let TaskGroup { cgroup, pid_ns, mnt_ns, kind, zero: _ } = *group;
    synthetic::TaskGroup { tid, kind, cgroup, pid_ns, mnt_ns }
}

/// Forgets what nothing was said of for long, in a map that is half full. What comes there later begins anew, so it has to
/// be removed from the programs' map too.
fn forget<K: Copy + Ord, T>(said: &mut BTreeMap<K, Said<T>>, max: u32, mut remove: impl FnMut(&K) -> bool) {
    if said.len() > max as usize / 2 {
        said.retain(|key, said| said.idle < FORGOTTEN || !remove(key));
    }
}

/// An interval in ns: a look at the sums takes some time, so a millisecond at least.
pub(super) fn nanoseconds(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1_000_000)
}
