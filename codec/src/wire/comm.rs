//! `PERF_RECORD_COMM`: a task has a new name. Not here: which program it is.
//!
//! ```text
//! header | u32 pid | u32 tid | char comm[] | sample_id
//! ```
//! The kernel pads the name with NULs to a multiple of 8 bytes; [`MISC_COMM_EXEC`](super::header::MISC_COMM_EXEC)
//! tells an exec from a `prctl(PR_SET_NAME)`.

use super::{impl_layout, until_nul, Order};
use crate::error::Error;
use crate::raw::{Parse, RawRecord};
use zerocopy::byteorder::U32;

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
pub struct CommFixed<O: Order> {
    /// Process id.
    pub pid: U32<O>,
    /// Thread id.
    pub tid: U32<O>,
}
impl_layout!(CommFixed, 8, pid: 0, tid: 4);

/// A COMM record, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Comm<'a, O: Order> {
    /// Task ids.
    pub fixed: &'a CommFixed<O>,
    /// The name without its NUL. Any bytes: a process chooses its own name.
    pub comm: &'a [u8],
    /// Whether the name comes from an exec.
    pub exec: bool,
}

impl<'a, O: Order> Parse<'a, O> for Comm<'a, O> {
    #[inline]
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error> {
        let (fixed, rest) = raw.fixed::<CommFixed<O>>()?;
        Ok(Self { fixed, comm: until_nul(rest), exec: raw.misc() & super::header::MISC_COMM_EXEC != 0 })
    }
}
