//! Where CPU time went as folded stacks, a line a stack, for inferno, flamegraph.pl and speedscope: the container, its
//! process' name, and how many samples. Not here: call chains, which recordings of containers do not have.

use crate::follow::Follow;
use nsscope_codec::perf_data::Session;
use nsscope_codec::{Order, RawRecord};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Counts samples by container and command.
pub struct Folded {
    follow: Follow,
    stacks: BTreeMap<(Option<nsscope_timeline::Key>, String), u64>,
}

impl Folded {
    /// Counts the samples of a stream.
    pub fn new(follow: Follow) -> Self {
        Self { follow, stacks: BTreeMap::new() }
    }

    /// Takes the next record, in the order of their times.
    pub fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) {
        if let Some(key) = self.follow.cpu_sample(session, record) {
            *self.stacks.entry(key).or_default() += 1;
        }
    }

    /// Writes the stacks. Returns how many samples they have.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn finish(self, mut out: impl Write) -> io::Result<u64> {
        // What separates frames and counts is in no frame.
        let frame = |text: &str| text.replace([';', '\n'], ":");
        let mut samples = 0;
        for ((key, comm), count) in &self.stacks {
            let title = key.as_ref().map_or("host".into(), |key| self.follow.timeline().title_of(key));
            writeln!(out, "{};{} {count}", frame(&title), frame(comm))?;
            samples += count;
        }
        out.flush()?;
        Ok(samples)
    }
}
