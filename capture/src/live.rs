//! Records as they happen, without a file. Not here: what the records mean.

use crate::error::{Error, Result};
use crate::file::Sink;
use crate::recorder::Recorder;
use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};

/// How much is held for sorting, in bytes.
const SORT_LIMIT: usize = 64 << 20;

/// Hands each record to a [`Visitor`], in the order of their times. What runs already comes first.
pub struct Live<V: Visitor> {
    recorder: Recorder,
    decoder: Decoder,
    ordered: Ordered<V>,
}

impl<V: Visitor> std::fmt::Debug for Live<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.recorder).finish()
    }
}

impl<V: Visitor> Live<V> {
    pub(crate) fn new(recorder: Recorder, visitor: V) -> Self {
        Self { recorder, decoder: Decoder::new(), ordered: Ordered::new(visitor, SORT_LIMIT) }
    }

    /// Hands out what has come, then waits for more: a tenth of a second at most.
    ///
    /// # Errors
    /// Where the source can no longer be read.
    pub fn poll(&mut self) -> Result<()> {
        self.recorder.wait(None)?;
        self.recorder.round()?;
        self.flush()
    }

    /// Hands out what is there already: to begin with, what runs.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn flush(&mut self) -> Result<()> {
        if let Sink::Memory(held) = &mut self.recorder.sink {
            self.decoder.push(held, &mut self.ordered).map_err(|error| Error::other(error.to_string()))?;
            held.clear();
        }
        Ok(())
    }

    /// Who gets the records.
    pub fn visitor(&mut self) -> &mut V {
        self.ordered.visitor_mut()
    }

    /// What is known of the stream, and who gets its records.
    pub fn parts(&mut self) -> (&Session, &mut V) {
        (self.decoder.session(), self.ordered.visitor_mut())
    }

    /// Hands out what is still held, and gives the visitor back.
    pub fn finish(self) -> V {
        self.ordered.finish(self.decoder.session())
    }
}
