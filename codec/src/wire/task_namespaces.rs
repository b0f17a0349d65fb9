//! `nsscope:task_namespaces`: what NAMESPACES leaves out of a task. Not here: who writes it.
//!
//! No record of the kernel has the time namespace, the namespaces that a task's children will get, the reason of a
//! change, the cgroup, or the pids that a task has inside. Who can see them (the eBPF programs of nsscope do) tells
//! them by a SAMPLE of a tracepoint of its own, whose format is in the file's `TRACING_DATA`: a reader that does not
//! know it passes it by. A record type of our own would not do: perf 6.1 prints nothing of a file with a type that it
//! does not know (`failed to process type`).

use super::{impl_layout, Order};
use zerocopy::byteorder::{U16, U32, U64};
use zerocopy::FromBytes;

/// How many of a task's pids are told, from the outermost inwards. Pid namespaces are nested up to 32 deep
/// (`MAX_PID_NS_LEVEL`).
pub const MAX_LEVELS: usize = 9;

/// Raw bytes of the sample, behind their u32 size: 76 bytes, so that both together fill whole words.
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
pub struct TaskNamespaces<O: Order> {
    /// The event's id, as in `attr.config`: the first of the fields that all tracepoints have.
    pub common_type: U16<O>,
    /// Flags, preemption count and pid: 0.
    pub common: [u8; 6],
    /// Thread id, as seen from the recorder's pid namespace.
    pub tid: U32<O>,
    /// Why this is told, see [`Reason`].
    pub reason: U32<O>,
    /// Id of its cgroup in the unified hierarchy (v2): the inode number of its directory.
    pub cgroup: U64<O>,
    /// Inode of its time namespace.
    pub time: U32<O>,
    /// Inode of the time namespace that its children, and it itself after exec, will be in.
    pub time_for_children: U32<O>,
    /// Inode of the pid namespace that its children will be in.
    pub pid_for_children: U32<O>,
    /// How many pids it has: one for each pid namespace it is in. May be more than [`MAX_LEVELS`].
    pub levels: U32<O>,
    /// Its pids from the outermost pid namespace inwards; those beyond `levels` are 0.
    pub pids: [U32<O>; MAX_LEVELS],
}
impl_layout!(
    TaskNamespaces, 76,
    common_type: 0, common: 2, tid: 8, reason: 12, cgroup: 16, time: 24, time_for_children: 28, pid_for_children: 32,
    levels: 36, pids: 40
);

impl<O: Order> TaskNamespaces<O> {
    /// From the raw bytes of a sample; `None` where they are too few.
    pub fn read(raw: &[u8]) -> Option<Self> {
        Self::read_from_prefix(raw).ok().map(|(event, _)| event)
    }

    /// The same in another byte order.
    pub fn in_order<P: Order>(&self) -> TaskNamespaces<P> {
        TaskNamespaces {
            common_type: U16::new(self.common_type.get()),
            common: self.common,
            tid: U32::new(self.tid.get()),
            reason: U32::new(self.reason.get()),
            cgroup: U64::new(self.cgroup.get()),
            time: U32::new(self.time.get()),
            time_for_children: U32::new(self.time_for_children.get()),
            pid_for_children: U32::new(self.pid_for_children.get()),
            levels: U32::new(self.levels.get()),
            pids: self.pids.map(|pid| U32::new(pid.get())),
        }
    }
}

/// Why a task's namespaces are told. Other values may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reason(pub u32);

impl Reason {
    /// It was so when somebody looked.
    pub const FOUND: Self = Self(0);
    /// The task is new.
    pub const FORK: Self = Self(1);
    /// `unshare(2)`.
    pub const UNSHARE: Self = Self(2);
    /// `setns(2)`.
    pub const SETNS: Self = Self(3);
    /// `execve(2)`, which puts a task into the time namespace for its children.
    pub const EXEC: Self = Self(4);

    /// Its name: the system call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FOUND => "found",
            Self::FORK => "fork",
            Self::UNSHARE => "unshare",
            Self::SETNS => "setns",
            Self::EXEC => "exec",
            _ => "other",
        }
    }
}
