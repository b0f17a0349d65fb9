//! Where records begin again behind damage. Not here: reading them.

use super::session::Session;
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::wire::header::{Header, RecordType, HEADER_SIZE};
use crate::wire::{BigEndian, Endian, LittleEndian, Order};
use alloc::vec::Vec;
use zerocopy::byteorder::U64;
use zerocopy::FromBytes;

/// How many records in a row are no accident.
const CHAIN: usize = 4;

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A record begins there.
    Record,
    /// None does.
    Nothing,
    /// That takes more bytes to say.
    Unknown,
}

/// Whether records of this stream begin with `bytes`: a few in a row, of types that there are, with ids that it has.
/// `ends`: no bytes come behind these.
#[cold]
#[inline(never)]
fn begins<O: Order>(session: &Session, mut bytes: &[u8], ends: bool) -> Verdict {
    let later = if ends { Verdict::Nothing } else { Verdict::Unknown };
    for number in 0..CHAIN {
        if bytes.is_empty() && ends && number > 0 {
            return Verdict::Record;
        }
        let Ok((header, _)) = Header::<O>::ref_from_prefix(bytes) else { return later };
        let (kind, size) = (RecordType(header.kind.get()), usize::from(header.size.get()));
        let fits = size >= HEADER_SIZE && (size % 8 == 0 || kind == RecordType::COMPRESSED);
        if kind.name().is_none() || !fits {
            return Verdict::Nothing;
        }
        // Of a size that may be, it is cut.
        let Ok((record, rest)) = RawRecord::<O>::split(bytes, 0) else { return later };
        if !kind.is_user() && !session.has_id_of(&record) {
            return Verdict::Nothing;
        }
        // What is behind this one is no record.
        if kind == RecordType::AUXTRACE && number > 0 {
            return Verdict::Record;
        }
        bytes = rest;
    }
    Verdict::Record
}

/// Whether a hole of zeros begins within a record of the kernel's: it has no id, where this stream's have one at their end,
/// and zeros are where the next one would begin. It would be read with other ids and times than it had. `None`: that takes
/// more bytes to say.
#[inline]
pub(super) fn is_half<O: Order>(session: &Session, record: &RawRecord<'_, O>, behind: &[u8]) -> Option<bool> {
    const ZEROS: [u8; HEADER_SIZE] = [0; HEADER_SIZE];
    // A sample has its id at its beginning.
    if !record.bytes().ends_with(&ZEROS) || record.kind() == RecordType::SAMPLE || !session.lacks_id(record) {
        return Some(false);
    }
    behind.first_chunk().map(|next| *next == ZEROS)
}

/// What is wrong behind a record that a hole begins in.
#[cold]
pub(super) fn nothing_behind<O: Order>(record: &RawRecord<'_, O>) -> Error {
    Error::new(record.offset().saturating_add(record.bytes().len() as u64), ErrorKind::RecordSize { size: 0 })
}

/// Takes off what begins no record. Returns the bytes that begin one, once there are enough to say so; others are left.
/// `step`: records begin at multiples of so many bytes from each other.
#[cold]
pub(super) fn first(session: &Session, bytes: &mut Vec<u8>, step: usize, ends: bool) -> Option<Vec<u8>> {
    let begins = match session.endian() {
        Some(Endian::Big) => begins::<BigEndian>,
        _ => begins::<LittleEndian>,
    };
    let mut rest = bytes.as_slice();
    let mut verdict = Verdict::Nothing;
    while rest.len() >= HEADER_SIZE {
        verdict = begins(session, rest, ends);
        if verdict != Verdict::Nothing {
            break;
        }
        rest = rest.get(step..).unwrap_or(&[]);
    }
    let left_out = bytes.len().saturating_sub(rest.len());
    bytes.drain(..left_out);
    match verdict {
        Verdict::Record => return Some(core::mem::take(bytes)),
        Verdict::Nothing if ends => bytes.clear(),
        _ => {}
    }
    None
}

/// Whether records are where a file's table of features should be: its header is older than what is behind the data that it
/// tells of. No section begins at 2^48; a little-endian record's size is in these bits.
pub(super) fn is_no_table<O: Order>(session: &Session, table: &[u8]) -> bool {
    let first = U64::<O>::ref_from_prefix(table).map_or(0, |(first, _)| first.get());
    first >= 1 << 48 && begins::<O>(session, table, false) != Verdict::Nothing
}
