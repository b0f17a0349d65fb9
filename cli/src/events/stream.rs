//! Events on their way to standard output: whose each is, whether it is wanted, and its text. Not here: any format.

use super::print::{Context, Print};
use super::watch::{Seen, Watch};
use crate::args::Kind;
use crate::deliver::Consumer;
use crate::error::{Outcome, note};
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Order, RawRecord};
use std::io::{self, Write};

/// Output is written in pieces of about this size, in bytes.
pub(crate) const PIECE: usize = 1 << 18;

/// Events on their way to standard output.
pub(crate) struct Stream<P> {
    format: P,
    kinds: Vec<Kind>,
    watch: Option<Watch>,
    context: Context,
    pub(crate) out: Vec<u8>,
    unread: u64,
    other_samples: u64,
}

impl<P: Print> Stream<P> {
    pub(crate) fn new(format: P, kinds: Vec<Kind>, watch: Option<Watch>) -> Self {
        Self { format, kinds, watch, context: Context::default(), out: Vec::new(), unread: 0, other_samples: 0 }
    }

    fn event<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) {
        let seen = self.watch.as_mut().map(|watch| {
            let found = watch.take(session, record);
            watch.describe(&found)
        });
        self.show(session, record, seen);
    }

    pub(crate) fn show<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>, seen: Option<Seen>) {
        self.context.seen = seen;
        let Some(kind) = Kind::of(record.kind()) else { return };
        if record.kind() == RecordType::SAMPLE {
            let tracepoint = session.event_of(record).is_some_and(|e| e.attr.kind.get() == TYPE_TRACEPOINT);
            if !tracepoint && !P::SAMPLES {
                self.other_samples += 1;
                return;
            }
        } else if record.parse().is_err() {
            self.unread += 1;
            return;
        }
        let before = self.out.len();
        self.format.event(&mut self.context, session, record, &mut self.out);
        let other = !self.kinds.is_empty() && !self.kinds.contains(&kind);
        if other || self.context.seen.as_ref().is_some_and(|seen| !seen.passes) {
            // Printed for what the format remembers of it, then taken back.
            self.out.truncate(before);
        }
    }

    pub(crate) fn write(&mut self) -> Outcome<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.out)?;
        self.out.clear();
        Ok(out.flush()?)
    }

    pub(crate) fn conclude(&self) {
        if self.unread > 0 {
            note(format_args!("{} records could not be read and are left out", self.unread));
        }
        if self.other_samples > 0 {
            note(format_args!("{} samples of other events are left out", self.other_samples));
        }
    }
}

impl<P: Print> Consumer for Stream<P> {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.event(session, record);
        if self.out.len() >= PIECE { self.write() } else { Ok(()) }
    }
}
