//! `nsscope script`: a capture's events in time order.

mod json;
mod perf;
mod text;
mod tracepoint;

pub(crate) use text::safe;

use crate::args::{self, Format, Kind};
use crate::error::{Outcome, note};
use crate::input::{self, Consumer};
use nsscope_codec::perf_data::{Event, Session};
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Order, RawRecord};
use rustc_hash::FxHashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use tracepoint::{Printer, Tracepoints};

/// Output is written in pieces of about this size, in bytes.
const PIECE: usize = 1 << 18;

/// A way to print an event.
trait Print {
    /// Whether it prints samples that are not of tracepoints.
    const SAMPLES: bool;

    /// Appends the event to `out`.
    fn event<O: Order>(
        &mut self,
        context: &mut Context,
        session: &Session,
        record: &RawRecord<'_, O>,
        out: &mut Vec<u8>,
    );
}

/// What every format needs to know of the events before.
#[derive(Debug, Default)]
struct Context {
    tracepoints: Tracepoints,
    /// Names of threads by id, for formats that are not perf's.
    names: FxHashMap<u32, Vec<u8>>,
}

impl Context {
    /// The name that the capture gives an event, or that its tracepoint has.
    fn event_name(&mut self, session: &Session, event: &Event) -> String {
        if let Some(name) = &event.name {
            return name.clone();
        }
        let printer = self.tracepoint(session, event);
        printer.map_or("[unknown]".into(), |p| format!("{}:{}", p.format.system, p.format.name))
    }

    /// How an event's samples are printed, if it is a tracepoint that the capture describes.
    fn tracepoint(&mut self, session: &Session, event: &Event) -> Option<&Printer> {
        (event.attr.kind.get() == TYPE_TRACEPOINT).then(|| self.tracepoints.get(session, event.attr.config.get()))?
    }
}

pub(crate) fn run(args: &args::Script) -> Outcome {
    match args.format {
        Format::Perf => print(args, perf::Perf::default()),
        Format::Text => print(args, text::Text::default()),
        Format::Json => print(args, json::Json),
    }
}

fn print<P: Print>(args: &args::Script, format: P) -> Outcome {
    let mut reader = Reader {
        format,
        kinds: args.kind.clone(),
        context: Context::default(),
        out: Vec::new(),
        unread: 0,
        other_samples: 0,
    };
    let read = input::read(&args.file, &mut reader);
    // What was read before a failure is printed all the same.
    io::stdout().lock().write_all(&reader.out)?;
    read?;
    if reader.unread > 0 {
        note(format_args!("{} records could not be read and are left out", reader.unread));
    }
    if reader.other_samples > 0 {
        note(format_args!("{} samples of other events are left out", reader.other_samples));
    }
    Ok(ExitCode::SUCCESS)
}

struct Reader<P> {
    format: P,
    kinds: Vec<Kind>,
    context: Context,
    out: Vec<u8>,
    unread: u64,
    other_samples: u64,
}

impl<P: Print> Consumer for Reader<P> {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        let Some(kind) = Kind::of(record.kind()) else { return Ok(()) };
        if record.kind() == RecordType::SAMPLE {
            let tracepoint = session.event_of(record).is_some_and(|e| e.attr.kind.get() == TYPE_TRACEPOINT);
            if !tracepoint && !P::SAMPLES {
                self.other_samples += 1;
                return Ok(());
            }
        } else if record.parse().is_err() {
            self.unread += 1;
            return Ok(());
        }
        let before = self.out.len();
        self.format.event(&mut self.context, session, record, &mut self.out);
        if !self.kinds.is_empty() && !self.kinds.contains(&kind) {
            // Printed for what the format remembers of it, then taken back.
            self.out.truncate(before);
        }
        if self.out.len() >= PIECE {
            io::stdout().lock().write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}
