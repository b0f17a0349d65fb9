//! A timeline of a capture, or of what runs now. Not here: what is shown of it.

use crate::deliver::Consumer;
use crate::error::{Failure, Outcome, note};
use crate::input;
use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};
use nsscope_codec::{Error, Order, RawRecord};
use nsscope_timeline::Timeline;
use std::path::Path;

/// How many tasks that have ended are kept one by one; storms have millions, which are counted.
const KEEP: usize = 100_000;

/// What a capture tells.
pub(crate) struct Capture {
    pub(crate) session: Session,
    pub(crate) timeline: Timeline,
}

impl Capture {
    /// Reads a perf.data file (`-`: standard input).
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let mut reader = Facts { timeline: Timeline::with_ended_limit(KEEP) };
        let session = input::read(path, &mut reader)?;
        let mut timeline = reader.timeline;
        timeline.finish(&session);
        if timeline.ns_sets().values().is_empty() {
            return Err(Failure::new(format!(
                "{} has no namespace records, so it tells nothing about containers\n  \
                 nsscope record gives them; so does perf record --namespaces --all-cgroups",
                path.display()
            )));
        }
        if timeline.malformed() > 0 {
            note(format_args!("{} records could not be read and are left out", timeline.malformed()));
        }
        Ok(Self { session, timeline })
    }

    /// What runs now, from /proc.
    pub(crate) fn now() -> Outcome<Self> {
        let mut decoder = Decoder::new();
        let mut ordered = Ordered::new(Facts { timeline: Timeline::new() }, usize::MAX);
        let ours = |error: Error| Failure::new(format!("what was read from /proc makes no record: {error}"));
        let (bytes, _) = nsscope_capture::snapshot(true);
        decoder.push(&bytes, &mut ordered).and_then(|()| decoder.finish(&mut ordered)).map_err(ours)?;
        let mut timeline = ordered.finish(decoder.session()).timeline;
        timeline.finish(decoder.session());
        Ok(Self { session: decoder.session().clone(), timeline })
    }
}

/// Takes the records of a file, or those made a moment ago.
struct Facts {
    timeline: Timeline,
}

impl Consumer for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.timeline.push(session, record);
        Ok(())
    }
}

impl Visitor for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.timeline.push(session, &record);
    }

    fn fault(&mut self, error: Error) {
        note(format_args!("a record cannot be read {error}"));
    }
}
