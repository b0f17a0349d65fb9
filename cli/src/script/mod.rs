//! `nsscope script`: a capture's events in time order.

mod json;
mod perf;
mod print;
mod text;
mod tracepoint;
mod watch;

use crate::args::{self, Format, Kind};
use crate::error::{Failure, Outcome, note};
use crate::input::{self, Consumer};
use crate::{record, sys, time};
use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::wire::header::{MISC_FORK_EXEC, RecordType};
use nsscope_codec::{Order, RawRecord};
use print::{Context, Print};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::cell::RefCell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use watch::Watch;

/// How much of live events is held for sorting, in bytes.
const LIVE_LIMIT: usize = 64 << 20;

/// Output is written in pieces of about this size, in bytes.
const PIECE: usize = 1 << 18;

pub(crate) fn run(args: &args::Script) -> Outcome {
    match args.format {
        Format::Perf => print(args, perf::Perf::default()),
        Format::Text => print(args, text::Text::default()),
        Format::Json => print(args, json::Json),
    }
}

fn print<P: Print>(args: &args::Script, format: P) -> Outcome {
    let mut stream = Stream::new(format, args.kind.clone(), Watch::wanted(&args.which));
    let read = input::read(&args.file, &mut stream);
    // What was read before a failure is printed all the same.
    stream.write()?;
    read?;
    stream.conclude();
    Ok(ExitCode::SUCCESS)
}

/// Events on their way to standard output.
struct Stream<P> {
    format: P,
    kinds: Vec<Kind>,
    watch: Option<Watch>,
    context: Context,
    out: Vec<u8>,
    unread: u64,
    other_samples: u64,
}

impl<P: Print> Stream<P> {
    fn new(format: P, kinds: Vec<Kind>, watch: Option<Watch>) -> Self {
        Self { format, kinds, watch, context: Context::default(), out: Vec::new(), unread: 0, other_samples: 0 }
    }

    fn event<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) {
        self.context.seen = self.watch.as_mut().map(|watch| watch.look(session, record));
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

    fn write(&mut self) -> Outcome<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.out)?;
        self.out.clear();
        Ok(out.flush()?)
    }

    fn conclude(&self) {
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

/// `nsscope events`: the system's events as they happen.
pub(crate) fn follow(args: &args::Events) -> Outcome {
    if args.json { follow_as(args, json::Json) } else { follow_as(args, text::Text::default()) }
}

fn follow_as<P: Print>(args: &args::Events, format: P) -> Outcome {
    let signals = sys::count_signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let stream = Stream::new(format, args.kind.clone(), Some(Watch::new(&args.which)));
    let mut decoder = Decoder::new();
    let ordered = RefCell::new(Ordered::new(Live { stream, from: u64::MAX }, LIVE_LIMIT));
    record::command::live(
        |bytes| {
            decoder.push(bytes, &mut *ordered.borrow_mut()).map_err(|error| Failure::new(error.to_string()))?;
            ordered.borrow_mut().visitor_mut().stream.write()
        },
        || {
            // What was synthesized is older than the first time anybody asks.
            let mut ordered = ordered.borrow_mut();
            let live = ordered.visitor_mut();
            live.from = live.from.min(time::now());
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            Ok(!over && signals.load(Relaxed) == 0)
        },
    )?;
    ordered.into_inner().visitor().stream.conclude();
    Ok(ExitCode::SUCCESS)
}

/// Prints what happens from a time on; what was before is only remembered.
struct Live<P> {
    stream: Stream<P>,
    from: u64,
}

impl<P: Print> Visitor for Live<P> {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let before = self.stream.out.len();
        self.stream.event(session, &record);
        let synthesized = record.kind() == RecordType::FORK && record.misc() & MISC_FORK_EXEC != 0;
        if synthesized || session.time(&record).is_none_or(|time| time < self.from) {
            self.stream.out.truncate(before);
        }
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        note(format_args!("a record cannot be read {error}"));
    }
}
