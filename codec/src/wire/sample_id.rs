//! `struct sample_id`: the trailer that `attr.sample_id_all` adds to every kernel record but SAMPLE. Not here: SAMPLE,
//! which has its fields elsewhere.
//!
//! ```text
//! { u32 pid, tid }  if TID        { u64 stream_id } if STREAM_ID
//! { u64 time }      if TIME       { u32 cpu, res }  if CPU
//! { u64 id }        if ID         { u64 id }        if IDENTIFIER
//! ```
//! Source: `perf_event_open(2)` and `__perf_event_header__init_id()`. It lies at the very end of the record, so
//! it is found without knowing the record.

use super::Order;
use crate::error::{Error, ErrorKind};
use crate::sink::Sink;
use zerocopy::byteorder::{U32, U64};
use zerocopy::FromBytes;

/// `PERF_SAMPLE_*` bits of `attr.sample_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SampleType(pub u64);

macro_rules! sample_types {
    ($($(#[$doc:meta])* $name:ident = $bit:literal,)*) => {
        impl SampleType {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every bit with the kernel's name for it.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self(1 << $bit), stringify!($name)),)*];
        }
    };
}

sample_types! {
    /// Instruction pointer.
    IP = 0,
    /// Process and thread id.
    TID = 1,
    /// Time in ns.
    TIME = 2,
    /// Address.
    ADDR = 3,
    /// Counter values.
    READ = 4,
    /// Call chain.
    CALLCHAIN = 5,
    /// Event id.
    ID = 6,
    /// CPU.
    CPU = 7,
    /// Period.
    PERIOD = 8,
    /// Stream id.
    STREAM_ID = 9,
    /// Raw bytes (of a tracepoint).
    RAW = 10,
    /// Branch records.
    BRANCH_STACK = 11,
    /// User registers.
    REGS_USER = 12,
    /// User stack.
    STACK_USER = 13,
    /// Cost.
    WEIGHT = 14,
    /// Where data came from.
    DATA_SRC = 15,
    /// Event id at a fixed place.
    IDENTIFIER = 16,
    /// Transaction abort reason.
    TRANSACTION = 17,
    /// Registers at interrupt.
    REGS_INTR = 18,
    /// Physical address.
    PHYS_ADDR = 19,
    /// AUX bytes.
    AUX = 20,
    /// Cgroup id.
    CGROUP = 21,
    /// Page size of the data address.
    DATA_PAGE_SIZE = 22,
    /// Page size of the code address.
    CODE_PAGE_SIZE = 23,
    /// Cost in three parts.
    WEIGHT_STRUCT = 24,
}

impl SampleType {
    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Bits that put a field into the trailer.
    pub const TRAILER: Self =
        Self(Self::TID.0 | Self::TIME.0 | Self::ID.0 | Self::STREAM_ID.0 | Self::CPU.0 | Self::IDENTIFIER.0);
}

impl core::ops::BitOr for SampleType {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// A record's time, if it tells one: 0 is what perf writes for what it synthesizes, all ones what it has for a record
/// without.
#[inline]
pub fn known_time(time: Option<u64>) -> Option<u64> {
    time.filter(|&time| time != 0 && time != u64::MAX)
}

/// Which fields a trailer has: made once an attr, then used for each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SampleIdLayout {
    fields: SampleType,
}

/// A trailer's values. A field that the layout does not have is `None` when read and ignored when written
/// (a field it has is written as 0 where the value is `None`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "postcard", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SampleId {
    /// Process id of the task that caused the record.
    pub pid: Option<u32>,
    /// Thread id of the same.
    pub tid: Option<u32>,
    /// When, in ns of the event's clock.
    pub time: Option<u64>,
    /// Event id (ID or IDENTIFIER).
    pub id: Option<u64>,
    /// Stream id.
    pub stream_id: Option<u64>,
    /// CPU.
    pub cpu: Option<u32>,
}

impl SampleIdLayout {
    /// No trailer: `sample_id_all` is off.
    pub const NONE: Self = Self { fields: SampleType(0) };

    /// Layout of the trailer that `sample_type` asks for.
    pub const fn new(sample_type: SampleType) -> Self {
        Self { fields: SampleType(sample_type.0 & SampleType::TRAILER.0) }
    }

    /// The fields.
    pub const fn fields(self) -> SampleType {
        self.fields
    }

    /// Size in bytes: 8 a field, at most 48.
    pub const fn size(self) -> usize {
        (self.fields.0.count_ones() as usize).wrapping_mul(8)
    }

    /// The trailer's bytes at the end of a whole record.
    fn split(self, record: &[u8], offset: u64) -> Result<&[u8], Error> {
        record
            .len()
            .checked_sub(self.size())
            .filter(|&at| at >= super::header::HEADER_SIZE)
            .and_then(|at| record.get(at..))
            .ok_or(Error::new(offset, ErrorKind::Trailer { size: self.size() as u32, room: record.len() as u32 }))
    }

    /// Reads the trailer of `record` (a whole record, header included, that begins at `offset` of the input).
    ///
    /// # Errors
    /// [`ErrorKind::Trailer`] where the record is too short to have one.
    pub fn read<O: Order>(self, record: &[u8], offset: u64) -> Result<SampleId, Error> {
        let mut fields = Fields::<O> { rest: self.split(record, offset)?, order: core::marker::PhantomData };
        let has = |bit| self.fields.has(bit);
        let mut id = SampleId::default();
        if has(SampleType::TID) {
            (id.pid, id.tid) = fields.pair();
        }
        if has(SampleType::TIME) {
            id.time = fields.word();
        }
        if has(SampleType::ID) {
            id.id = fields.word();
        }
        if has(SampleType::STREAM_ID) {
            id.stream_id = fields.word();
        }
        if has(SampleType::CPU) {
            (id.cpu, _) = fields.pair();
        }
        if has(SampleType::IDENTIFIER) {
            id.id = fields.word();
        }
        Ok(id)
    }

    /// The trailer's time alone, in ns: what sorting needs.
    #[inline]
    pub fn time<O: Order>(self, record: &[u8]) -> Option<u64> {
        if !self.fields.has(SampleType::TIME) {
            return None;
        }
        let skip = if self.fields.has(SampleType::TID) { 8 } else { 0 };
        let at = record.len().checked_sub(self.size())?.checked_add(skip)?;
        let (time, _) = U64::<O>::ref_from_prefix(record.get(at..)?).ok()?;
        Some(time.get())
    }

    /// The trailer's event id alone, IDENTIFIER before ID: what finding the attr needs.
    #[inline]
    pub fn id<O: Order>(self, record: &[u8]) -> Option<u64> {
        let from_end = if self.fields.has(SampleType::IDENTIFIER) {
            8
        } else if self.fields.has(SampleType::ID) {
            let after = SampleType::STREAM_ID.0 | SampleType::CPU.0;
            8usize.checked_add(Self { fields: SampleType(self.fields.0 & after) }.size())?
        } else {
            return None;
        };
        let at = record.len().checked_sub(from_end)?;
        let (id, _) = U64::<O>::ref_from_prefix(record.get(at..)?).ok()?;
        Some(id.get())
    }

    /// Writes [`size`](Self::size) bytes; a field that `id` does not have is written as 0.
    #[inline]
    pub fn write<O: Order, S: Sink>(self, id: &SampleId, to: &mut S) {
        let mut field = |bit, bytes: [u8; 8]| {
            if self.fields.has(bit) {
                to.put(&bytes);
            }
        };
        let word = |value: Option<u64>| U64::<O>::new(value.unwrap_or(0)).to_bytes();
        let pair = |a: Option<u32>, b: Option<u32>| -> [u8; 8] {
            zerocopy::transmute!([U32::<O>::new(a.unwrap_or(0)), U32::<O>::new(b.unwrap_or(0))])
        };
        field(SampleType::TID, pair(id.pid, id.tid));
        field(SampleType::TIME, word(id.time));
        field(SampleType::ID, word(id.id));
        field(SampleType::STREAM_ID, word(id.stream_id));
        field(SampleType::CPU, pair(id.cpu, None));
        field(SampleType::IDENTIFIER, word(id.id));
    }
}

/// Takes 8-byte fields off the front of a slice.
pub(crate) struct Fields<'a, O> {
    pub(crate) rest: &'a [u8],
    pub(crate) order: core::marker::PhantomData<O>,
}

impl<'a, O: Order> Fields<'a, O> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn word(&mut self) -> Option<u64> {
        let (word, rest) = U64::<O>::ref_from_prefix(self.rest).ok()?;
        self.rest = rest;
        Some(word.get())
    }

    pub(crate) fn pair(&mut self) -> (Option<u32>, Option<u32>) {
        match <[U32<O>; 2]>::ref_from_prefix(self.rest) {
            Ok(([a, b], rest)) => {
                self.rest = rest;
                (Some(a.get()), Some(b.get()))
            }
            Err(_) => (None, None),
        }
    }
}
