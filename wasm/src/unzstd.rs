//! zstd for `perf.data.zst`, which browsers do not unpack themselves. Not here: what is compressed.

use mzstd::{DecodeOperation, DecoderSessionOwned, DecoderStatus, Decompressor};
use wasm_bindgen::prelude::*;

/// How much is unpacked at once, in bytes.
const PIECE: usize = 1 << 20;

/// A zstd stream that is being unpacked.
#[wasm_bindgen]
pub struct Unzstd {
    stream: DecoderSessionOwned,
    compressed: Vec<u8>,
    taken: usize,
}

#[wasm_bindgen]
impl Unzstd {
    /// A stream of which nothing came yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self { stream: Decompressor::default().into_session(), compressed: Vec::new(), taken: 0 }
    }

    /// Takes the stream's next bytes, once [`pull`](Self::pull) has no more of those before.
    pub fn push(&mut self, chunk: &[u8]) {
        self.compressed.drain(..self.taken);
        self.taken = 0;
        self.compressed.extend_from_slice(chunk);
    }

    /// Unpacked bytes, at most 1 MiB; none where more packed ones are needed.
    ///
    /// # Errors
    /// Throws where the stream is damaged.
    pub fn pull(&mut self) -> Result<Vec<u8>, JsError> {
        let mut plain = vec![0; PIECE];
        let mut len = 0;
        while len < PIECE {
            let compressed = self.compressed.get(self.taken..).unwrap_or_default();
            let step = self
                .stream
                .process(compressed, &mut plain[len..], DecodeOperation::Process)
                .map_err(|_| JsError::new("the zstd stream is damaged"))?;
            self.taken += step.consumed;
            len += step.produced;
            if step.status != DecoderStatus::NeedsOutput && (self.taken >= self.compressed.len() || step.consumed == 0)
            {
                break;
            }
        }
        plain.truncate(len);
        Ok(plain)
    }
}
