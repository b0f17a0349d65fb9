//! Records in a byte slice: one at a time, in place, in either byte order.

use crate::wire::cgroup::Cgroup;
use crate::wire::comm::Comm;
use crate::wire::header::{Header, RecordType, HEADER_SIZE};
use crate::wire::lost::{Lost, LostSamples, Throttle};
use crate::wire::misc::{Aux, AuxOutputHwId, BpfEvent, ItraceStart, Ksymbol, TextPoke};
use crate::wire::mmap::{Mmap, Mmap2};
use crate::wire::namespaces::Namespaces;
use crate::wire::sample_id::{SampleId, SampleIdLayout};
use crate::wire::switch::SwitchCpuWide;
use crate::wire::task::Task;
use crate::wire::Order;
use crate::{Error, ErrorKind};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A whole record: header and body as they lie in the input.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a, O: Order> {
    header: &'a Header<O>,
    body: &'a [u8],
    bytes: &'a [u8],
    offset: u64,
}

impl<'a, O: Order> RawRecord<'a, O> {
    /// Splits the first record off `bytes`, which begins at `offset` of the input.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] where the record is longer than `bytes`,
    /// [`ErrorKind::RecordSize`] where its size is smaller than a header.
    #[inline]
    pub fn split(bytes: &'a [u8], offset: u64) -> Result<(Self, &'a [u8]), Error> {
        let Ok((header, _)) = Header::<O>::ref_from_prefix(bytes) else {
            return Err(Error::new(
                offset,
                ErrorKind::Truncated { needed: HEADER_SIZE as u32, room: bytes.len() as u32 },
            ));
        };
        let size = usize::from(header.size.get());
        if size < HEADER_SIZE {
            return Err(Error::new(offset, ErrorKind::RecordSize { size: size as u16 }));
        }
        match bytes.split_at_checked(size) {
            Some((record, rest)) => {
                let body = record.get(HEADER_SIZE..).unwrap_or(&[]);
                Ok((Self { header, body, bytes: record, offset }, rest))
            }
            None => Err(Error::new(offset, ErrorKind::Truncated { needed: size as u32, room: bytes.len() as u32 })),
        }
    }

    /// Where the record begins, in bytes from the start of the input.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The record's type.
    #[inline]
    pub fn kind(&self) -> RecordType {
        RecordType(self.header.kind.get())
    }

    /// The header's flags.
    #[inline]
    pub fn misc(&self) -> u16 {
        self.header.misc.get()
    }

    /// The whole record, header included.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header, the trailer included.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The `sample_id` trailer. SAMPLE records and those of the perf tool have none.
    ///
    /// # Errors
    /// [`ErrorKind::Trailer`] where the record is too short.
    #[inline]
    pub fn sample_id(&self, layout: SampleIdLayout) -> Result<SampleId, Error> {
        layout.read::<O>(self.bytes, self.offset)
    }

    /// The record as its type.
    ///
    /// # Errors
    /// Where the record is shorter than its type, or a count in it does not fit. The next record can still be read.
    #[inline]
    pub fn parse(&self) -> Result<Record<'a, O>, Error> {
        Ok(match self.kind() {
            RecordType::NAMESPACES => Record::Namespaces(self.as_type()?),
            RecordType::FORK => Record::Fork(self.body_as()?),
            RecordType::EXIT => Record::Exit(self.body_as()?),
            RecordType::COMM => Record::Comm(self.as_type()?),
            RecordType::CGROUP => Record::Cgroup(self.as_type()?),
            RecordType::LOST => Record::Lost(self.body_as()?),
            RecordType::LOST_SAMPLES => Record::LostSamples(self.body_as()?),
            RecordType::THROTTLE => Record::Throttle(self.body_as()?),
            RecordType::UNTHROTTLE => Record::Unthrottle(self.body_as()?),
            RecordType::SAMPLE => Record::Sample,
            RecordType::SWITCH => Record::Switch,
            RecordType::SWITCH_CPU_WIDE => Record::SwitchCpuWide(self.body_as()?),
            RecordType::MMAP => Record::Mmap(self.as_type()?),
            RecordType::MMAP2 => Record::Mmap2(self.as_type()?),
            RecordType::KSYMBOL => Record::Ksymbol(self.as_type()?),
            RecordType::BPF_EVENT => Record::BpfEvent(self.body_as()?),
            RecordType::AUX => Record::Aux(self.body_as()?),
            RecordType::ITRACE_START => Record::ItraceStart(self.body_as()?),
            RecordType::TEXT_POKE => Record::TextPoke(self.body_as()?),
            RecordType::AUX_OUTPUT_HW_ID => Record::AuxOutputHwId(self.body_as()?),
            _ => Record::Other,
        })
    }

    /// The record as one particular type, which the caller has chosen by [`kind`](Self::kind).
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    #[inline]
    pub fn as_type<T: Parse<'a, O>>(&self) -> Result<T, Error> {
        T::parse(self)
    }

    /// The body as a type of fixed size; what follows it is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::Body`] where the record is shorter.
    #[inline]
    pub fn body_as<T: FromBytes + KnownLayout + Immutable + Unaligned>(&self) -> Result<&'a T, Error> {
        self.fixed().map(|(fixed, _)| fixed)
    }

    #[inline]
    pub(crate) fn fixed<T: FromBytes + KnownLayout + Immutable + Unaligned>(&self) -> Result<(&'a T, &'a [u8]), Error> {
        T::ref_from_prefix(self.body)
            .map_err(|_| self.error(ErrorKind::Body { needed: size_of::<T>() as u32, room: self.body.len() as u32 }))
    }

    #[inline]
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(self.offset, kind)
    }
}

