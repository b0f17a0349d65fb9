//! Reads a file that can be sought in. Not here: what the bytes mean.

use super::decoder::Decoder;
use super::session::Session;
use super::visitor::Visitor;
use crate::error::Error;

/// Reads a file in two passes, because perf writes part of the metadata behind the records that need it.
///
/// It does no input itself: it says where the next chunk has to come from.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    pass: Pass,
}

#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Metadata,
    Records,
    Over,
}

impl Default for Reader {
    fn default() -> Self {
        Self { decoder: Decoder::metadata_only(), pass: Pass::Metadata }
    }
}

impl Reader {
    /// A reader of a file not yet opened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offset in the file of the chunk to [`push`](Self::push) next; `None` once all is read.
    pub fn wanted(&mut self) -> Option<u64> {
        if self.pass == Pass::Metadata && self.decoder.is_done() {
            self.restart();
        }
        if self.pass == Pass::Over || self.decoder.is_done() {
            return None;
        }
        self.decoder.skip(self.decoder.skippable());
        Some(self.decoder.position())
    }

    /// Takes the bytes at the [`wanted`](Self::wanted) offset, any number of them; none at the file's end.
    ///
    /// # Errors
    /// Where the file is not perf.data at all, or its header cannot be used. Damage further on is told to the visitor.
    pub fn push<V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> Result<(), Error> {
        match self.pass {
            Pass::Metadata if chunk.is_empty() => {
                self.restart();
                Ok(())
            }
            Pass::Records if chunk.is_empty() => {
                self.pass = Pass::Over;
                self.decoder.finish(visitor)
            }
            Pass::Metadata | Pass::Records => self.decoder.push(chunk, visitor),
            Pass::Over => Ok(()),
        }
    }

    /// What the file has told about itself so far.
    pub fn session(&self) -> &Session {
        self.decoder.session()
    }

    fn restart(&mut self) {
        self.decoder = core::mem::take(&mut self.decoder).restart();
        self.pass = Pass::Records;
    }
}
