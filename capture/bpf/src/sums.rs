//! How long the tasks of each group ran and waited, summed in the kernel: what a recording of days has instead of each
//! context switch. Not here: who reads the sums.

use crate::kernel::{Task, set};
use crate::shared::{IDLE, KERNEL_THREAD, PLACES, Pair, Running, Sum, TASK, TaskGroup};
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

/// Threads that would run and do not, each at the place that its number has. Made larger where it is used.
#[map]
static WAITING: Array<Waiting> = Array::with_max_entries(1, 0);

/// Since when those do whose place another one has, ns. None of them has a place. Made larger where it is used.
#[map]
static DISPLACED: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);

/// A thread that would run.
#[derive(Clone, Copy)]
struct Waiting {
    tid: u32,
    /// ns; 0: it does not wait, and who wants its place may have it.
    since: u64,
}

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
    let sum = SUMS.get_ptr_mut(group).or_else(|| {
        let none =
            Sum { ran: 0, waited: 0, longest: [0; 2], intervals: [0; 2], waits: 0, slept: 0, preempted: 0, tid: 0 };
        let _ = SUMS.insert(group, &none, BPF_NOEXIST as u64);
        SUMS.get_ptr_mut(group)
    });
    if let Some(sum) = sum {
        // SAFETY: this CPU's own, and interrupts are off in the scheduler's tracepoints.
        add(unsafe { &mut *sum });
    }
}

/// The place that a thread has or may have. The scheduler's locks keep two from the same thread's; of two threads whose
/// place is the same a wait may be lost.
#[inline(always)]
fn place(tid: u32) -> Option<&'static mut Waiting> {
    let place = WAITING.get_ptr_mut(tid & (PLACES - 1))?;
    // SAFETY: the map's, which is there for as long as the program.
    Some(unsafe { &mut *place })
}

/// A thread waits from now on, and where it does already, only if that is to be forgotten (`anew`).
#[inline(always)]
fn wait(tid: u32, now: u64, anew: bool) {
    let Some(place) = place(tid) else { return };
    if place.tid == tid {
        if anew || place.since == 0 {
            place.since = now;
        }
    } else if place.since == 0 {
        *place = Waiting { tid, since: now };
        let _ = DISPLACED.remove(tid);
    } else {
        let _ = DISPLACED.insert(tid, now, u64::from(if anew { BPF_ANY } else { BPF_NOEXIST }));
    }
}

/// A thread does not wait any more. Returns since when it did, ns.
#[inline(always)]
fn waited_since(tid: u32) -> Option<u64> {
    let place = place(tid)?;
    if place.tid == tid {
        let since = place.since;
        place.since = 0;
        return if since == 0 { None } else { Some(since) };
    }
    // SAFETY: the value is copied.
    let since = unsafe { DISPLACED.get(tid) }.copied()?;
    let _ = DISPLACED.remove(tid);
    Some(since)
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
    // A thread of the kernel may become a process.
    let is_same = out.is_as(running.from) && out.is_kernel_thread() == (running.group.kind == KERNEL_THREAD);
    let is_known = running.since != 0 && (!is_watched || is_same || running.group.kind == IDLE);
    let from = if is_known { running.group } else { group(out) };
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
                wait(tid, now, true);
            } else {
                // One that was woken up before it had left.
                let _ = waited_since(tid);
            }
        }
    }
    let watched = watch::watched(next);
    let (_, shown) = next.ids();
    *running = Running {
        since: now,
        group: group(next),
        from: next.membership(),
        tid: shown,
        watched: watched.into(),
        again: now,
    };
    if watched && !next.is_idle() {
        if let Some(since) = waited_since(next.pid_of_host()) {
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
    wait(task.pid_of_host(), now(), false);
}
