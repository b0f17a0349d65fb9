//! The namespace records that the kernel writes for perf, written by eBPF programs, and what those leave out. Not here:
//! how the programs are loaded, and who reads the ring.
//!
//! Each program runs where the kernel would write its own record: a new task (`task_newtask`, behind
//! `perf_event_fork()` in kernel/fork.c), an exec or another change of name (`task_rename`), an end
//! (`sched_process_exit`), unshare and setns (on return from them). What goes into a CPU's BPF ring is what goes into the
//! file. The structures of the running kernel are read at offsets that userspace took from its BTF.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod emit;
mod kernel;
#[allow(dead_code)]
#[path = "../../src/bpf/shared.rs"]
mod shared;
mod sums;
mod watch;

use aya_ebpf::macros::{btf_tracepoint, fexit, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, FExitContext, TracePointContext};
use kernel::{Cgroup, Task, set};
use nsscope_codec::wire::task_namespaces::Reason;

/// `task_newtask(task, clone_flags)`: the parent runs.
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from(ctx.arg::<*const u8>(0));
    if watch::born(task) {
        emit::fork(task);
    }
    0
}

/// `task_rename(task, comm)`: the name is not the task's yet.
#[btf_tracepoint(function = "task_rename")]
pub fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from(ctx.arg::<*const u8>(0));
    if watch::watched(task) {
        emit::comm(task, ctx.arg::<*const u8>(1), task.in_execve());
    }
    0
}

/// `sched_process_exec(task, ...)`: a new time namespace for children is the task's own from an exec on
/// (`exec_task_namespaces()` in kernel/nsproxy.c).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from(ctx.arg::<*const u8>(0));
    if task.time_ns_is_own() && watch::watched(task) {
        emit::context(task, Reason::EXEC);
    }
    0
}

/// `sched_process_exit(task, ...)`.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from(ctx.arg::<*const u8>(0));
    if watch::watched(task) {
        emit::exit(task);
        watch::ended(task);
    }
    0
}

/// `cgroup_attach_task(cgroup, path, task, threadgroup)`.
#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let cgroup = Cgroup::from(ctx.arg::<*const u8>(0));
    let task = Task::from(ctx.arg::<*const u8>(2));
    let (before, now) = watch::moved(task, cgroup);
    if set!(SETTINGS.interval) != 0 {
        sums::moved(task, ctx.arg::<u8>(3) != 0);
    }
    if now && !before {
        emit::found(task);
    }
    if now || before {
        emit::moved(task, cgroup, ctx.arg::<*const u8>(1));
    }
    0
}

/// `cgroup_mkdir(cgroup, path)`.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup = Cgroup::from(ctx.arg::<*const u8>(0));
    if cgroup.hierarchy() == 0 && watch::concerns(cgroup) {
        emit::cgroup(cgroup, ctx.arg::<*const u8>(1));
    }
    0
}

/// `sched_switch(preempt, prev, next, ...)`: the one that leaves still runs.
#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let out = Task::from(ctx.arg::<*const u8>(1));
    let next = Task::from(ctx.arg::<*const u8>(2));
    if set!(SETTINGS.interval) != 0 {
        sums::switch(out, next);
    } else if watch::watched(out) || watch::watched(next) {
        emit::switch(out, next);
    }
    0
}

/// A task would run.
#[inline(always)]
fn would_run(task: Task) -> i32 {
    if watch::watched(task) {
        if set!(SETTINGS.interval) != 0 {
            sums::wakeup(task);
        } else {
            emit::wakeup(task);
        }
    }
    0
}

/// `sched_wakeup(task)`.
#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    would_run(Task::from(ctx.arg::<*const u8>(0)))
}

/// `sched_wakeup_new(task)`.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    would_run(Task::from(ctx.arg::<*const u8>(0)))
}

/// The running task has other namespaces now, if the call succeeded.
fn changed(result: i64, reason: Reason) -> u32 {
    if result as i32 == 0 {
        let task = Task::current();
        let (before, now) = watch::joined(task);
        if set!(SETTINGS.interval) != 0 {
            sums::moved(task, false);
        }
        if now && !before {
            emit::found(task);
        } else if now {
            emit::namespaces(task, reason);
        }
    }
    0
}

/// `ksys_unshare(flags)`, or a system call's entry, of which there is one argument too.
#[fexit(function = "ksys_unshare")]
pub fn unshare(ctx: FExitContext) -> i32 {
    changed(ctx.arg::<i64>(1), Reason::UNSHARE) as i32
}

/// The entry of the system call setns, for instance `__x64_sys_setns(regs)`.
#[fexit(function = "__x64_sys_setns")]
pub fn setns(ctx: FExitContext) -> i32 {
    changed(ctx.arg::<i64>(1), Reason::SETNS) as i32
}

/// Where functions cannot be probed: the tracepoint syscalls:sys_exit_unshare. The result is at byte 16.
#[tracepoint]
pub fn sys_exit_unshare(ctx: TracePointContext) -> u32 {
    // SAFETY: the tracepoint's fields are long.
    changed(unsafe { ctx.read_at(16) }.unwrap_or(-1), Reason::UNSHARE)
}

/// The same of setns.
#[tracepoint]
pub fn sys_exit_setns(ctx: TracePointContext) -> u32 {
    // SAFETY: the tracepoint's fields are long.
    changed(unsafe { ctx.read_at(16) }.unwrap_or(-1), Reason::SETNS)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel's helpers are for programs under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
