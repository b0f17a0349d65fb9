//! `nsscope events`: the system's events as they happen.

use super::slow;
use crate::args;
use crate::error::{Outcome, note};
use crate::events::json::Json;
use crate::events::print::Print;
use crate::events::stream::Stream;
use crate::events::text::Text;
use crate::events::watch::{Found, Seen, Watch};
use crate::signals;
use nsscope_capture::{Backend, Recording};
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, RecordType};
use nsscope_codec::{Native, Order, RawRecord};
use nsscope_timeline::Key;
use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How much is held for want of a name, in bytes.
const LIMIT: usize = 64 << 20;

/// How long a new container's first events wait for a runtime to name it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many containers without a name are remembered to have waited.
const WAITED: usize = 1000;

/// `nsscope events`.
pub(crate) fn run(args: &args::Events) -> Outcome {
    if let Some(least) = args.longer_than {
        return slow::run(args, least);
    }
    if args.json { follow(args, Json::default()) } else { follow(args, Text::default()) }
}

fn follow<P: Print>(args: &args::Events, format: P) -> Outcome {
    let ends = signals::count_ends()?;
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let watch = Watch::new(&args.which);
    let stream = Stream::new(format, args.kind.clone(), None);
    let unnamed = Unnamed { stream, watch, from: u64::MAX, waits: BTreeMap::new(), held: VecDeque::new(), bytes: 0 };
    let mut live = Recording::new().backend(Backend::Perf).live(unnamed)?;
    live.hand_out()?;
    // What was synthesized is older.
    live.visitor().from = nsscope_capture::now();
    while ends.load(Relaxed) == 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        live.round()?;
        let (session, unnamed) = live.parts();
        unnamed.release(session, Instant::now());
        unnamed.stream.write()?;
    }
    let session = live.parts().0.clone();
    let mut unnamed = live.finish();
    unnamed.release(&session, Instant::now() + PATIENCE);
    unnamed.stream.write()?;
    unnamed.stream.conclude();
    Ok(ExitCode::SUCCESS)
}

/// Prints what happens from a time on; what was before is only remembered.
struct Unnamed<P> {
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

impl<P: Print> Unnamed<P> {
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

impl<P: Print> Visitor for Unnamed<P> {
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
