//! `PERF_RECORD_LOST`, `PERF_RECORD_LOST_SAMPLES`, `PERF_RECORD_THROTTLE`, `PERF_RECORD_UNTHROTTLE`: what is missing
//! and since when. Not here: what the missing records were.

use super::{impl_layout, Order};
use zerocopy::byteorder::U64;

/// Body of LOST after the header: 16 bytes. Written where the gap is, once the ring has room again.
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
pub struct Lost<O: Order> {
    /// Id of the event whose ring was full.
    pub id: U64<O>,
    /// How many records are missing.
    pub lost: U64<O>,
}
impl_layout!(Lost, 16, id: 0, lost: 8);

/// Body of `LOST_SAMPLES` after the header: 8 bytes.
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
pub struct LostSamples<O: Order> {
    /// How many samples may be missing.
    pub lost: U64<O>,
}
impl_layout!(LostSamples, 8, lost: 0);

/// Body of THROTTLE and UNTHROTTLE after the header: 24 bytes.
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
pub struct Throttle<O: Order> {
    /// When, in ns of the event's clock.
    pub time: U64<O>,
    /// Id of the event.
    pub id: U64<O>,
    /// Stream id of the event.
    pub stream_id: U64<O>,
}
impl_layout!(Throttle, 24, time: 0, id: 8, stream_id: 16);
