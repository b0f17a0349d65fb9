//! Records as bytes: one at a time, in place, in either byte order. Not here: what is in a record.

use crate::error::{Error, ErrorKind};
use crate::wire::header::{Header, RecordType, HEADER_SIZE};
use crate::wire::sample_id::{SampleId, SampleIdLayout};
use crate::wire::Order;
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
