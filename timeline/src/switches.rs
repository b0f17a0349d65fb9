//! Who ran on which CPU, who waited for it, and who ran meanwhile: from context switches and wake-ups. What runs is a
//! number. Not here: what containers are.
//!
//! The kernel says of each switch which task leaves the CPU and which comes (`PERF_RECORD_SWITCH_CPU_WIDE`), and
//! whether the one that leaves would have run on (`PERF_RECORD_MISC_SWITCH_OUT_PREEMPT`). From a wake-up or from being
//! preempted until it runs, a task waits. Memory grows with the threads that live and the pairs that waited for each other,
//! not with switches.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use hashbrown::HashMap;
use nsscope_codec::synthetic::CpuSum;

/// What runs where no task does.
pub(crate) const IDLE: u32 = u32::MAX - 2;
/// The kernel's own threads.
pub(crate) const KERNEL: u32 = u32::MAX - 1;
/// What is not known to have run: records are missing.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The id of a thread that has ended, or of none (`perf_event_pid_type()` in kernel/events/core.c).
const GONE: u32 = u32::MAX;

/// How much of a CPU's past is kept to say who ran during a wait, in switches. A longer wait is partly unknown.
const PAST: usize = 1 << 16;

/// How long tasks waited, by powers of two with eight steps each: a quantile is right within an eighth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram(Vec<u32>);

impl Histogram {
    fn add(&mut self, ns: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; 64 * 8];
        }
        let count = &mut self.0[Self::bucket(ns)];
        *count = count.saturating_add(1);
    }

    fn bucket(ns: u64) -> usize {
        let power = 63 - (ns | 1).leading_zeros() as usize;
        let step = if power < 3 { ns as usize & 7 } else { (ns >> (power - 3)) as usize & 7 };
        power * 8 + step
    }

    /// The largest value that a bucket holds.
    fn top(bucket: usize) -> u64 {
        let (power, step) = (bucket / 8, bucket as u64 % 8);
        if power < 3 { step } else { ((8 + step + 1) << (power - 3)) - 1 }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
        } else {
            self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count = count.saturating_add(*more));
        }
    }

    /// The value that so many of a thousand do not exceed, ns.
    pub(crate) fn quantile(&self, per_mille: u64) -> u64 {
        let all: u64 = self.0.iter().map(|&count| u64::from(count)).sum();
        let mut left = (all * per_mille).div_ceil(1000);
        for (bucket, &count) in self.0.iter().enumerate() {
            left = left.saturating_sub(u64::from(count));
            if left == 0 && all > 0 {
                return Self::top(bucket);
            }
        }
        0
    }
}

/// What is counted of one that runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// By CPU, ns.
    pub(crate) on_cpu: HashMap<u64, u64>,
    pub(crate) waited: u64,
    pub(crate) waits: u64,
    pub(crate) longest: u64,
    pub(crate) lengths: Histogram,
    /// How often it gave up the CPU, and how often that was taken from it.
    pub(crate) slept: u64,
    pub(crate) preempted: u64,
    pub(crate) migrations: u64,
}

/// A stretch of a CPU's past.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: u64,
    to: u64,
    who: u32,
}

#[derive(Debug)]
struct Cpu {
    running: Option<Runs>,
    since: u64,
    past: VecDeque<Stretch>,
}

impl Cpu {
    fn new(running: Option<Runs>, since: u64) -> Self {
        Self { running, since, past: VecDeque::new() }
    }

    /// Somebody had it until now. Returns for how long, ns.
    fn ran(&mut self, who: u32, from: u64, to: u64) -> u64 {
        let to = to.max(from);
        self.since = to;
        match self.past.back_mut().filter(|last| last.who == who && last.to == from) {
            Some(last) => last.to = to,
            None => self.past.push_back(Stretch { from, to, who }),
        }
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        to - from
    }
}

/// A thread that was seen to run or to wake up.
#[derive(Clone, Copy, Debug)]
struct Thread {
    /// Where it ran last.
    cpu: Option<u64>,
    /// Since when it waits, and for which CPU.
    waits: Option<(u64, u64)>,
    running: bool,
    /// It has ended, and leaves its CPU for the last time when it is not preempted.
    ended: bool,
}

impl Thread {
    fn new(cpu: Option<u64>) -> Self {
        Self { cpu, waits: None, running: false, ended: false }
    }
}

/// A thread and what it is counted as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    pub(crate) tid: u32,
    pub(crate) who: u32,
}

