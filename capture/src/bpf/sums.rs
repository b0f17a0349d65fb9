//! What the eBPF programs have summed of each group, as records of an interval. Not here: how it is summed.

use super::chain::{failed, map};
use super::shared::{Moves, NEAR, Pair, Running, Sum, TaskGroup};
use crate::clock;
use crate::error::Result;
use crate::synth::Synthesizer;
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues, Queue};
use nsscope_codec::synthetic::{self, CpuSum, CpuWait};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How many groups are summed at once. What comes when so many are there is left out.
pub(super) const MAX_GROUPS: u32 = 4096;

/// How many pairs of who waited and who ran meanwhile.
pub(super) const MAX_PAIRS: u32 = 2 * MAX_GROUPS;

/// How many threads may wait at once while another one waits whose place is the same.
pub(super) const MAX_DISPLACED: u32 = 1 << 14;

/// How many processes may have moved while one that did still runs.
pub(super) const MAX_MOVED: u32 = 1024;

/// Of what has changed nothing for so many intervals is forgotten once half of a map is used.
const FORGOTTEN: u32 = 60;

/// Likewise once three quarters are used.
const SOON_FORGOTTEN: u32 = 2;

/// How often the CPUs are looked at until each has shown the same twice.
const LOOKS: usize = 16;

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
// SAFETY: likewise.
unsafe impl aya::Pod for Moves {}

/// What was said so far, of a group or of a pair, and for how many intervals there has been nothing to say.
#[derive(Clone, Copy, Debug, Default)]
struct Said<T> {
    sum: T,
    idle: u32,
}

/// What a group has on all CPUs.
#[derive(Debug, Default)]
struct Total {
    /// The programs' number of it.
    number: u32,
    sum: Sum,
    /// Numbers of intervals, and a longest wait of each, ns.
    longest: Vec<(u64, u64)>,
}

/// The sums, and when they are to be read.
pub(super) struct Sums {
    /// The groups' numbers, and those that are free.
    groups: HashMap<MapData, TaskGroup, u32>,
    free: Queue<MapData, u32>,
    on_cpus: PerCpuArray<MapData, Sum>,
    nearby: PerCpuArray<MapData, [u64; (NEAR * NEAR) as usize]>,
    pairs: PerCpuHashMap<MapData, Pair, u64>,
    running: PerCpuArray<MapData, Running>,
    moved: HashMap<MapData, u32, Moves>,
    began: Array<MapData, u64>,
    /// ns.
    interval: u64,
    /// When the next interval begins, ns.
    next: u64,
    /// The interval that was last asked for its longest waits.
    asked: u64,
    /// Readable once an interval has ended.
    timer: OwnedFd,
    said: BTreeMap<TaskGroup, Said<Sum>>,
    /// Numbers of groups that are forgotten, until no CPU has them any more.
    forgotten: BTreeSet<u32>,
    /// How often groups were forgotten, for the programs.
    forgot: Array<MapData, u64>,
    /// Whether it was said that there are too many groups.
    said_full: bool,
    said_of_pairs: BTreeMap<Pair, Said<u64>>,
}

