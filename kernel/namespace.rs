// SPDX-License-Identifier: MIT OR GPL-2.0

//! A namespace, held while it is looked at.

use crate::task::Task;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use nsscope_codec::emit;
use nsscope_codec::wire::namespaces::{new_encode_dev, NsId, NsKind};

/// The device of nsfs, as records have it: set by [`init`], before there are processes to open events.
static NSFS: AtomicU32 = AtomicU32::new(0);

/// How many bits of a `dev_t` are the minor number (`MINORBITS`).
const MINOR_BITS: u32 = 20;

/// The operations of a type of namespace; `None` where the kernel is configured without it.
fn operations(kind: NsKind) -> Option<&'static bindings::proc_ns_operations> {
    // SAFETY: They are constants of the kernel's.
    unsafe {
        Some(match kind {
            NsKind::Mnt => &bindings::mntns_operations,
            #[cfg(CONFIG_NET_NS)]
            NsKind::Net => &bindings::netns_operations,
            #[cfg(CONFIG_UTS_NS)]
            NsKind::Uts => &bindings::utsns_operations,
            #[cfg(CONFIG_IPC_NS)]
            NsKind::Ipc => &bindings::ipcns_operations,
            #[cfg(CONFIG_PID_NS)]
            NsKind::Pid => &bindings::pidns_operations,
            #[cfg(CONFIG_USER_NS)]
            NsKind::User => &bindings::userns_operations,
            #[cfg(CONFIG_CGROUPS)]
            NsKind::Cgroup => &bindings::cgroupns_operations,
            #[cfg(CONFIG_TIME_NS)]
            NsKind::Time => &bindings::timens_operations,
            #[allow(unreachable_patterns)]
            _ => return None,
        })
    }
}

/// A counted reference to a namespace.
///
/// # Invariants
/// The reference is this value's own: it was taken by the type's `get()`, and is put once, when this is dropped.
pub(crate) struct Namespace(NonNull<bindings::ns_common>);

impl Namespace {
    /// The task's namespace of this type. `get()` takes what it needs itself: the task's lock against `exit_notify()`,
    /// which takes the task's namespaces from it, or RCU. `None` where the kernel has no such type, or the task has
    /// none any more.
    pub(crate) fn of(task: &Task, kind: NsKind) -> Option<Self> {
        let get = operations(kind)?.get?;
        // SAFETY: The task lives while it is borrowed. The reference that comes back is ours.
        NonNull::new(unsafe { get(task.as_ptr()) }).map(Self)
    }
}

impl emit::Namespace for Namespace {
    #[inline]
    fn id(&self) -> NsId {
        // SAFETY: The namespace lives while this has its reference; its number does not change.
        let ino = unsafe { ptr::addr_of!((*self.0.as_ptr()).inum).read() };
        NsId { dev: NSFS.load(Ordering::Relaxed).into(), ino: ino.into() }
    }
}

impl Drop for Namespace {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The namespace lives while this has its reference, which is put here (type invariant).
        unsafe {
            if let Some(put) = (*(*self.0.as_ptr()).ops).put {
                put(self.0.as_ptr());
            }
        }
    }
}

/// A namespace's file in nsfs.
///
/// # Invariants
/// The reference is this value's own.
struct Path(bindings::path);

impl Path {
    fn of(task: &Task, kind: NsKind) -> Option<Self> {
        let operations = operations(kind)?;
        let mut path = MaybeUninit::uninit();
        // SAFETY: The task lives while it is borrowed; the operations are a constant.
        if unsafe { bindings::ns_get_path(path.as_mut_ptr(), task.as_ptr(), operations) } != 0 {
            return None;
        }
        // SAFETY: It was written, for there is no error.
        Some(Self(unsafe { path.assume_init() }))
    }

    /// The `dev_t` of the file system.
    fn device(&self) -> bindings::dev_t {
        // SAFETY: The file and its file system live while this has its reference.
        unsafe { (*(*self.0.dentry).d_sb).s_dev }
    }
}

impl Drop for Path {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The reference is ours (type invariant).
        unsafe { bindings::path_put(&self.0) };
    }
}

/// Looks up the device of nsfs, the one thing about a namespace that is not in `struct ns_common`. The file of any
/// namespace tells it; all that come later need no file.
pub(crate) fn init() {
    if let Some(path) = Path::of(&Task::current(), NsKind::Mnt) {
        let device = path.device();
        NSFS.store(new_encode_dev(device >> MINOR_BITS, device & ((1 << MINOR_BITS) - 1)), Ordering::Relaxed);
    }
}