/// A type that a record can be read as.
pub trait Parse<'a, O: Order>: Sized {
    /// Reads the record in place.
    ///
    /// # Errors
    /// Where the record is shorter than the type, or a count in it does not fit.
    fn parse(raw: &RawRecord<'a, O>) -> Result<Self, Error>;
}

/// A record by type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'a, O: Order> {
    /// Device and inode of each of a task's namespaces.
    Namespaces(Namespaces<'a, O>),
    /// A task was created.
    Fork(&'a Task<O>),
    /// A task ended.
    Exit(&'a Task<O>),
    /// A task's name.
    Comm(Comm<'a, O>),
    /// A cgroup's id and path.
    Cgroup(Cgroup<'a, O>),
    /// Records are missing.
    Lost(&'a Lost<O>),
    /// Samples are missing.
    LostSamples(&'a LostSamples<O>),
    /// Sampling was throttled.
    Throttle(&'a Throttle<O>),
    /// Sampling goes on.
    Unthrottle(&'a Throttle<O>),
    /// A sample: read it with its attr's [`SampleFormat`](crate::wire::sample::SampleFormat).
    Sample,
    /// Context switch of the monitored task.
    Switch,
    /// Context switch on a monitored CPU.
    SwitchCpuWide(&'a SwitchCpuWide<O>),
    /// A mapping.
    Mmap(Mmap<'a, O>),
    /// A mapping with its file's identity.
    Mmap2(Mmap2<'a, O>),
    /// A kernel symbol.
    Ksymbol(Ksymbol<'a, O>),
    /// A BPF program.
    BpfEvent(&'a BpfEvent<O>),
    /// AUX data.
    Aux(&'a Aux<O>),
    /// Start of an instruction trace.
    ItraceStart(&'a ItraceStart<O>),
    /// Modified kernel text.
    TextPoke(&'a TextPoke<O>),
    /// Hardware id of an AUX event.
    AuxOutputHwId(&'a AuxOutputHwId<O>),
    /// READ, records of the perf tool and types unknown here: only [`RawRecord`]'s bytes.
    Other,
}

/// Iterates over the records in a slice.
///
/// Yields an error once and ends where a record's size is impossible or the slice ends within a record;
/// [`rest`](Self::rest) then is what was not read.
#[derive(Clone, Debug)]
pub struct Records<'a, O: Order> {
    rest: &'a [u8],
    offset: u64,
    failed: bool,
    order: core::marker::PhantomData<O>,
}

impl<'a, O: Order> Records<'a, O> {
    /// Records of `bytes`, which begins at `offset` of the input.
    #[inline]
    pub fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { rest: bytes, offset, failed: false, order: core::marker::PhantomData }
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a, O: Order> Iterator for Records<'a, O> {
    type Item = Result<RawRecord<'a, O>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.failed {
            return None;
        }
        match RawRecord::split(self.rest, self.offset) {
            Ok((record, rest)) => {
                self.rest = rest;
                self.offset = self.offset.wrapping_add(record.bytes.len() as u64);
                Some(Ok(record))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
