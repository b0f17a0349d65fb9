//! `PERF_RECORD_CGROUP`: the path of a cgroup id. Not here: which tasks are inside.
//!
//! Emitted when a cgroup is made (`perf_event_cgroup()`, since Linux 5.7). It does not say which tasks are inside.

use super::{impl_layout, until_nul, Order};
use crate::error::Error;
use crate::raw::{Parse, RawRecord};
use zerocopy::byteorder::U64;

/// The fixed part after the header: 8 bytes.
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
pub struct CgroupFixed<O: Order> {
    /// The cgroup's id: the inode number of its directory.
    pub id: U64<O>,
}
impl_layout!(CgroupFixed, 8, id: 0);

/// A CGROUP record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Cgroup<'a, O: Order> {
    /// The id.
    pub fixed: &'a CgroupFixed<O>,
    /// Path from the hierarchy's root, starting with `/`. Any bytes but NUL.
    pub path: &'a [u8],
}

impl<'a, O: Order> Parse<'a, O> for Cgroup<'a, O> {
    #[inline]
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<CgroupFixed<O>>()?;
        Ok(Self { fixed, path: until_nul(rest) })
    }
}
