//! The bytes of a stream that wait for those behind them, and where in the stream they are. Not here: what they mean.

use crate::error::{Error, ErrorKind};
use crate::wire::header::HEADER_SIZE;
use crate::wire::Endian;
use alloc::vec::Vec;

/// Bytes that came in earlier chunks.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    /// Offset of the next byte to come.
    pub(super) position: u64,
}

impl Input {
    /// The stream goes on behind so many bytes.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }

    /// Takes bytes off a chunk's front until `wanted` are held; returns how many that were.
    pub(super) fn fill(&mut self, chunk: &[u8], wanted: usize) -> usize {
        let taken = chunk.get(..wanted.saturating_sub(self.bytes.len())).unwrap_or(chunk);
        self.bytes.extend_from_slice(taken);
        self.advance(taken.len() as u64);
        taken.len()
    }

    /// Where the bytes that are held begin.
    pub(super) fn begin(&self) -> u64 {
        self.position.saturating_sub(self.bytes.len() as u64)
    }

    /// Size of the record that they begin: its header's, until that is complete.
    pub(super) fn record_size(&self, endian: Option<Endian>) -> usize {
        match self.bytes.get(6..HEADER_SIZE) {
            Some(&[a, b]) => usize::from(match endian {
                Some(Endian::Big) => u16::from_be_bytes([a, b]),
                _ => u16::from_le_bytes([a, b]),
            })
            .max(HEADER_SIZE),
            _ => HEADER_SIZE,
        }
    }

    /// The stream ends here, where so many bytes are needed.
    pub(super) fn cut(&self, needed: u64) -> Error {
        Error::new(self.begin(), ErrorKind::Truncated { needed: needed as u32, room: self.bytes.len() as u32 })
    }
}