/// A wait that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The thread that waited.
    pub tid: u32,
    /// The CPU that it waited for.
    pub cpu: u32,
    /// From when until when, ns.
    pub from: u64,
    /// See `from`.
    pub to: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Switches {
    cpus: HashMap<u64, Cpu>,
    threads: HashMap<u64, Thread>,
    /// Threads that ran before it was known what they are counted as: how long, by CPU, ns.
    unplaced: HashMap<u64, HashMap<u64, u64>>,
    /// By what runs: memberships from 0 on, and [`IDLE`], [`KERNEL`], [`UNKNOWN`].
    pub(crate) counted: HashMap<u64, Counted>,
    /// Who waited while who ran, and where, ns: both numbers and the CPU's.
    pub(crate) meanwhile: HashMap<(u32, u32, u32), u64>,
    /// The wait that ended last, and who ran meanwhile, ns.
    pub(crate) last_wait: Option<Wait>,
    pub(crate) last_ran: Vec<(u32, u64)>,
    /// Whether somebody has summed before us: on which CPU, and how waits spread, is not known then.
    pub(crate) summed: bool,
}

/// The CPU of what was summed over all of them.
pub(crate) const ALL_CPUS: u32 = u32::MAX;

impl Switches {
    fn counted(&mut self, who: u32) -> &mut Counted {
        self.counted.entry(u64::from(who)).or_default()
    }

    /// Somebody has summed what was done in an interval.
    pub(crate) fn sum(&mut self, who: u32, sum: &CpuSum) {
        self.summed = true;
        let counted = self.counted(who);
        *counted.on_cpu.entry(ALL_CPUS.into()).or_default() += sum.ran;
        counted.waited += sum.waited;
        counted.waits += u64::from(sum.waits);
        counted.longest = counted.longest.max(sum.longest);
        if who != IDLE {
            counted.slept += u64::from(sum.slept);
            counted.preempted += u64::from(sum.preempted);
        }
    }

    /// Whether this thread runs on this CPU.
    pub(crate) fn is_running(&self, cpu: u32, tid: u32) -> bool {
        self.cpus.get(&u64::from(cpu)).is_some_and(|cpu| cpu.running.is_some_and(|runs| runs.tid == tid))
    }

    /// Whether a switch on this CPU has been seen.
    pub(crate) fn knows(&self, cpu: u32) -> bool {
        self.cpus.contains_key(&u64::from(cpu))
    }

    /// One leaves the CPU at `time`, another comes. `began`: since when there are records.
    pub(crate) fn switch(&mut self, cpu: u32, out: Runs, preempted: bool, next: Runs, time: u64, began: u64) {
        let number = u64::from(cpu);
        // Nothing has switched since the beginning: it was there all along.
        let cpu = self.cpus.entry(number).or_insert_with(|| Cpu::new(Some(out), began));
        let (running, since) = (cpu.running.map(|runs| runs.tid), cpu.since);
        let who = match cpu.running {
            // One that has ended has no id any more.
            Some(runs) if runs.tid == out.tid || out.tid == GONE => runs.who,
            // A switch in between is missing.
            _ => UNKNOWN,
        };
        let ran = cpu.ran(who, since, time);
        cpu.running = Some(next);
        if who == UNKNOWN && running == Some(out.tid) {
            *self.unplaced.entry(u64::from(out.tid)).or_default().entry(number).or_default() += ran;
        }
        self.count(who, number, ran);
        if out.tid != 0 && out.tid != GONE {
            // One that has ended is nobody's any more, but it ran as somebody's.
            let counted = self.counted(if out.who == UNKNOWN { who } else { out.who });
            *(if preempted { &mut counted.preempted } else { &mut counted.slept }) += 1;
            let thread = self.threads.entry(u64::from(out.tid)).or_insert(Thread::new(Some(number)));
            if thread.ended && !preempted {
                self.threads.remove(&u64::from(out.tid));
            } else {
                thread.running = false;
                thread.waits = preempted.then_some((time, number));
            }
        }
        self.comes(number, next, time);
    }

    /// One comes to the CPU, of whom no record of who leaves has said it: the idle task has none.
    pub(crate) fn switch_in(&mut self, cpu: u32, next: Runs, before: Option<Runs>, time: u64, began: u64) {
        let number = u64::from(cpu);
        let cpu = self.cpus.entry(number).or_insert_with(|| Cpu::new(before, began));
        let who = match (cpu.running, before) {
            (Some(runs), Some(before)) if runs.tid == before.tid => runs.who,
            _ => UNKNOWN,
        };
        let ran = cpu.ran(who, cpu.since, time);
        cpu.running = Some(next);
        self.count(who, number, ran);
        self.comes(number, next, time);
    }

