//! `PERF_RECORD_MMAP` and `PERF_RECORD_MMAP2`: a file was mapped. Not here: the file's symbols.

use super::{impl_layout, until_nul, Order};
use crate::error::Error;
use crate::raw::{Parse, RawRecord};
use zerocopy::byteorder::{U32, U64};

/// The fixed part of MMAP after the header: 32 bytes, a NUL-terminated file name follows.
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
pub struct MmapFixed<O: Order> {
    /// Process id.
    pub pid: U32<O>,
    /// Thread id.
    pub tid: U32<O>,
    /// Address.
    pub addr: U64<O>,
    /// Length in bytes.
    pub len: U64<O>,
    /// Offset in the file in bytes.
    pub pgoff: U64<O>,
}
impl_layout!(MmapFixed, 32, pid: 0, tid: 4, addr: 8, len: 16, pgoff: 24);

/// The fixed part of MMAP2 after the header: 64 bytes, a NUL-terminated file name follows.
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
pub struct Mmap2Fixed<O: Order> {
    /// What MMAP has.
    pub map: MmapFixed<O>,
    /// `u32 maj, min; u64 ino, ino_generation`, or with
    /// [`MISC_MMAP_BUILD_ID`](super::header::MISC_MMAP_BUILD_ID) `u8 size; u8 reserved[3]; u8 build_id[20]`.
    pub file: [u8; 24],
    /// `PROT_*` bits.
    pub prot: U32<O>,
    /// `MAP_*` bits.
    pub flags: U32<O>,
}
impl_layout!(Mmap2Fixed, 64, map: 0, file: 32, prot: 56, flags: 60);

/// An MMAP record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Mmap<'a, O: Order> {
    /// Ids and addresses.
    pub fixed: &'a MmapFixed<O>,
    /// File name without its NUL.
    pub filename: &'a [u8],
}

/// An MMAP2 record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Mmap2<'a, O: Order> {
    /// Ids, addresses and the file's identity.
    pub fixed: &'a Mmap2Fixed<O>,
    /// File name without its NUL.
    pub filename: &'a [u8],
    /// Whether `fixed.file` holds a build id.
    pub has_build_id: bool,
}

impl<'a, O: Order> Mmap2<'a, O> {
    /// The build id (at most 20 bytes), if the record carries one.
    pub fn build_id(&self) -> Option<&'a [u8]> {
        let [size, _, _, _, id @ ..] = &self.fixed.file;
        self.has_build_id.then(|| id.get(..usize::from(*size)).unwrap_or(id))
    }
}

impl<'a, O: Order> Parse<'a, O> for Mmap<'a, O> {
    #[inline]
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<MmapFixed<O>>()?;
        Ok(Self { fixed, filename: until_nul(rest) })
    }
}

impl<'a, O: Order> Parse<'a, O> for Mmap2<'a, O> {
    #[inline]
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<Mmap2Fixed<O>>()?;
        Ok(Self { fixed, filename: until_nul(rest), has_build_id: raw.misc() & super::header::MISC_MMAP_BUILD_ID != 0 })
    }
}
