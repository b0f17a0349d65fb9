//! `nsscope events`: the system's events as they happen.

use super::print::Print;
use super::watch::{Found, Seen, Watch};
use super::{Stream, json, text};
use crate::args;
use crate::error::{Failure, Outcome, note};
use crate::{record, sys, time};
use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, RecordType};
use nsscope_codec::{Native, Order, RawRecord};
use nsscope_timeline::Key;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How much of live events is held for sorting, and as much for want of a name, in bytes.
const LIMIT: usize = 64 << 20;

/// How long a new container's first events wait for a runtime to name it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many containers without a name are remembered to have waited.
const WAITED: usize = 1000;

/// `nsscope events`.
pub(crate) fn follow(args: &args::Events) -> Outcome {
    if args.json { follow_as(args, json::Json) } else { follow_as(args, text::Text::default()) }
}

fn follow_as<P: Print>(args: &args::Events, format: P) -> Outcome {
    let signals = sys::count_signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let watch = Watch::new(&args.which);
    let stream = Stream::new(format, args.kind.clone(), None);
    let live = Live { stream, watch, from: u64::MAX, waits: BTreeMap::new(), held: VecDeque::new(), bytes: 0 };
    let events = RefCell::new((Decoder::new(), Ordered::new(live, LIMIT)));
    record::command::live(
        |bytes| {
            let (decoder, ordered) = &mut *events.borrow_mut();
            decoder.push(bytes, ordered).map_err(|error| Failure::new(error.to_string()))?;
            let live = ordered.visitor_mut();
            live.release(decoder.session(), Instant::now());
            live.stream.write()
        },
        || {
            // What was synthesized is older than the first time anybody asks.
            let live = &mut events.borrow_mut().1;
            let live = live.visitor_mut();
            live.from = live.from.min(time::now());
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            Ok(!over && signals.load(Relaxed) == 0)
        },
    )?;
    let (decoder, ordered) = events.into_inner();
    let mut live = ordered.finish(decoder.session());
    live.release(decoder.session(), Instant::now() + PATIENCE);
    live.stream.write()?;
    live.stream.conclude();
    Ok(ExitCode::SUCCESS)
}

/// Prints what happens from a time on; what was before is only remembered.
struct Live<P> {
    stream: Stream<P>,
    watch: Watch,
    from: u64,
    /// Containers that no runtime has named, and until when their events wait for one.
    waits: BTreeMap<Key, Instant>,
    /// Events that are not printed yet, the oldest first.
    held: VecDeque<Held>,
    /// Size of those.
    bytes: usize,
}

struct Held {
    record: Vec<u8>,
    found: Found,
    seen: Seen,
    /// When it was taken.
    at: Instant,
}

impl<P: Print> Live<P> {
    /// Prints events in order up to the first that still waits for its container's name.
    fn release(&mut self, session: &Session, now: Instant) {
        while let Some(mut held) = self.held.pop_front() {
            if let Some(key) = held.found.nameless() {
                if let Some(named) = self.watch.again(&held.found) {
                    held.seen = Seen { comm: held.seen.comm, ..named };
                } else {
                    let until = *self.waits.entry(key.clone()).or_insert(held.at + PATIENCE);
                    if now < until && self.bytes < LIMIT {
                        self.held.push_front(held);
                        break;
                    }
                }
            }
            self.bytes -= held.record.len();
            if let Ok((record, _)) = RawRecord::<Native>::split(&held.record, 0) {
                self.stream.show(session, &record, Some(held.seen));
            }
        }
        if self.waits.len() > WAITED {
            self.waits.retain(|_, until| now < *until);
        }
    }
}

impl<P: Print> Visitor for Live<P> {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let found = self.watch.take(session, &record);
        let seen = self.watch.tell(&found);
        let synthesized = record.kind() == RecordType::FORK && record.misc() & MISC_FORK_EXEC != 0;
        if synthesized || session.time(&record).is_none_or(|time| time < self.from) {
            // The formats remember what tasks are called.
            let before = self.stream.out.len();
            self.stream.show(session, &record, Some(seen));
            self.stream.out.truncate(before);
            return;
        }
        self.bytes += record.bytes().len();
        self.held.push_back(Held { record: record.bytes().to_vec(), found, seen, at: Instant::now() });
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        note(format_args!("a record cannot be read {error}"));
    }
}
