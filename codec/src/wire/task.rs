//! `PERF_RECORD_FORK` and `PERF_RECORD_EXIT`: a task begins, a task ends. Not here: in which namespaces the task is.
//!
//! Both have the same body (`struct perf_task_event`, `kernel/events/core.c`).

use super::{impl_layout, Order};
use zerocopy::byteorder::{U32, U64};

/// Body of FORK and EXIT after the header: 24 bytes.
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
pub struct Task<O: Order> {
    /// Process id of the task that began or ended.
    pub pid: U32<O>,
    /// Its parent's process id; equal to `pid` for a new thread.
    pub ppid: U32<O>,
    /// Thread id of the task that began or ended.
    pub tid: U32<O>,
    /// Thread id of its parent.
    pub ptid: U32<O>,
    /// When, in ns of the event's clock.
    pub time: U64<O>,
}
impl_layout!(Task, 24, pid: 0, ppid: 4, tid: 8, ptid: 12, time: 16);