    /// One leaves the CPU, and nobody says who comes.
    pub(crate) fn switch_out(&mut self, cpu: u32, out: Runs, preempted: bool, time: u64, began: u64) {
        self.switch(cpu, out, preempted, Runs { tid: GONE, who: UNKNOWN }, time, began);
    }

    /// So much of a CPU's time is somebody's, ns.
    fn count(&mut self, who: u32, cpu: u64, ran: u64) {
        *self.counted(who).on_cpu.entry(cpu).or_default() += ran;
    }

    /// A thread runs from now on.
    fn comes(&mut self, cpu: u64, next: Runs, time: u64) {
        if next.tid == 0 || next.tid == GONE {
            return;
        }
        let thread = self.threads.entry(u64::from(next.tid)).or_insert(Thread::new(None));
        let waits = thread.waits.take();
        let before = thread.cpu.replace(cpu);
        thread.running = true;
        // Where it did not wait to go on, it is another that has the id now.
        thread.ended &= waits.is_some();
        if before.is_some_and(|before| before != cpu) {
            self.counted(next.who).migrations += 1;
        }
        if let Some((since, waited_for)) = waits {
            self.waited(next, waited_for, since, time);
        }
    }

    /// One has waited for a CPU.
    fn waited(&mut self, who: Runs, cpu: u64, from: u64, to: u64) {
        let length = to.saturating_sub(from);
        let counted = self.counted(who.who);
        counted.waited += length;
        counted.waits += 1;
        counted.longest = counted.longest.max(length);
        counted.lengths.add(length);
        self.last_wait = Some(Wait { tid: who.tid, cpu: cpu as u32, from, to });
        self.last_ran.clear();
        let last_ran = &mut self.last_ran;
        let mut left = length;
        let mut add = |ran: u32, ns: u64| {
            match last_ran.iter_mut().find(|(who, _)| *who == ran) {
                Some((_, all)) => *all += ns,
                None => last_ran.push((ran, ns)),
            }
            *self.meanwhile.entry((who.who, ran, cpu as u32)).or_default() += ns;
        };
        if let Some(cpu) = self.cpus.get(&cpu) {
            for stretch in cpu.past.iter().rev().take_while(|stretch| stretch.to > from) {
                let ns = stretch.to.min(to).saturating_sub(stretch.from.max(from)).min(left);
                if ns > 0 {
                    add(stretch.who, ns);
                    left -= ns;
                }
            }
            // What runs there now, where that is another CPU than the one it came to.
            if let Some(runs) = cpu.running.filter(|_| cpu.since < to) {
                let ns = (to - cpu.since.max(from)).min(left);
                add(runs.who, ns);
                left -= ns;
            }
        }
        if left > 0 {
            add(UNKNOWN, left);
        }
    }

    /// One is woken up and would run on a CPU.
    pub(crate) fn wakeup(&mut self, tid: u32, cpu: u32, time: u64) {
        let thread = self.threads.entry(u64::from(tid)).or_insert(Thread::new(None));
        if !thread.running && thread.waits.is_none() {
            thread.waits = Some((time, u64::from(cpu)));
        }
    }

    /// One that may be running is counted as another from now on.
    pub(crate) fn moves(&mut self, tid: u32, who: u32, time: u64) {
        // What it did before it was known it did there, as far as anybody can tell.
        for (cpu, ns) in self.unplaced.remove(&u64::from(tid)).unwrap_or_default() {
            if let Some(unknown) = self.counted(UNKNOWN).on_cpu.get_mut(&cpu) {
                *unknown = unknown.saturating_sub(ns);
            }
            self.count(who, cpu, ns);
        }
        let Some(number) =
            self.threads.get(&u64::from(tid)).filter(|thread| thread.running).and_then(|thread| thread.cpu)
        else {
            return;
        };
        let Some(cpu) = self.cpus.get_mut(&number) else { return };
        if let Some(before) = cpu.running.filter(|runs| runs.tid == tid && runs.who != who) {
            let ran = cpu.ran(before.who, cpu.since, time);
            cpu.running = Some(Runs { tid, who });
            self.count(before.who, number, ran);
        }
    }

    /// A thread has ended.
    pub(crate) fn ended(&mut self, tid: u32) {
        let tid = u64::from(tid);
        if let Some(thread) = self.threads.get_mut(&tid) {
            // It is on its CPU for a moment more.
            if thread.running {
                thread.ended = true;
            } else {
                self.threads.remove(&tid);
            }
        }
        self.unplaced.remove(&tid);
    }

