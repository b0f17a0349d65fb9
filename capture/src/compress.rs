//! Compression: records inside COMPRESSED records, a zstd stream through all of them, as perf writes them. Where perf's is
//! one frame, this one is of many: what is damaged costs its own frame alone. Not here: what is in the records, and the
//! file around them.

use crate::error::{Error, Result};
use crate::file::user_record;
use nsscope_codec::wire::header::RecordType;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

/// How much goes into one COMPRESSED record, in bytes: what does not shrink still has to fit one.
const PIECE: usize = 32 << 10;

/// A frame ends behind so many bytes that it holds. What a frame has seen before makes it small: of a few records an
/// hour, one is in the file for days.
const FRAME: usize = 1 << 20;

/// What perf is told to set aside for what is in one record, in bytes.
const ROOM: u32 = 1 << 20;

/// Compresses records.
pub(crate) struct Compressor {
    stream: Encoder<'static>,
    /// How much is in the frame, in bytes.
    held: usize,
}

/// The section `HEADER_COMPRESSED`: version, type (zstd), level, ratio (not known yet), room for what is in one record.
pub(crate) fn section(level: i32) -> Vec<u8> {
    [1, 1, level as u32, 0, ROOM].iter().flat_map(|number: &u32| number.to_ne_bytes()).collect()
}

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let stream = Encoder::new(level)
            .map_err(|error| Error::Invalid(format!("zstd does not compress at level {level}: {error}")))?;
        Ok(Self { stream, held: 0 })
    }

    /// The COMPRESSED records that hold these bytes; all of them can be read at once.
    pub(crate) fn compress(&mut self, pieces: &[&[u8]]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut compressed = vec![0; 2 * PIECE - 64];
        let failed = |error: std::io::Error| Error::other(format!("zstd failed: {error}"));
        let mut all = pieces.iter().flat_map(|piece| piece.chunks(PIECE)).peekable();
        while let Some(plain) = all.next() {
            self.held += plain.len();
            // The end is in a record with others: perf takes none that has nothing in it.
            let ends = self.held >= FRAME && all.peek().is_none();
            let mut input = InBuffer::around(plain);
            loop {
                let mut output = OutBuffer::around(compressed.as_mut_slice());
                if input.pos() < plain.len() {
                    self.stream.run(&mut input, &mut output).map_err(failed)?;
                }
                let is_taken = input.pos() == plain.len();
                let left = if ends && is_taken {
                    self.stream.finish(&mut output, true).map_err(failed)?
                } else {
                    self.stream.flush(&mut output).map_err(failed)?
                };
                let produced = output.pos();
                if produced > 0 {
                    out.extend(user_record(RecordType::COMPRESSED, &[&compressed[..produced]], false));
                }
                if left == 0 && is_taken {
                    break;
                }
            }
            if ends {
                self.held = 0;
                self.stream.reinit().map_err(failed)?;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_shrink_fits_its_records() {
        let mut random = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .take(200_000)
        .collect();
        let compressed = Compressor::new(1).expect("a compressor").compress(&[&noise]).expect("compressed");
        let records: Vec<_> = nsscope_codec::Records::<nsscope_codec::Native>::new(&compressed, 0).collect();
        assert!(records.len() >= 6 && records.iter().all(Result::is_ok));
    }
}
