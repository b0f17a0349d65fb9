//! Records of the perf tool itself: those that frame a stream or carry its metadata. Not here: what a section of
//! metadata holds.
//!
//! Source: `tools/lib/perf/include/perf/event.h`. They have no `sample_id` trailer.

use super::{impl_layout, Order};
use zerocopy::byteorder::{U32, U64};

/// Body of `HEADER_TRACING_DATA` after the header: 4 bytes in the header's type, 8 as written. Payload follows
/// the record; in those of Android's simpleperf it is within.
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
pub struct TracingData<O: Order> {
    /// Bytes of payload after the record, a multiple of 8.
    pub size: U32<O>,
}
impl_layout!(TracingData, 4, size: 0);

/// The fixed part of AUXTRACE after the header: 40 bytes. `size` bytes of payload follow the record.
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
pub struct Auxtrace<O: Order> {
    /// Bytes of payload after the record.
    pub size: U64<O>,
    /// Offset in the AUX area.
    pub offset: U64<O>,
    /// Decoder's reference.
    pub reference: U64<O>,
    /// Index of the AUX buffer.
    pub idx: U32<O>,
    /// Thread id, or -1.
    pub tid: U32<O>,
    /// CPU, or -1.
    pub cpu: U32<O>,
    /// Padding.
    pub reserved: U32<O>,
}
impl_layout!(Auxtrace, 40, size: 0, offset: 8, reference: 16, idx: 24, tid: 28, cpu: 32, reserved: 36);

/// The fixed part of `HEADER_FEATURE` after the header: 8 bytes, the section's bytes follow.
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
pub struct HeaderFeature<O: Order> {
    /// Which, see [`Feature`](crate::perf_data::Feature).
    pub feat_id: U64<O>,
}
impl_layout!(HeaderFeature, 8, feat_id: 0);

/// The fixed part of `EVENT_UPDATE` after the header: 16 bytes, data follows.
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
pub struct EventUpdate<O: Order> {
    /// What is told: 0 unit, 1 scale, 2 name, 3 CPUs.
    pub update_type: U64<O>,
    /// An id of the event.
    pub id: U64<O>,
}
impl_layout!(EventUpdate, 16, update_type: 0, id: 8);

/// `EventUpdate::update_type` of a name.
pub const EVENT_UPDATE_NAME: u64 = 2;

/// The fixed part of COMPRESSED2 after the header: 8 bytes, `data_size` compressed bytes and padding follow.
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
pub struct Compressed2<O: Order> {
    /// Bytes of compressed data.
    pub data_size: U64<O>,
}
impl_layout!(Compressed2, 8, data_size: 0);
