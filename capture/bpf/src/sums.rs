//! How long the tasks of each group ran and waited, summed in the kernel: what a recording of days has instead of each
//! context switch. Not here: who reads the sums.

use crate::kernel::{Task, set};
use crate::shared::{IDLE, KERNEL_THREAD, Pair, Running, Sum, TASK, TaskGroup};
use crate::watch;
use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap};

/// The sums, on each CPU. Made larger where they are used.
#[map]
static SUMS: PerCpuHashMap<TaskGroup, Sum> = PerCpuHashMap::with_max_entries(1, 0);

/// Who runs on each CPU.
#[map]
static RUNNING: PerCpuArray<Running> = PerCpuArray::with_max_entries(1, 0);

/// Threads that would run and do not, and since when, ns. Made larger where it is used.
#[map]
static WAITING: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);

/// How much of a CPU's past is kept to say who ran during a wait, in changes of group; a power of two.
const SLICES: usize = 64;

/// Tasks of one group ran on the CPU, from the end of the slice before this one.
#[derive(Clone, Copy)]
struct Slice {
    group: TaskGroup,
    /// ns.
    to: u64,
}

/// A CPU's past.
struct Past {
    /// How many slices there were.
    count: u64,
    slices: [Slice; SLICES],
}

#[map]
static PAST: PerCpuArray<Past> = PerCpuArray::with_max_entries(1, 0);

/// How long who waited while who ran, ns. Made larger where it is used.
#[map]
static MEANWHILE: PerCpuHashMap<Pair, u64> = PerCpuHashMap::with_max_entries(1, 0);

/// Since when all CPUs are watched, ns; 0 until they are.
#[map]
static BEGAN: Array<u64> = Array::with_max_entries(1, 0);

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_ktime_get_ns() }
}

/// What a task is summed under.
#[inline(always)]
fn group(task: Task) -> TaskGroup {
    let mut group = TaskGroup { cgroup: 0, pid_ns: 0, mnt_ns: 0, kind: TASK, zero: 0 };
    if task.is_idle() {
        group.kind = IDLE;
    } else if task.is_kernel_thread() {
        group.kind = KERNEL_THREAD;
    } else {
        group.cgroup = task.cgroup().id();
        group.pid_ns = task.pid_ns();
        group.mnt_ns = task.mnt_ns();
    }
    group
}

/// Adds to the sum of a group on this CPU. Where the map is full it is left out.
#[inline(always)]
fn add(group: &TaskGroup, add: impl FnOnce(&mut Sum)) {
    if SUMS.get_ptr(group).is_none() {
        let none =
            Sum { ran: 0, waited: 0, longest: [0; 2], intervals: [0; 2], waits: 0, slept: 0, preempted: 0, tid: 0 };
        let _ = SUMS.insert(group, &none, BPF_NOEXIST as u64);
    }
    if let Some(sum) = SUMS.get_ptr_mut(group) {
        // SAFETY: this CPU's own, and interrupts are off in the scheduler's tracepoints.
        add(unsafe { &mut *sum });
    }
}

/// The running task leaves its CPU to another.
#[inline(always)]
pub(crate) fn switch(out: Task, next: Task) {
    let now = now();
    let Some(running) = RUNNING.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own; see `add`.
    let running = unsafe { &mut *running };
    let since = if running.since != 0 { running.since } else { BEGAN.get(0).copied().unwrap_or(0) };
    let is_watched = watch::watched(out);
    let from = if is_watched || running.since == 0 { group(out) } else { running.group };
    ran(&from, now);
    if is_watched {
        let (_, shown) = out.ids();
        let tid = out.pid_of_host();
        let runnable = out.is_runnable();
        add(&from, |sum| {
            if since != 0 {
                sum.ran += now.saturating_sub(since);
            }
            sum.tid = shown;
            if !out.is_idle() {
                *(if runnable { &mut sum.preempted } else { &mut sum.slept }) += 1;
            }
        });
        if !out.is_idle() {
            if runnable {
                let _ = WAITING.insert(tid, now, BPF_ANY as u64);
            } else {
                // One that was woken up before it had left.
                let _ = WAITING.remove(tid);
            }
        }
    }
    let watched = watch::watched(next);
    let (_, shown) = next.ids();
    *running = Running { since: now, group: group(next), tid: shown, watched: watched.into(), again: now };
    if watched && !next.is_idle() {
        let tid = next.pid_of_host();
        // SAFETY: the value is copied.
        if let Some(since) = unsafe { WAITING.get(tid) }.copied() {
            let _ = WAITING.remove(tid);
            add(&running.group, |sum| waited(sum, now, now.saturating_sub(since)));
            waited_for(&running.group, since);
        }
    }
}

/// A slice of this CPU's past ends now.
#[inline(always)]
fn ran(group: &TaskGroup, now: u64) {
    let Some(past) = PAST.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own; see `add`.
    let past = unsafe { &mut *past };
    let last = &mut past.slices[past.count.wrapping_sub(1) as usize & (SLICES - 1)];
    if last.group == *group {
        last.to = now;
    } else {
        past.slices[past.count as usize & (SLICES - 1)] = Slice { group: *group, to: now };
        past.count += 1;
    }
}

/// A wait for this CPU is over that began at `since`, ns: so long ran each of those who did. What is longer ago than the
/// CPU's past is left out.
#[inline(always)]
fn waited_for(group: &TaskGroup, since: u64) {
    let Some(past) = PAST.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own; see `add`.
    let past = unsafe { &*past };
    // The oldest has no slice before it that says when it began.
    for back in 1..SLICES as u64 {
        let at = past.count.wrapping_sub(back);
        let slice = &past.slices[at as usize & (SLICES - 1)];
        if slice.to <= since {
            break;
        }
        let began = past.slices[at.wrapping_sub(1) as usize & (SLICES - 1)].to;
        let ns = slice.to.saturating_sub(if began > since { began } else { since });
        let pair = Pair { waited: *group, ran: slice.group };
        if let Some(sum) = MEANWHILE.get_ptr_mut(&pair) {
            // SAFETY: this CPU's own; see `add`.
            unsafe { *sum += ns };
        } else {
            let _ = MEANWHILE.insert(&pair, &ns, BPF_NOEXIST as u64);
        }
    }
}

/// A wait has ended. The longest is kept of this interval and of the one before, which may not have been read yet.
#[inline(always)]
fn waited(sum: &mut Sum, now: u64, ns: u64) {
    sum.waited += ns;
    sum.waits += 1;
    let interval = now / set!(SETTINGS.interval).max(1);
    let (longest, of) = if interval & 1 == 0 {
        (&mut sum.longest[0], &mut sum.intervals[0])
    } else {
        (&mut sum.longest[1], &mut sum.intervals[1])
    };
    if *of != interval {
        (*of, *longest) = (interval, 0);
    }
    if ns > *longest {
        *longest = ns;
    }
}

/// A task would run.
#[inline(always)]
pub(crate) fn wakeup(task: Task) {
    let _ = WAITING.insert(task.pid_of_host(), now(), BPF_NOEXIST as u64);
}