    /// Records of a CPU are missing: who runs there, and who waits for it, is not known until it is told again.
    pub(crate) fn lost(&mut self, cpu: u32) {
        let number = u64::from(cpu);
        if let Some(cpu) = self.cpus.get_mut(&number) {
            cpu.running = None;
        }
        for thread in self.threads.values_mut() {
            if thread.waits.is_some_and(|(_, of)| of == number) || thread.cpu == Some(number) {
                (thread.waits, thread.running) = (None, false);
            }
        }
    }

    /// What runs now, on which CPU, and for how long at `time`, ns.
    pub(crate) fn running(&self, time: u64) -> impl Iterator<Item = (u32, u64, u64)> {
        let all = self.cpus.iter();
        all.map(move |(&number, cpu)| {
            (cpu.running.map_or(UNKNOWN, |runs| runs.who), number, time.saturating_sub(cpu.since))
        })
    }

    /// Which threads wait now, and for how long at `time`, ns.
    pub(crate) fn waiting(&self, time: u64) -> impl Iterator<Item = (u32, u64)> {
        let all = self.threads.iter();
        all.filter_map(move |(&tid, thread)| Some((tid as u32, time.saturating_sub(thread.waits?.0))))
    }

    /// The recording ends: what runs ran until then, and who waits waited. `who` says what a thread is counted as.
    pub(crate) fn finish(&mut self, time: u64, who: impl Fn(u32) -> u32) {
        let ended = self.cpus.iter_mut().map(|(&number, cpu)| {
            let who = cpu.running.map_or(UNKNOWN, |runs| runs.who);
            (who, number, cpu.ran(who, cpu.since, time))
        });
        for (who, cpu, ran) in ended.collect::<Vec<_>>() {
            self.count(who, cpu, ran);
        }
        let waiting: Vec<(u32, u64, u64)> = self
            .threads
            .iter()
            .filter_map(|(&tid, thread)| thread.waits.map(|(since, cpu)| (tid as u32, since, cpu)))
            .collect();
        for (tid, since, cpu) in waiting {
            self.waited(Runs { tid, who: who(tid) }, cpu, since, time);
        }
        self.threads.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(tid: u32) -> Runs {
        // Threads 10 to 19 are counted as 1, and so on.
        Runs { tid, who: if tid == 0 { IDLE } else { tid / 10 } }
    }

    fn on_cpu(switches: &Switches, who: u32) -> u64 {
        switches.counted.get(&u64::from(who)).map_or(0, |counted| counted.on_cpu.values().sum())
    }

    fn meanwhile(switches: &Switches, waits: u32, ran: u32) -> u64 {
        switches.meanwhile.get(&(waits, ran, 0)).copied().unwrap_or(0)
    }

    #[test]
    fn who_is_preempted_waits_for_who_runs_instead() {
        let mut all = Switches::default();
        all.switch(0, runs(10), true, runs(20), 1_000, 0);
        all.switch(0, runs(20), true, runs(30), 5_000, 0);
        all.switch(0, runs(30), false, runs(10), 6_000, 0);
        all.switch(0, runs(10), false, runs(0), 6_500, 0);
        // 20 still waits.
        all.finish(10_000, |tid| tid / 10);
        assert_eq!([1, 2, 3, IDLE].map(|who| on_cpu(&all, who)), [1_500, 4_000, 1_000, 3_500]);
        assert_eq!((meanwhile(&all, 1, 2), meanwhile(&all, 1, 3)), (4_000, 1_000));
        assert_eq!((meanwhile(&all, 2, 3), meanwhile(&all, 2, 1), meanwhile(&all, 2, IDLE)), (1_000, 500, 3_500));
        let one = &all.counted[&1];
        assert_eq!((one.waited, one.waits, one.longest, one.slept, one.preempted), (5_000, 1, 5_000, 1, 1));
    }

    #[test]
    fn a_sleeper_waits_from_its_wakeup_on_and_not_while_it_sleeps() {
        let mut all = Switches::default();
        all.switch(0, runs(10), false, runs(20), 1_000, 0);
        all.wakeup(10, 0, 7_000);
        // It is woken once.
        all.wakeup(10, 0, 7_500);
        all.switch(0, runs(20), false, runs(10), 9_000, 0);
        assert_eq!(all.last_wait, Some(Wait { tid: 10, cpu: 0, from: 7_000, to: 9_000 }));
        assert_eq!((all.counted[&1].waited, meanwhile(&all, 1, 2)), (2_000, 2_000));
        // Who runs is not waiting.
        all.wakeup(10, 0, 9_100);
        all.switch(0, runs(10), false, runs(0), 9_200, 0);
        all.switch(0, runs(0), false, runs(10), 9_900, 0);
        assert_eq!(all.counted[&1].waits, 1);
    }

    #[test]
    fn who_has_ended_is_forgotten_once_it_has_left() {
        let mut all = Switches::default();
        let gone = Runs { tid: 20, who: UNKNOWN };
        all.switch(0, runs(10), false, runs(20), 1_000, 0);
        all.ended(20);
        // On its way out it is preempted, and waits.
        all.switch(0, gone, true, runs(10), 2_000, 0);
        all.switch(0, runs(10), false, gone, 3_000, 0);
        assert_eq!(all.last_wait, Some(Wait { tid: 20, cpu: 0, from: 2_000, to: 3_000 }));
        all.switch(0, gone, false, runs(30), 4_000, 0);
        assert!(!all.threads.contains_key(&20));
        // Another that has its id was never elsewhere. It ends in one go, as what it was.
        all.switch(1, runs(0), false, runs(20), 5_000, 0);
        all.ended(20);
        all.switch(1, gone, false, runs(0), 6_000, 0);
        assert!(!all.threads.contains_key(&20));
        assert_eq!((all.counted[&2].migrations, all.counted[&2].preempted, all.counted[&2].slept), (0, 1, 1));
    }

    #[test]
    fn what_is_lost_is_unknown_and_all_of_a_cpu_adds_up() {
        let mut all = Switches::default();
        all.switch(0, runs(10), false, runs(20), 1_000, 0);
        all.lost(0);
        all.switch(0, runs(30), false, runs(10), 4_000, 0);
        // A switch is missing: 20 leaves where 10 ran.
        all.switch(0, runs(20), false, runs(0), 6_000, 0);
        all.moves(10, 5, 6_500);
        all.finish(8_000, |tid| tid / 10);
        assert_eq!([1, UNKNOWN, IDLE].map(|who| on_cpu(&all, who)), [1_000, 5_000, 2_000]);
        assert_eq!(all.counted.values().flat_map(|counted| counted.on_cpu.values()).sum::<u64>(), 8_000);
    }

    #[test]
    fn nobody_says_that_the_idle_task_leaves() {
        let mut all = Switches::default();
        all.switch_in(0, runs(10), Some(runs(0)), 1_000, 0);
        all.switch(0, runs(10), false, runs(0), 1_500, 0);
        all.switch_in(0, runs(20), Some(runs(0)), 4_000, 0);
        all.switch(0, runs(20), false, runs(10), 5_000, 0);
        // A record of who comes says no more.
        assert!(all.is_running(0, 10) && !all.is_running(0, 20) && !all.is_running(1, 10));
        all.finish(6_000, |_| UNKNOWN);
        assert_eq!([1, 2, IDLE, UNKNOWN].map(|who| on_cpu(&all, who)), [1_500, 1_000, 3_500, 0]);
    }

    #[test]
    fn what_ran_before_it_was_known_is_counted_once_it_is() {
        let mut all = Switches::default();
        let stranger = Runs { tid: 40, who: UNKNOWN };
        all.switch_in(0, stranger, Some(runs(0)), 1_000, 0);
        all.switch(0, stranger, false, runs(0), 4_000, 0);
        assert_eq!([IDLE, UNKNOWN].map(|who| on_cpu(&all, who)), [1_000, 3_000]);
        all.moves(40, 4, 5_000);
        assert_eq!([4, UNKNOWN].map(|who| on_cpu(&all, who)), [3_000, 0]);
        all.moves(40, 5, 6_000);
        assert_eq!(on_cpu(&all, 4), 3_000);
    }

    #[test]
    fn who_moves_while_it_runs_is_counted_in_two_parts() {
        let mut all = Switches::default();
        all.switch(1, runs(0), false, runs(10), 1_000, 0);
        all.moves(10, 4, 1_600);
        all.switch(1, Runs { tid: 10, who: 4 }, false, runs(0), 2_000, 0);
        assert_eq!((on_cpu(&all, 1), on_cpu(&all, 4)), (600, 400));
        all.switch(2, runs(0), false, Runs { tid: 10, who: 4 }, 3_000, 0);
        assert_eq!(all.counted[&4].migrations, 1);
    }

    #[test]
    fn quantiles_are_right_within_an_eighth() {
        let mut lengths = Histogram::default();
        (1..=1_000u64).for_each(|ns| lengths.add(ns * 1_000));
        for (per_mille, exact) in [(500, 500_000u64), (990, 990_000), (1_000, 1_000_000)] {
            let got = lengths.quantile(per_mille);
            assert!(got >= exact && got - exact <= exact / 8, "{per_mille}: {got}");
        }
        assert_eq!(Histogram::default().quantile(500), 0);
    }
}
