//! Records out of `COMPRESSED` and `COMPRESSED2`: one zstd stream across all of them, and in it records that may
//! straddle two of them. perf flushes the stream at the end of each and never ends it. Not here: what the records say.

use super::session::Session;
use super::visitor::Visitor;
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::wire::Order;
use alloc::boxed::Box;
use alloc::vec;
use mzstd::{DecodeOperation, DecoderSessionOwned, DecoderStatus, Decompressor};

/// Bytes that are decompressed at once, besides the stream's own window of at most 128 MiB (what perf itself accepts).
const PIECE: usize = 64 << 10;
/// The first bytes of a zstd frame.
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A zstd stream that carries records.
#[derive(Debug)]
pub(super) struct Inflate {
    stream: DecoderSessionOwned,
    /// Decompressed bytes; the first `held` of them begin a record that is not complete.
    plain: Box<[u8]>,
    held: usize,
    /// The stream is damaged: nothing can be had of it before a new frame.
    broken: bool,
}

impl Default for Inflate {
    fn default() -> Self {
        Self {
            stream: Decompressor::default().into_session(),
            // A record that is not complete, and behind it what comes next.
            plain: vec![0; 2 * PIECE].into_boxed_slice(),
            held: 0,
            broken: false,
        }
    }
}

impl Inflate {
    /// Takes the stream's next bytes and hands out the records in them, each at the offset of the record that held them.
    pub(super) fn push<O: Order, V: Visitor>(
        &mut self,
        mut bytes: &[u8],
        offset: u64,
        session: &Session,
        visitor: &mut V,
    ) -> Result<(), Error> {
        let damaged = Error::new(offset, ErrorKind::Decompression);
        if self.broken {
            if !bytes.starts_with(&FRAME_MAGIC) {
                return Err(damaged);
            }
            self.stream.reinit();
            (self.broken, self.held) = (false, 0);
        }
        loop {
            let room = self.plain.get_mut(self.held..).unwrap_or_default();
            let step = self.stream.process(bytes, room, DecodeOperation::Process);
            let (consumed, produced, more) = match &step {
                Ok(step) => (step.consumed, step.produced, step.status == DecoderStatus::NeedsOutput),
                Err(failure) => (failure.consumed, failure.produced, false),
            };
            bytes = bytes.get(consumed..).unwrap_or_default();
            let end = self.held.saturating_add(produced);
            let read = self.records::<O, V>(end, offset, session, visitor);
            if step.is_err() || read.is_err() {
                self.broken = true;
                return Err(read.err().unwrap_or(damaged));
            }
            if !more && bytes.is_empty() {
                return Ok(());
            }
            if consumed == 0 && produced == 0 {
                // Neither takes nor gives: there is nothing to wait for.
                self.broken = true;
                return Err(damaged);
            }
        }
    }

    /// Bytes of a record whose rest did not come.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Hands out the whole records among the first `end` bytes and moves what is left to the front.
    fn records<O: Order, V: Visitor>(
        &mut self,
        end: usize,
        offset: u64,
        session: &Session,
        visitor: &mut V,
    ) -> Result<(), Error> {
        let mut rest = self.plain.get(..end).unwrap_or_default();
        let result = loop {
            match RawRecord::<O>::split(rest, offset) {
                // Of a compressed stream in a compressed stream nothing good can come.
                Ok((record, _)) if record.kind().is_compressed() => break Err(record.error(ErrorKind::Decompression)),
                Ok((record, behind)) => {
                    visitor.record(session, record);
                    rest = behind;
                }
                Err(Error { kind: ErrorKind::Truncated { .. }, .. }) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let rest = rest.len();
        self.plain.copy_within(end.saturating_sub(rest)..end, 0);
        self.held = rest;
        result
    }
}
