//! The remaining kernel records: KSYMBOL, `BPF_EVENT`, AUX, `ITRACE_START`, `TEXT_POKE`, `AUX_OUTPUT_HW_ID`. Not here:
//! what the addresses in them point to.

use super::{impl_layout, until_nul, Order};
use crate::error::Error;
use crate::raw::{Parse, RawRecord};
use zerocopy::byteorder::{U16, U32, U64};

/// The fixed part of KSYMBOL after the header: 16 bytes, a NUL-terminated name follows.
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
pub struct KsymbolFixed<O: Order> {
    /// Address.
    pub addr: U64<O>,
    /// Length in bytes.
    pub len: U32<O>,
    /// `PERF_RECORD_KSYMBOL_TYPE_*`: 1 BPF, 2 out of line.
    pub ksym_type: U16<O>,
    /// Bit 0: unregistered.
    pub flags: U16<O>,
}
impl_layout!(KsymbolFixed, 16, addr: 0, len: 8, ksym_type: 12, flags: 14);

/// A KSYMBOL record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Ksymbol<'a, O: Order> {
    /// Address, length, type.
    pub fixed: &'a KsymbolFixed<O>,
    /// Symbol name without its NUL.
    pub name: &'a [u8],
}

impl<'a, O: Order> Parse<'a, O> for Ksymbol<'a, O> {
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<KsymbolFixed<O>>()?;
        Ok(Self { fixed, name: until_nul(rest) })
    }
}

/// Body of `BPF_EVENT` after the header: 16 bytes.
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
pub struct BpfEvent<O: Order> {
    /// `PERF_BPF_EVENT_*`: 1 load, 2 unload.
    pub bpf_type: U16<O>,
    /// Flags, 0 so far.
    pub flags: U16<O>,
    /// Program id.
    pub id: U32<O>,
    /// Program tag.
    pub tag: [u8; 8],
}
impl_layout!(BpfEvent, 16, bpf_type: 0, flags: 2, id: 4, tag: 8);

/// Body of AUX after the header: 24 bytes.
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
pub struct Aux<O: Order> {
    /// Offset in the AUX area in bytes.
    pub aux_offset: U64<O>,
    /// Size in bytes.
    pub aux_size: U64<O>,
    /// `PERF_AUX_FLAG_*`.
    pub flags: U64<O>,
}
impl_layout!(Aux, 24, aux_offset: 0, aux_size: 8, flags: 16);

/// Body of `ITRACE_START` after the header: 8 bytes.
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
pub struct ItraceStart<O: Order> {
    /// Process id.
    pub pid: U32<O>,
    /// Thread id.
    pub tid: U32<O>,
}
impl_layout!(ItraceStart, 8, pid: 0, tid: 4);

/// The fixed part of `TEXT_POKE` after the header: 12 bytes, old and new bytes follow.
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
pub struct TextPoke<O: Order> {
    /// Address.
    pub addr: U64<O>,
    /// Number of old bytes.
    pub old_len: U16<O>,
    /// Number of new bytes.
    pub new_len: U16<O>,
}
impl_layout!(TextPoke, 12, addr: 0, old_len: 8, new_len: 10);

/// Body of `AUX_OUTPUT_HW_ID` after the header: 8 bytes.
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
pub struct AuxOutputHwId<O: Order> {
    /// The hardware's id.
    pub hw_id: U64<O>,
}
impl_layout!(AuxOutputHwId, 8, hw_id: 0);
