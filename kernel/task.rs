// SPDX-License-Identifier: MIT OR GPL-2.0

//! A task, and the pid namespace that it is looked at from.

use crate::namespace::Namespace;
use kernel::bindings;
use nsscope_codec::emit;
use nsscope_codec::wire::namespaces::NsKind;

// A task has members that are empty in some configurations, which C has and Rust's check does not know.
#[allow(improper_ctypes)]
extern "C" {
    /// `pid_alive()`. Fields of a task are not read here: see bindings.h.
    fn perf_namespaces_alive(task: *const bindings::task_struct) -> bool;
}

/// A `struct task_struct`.
///
/// # Invariants
/// The task is not freed while this lives.
pub(crate) struct Task(*mut bindings::task_struct);

/// A `struct pid_namespace *`; null is the current task's.
pub(crate) struct PidNs(pub(crate) *mut bindings::pid_namespace);

impl Task {
    /// # Safety
    /// The task is not freed while the result lives.
    pub(crate) unsafe fn new(task: *mut bindings::task_struct) -> Self {
        Self(task)
    }

    /// The task that runs, for as long as the caller's function does.
    pub(crate) fn current() -> Self {
        // SAFETY: Always allowed.
        Self(unsafe { bindings::get_current() })
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::task_struct {
        self.0
    }

    /// As `perf_event_pid_type()`: -1 for a task that has given its ids back, 0 for one that is not to be seen from
    /// there, or idle.
    #[inline]
    fn id(&self, kind: bindings::pid_type, from: &PidNs) -> u32 {
        // SAFETY: The task lives (type invariant); the namespace is held by the event, or null.
        let id = unsafe { bindings::__task_pid_nr_ns(self.0, kind, from.0) };
        // SAFETY: The task lives.
        if id == 0 && !unsafe { perf_namespaces_alive(self.0) } {
            return u32::MAX;
        }
        id as u32
    }
}

impl emit::Task for Task {
    type PidNs = PidNs;
    type Namespace = Namespace;

    #[inline]
    fn ids(&self, from: &PidNs) -> (u32, u32) {
        (self.id(bindings::pid_type_PIDTYPE_TGID, from), self.id(bindings::pid_type_PIDTYPE_PID, from))
    }

    #[inline]
    fn namespace(&self, kind: NsKind) -> Option<Namespace> {
        Namespace::of(self, kind)
    }
}
