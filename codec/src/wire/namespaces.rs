//! `PERF_RECORD_NAMESPACES`: which namespaces a task is in. Not here: what a set of namespaces means.
//!
//! The kernel emits it after FORK for a new task, and after `unshare(2)` and `setns(2)`
//! (`perf_event_namespaces()` in `kernel/events/core.c`), since Linux 4.12. Not at exec, not at exit.
//!
//! ```text
//! header | u32 pid | u32 tid | u64 nr_namespaces | { u64 dev; u64 ino } [nr_namespaces] | sample_id
//! ```

use super::{impl_layout, Order};
use crate::error::{Error, ErrorKind};
use crate::raw::{Parse, RawRecord};
use zerocopy::byteorder::{U32, U64};
use zerocopy::FromBytes;

/// The fixed part after the header: 16 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(C)]
pub struct NamespacesFixed<O: Order> {
    /// Process (thread group) id, as seen from the event's pid namespace.
    pub pid: U32<O>,
    /// Thread id, as seen from the event's pid namespace.
    pub tid: U32<O>,
    /// Number of [`NsLink`]s that follow. Kernels so far write 7.
    pub nr_namespaces: U64<O>,
}
impl_layout!(NamespacesFixed, 16, pid: 0, tid: 4, nr_namespaces: 8);

/// `struct perf_ns_link_info`: device and inode of a namespace's file in nsfs, 16 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(C)]
pub struct NsLink<O: Order> {
    /// Device of nsfs in the kernel's `new_encode_dev()` form; 0 with inode 0 where the kernel has no such namespace.
    pub dev: U64<O>,
    /// Inode number.
    pub ino: U64<O>,
}
impl_layout!(NsLink, 16, dev: 0, ino: 8);

/// A namespace's identity in host order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, zerocopy::IntoBytes, zerocopy::Immutable,
)]
#[repr(C)]
#[cfg_attr(feature = "postcard", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NsId {
    /// Device of nsfs, see [`NsLink::dev`].
    pub dev: u64,
    /// Inode number; 0 where the kernel has no such namespace.
    pub ino: u64,
}

impl NsId {
    /// An identity from the device's major and minor number, as `stat(2)` tells them, and the inode.
    pub const fn new(major: u32, minor: u32, ino: u64) -> Self {
        Self { dev: new_encode_dev(major, minor) as u64, ino }
    }
}

/// A device number in the form that the record carries (`new_encode_dev()`, `include/linux/kdev_t.h`):
/// bits 0-7 and 20-31 are the minor, bits 8-19 the major number.
pub const fn new_encode_dev(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}

impl<O: Order> From<NsLink<O>> for NsId {
    fn from(link: NsLink<O>) -> Self {
        Self { dev: link.dev.get(), ino: link.ino.get() }
    }
}

impl<O: Order> From<NsId> for NsLink<O> {
    fn from(id: NsId) -> Self {
        Self { dev: U64::new(id.dev), ino: U64::new(id.ino) }
    }
}

/// Number of namespaces that current kernels put in a record (`NR_NAMESPACES`).
pub const NR_NAMESPACES: usize = 7;

/// A namespace type: those that the record carries, in record order (`NET_NS_INDEX` and so on), then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NsKind {
    /// Network devices, addresses, ports.
    Net = 0,
    /// Host and domain name.
    Uts = 1,
    /// System V IPC and POSIX message queues.
    Ipc = 2,
    /// Process ids: the task's own, not the one for its children.
    Pid = 3,
    /// User and group ids, capabilities.
    User = 4,
    /// Mount points.
    Mnt = 5,
    /// The cgroup root the task sees.
    Cgroup = 6,
    /// Clocks since boot: in no record of the kernel, see
    /// [`TaskNamespaces`](crate::wire::task_namespaces::TaskNamespaces).
    Time = 7,
}

impl NsKind {
    /// Those that the record carries, in its order.
    pub const RECORDED: [Self; NR_NAMESPACES] =
        [Self::Net, Self::Uts, Self::Ipc, Self::Pid, Self::User, Self::Mnt, Self::Cgroup];

    /// All that Linux has.
    pub const ALL: [Self; 8] =
        [Self::Net, Self::Uts, Self::Ipc, Self::Pid, Self::User, Self::Mnt, Self::Cgroup, Self::Time];

    /// The name in `/proc/PID/ns` (and in `perf script`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Pid => "pid",
            Self::User => "user",
            Self::Mnt => "mnt",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// Index in the record's array, and in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Inode number of the initial namespace of this type where the kernel fixes it
    /// (`PROC_*_INIT_INO`, `include/linux/proc_ns.h`). Kernels before 6.18 number the first `net` and `mnt` at boot.
    pub const fn initial_ino(self) -> u64 {
        match self {
            Self::Ipc => 0xefff_ffff,
            Self::Uts => 0xefff_fffe,
            Self::User => 0xefff_fffd,
            Self::Pid => 0xefff_fffc,
            Self::Cgroup => 0xefff_fffb,
            Self::Time => 0xefff_fffa,
            Self::Net => 0xefff_fff9,
            Self::Mnt => 0xefff_fff8,
        }
    }
}

/// A NAMESPACES record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Namespaces<'a, O: Order> {
    /// Task ids and the number of links.
    pub fixed: &'a NamespacesFixed<O>,
    /// Exactly `nr_namespaces` links; index with [`NsKind::index`].
    pub links: &'a [NsLink<O>],
}

impl<O: Order> Namespaces<'_, O> {
    /// Process id.
    pub fn pid(&self) -> u32 {
        self.fixed.pid.get()
    }

    /// Thread id.
    pub fn tid(&self) -> u32 {
        self.fixed.tid.get()
    }

    /// Identity of the namespace of this type, if the record is long enough to carry it.
    pub fn get(&self, kind: NsKind) -> Option<NsId> {
        self.links.get(kind.index()).map(|&link| link.into())
    }
}

impl<'a, O: Order> Parse<'a, O> for Namespaces<'a, O> {
    #[inline]
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<NamespacesFixed<O>>()?;
        let count = fixed.nr_namespaces.get();
        // A count that does not fit in usize cannot fit in the record either.
        match <[NsLink<O>]>::ref_from_prefix_with_elems(rest, usize::try_from(count).unwrap_or(usize::MAX)) {
            Ok((links, _)) => Ok(Self { fixed, links }),
            Err(_) => Err(raw.error(ErrorKind::NamespaceCount { count, room: (rest.len() / 16) as u32 })),
        }
    }
}
