//! Records into the ring, in the layouts of the codec: what is in the ring goes into the file as it is. Not here: which
//! moments are recorded.

use crate::kernel::{Cgroup, Task, set};
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::btf_maps::{ArrayOfMaps, RingBuf};
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_query};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::PerCpuArray;
use core::arch::asm;
use core::mem::MaybeUninit;
use core::ptr::from_ref;
use nsscope_codec::Native;
use nsscope_codec::encode::{Encode, Exit, Fork, Namespaces, TaskIds};
use nsscope_codec::wire::cgroup::CgroupFixed;
use nsscope_codec::wire::comm::CommFixed;
use nsscope_codec::wire::header::{
    HEADER_SIZE, Header, MISC_COMM_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT, RecordType,
};
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::wire::switch::SwitchCpuWide;
use nsscope_codec::wire::task_namespaces::{Reason, TaskNamespaces};
use zerocopy::IntoBytes;
use zerocopy::byteorder::{U16, U32, U64};

/// Whole records, one behind the other. A ring has a lock, which all who write to it wait for: each CPU has its own. They are
/// put in when the programs are loaded.
#[btf_map]
static RECORDS: ArrayOfMaps<Ring, 1> = ArrayOfMaps::new();

/// What the kernel's verifier takes each of them for. The size is none of theirs; it is whole pages, however large they are.
type Ring = RingBuf<u64, { 1 << 16 }>;

/// Records that had no room in the ring, for each CPU.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Room for a record with a path, which is too much for the stack.
#[map]
static SCRATCH: PerCpuArray<[u8; SCRATCH_SIZE]> = PerCpuArray::with_max_entries(1, 0);
const SCRATCH_SIZE: usize = 8192;

/// A longer path is cut.
const MAX_PATH: u32 = 4096;

/// The trailer of all records: as the file's attr says.
const TRAILER: SampleIdLayout = SampleIdLayout::new(SampleType(
    SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0,
));
const TRAILER_SIZE: usize = TRAILER.size();

const TASK_SIZE: usize = HEADER_SIZE + 24 + TRAILER_SIZE;
const NAMESPACES_SIZE: usize = HEADER_SIZE + 16 + 7 * 16 + TRAILER_SIZE;
/// IDENTIFIER, TID, TIME, CPU; then size and raw bytes.
const SAMPLE_HEAD: usize = HEADER_SIZE + 4 * 8;
const CONTEXT_SIZE: usize = SAMPLE_HEAD + 4 + size_of::<TaskNamespaces<Native>>();

/// Who runs, when, where.
#[inline(always)]
fn now() -> SampleId {
    let (pid, tid) = Task::current().ids();
    SampleId {
        pid: Some(pid),
        tid: Some(tid),
        // SAFETY: takes nothing.
        time: Some(unsafe { bpf_ktime_get_ns() }),
        id: Some(set!(SETTINGS.id)),
        stream_id: None,
        // SAFETY: takes nothing.
        cpu: Some(unsafe { bpf_get_smp_processor_id() }),
    }
}

/// That of this CPU.
#[inline(always)]
fn ring() -> Option<&'static Ring> {
    // SAFETY: takes nothing.
    RECORDS.get(unsafe { bpf_get_smp_processor_id() })
}

/// The reader is woken when there is enough for it to do, and looks by itself now and then: waking costs more than all
/// the rest.
#[inline(always)]
fn wake(ring: &Ring) -> u64 {
    // SAFETY: a ring, as the kernel has found it.
    let waiting = unsafe { bpf_ringbuf_query(from_ref(ring).cast_mut().cast(), BPF_RB_AVAIL_DATA as u64) };
    (if waiting >= set!(SETTINGS.wake_at) { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }) as u64
}

#[inline(always)]
fn lost(records: u64) {
    if let Some(lost) = LOST.get_ptr_mut(0) {
        // One program may preempt another that is about to add, on the same CPU: it is done in one instruction, which
        // Rust has for no target without compare-and-swap.
        // SAFETY: eight bytes of the map, aligned.
        unsafe { asm!("lock *(u64 *)({lost} + 0) += {records}", lost = in(reg) lost, records = in(reg) records) }
    }
}

