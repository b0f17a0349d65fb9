// SPDX-License-Identifier: MIT OR GPL-2.0

//! `PERF_RECORD_NAMESPACES`: for each fork, unshare and setns, which namespaces the task is in.
//!
//! In place of `perf_event_namespaces()` and its callees in `kernel/events/core.c`. Who wants a record and what is in
//! it is `nsscope_codec::emit`; this crate says what a task, a namespace, an event and its buffer are in this kernel.
//! Nothing here allocates, and nothing panics: the object has no call of `core::panicking`.
//!
//! Context: a process's. The functions may be called where a task may sleep, because the last reference to a namespace
//! may be one of those that are put here.

mod event;
mod namespace;
mod task;

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use event::{Event, Here};
use kernel::bindings;
use kernel::error::code::{EACCES, EINVAL};
use nsscope_codec::emit::{Emission, NamespaceEvents};
use nsscope_codec::wire::attr::AttrFlags;
use task::Task;

/// How many events want records: with none, a fork pays for one load and a branch.
static EVENTS: NamespaceEvents = NamespaceEvents::new();

/// Fails to compile where `bindgen` has a field elsewhere than C: see bindings.h.
macro_rules! as_in_c {
    ($($structure:ident.$field:ident = $offset:ident,)*) => {
        $(const _: () = assert!(offset_of!(bindings::$structure, $field) == bindings::$offset);)*
    };
}

as_in_c! {
    perf_event.attr = OFFSET_perf_event_attr,
    perf_event.parent = OFFSET_perf_event_parent,
    perf_event.clock = OFFSET_perf_event_clock,
    perf_event.ns = OFFSET_perf_event_ns,
    perf_event.id = OFFSET_perf_event_id,
    ns_common.ops = OFFSET_ns_common_ops,
    ns_common.inum = OFFSET_ns_common_inum,
    dentry.d_sb = OFFSET_dentry_d_sb,
    super_block.s_dev = OFFSET_super_block_s_dev,
    perf_sample_data.sample_flags = OFFSET_perf_sample_data_sample_flags,
}

extern "C" {
    fn perf_namespaces_iterate(
        output: unsafe extern "C" fn(event: *mut bindings::perf_event, data: *mut c_void),
        data: *mut c_void,
    );
    fn perf_namespaces_capable() -> bool;
}

/// An event was opened: `account_event()`.
///
/// # Safety
/// The event exists.
#[no_mangle]
pub unsafe extern "C" fn perf_namespaces_account(event: *const bindings::perf_event) {
    // SAFETY: The event exists, so has its attr.
    EVENTS.account(event::flags(unsafe { &(*event).attr }));
}

/// An event that was accounted is closed: `unaccount_event()`.
///
/// # Safety
/// The event exists.
#[no_mangle]
pub unsafe extern "C" fn perf_namespaces_unaccount(event: *const bindings::perf_event) {
    // SAFETY: The event exists, so has its attr.
    EVENTS.unaccount(event::flags(unsafe { &(*event).attr }));
}

/// Whether the caller of `perf_event_open(2)` may ask for what the attr asks for: 0, `-EACCES` without the capability
/// to see other users' namespaces, `-EINVAL` for the time namespace in a record that is not asked for.
///
/// # Safety
/// The attr exists.
#[no_mangle]
pub unsafe extern "C" fn perf_namespaces_permission(attr: *const bindings::perf_event_attr) -> c_int {
    // SAFETY: The attr exists.
    let flags = event::flags(unsafe { &*attr });
    if !flags.has(AttrFlags::NAMESPACES) {
        return if flags.has(AttrFlags::NAMESPACES_TIME) { EINVAL.to_errno() } else { 0 };
    }
    // SAFETY: Asks about the current task alone.
    if unsafe { perf_namespaces_capable() } {
        0
    } else {
        EACCES.to_errno()
    }
}

/// Once, late in boot: what is the same for all namespaces.
#[no_mangle]
pub extern "C" fn perf_namespaces_init() -> c_int {
    namespace::init();
    0
}

/// The namespaces of `task` are new (fork) or changed (unshare, setns).
///
/// # Safety
/// The task is the current one, or its child that does not run yet: it cannot be freed meanwhile.
#[no_mangle]
pub unsafe extern "C" fn perf_event_namespaces(task: *mut bindings::task_struct) {
    if !EVENTS.wanted() {
        return;
    }
    // SAFETY: By this function's contract.
    tell(unsafe { Task::new(task) });
}

/// Apart, so that the way of every fork without a listener has no stack frame.
#[inline(never)]
fn tell(task: Task) {
    let Some(emission) = EVENTS.emission(&task) else { return };
    let data: *const Emission<'_, Task> = &emission;
    // SAFETY: `output` is called before this returns, with this pointer.
    unsafe { perf_namespaces_iterate(output, data.cast_mut().cast()) };
}

/// Called by `perf_iterate_sb()` for each event of this CPU and of the current task that has side-band records.
///
/// # Safety
/// The event exists until this returns (the caller is in an RCU read-side critical section), and `data` is what `tell`
/// has passed.
unsafe extern "C" fn output(event: *mut bindings::perf_event, data: *mut c_void) {
    // SAFETY: By this function's contract.
    let (mut event, emission) = unsafe { (Event::borrow(event), &*data.cast::<Emission<'_, Task>>()) };
    let here = Here::new(&event);
    // Whether there was room: if not, the buffer has counted it.
    let _ = emission.output(&mut event, &here);
}