impl Sums {
    pub(super) fn new(programs: &mut Ebpf, interval: Duration) -> Result<Self> {
        let interval = nanoseconds(interval);
        let next = (clock::now() / interval + 1) * interval;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let every = Itimerspec { it_interval: time(interval), it_value: time(next) };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &every)?;
        let mut free: Queue<_, u32> = map(programs, "FREE")?;
        (0..MAX_GROUPS).try_for_each(|number| free.push(number, 0)).map_err(failed)?;
        Ok(Self {
            groups: map(programs, "GROUPS")?,
            free,
            on_cpus: map(programs, "SUMS")?,
            nearby: map(programs, "NEARBY")?,
            pairs: map(programs, "MEANWHILE")?,
            running: map(programs, "RUNNING")?,
            moved: map(programs, "MOVED")?,
            began: map(programs, "BEGAN")?,
            interval,
            next,
            asked: next / interval - 1,
            timer,
            said: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            forgot: map(programs, "FORGOT")?,
            said_full: false,
            said_of_pairs: BTreeMap::new(),
        })
    }

    /// Readable once an interval has ended.
    pub(super) fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
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
        // It goes on once it is read.
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        // What the longest waits are asked for: the intervals that have ended, or the one that never will.
        let interval = if now < self.next { self.next / self.interval - 1 } else { now / self.interval - 1 };
        let asked = self.asked.min(interval.saturating_sub(1)) + 1..=interval;
        self.asked = interval;
        self.next = (now / self.interval + 1) * self.interval;
        // Before the groups: a wait that ends in between is in both of them next time, and till then in the group alone.
        let pairs = self.pair_totals()?;
        let mut totals = self.totals()?;
        // Who runs now is in no sum yet. What is said too much or too little of it is made up for in the next interval.
        let running = self.running()?;
        self.free(&running)?;
        for running in running {
            if running.since == 0 {
                continue;
            }
            if let Some(said) = self.said.get_mut(&running.group) {
                said.idle = 0;
            }
            if running.watched == 0 {
                continue;
            }
            let mut ran = |number, ns| {
                if let Some(total) = totals.values_mut().find(|total| total.number == number) {
                    total.sum.ran += ns;
                    total.sum.tid = running.tid;
                }
            };
            let (mut since, mut number) = (running.since, running.number);
            // As the programs will sum it.
            if let Ok(moves) = self.moved.get(&running.process, 0) {
                (since, number) =
                    moves.cut(running.thread, (since, number), now, |number, from, to| ran(number, to - from));
            }
            ran(number, now.saturating_sub(since));
        }
        for (group, Total { sum: total, longest, .. }) in &totals {
            let said = self.said.entry(*group).or_default();
            let ran = total.ran.saturating_sub(said.sum.ran);
            let sum = CpuSum {
                group: group_of(group, total.tid),
                ran,
                waited: total.waited.saturating_sub(said.sum.waited),
                longest: longest.iter().filter(|(of, _)| asked.contains(of)).map(|&(_, ns)| ns).max().unwrap_or(0),
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
        self.forget(&totals, &pairs)
    }

    /// Forgets what nothing was said of for long, where a map is filling up. What comes there later begins anew, so it is
    /// removed from the programs' maps too.
    fn forget(&mut self, groups: &BTreeMap<TaskGroup, Total>, pairs: &[(Pair, u64)]) -> Result<()> {
        if groups.len() + self.forgotten.len() >= MAX_GROUPS as usize && !self.said_full {
            self.said_full = true;
            log::warn!(
                "more than {MAX_GROUPS} cgroups and namespaces at once: what ran in others is not summed; a shorter \
                 --summary has room for more"
            );
        }
        let mut removed = BTreeSet::new();
        if let Some(idle) = allowed_idle(groups.len() + self.forgotten.len(), MAX_GROUPS) {
            self.said.retain(|group, said| {
                let stays = said.idle < idle || self.groups.remove(group).is_err();
                if !stays {
                    removed.extend(groups.get(group).map(|total| total.number));
                }
                stays
            });
        }
        let is_removed = |pair: &Pair| removed.contains(&pair.waited) || removed.contains(&pair.ran);
        let idle = allowed_idle(self.said_of_pairs.len(), MAX_PAIRS).unwrap_or(u32::MAX);
        self.said_of_pairs.retain(|pair, said| {
            // What is in the array stays there.
            !is_removed(pair) && said.idle < idle || self.pairs.remove(pair).is_err()
        });
        for (pair, total) in pairs.iter().filter(|(pair, _)| pair.near().is_some() && is_removed(pair)) {
            self.said_of_pairs.entry(*pair).or_default().sum = *total;
        }
        if !removed.is_empty() {
            self.forgotten.append(&mut removed);
            let times = self.forgot.get(&0, 0).map_err(failed)?;
            self.forgot.set(0, times + 1, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// Gives numbers that were forgotten an interval ago to the programs again, but for those that still run.
    fn free(&mut self, running: &[Running]) -> Result<()> {
        if self.forgotten.is_empty() {
            return Ok(());
        }
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
        for number in std::mem::take(&mut self.forgotten) {
            if running.iter().any(|running| running.number == number) {
                self.forgotten.insert(number);
                continue;
            }
            let none = PerCpuValues::try_from(vec![Sum::default(); cpus])?;
            self.on_cpus.set(number, none, 0).map_err(failed)?;
            self.free.push(number, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes who waited for whom.
    fn write_pairs(
        &mut self,
        over: bool,
        pairs: &[(Pair, u64)],
        groups: &BTreeMap<TaskGroup, Total>,
        synth: &mut Synthesizer,
    ) {
        let least = if over { 1 } else { (self.interval / PART).max(1) };
        let numbered = groups.iter().map(|(group, total)| (total.number, group_of(group, total.sum.tid)));
        let groups: BTreeMap<u32, synthetic::TaskGroup> = numbered.collect();
        for &(pair, total) in pairs {
            let said = self.said_of_pairs.entry(pair).or_default();
            let ns = total.saturating_sub(said.sum);
            match (groups.get(&pair.waited), groups.get(&pair.ran)) {
                (Some(&waited), Some(&ran)) if ns >= least => {
                    *said = Said { sum: total, idle: 0 };
                    synth.cpu_wait(&CpuWait { waited, ran, ns });
                }
                _ => said.idle += 1,
            }
        }
    }

    /// How long who waited for whom on all CPUs, ns.
    fn pair_totals(&self) -> Result<Vec<(Pair, u64)>> {
        let total = |each: std::result::Result<(Pair, PerCpuValues<u64>), _>| {
            each.map(|(pair, cpus)| (pair, cpus.iter().sum())).map_err(failed)
        };
        let mut totals: Vec<_> = self.pairs.iter().map(total).collect::<Result<_>>()?;
        let nearby = self.nearby.get(&0, 0).map_err(failed)?;
        let all = (0..NEAR).flat_map(|waited| (0..NEAR).map(move |ran| Pair { waited, ran }));
        totals.extend(all.zip(0..).map(|(pair, place)| (pair, nearby.iter().map(|cpu| cpu[place]).sum())));
        totals.retain(|&(_, total)| total > 0);
        Ok(totals)
    }

    /// The sums of all CPUs, with the longest waits of the intervals that each CPU has.
    fn totals(&self) -> Result<BTreeMap<TaskGroup, Total>> {
        let mut totals = BTreeMap::new();
        for each in &self.groups {
            let (group, number) = each.map_err(failed)?;
            let mut total = Total { number, ..Total::default() };
            for sum in self.on_cpus.get(&number, 0).map_err(failed)?.iter() {
                total.sum.ran += sum.ran;
                total.sum.waited += sum.waited;
                total.sum.waits = total.sum.waits.wrapping_add(sum.waits);
                total.sum.slept = total.sum.slept.wrapping_add(sum.slept);
                total.sum.preempted = total.sum.preempted.wrapping_add(sum.preempted);
                if sum.tid != 0 {
                    total.sum.tid = sum.tid;
                }
                total.longest.extend(sum.intervals.into_iter().zip(sum.longest));
            }
            totals.insert(group, total);
        }
        Ok(totals)
    }

    /// Who runs on each CPU. One that switches whenever it is looked at is left out: its next look has all.
    fn running(&self) -> Result<Vec<Running>> {
        let look = || self.running.get(&0, 0).map_err(failed);
        let mut before = look()?;
        let mut stable = vec![None; before.len()];
        for _ in 0..LOOKS {
            let now = look()?;
            for (stable, (before, now)) in stable.iter_mut().zip(before.iter().zip(now.iter())) {
                if before == now && now.changes == 0 {
                    *stable = Some(*now);
                }
            }
            if stable.iter().all(Option::is_some) {
                break;
            }
            before = now;
        }
        Ok(stable.into_iter().flatten().collect())
    }
}

/// A group as a record has it, with a thread of it.
fn group_of(group: &TaskGroup, tid: u32) -> synthetic::TaskGroup {
    let TaskGroup { cgroup, pid_ns, mnt_ns, kind, zero: _ } = *group;
    synthetic::TaskGroup { tid, kind, cgroup, pid_ns, mnt_ns }
}

/// For how many intervals nothing may be said of what is in a map.
fn allowed_idle(used: usize, max: u32) -> Option<u32> {
    match used * 4 / max as usize {
        0 | 1 => None,
        2 => Some(FORGOTTEN),
        _ => Some(SOON_FORGOTTEN),
    }
}

fn time(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}

/// An interval in ns: a look at the sums takes some time, so a millisecond at least.
pub(super) fn nanoseconds(interval: Duration) -> u64 {
    u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1_000_000)
}
