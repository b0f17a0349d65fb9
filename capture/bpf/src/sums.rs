//! How long the tasks of each group ran and waited, summed in the kernel: what a recording of days has instead of each
//! context switch. Not here: who reads the sums.

use crate::kernel::{Task, set};
use crate::shared::{IDLE, KERNEL_THREAD, MAX_MOVES, Move, Moves, NEAR, PLACES, Pair, Running, Sum, TASK, TaskGroup};
use crate::watch;
use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, Queue};

/// The groups, each with its number. Made larger where they are used, as is all that has a place for each of them.
#[map]
static GROUPS: HashMap<TaskGroup, u32> = HashMap::with_max_entries(1, 0);

/// Numbers that no group has. The reader fills it.
#[map]
static FREE: Queue<u32> = Queue::with_max_entries(1, 0);

/// The sums of each group, at its number, on each CPU.
#[map]
static SUMS: PerCpuArray<Sum> = PerCpuArray::with_max_entries(1, 0);

/// How often the reader has forgotten groups: numbers from before may be another's.
#[map]
static FORGOT: Array<u64> = Array::with_max_entries(1, 0);

/// Who runs on each CPU.
#[map]
static RUNNING: PerCpuArray<Running> = PerCpuArray::with_max_entries(1, 0);

/// The last moves of processes to other groups, by the numbers that the kernel knows them by. It may forget: it is asked of
/// those that run as they move. Made larger where it is used.
#[map]
static MOVED: LruHashMap<u32, Moves> = LruHashMap::with_max_entries(1, 0);

/// When the last of them was, ns.
#[map]
static LAST_MOVE: Array<u64> = Array::with_max_entries(1, 0);

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
    /// Its number.
    group: u32,
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

/// How long who waited while who ran, ns, of the groups with the first numbers: most machines have no others.
#[map]
static NEARBY: PerCpuArray<[u64; (NEAR * NEAR) as usize]> = PerCpuArray::with_max_entries(1, 0);

/// The same of others. Made larger where it is used.
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

/// No group: all numbers are taken. What it does is left out.
const NONE: u32 = u32::MAX;

/// The number of a group, a new one's being that which has been free for longest.
#[inline(always)]
fn number(group: &TaskGroup) -> u32 {
    // SAFETY: the value is copied.
    if let Some(number) = unsafe { GROUPS.get(group) } {
        return *number;
    }
    let Ok(Some(free)) = FREE.pop() else { return NONE };
    if GROUPS.insert(group, &free, BPF_NOEXIST as u64).is_ok() {
        return free;
    }
    // Another CPU was faster.
    let _ = FREE.push(&free, 0);
    // SAFETY: the value is copied.
    unsafe { GROUPS.get(group) }.copied().unwrap_or(NONE)
}