/// Reserves `N` bytes of the ring, has them filled, and hands them over.
#[inline(always)]
fn put<const N: usize>(records: u64, fill: impl FnOnce(&mut [u8; N])) {
    let Some(ring) = ring() else { return lost(records) };
    let wake = wake(ring);
    let Some(mut room) = ring.reserve_untyped::<[u8; N]>(0) else { return lost(records) };
    // SAFETY: bytes may have any value, and all are written before anybody reads them.
    fill(unsafe { MaybeUninit::assume_init_mut(&mut room) });
    room.submit(wake);
}

/// A new task, the running one's child.
#[inline(always)]
pub(crate) fn fork(task: Task) {
    let id = now();
    let (pid, tid) = task.ids();
    put::<{ TASK_SIZE + NAMESPACES_SIZE + CONTEXT_SIZE }>(3, |room| {
        let ids =
            TaskIds { pid, ppid: id.pid.unwrap_or(0), tid, ptid: id.tid.unwrap_or(0), time: id.time.unwrap_or(0) };
        let (fork, rest) = room.split_at_mut(TASK_SIZE);
        let (namespaces, context) = rest.split_at_mut(NAMESPACES_SIZE);
        let _ = Fork(ids).encode::<Native>(0, TRAILER, &id, fork);
        put_namespaces(task, (pid, tid), &id, namespaces);
        put_context(task, tid, Reason::FORK, &id, context);
    });
}

/// A task ends.
#[inline(always)]
pub(crate) fn exit(task: Task) {
    let id = now();
    let (pid, tid) = task.ids();
    // Both are the parent's process (`perf_event_task_output()` in kernel/events/core.c).
    let (parent, _) = task.real_parent().ids();
    put::<TASK_SIZE>(1, |room| {
        let ids = TaskIds { pid, ppid: parent, tid, ptid: parent, time: id.time.unwrap_or(0) };
        let _ = Exit(ids).encode::<Native>(0, TRAILER, &id, room);
    });
}

/// A task has other namespaces.
#[inline(always)]
pub(crate) fn namespaces(task: Task, reason: Reason) {
    let id = now();
    let (pid, tid) = task.ids();
    put::<{ NAMESPACES_SIZE + CONTEXT_SIZE }>(2, |room| {
        let (namespaces, context) = room.split_at_mut(NAMESPACES_SIZE);
        put_namespaces(task, (pid, tid), &id, namespaces);
        put_context(task, tid, reason, &id, context);
    });
}

/// Only what the kernel's record leaves out.
#[inline(always)]
pub(crate) fn context(task: Task, reason: Reason) {
    let id = now();
    let (_, tid) = task.ids();
    put::<CONTEXT_SIZE>(1, |room| put_context(task, tid, reason, &id, room));
}

/// A task that is recorded from now on.
#[inline(always)]
pub(crate) fn found(task: Task) {
    comm(task, task.comm(), false);
    namespaces(task, Reason::FOUND);
}

#[inline(always)]
fn put_namespaces(task: Task, (pid, tid): (u32, u32), id: &SampleId, room: &mut [u8]) {
    let links = task.namespaces();
    let _ = Namespaces { pid, tid, links: &links }.encode::<Native>(0, TRAILER, id, room);
}

#[inline(always)]
fn put_context(task: Task, tid: u32, reason: Reason, id: &SampleId, room: &mut [u8]) {
    let (time, time_for_children, pid_for_children) = task.others();
    let (levels, pids) = task.pids();
    let context = TaskNamespaces::<Native> {
        common_type: U16::new(set!(SETTINGS.task_namespaces_type) as u16),
        common: [0; 6],
        tid: U32::new(tid),
        reason: U32::new(reason.0),
        cgroup: U64::new(task.cgroup().id()),
        time: U32::new(time),
        time_for_children: U32::new(time_for_children),
        pid_for_children: U32::new(pid_for_children),
        levels: U32::new(levels),
        pids: pids.map(U32::new),
    };
    let raw_size = size_of::<TaskNamespaces<Native>>() as u32;
    if let Some((head, raw)) = room.split_at_mut_checked(SAMPLE_HEAD + 4) {
        put_sample_head(set!(SETTINGS.task_namespaces_id), CONTEXT_SIZE as u16, raw_size, id, head);
        if let Some(raw) = raw.get_mut(..size_of::<TaskNamespaces<Native>>()) {
            raw.copy_from_slice(context.as_bytes());
        }
    }
}

