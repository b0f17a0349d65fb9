//! `nsscope events`: the system's events as they happen. Not here: the formats of events.

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
    live.flush()?;
    // What was synthesized is older.
    live.visitor().from = nsscope_capture::now();
    while ends.load(Relaxed) == 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        live.poll()?;
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
        let seen = self.watch.describe(&found);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Which;
    use nsscope_capture::{Chunk, EventDesc, Source};
    use nsscope_codec::encode::{Comm, Encode, Fork, Namespaces, TaskIds};
    use nsscope_codec::synthetic::{self, CONTAINER};
    use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE, TYPE_TRACEPOINT};
    use nsscope_codec::wire::header::MISC_COMM_EXEC;
    use nsscope_codec::wire::namespaces::NsId;
    use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
    use std::os::fd::BorrowedFd;

    const TRAILER: SampleType =
        SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0);

    /// Pieces of records, one a round.
    struct Canned {
        events: Vec<EventDesc>,
        rounds: VecDeque<Vec<u8>>,
    }

    impl Source for Canned {
        fn name(&self) -> &'static str {
            "canned"
        }

        fn events(&self) -> &[EventDesc] {
            &self.events
        }

        fn enable(&mut self) -> nsscope_capture::Result<()> {
            Ok(())
        }

        fn disable(&mut self) {}

        fn drain(
            &mut self,
            take: &mut dyn FnMut(&[Chunk<'_>]) -> nsscope_capture::Result<()>,
        ) -> nsscope_capture::Result<bool> {
            let round = self.rounds.pop_front().unwrap_or_default();
            take(&[[&round, &[]]])?;
            Ok(!round.is_empty())
        }

        fn fds(&self) -> Vec<BorrowedFd<'_>> {
            Vec::new()
        }

        fn ended(&self, _: bool) -> bool {
            false
        }
    }

    fn events() -> Vec<EventDesc> {
        let attr = |kind, config, more: SampleType| {
            let mut attr = Attr::<Native>::new(kind, config);
            attr.sample_type.set(TRAILER.0 | more.0);
            attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::COMM | AttrFlags::NAMESPACES);
            attr
        };
        let side_band = attr(TYPE_SOFTWARE, CONFIG_DUMMY, SampleType(0));
        let container = attr(TYPE_TRACEPOINT, CONTAINER.id, SampleType::RAW);
        vec![
            EventDesc { attr: side_band, name: "dummy:u".into(), ids: vec![1] },
            EventDesc { attr: container, name: CONTAINER.name.into(), ids: vec![2] },
        ]
    }

    fn put(out: &mut Vec<u8>, record: &impl Encode, misc: u16) {
        let id = SampleId {
            pid: Some(500),
            tid: Some(500),
            time: Some(nsscope_capture::now()),
            id: Some(1),
            ..SampleId::default()
        };
        let layout = SampleIdLayout::new(TRAILER);
        let mut bytes = vec![0; record.size(layout)];
        record.encode::<Native>(misc, layout, &id, &mut bytes).expect("it fits");
        out.extend(bytes);
    }

    /// Process 500 goes into namespaces of its own and starts a program there.
    fn starts() -> Vec<u8> {
        let set = |pid: u64, mnt: u64| [1, 2, 3, pid, 5, mnt, 7].map(|ino| NsId { dev: 4, ino });
        let mut out = Vec::new();
        put(&mut out, &Namespaces { pid: 1, tid: 1, links: &set(4, 6) }, 0);
        put(&mut out, &Comm { pid: 1, tid: 1, comm: b"init" }, 0);
        put(&mut out, &Fork(TaskIds { pid: 500, tid: 500, ppid: 1, ptid: 1, time: nsscope_capture::now() }), 0);
        put(&mut out, &Namespaces { pid: 500, tid: 500, links: &set(40, 60) }, 0);
        put(&mut out, &Comm { pid: 500, tid: 500, comm: b"server" }, MISC_COMM_EXEC);
        out
    }

    /// A runtime says what container has process 500.
    fn is_named() -> Vec<u8> {
        let container = synthetic::Container {
            pid: 500,
            rank: 40,
            id: b"abc",
            name: b"web",
            runtime: b"docker",
            ..Default::default()
        };
        let mut raw = synthetic::container(&container);
        raw.resize((4 + raw.len()).next_multiple_of(8) - 4, 0);
        let mut out = 9u32.to_ne_bytes().to_vec();
        out.extend(0u16.to_ne_bytes());
        out.extend((8 + 8 + 8 + 8 + 8 + 4 + raw.len() as u16).to_ne_bytes());
        out.extend(2u64.to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend(nsscope_capture::now().to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend((raw.len() as u32).to_ne_bytes());
        out.extend(raw);
        out
    }

    /// What is printed at the moment that the rounds were taken, and when patience is over.
    fn printed(rounds: Vec<Vec<u8>>) -> (String, String) {
        let source = Canned { events: events(), rounds: VecDeque::from(rounds) };
        let stream = Stream::new(Json::default(), Vec::new(), None);
        let watch = Watch::new(&Which::default());
        let unnamed = Unnamed { stream, watch, from: 0, waits: BTreeMap::new(), held: VecDeque::new(), bytes: 0 };
        let recording = Recording::new().source(Box::new(source)).without_synthesis();
        let begin = Instant::now();
        let mut live = recording.live(unnamed).expect("it starts");
        live.flush().expect("it is read");
        for _ in 0..5 {
            live.poll().expect("it is read");
        }
        let (session, unnamed) = live.parts();
        let session = session.clone();
        unnamed.release(&session, begin);
        let at_once = String::from_utf8(std::mem::take(&mut unnamed.stream.out)).expect("JSON");
        unnamed.release(&session, Instant::now() + PATIENCE);
        (at_once, String::from_utf8(std::mem::take(&mut unnamed.stream.out)).expect("JSON"))
    }

    #[test]
    fn events_of_a_new_container_wait_for_its_name() {
        let exec = |text: &str| text.lines().find(|line| line.contains(r#""comm":"server""#)).map(String::from);
        let (at_once, _) = printed(vec![starts(), is_named()]);
        let line = exec(&at_once).expect("it is printed");
        assert!(line.contains(r#""container":"abc","container_name":"web""#), "{line}");
        let (at_once, later) = printed(vec![starts()]);
        assert_eq!(exec(&at_once), None);
        let line = exec(&later).expect("it is printed when nobody has named it");
        assert!(line.contains(r#""container":"pid:[40]"#), "{line}");
    }
}