/// Adds to the sum of a group on this CPU.
#[inline(always)]
fn add(group: u32, add: impl FnOnce(&mut Sum)) {
    if let Some(sum) = SUMS.get_ptr_mut(group) {
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

/// A process (`whole`), or this thread of it, is in another group now.
#[inline(always)]
pub(crate) fn moved(task: Task, whole: bool) {
    let process = task.process_of_host();
    let tid = if whole { 0 } else { task.pid_of_host() };
    let moved = Move { at: now(), group: number(&group(task)), tid };
    if let Some(moves) = MOVED.get_ptr_mut(process) {
        // SAFETY: the map's. A process that moves twice at once may lose one of them.
        let moves = unsafe { &mut *moves };
        moves.last[moves.count as usize % MAX_MOVES] = moved;
        moves.count = moves.count.wrapping_add(1);
    } else {
        let mut moves = Moves { count: 1, last: [Move::default(); MAX_MOVES] };
        moves.last[0] = moved;
        let _ = MOVED.insert(process, &moves, u64::from(BPF_ANY));
    }
    if let Some(last) = LAST_MOVE.get_ptr_mut(0) {
        // SAFETY: the map's.
        unsafe { last.write_volatile(moved.at) };
    }
}

/// A task runs on this CPU since then, ns.
#[inline(always)]
fn run(running: &mut Running, task: Task, since: u64) {
    let group = group(task);
    let forgot = FORGOT.get(0).copied().unwrap_or(0);
    if running.number == NONE || running.since == 0 || running.group != group || running.forgot != forgot {
        running.number = number(&group);
        running.group = group;
        running.forgot = forgot;
    }
    running.since = since;
    (_, running.tid) = task.ids();
    running.process = task.process_of_host();
    running.thread = task.pid_of_host();
    running.watched = watch::watched(task).into();
}

/// The running task leaves its CPU to another.
#[inline(always)]
pub(crate) fn switch(out: Task, next: Task) {
    let now = now();
    let Some(running) = RUNNING.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own; see `add`.
    let running = unsafe { &mut *running };
    // SAFETY: likewise. The reader is to see it first and last.
    unsafe { (&raw mut running.changes).write_volatile(1) };
    if running.since == 0 {
        // It has run since before there was anybody to see it.
        let began = BEGAN.get(0).copied().unwrap_or(0);
        run(running, out, if began == 0 { now } else { began });
    }
    left(running, out, now);
    run(running, next, now);
    if running.watched != 0
        && running.group.kind != IDLE
        && let Some(since) = waited_since(next.pid_of_host())
    {
        add(running.number, |sum| waited(sum, now, now.saturating_sub(since)));
        waited_for(running.number, since);
    }
    // SAFETY: as above.
    unsafe { (&raw mut running.changes).write_volatile(0) };
}

/// A task has left this CPU.
#[inline(always)]
fn left(running: &Running, out: Task, now: u64) {
    let (mut since, mut group) = (running.since, running.number);
    if LAST_MOVE.get(0).is_some_and(|&last| last > since)
        // SAFETY: nothing is kept of it.
        && let Some(moves) = unsafe { MOVED.get(running.process) }
    {
        // What it ran before a move is the group's that it left.
        (since, group) = moves.cut(running.thread, (since, group), now, |group, from, to| {
            ran(group, to);
            if running.watched != 0 {
                add(group, |sum| sum.ran += to - from);
            }
        });
    }
    ran(group, now);
    if !watch::watched(out) {
        return;
    }
    let runnable = out.is_runnable();
    add(group, |sum| {
        sum.ran += now.saturating_sub(since);
        sum.tid = running.tid;
        if running.group.kind != IDLE {
            *(if runnable { &mut sum.preempted } else { &mut sum.slept }) += 1;
        }
    });
    if running.group.kind != IDLE {
        let tid = out.pid_of_host();
        if runnable {
            wait(tid, now, true);
        } else {
            // One that was woken up before it had left.
            let _ = waited_since(tid);
        }
    }
}

/// A slice of this CPU's past ends now.
#[inline(always)]
fn ran(group: u32, now: u64) {
    let Some(past) = PAST.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own; see `add`.
    let past = unsafe { &mut *past };
    let last = &mut past.slices[past.count.wrapping_sub(1) as usize & (SLICES - 1)];
    if last.group == group && past.count != 0 {
        last.to = now;
    } else {
        past.slices[past.count as usize & (SLICES - 1)] = Slice { group, to: now };
        past.count += 1;
    }
}

/// A wait for this CPU is over that began at `since`, ns: so long ran each of those who did. What is longer ago than the
/// CPU's past is left out.
#[inline(always)]
fn waited_for(group: u32, since: u64) {
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
        let pair = Pair { waited: group, ran: slice.group };
        if let Some(place) = pair.near() {
            // SAFETY: this CPU's own; see `add`.
            if let Some(sum) = NEARBY.get_ptr_mut(0).and_then(|all| unsafe { &mut *all }.get_mut(place)) {
                *sum += ns;
            }
        } else if let Some(sum) = MEANWHILE.get_ptr_mut(&pair) {
            // SAFETY: likewise.
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
