//! Where the parts of a file are, by its header. Not here: what the parts hold.

use super::header::{Feature, FileHeader, FILE_HEADER_SIZE, MAGIC_BE, MAGIC_LE};
use crate::error::{Error, ErrorKind};
use crate::wire::{BigEndian, Endian, LittleEndian, Order};
use alloc::vec::Vec;
use zerocopy::byteorder::U64;
use zerocopy::FromBytes;

/// Byte order and header size, from the first 16 bytes.
pub(super) fn begin(piece: &[u8]) -> Result<(Endian, u64), Error> {
    let bad = Error::new(0, ErrorKind::Magic);
    let (magic, size) = piece.split_first_chunk::<8>().ok_or(bad)?;
    match *magic {
        MAGIC_LE => Ok((Endian::Little, U64::<LittleEndian>::ref_from_bytes(size).map_err(|_| bad)?.get())),
        MAGIC_BE => Ok((Endian::Big, U64::<BigEndian>::ref_from_bytes(size).map_err(|_| bad)?.get())),
        _ => Err(bad),
    }
}

/// Where things are in the stream, in host order.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) attrs: (u64, u64),
    pub(super) attr_size: u64,
    pub(super) data_at: u64,
    /// `None`: up to the end of the stream.
    pub(super) data_end: Option<u64>,
    pub(super) features: Vec<Feature>,
    /// Bytes from the header's end to the data.
    pub(super) prologue: Vec<u8>,
}

impl Layout {
    /// From the bytes of the header.
    pub(super) fn read<O: Order>(piece: &[u8]) -> Result<Self, Error> {
        let header = FileHeader::<O>::ref_from_bytes(piece).map_err(|_| Error::new(0, ErrorKind::Magic))?;
        let (at, size) = (header.data.offset.get(), header.data.size.get());
        let end = at.checked_add(size);
        let (Some(end), true) = (end, at >= FILE_HEADER_SIZE) else {
            return Err(Error::new(40, ErrorKind::Section { at, size }));
        };
        let attrs = (header.attrs.offset.get(), header.attrs.size.get());
        let attrs_end = attrs.0.checked_add(attrs.1);
        if attrs.0 < FILE_HEADER_SIZE || attrs_end.is_none_or(|end| end > at) {
            return Err(Error::new(24, ErrorKind::Section { at: attrs.0, size: attrs.1 }));
        }
        Ok(Self {
            attrs,
            attr_size: header.attr_size.get(),
            data_at: at,
            data_end: (size > 0).then_some(end),
            features: header.feature_bits().collect(),
            prologue: Vec::new(),
        })
    }

    /// Bytes of the file between its header and its data.
    pub(super) fn slice(&self, at: u64, size: u64) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(FILE_HEADER_SIZE)?).ok()?;
        let to = from.checked_add(usize::try_from(size).ok()?)?;
        self.prologue.get(from..to)
    }
}

/// The whole u64 words of `bytes`.
pub(super) fn words<O: Order>(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).filter_map(|word| Some(U64::<O>::ref_from_bytes(word).ok()?.get()))
}
