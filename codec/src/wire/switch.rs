//! `PERF_RECORD_SWITCH_CPU_WIDE`: a context switch seen from a CPU. `PERF_RECORD_SWITCH` has no body. Not here: how
//! long a task ran or waited.

use super::{impl_layout, Order};
use zerocopy::byteorder::U32;

/// Body of `SWITCH_CPU_WIDE` after the header: 8 bytes.
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
pub struct SwitchCpuWide<O: Order> {
    /// Process id of the next task (switch out) or the previous one (switch in).
    pub next_prev_pid: U32<O>,
    /// Thread id of the same.
    pub next_prev_tid: U32<O>,
}
impl_layout!(SwitchCpuWide, 8, next_prev_pid: 0, next_prev_tid: 4);
