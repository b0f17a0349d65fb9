//! What every format of `nsscope script` is. Not here: any single format.

use super::tracepoint::{Printer, Tracepoints};
use super::watch::Seen;
use nsscope_codec::perf_data::{Event, Session};
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::{Order, RawRecord};
use rustc_hash::FxHashMap;

/// A way to print an event.
pub(crate) trait Print: Send {
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
pub(crate) struct Context {
    pub(crate) tracepoints: Tracepoints,
    /// Names of threads by id, for formats that are not perf's.
    pub(crate) names: FxHashMap<u32, Vec<u8>>,
    /// Where the event's task is, if somebody watches.
    pub(crate) seen: Option<Seen>,
}

impl Context {
    /// The name that the capture gives an event, or that its tracepoint has.
    pub(crate) fn event_name(&mut self, session: &Session, event: &Event) -> String {
        if let Some(name) = &event.name {
            return name.clone();
        }
        let printer = self.tracepoint(session, event);
        printer.map_or("[unknown]".into(), |p| format!("{}:{}", p.format.system, p.format.name))
    }

    /// How an event's samples are printed, if it is a tracepoint that the capture describes.
    pub(crate) fn tracepoint(&mut self, session: &Session, event: &Event) -> Option<&Printer> {
        (event.attr.kind.get() == TYPE_TRACEPOINT).then(|| self.tracepoints.get(session, event.attr.config.get()))?
    }
}
