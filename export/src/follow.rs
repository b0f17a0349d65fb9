//! Whose each record is, as the records come. Not here: what is written of them.

use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::{Definition, Key, Task, Timeline};

/// A thread whose name is not known.
pub(crate) const UNKNOWN: &str = "[unknown]";

/// Follows the tasks of a stream of records.
pub struct Follow {
    timeline: Timeline,
    definition: Definition,
    host: String,
}

/// Whose a record is.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Thread id.
    pub tid: u32,
    /// What tells the container that the thread is in.
    pub container: Option<Key>,
    task: usize,
}

impl Follow {
    /// Follows a stream; `host` is the name of its machine.
    pub fn new(definition: Definition, host: impl Into<String>) -> Self {
        Self { timeline: Timeline::for_stream(), definition, host: host.into() }
    }

    /// Takes the next record, and finds whose it is.
    pub fn take<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Option<Seen> {
        let (task, container) = self.timeline.attribute(session, record, &self.definition)?;
        Some(Seen { tid: self.timeline.task_at(task).tid, container, task })
    }

    /// Takes the next record; of a sample of CPU time, also whose it is and the thread's name then. Samples of tracepoints
    /// are none of CPU time.
    pub(crate) fn cpu_sample<O: Order>(
        &mut self,
        session: &Session,
        record: &RawRecord<'_, O>,
    ) -> Option<(Option<Key>, String)> {
        let seen = self.take(session, record);
        let counts = record.kind() == RecordType::SAMPLE
            && session.event_of(record).is_some_and(|event| event.attr.kind.get() != TYPE_TRACEPOINT);
        let comm = || seen.as_ref().and_then(|seen| self.comm(seen)).unwrap_or_else(|| UNKNOWN.into());
        let comm = counts.then(comm)?;
        Some((seen.and_then(|seen| seen.container), comm))
    }

    /// The task that a record is of.
    pub(crate) fn task(&self, seen: &Seen) -> &Task {
        self.timeline.task_at(seen.task)
    }

    /// Its name, as it is now.
    pub(crate) fn comm(&self, seen: &Seen) -> Option<String> {
        self.timeline.last_name(self.task(seen))
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}