/// A SAMPLE up to its raw bytes.
#[inline(always)]
fn put_sample_head(event: u64, size: u16, raw_size: u32, id: &SampleId, room: &mut [u8]) {
    let header = Header::<Native> { kind: U32::new(RecordType::SAMPLE.0), misc: U16::new(0), size: U16::new(size) };
    put_bytes(room, 0, header.as_bytes());
    put_bytes(room, 8, &event.to_ne_bytes());
    put_bytes(room, 16, &id.pid.unwrap_or(0).to_ne_bytes());
    put_bytes(room, 20, &id.tid.unwrap_or(0).to_ne_bytes());
    put_bytes(room, 24, &id.time.unwrap_or(0).to_ne_bytes());
    put_bytes(room, 32, &u64::from(id.cpu.unwrap_or(0)).to_ne_bytes());
    put_bytes(room, 40, &raw_size.to_ne_bytes());
}

#[inline(always)]
fn put_bytes(room: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(room) = room.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// A task's name. The record is as long as the name wants (`perf_event_comm_event()`).
#[inline(always)]
pub(crate) fn comm(task: Task, comm: *const u8, exec: bool) {
    let id = now();
    let ids = task.ids();
    let mut name = [0u8; 16];
    // SAFETY: the helper checks what it reads, and ends the name with a NUL.
    unsafe { bpf_probe_read_kernel_str(name.as_mut_ptr().cast(), 16, comm.cast()) };
    let misc = if exec { MISC_COMM_EXEC } else { 0 };
    if name[8..].iter().all(|&byte| byte == 0) && name[7] == 0 {
        put::<{ HEADER_SIZE + 8 + 8 + TRAILER_SIZE }>(1, |room| put_comm(ids, &name[..8], misc, &id, room));
    } else {
        put::<{ HEADER_SIZE + 8 + 16 + TRAILER_SIZE }>(1, |room| put_comm(ids, &name, misc, &id, room));
    }
}

#[inline(always)]
fn put_comm((pid, tid): (u32, u32), name: &[u8], misc: u16, id: &SampleId, room: &mut [u8]) {
    let size = (HEADER_SIZE + 8 + name.len() + TRAILER_SIZE) as u16;
    let header = Header::<Native> { kind: U32::new(RecordType::COMM.0), misc: U16::new(misc), size: U16::new(size) };
    put_bytes(room, 0, header.as_bytes());
    put_bytes(room, HEADER_SIZE, CommFixed::<Native> { pid: U32::new(pid), tid: U32::new(tid) }.as_bytes());
    put_bytes(room, HEADER_SIZE + 8, name);
    if let Some(mut trailer) = room.get_mut(HEADER_SIZE + 8 + name.len()..) {
        TRAILER.write::<Native, _>(id, &mut trailer);
    }
}

/// The running task leaves its CPU to another. The kernel writes a second record when the other one comes; this one says
/// as much, and half of the bytes go.
#[inline(always)]
pub(crate) fn switch(out: Task, next: Task) {
    let id = now();
    let (pid, tid) = next.ids();
    let misc = MISC_SWITCH_OUT | if out.is_runnable() { MISC_SWITCH_OUT_PREEMPT } else { 0 };
    const SIZE: usize = HEADER_SIZE + 8 + TRAILER_SIZE;
    put::<SIZE>(1, |room| {
        let kind = U32::new(RecordType::SWITCH_CPU_WIDE.0);
        let header = Header::<Native> { kind, misc: U16::new(misc), size: U16::new(SIZE as u16) };
        let next = SwitchCpuWide::<Native> { next_prev_pid: U32::new(pid), next_prev_tid: U32::new(tid) };
        put_bytes(room, 0, header.as_bytes());
        put_bytes(room, HEADER_SIZE, next.as_bytes());
        if let Some(mut trailer) = room.get_mut(HEADER_SIZE + 8..) {
            TRAILER.write::<Native, _>(&id, &mut trailer);
        }
    });
}

/// A task is to run: `nsscope:wakeup`.
#[inline(always)]
pub(crate) fn wakeup(task: Task) {
    let id = now();
    let (_, tid) = task.ids();
    const RAW: usize = 12;
    const SIZE: usize = SAMPLE_HEAD + 4 + RAW;
    put::<SIZE>(1, |room| {
        put_sample_head(set!(SETTINGS.wakeup_id), SIZE as u16, RAW as u32, &id, room);
        let raw = SAMPLE_HEAD + 4;
        put_bytes(room, raw, &(set!(SETTINGS.wakeup_type) as u16).to_ne_bytes());
        put_bytes(room, raw + 2, &(task.cpu() as u16).to_ne_bytes());
        put_bytes(room, raw + 4, &[0; 4]);
        put_bytes(room, raw + 8, &tid.to_ne_bytes());
    });
}

/// A task is in another cgroup: `nsscope:task_cgroup`.
#[inline(always)]
pub(crate) fn moved(task: Task, cgroup: Cgroup, path: *const u8) {
    let id = now();
    let (_, tid) = task.ids();
    // Behind the fixed fields and the reference to the text.
    const PATH: usize = SAMPLE_HEAD + 4 + 20;
    with_path(PATH, path, |room, len| {
        // Size and raw bytes together fill whole words.
        let raw_size = ((4 + 20 + len + 7) & !7) - 4;
        let size = SAMPLE_HEAD as u32 + 4 + raw_size;
        put_sample_head(set!(SETTINGS.task_cgroup_id), size as u16, raw_size, &id, room);
        let raw = SAMPLE_HEAD + 4;
        put_bytes(room, raw, &(set!(SETTINGS.task_cgroup_type) as u16).to_ne_bytes());
        put_bytes(room, raw + 2, &[0; 6]);
        put_bytes(room, raw + 8, &tid.to_ne_bytes());
        put_bytes(room, raw + 12, &cgroup.hierarchy().to_ne_bytes());
        put_bytes(room, raw + 16, &((len << 16) | 20).to_ne_bytes());
        size
    });
}

/// A cgroup that was made.
#[inline(always)]
pub(crate) fn cgroup(cgroup: Cgroup, path: *const u8) {
    let id = now();
    const PATH: usize = HEADER_SIZE + 8;
    with_path(PATH, path, |room, len| {
        let text = (len + 7) & !7;
        let size = PATH as u32 + text + TRAILER_SIZE as u32;
        let header =
            Header::<Native> { kind: U32::new(RecordType::CGROUP.0), misc: U16::new(0), size: U16::new(size as u16) };
        put_bytes(room, 0, header.as_bytes());
        put_bytes(room, HEADER_SIZE, CgroupFixed::<Native> { id: U64::new(cgroup.id()) }.as_bytes());
        if let Some(mut trailer) = room.get_mut(PATH + (text as usize & (SCRATCH_SIZE / 2 - 1))..) {
            TRAILER.write::<Native, _>(&id, &mut trailer);
        }
        size
    });
}

/// Reads a path to its place in a record, has the rest filled (with the path's size, its NUL included; it tells the
/// record's size), and hands the record over.
#[inline(always)]
fn with_path(at: usize, path: *const u8, fill: impl FnOnce(&mut [u8; SCRATCH_SIZE], u32) -> u32) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own, and nobody interrupts: the kernel holds a lock, interrupts off, around these tracepoints
    // (`TRACE_CGROUP_PATH` in kernel/cgroup/cgroup-internal.h).
    let room = unsafe { &mut *scratch };
    // SAFETY: `MAX_PATH` bytes from `at` on are within; the helper checks what it reads.
    let len = unsafe { bpf_probe_read_kernel_str(room.as_mut_ptr().add(at).cast(), MAX_PATH, path.cast()) };
    if len <= 0 {
        return;
    }
    let len = (len as u32).min(MAX_PATH);
    // What was there before must not fill it up.
    for pad in 0..8 {
        if let Some(byte) = room.get_mut(at + len as usize + pad) {
            *byte = 0;
        }
    }
    let size = fill(room, len) & (SCRATCH_SIZE as u32 - 1);
    if let Some(record) = room.get(..size as usize)
        && ring().is_none_or(|ring| ring.output_untyped::<[u8]>(record, wake(ring)).is_err())
    {
        lost(1);
    }
}
