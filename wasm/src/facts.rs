//! What the viewer keeps of the records, beside the timeline: events to list, samples to draw. Not here: what the
//! records mean.

use crate::lanes::Lanes;
use nsscope_codec::perf_data::Session;
use nsscope_codec::perf_data::Visitor;
use nsscope_codec::wire::attr::TYPE_TRACEPOINT;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, RecordType};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Error, Order, RawRecord, Record};
use nsscope_codec::{RecordCounts, synthetic};
use nsscope_timeline::{Since, Throttled, Timeline};

/// Faults that are told; the others are counted.
const FAULTS: usize = 20;
/// Events that are listed, the first; the others are counted. 40 bytes each.
const EVENTS: usize = 1_000_000;
/// Samples that are drawn, the first. 16 bytes each.
const SAMPLES: usize = 1_000_000;
/// Times of limits that are drawn, the first. 32 bytes each.
const THROTTLED: usize = 100_000;

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It has this namespace set.
    Namespaces(u32),
    /// It has this name.
    Name(u32),
    /// It runs a program of this name.
    Exec(u32),
    /// It began, as a child of this thread.
    Fork(u32),
    /// It ended.
    Exit,
    /// It is in this cgroup set.
    Cgroup(u32),
    /// So many records are missing.
    Lost(u64),
}

impl What {
    /// The names of the kinds, by their bit in a mask.
    pub(crate) const KINDS: [&str; 7] = ["namespaces", "name", "exec", "fork", "exit", "cgroup", "lost"];

    /// Position in [`KINDS`](Self::KINDS).
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Namespaces(_) => 0,
            Self::Name(_) => 1,
            Self::Exec(_) => 2,
            Self::Fork(_) => 3,
            Self::Exit => 4,
            Self::Cgroup(_) => 5,
            Self::Lost(_) => 6,
        }
    }
}

/// An event of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// ns of the recording's clock.
    pub(crate) time: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    /// Its name then, an index into [`Timeline::names`].
    pub(crate) name: Option<u32>,
    /// Where it was then, for [`Timeline::sets_of_membership`]; `None` where the event is no task's.
    pub(crate) membership: Option<u32>,
    pub(crate) what: What,
}

/// What is known of the records so far.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) timeline: Timeline,
    pub(crate) records: u64,
    pub(crate) kinds: RecordCounts,
    pub(crate) events: Vec<Event>,
    /// Events that are not listed.
    pub(crate) unlisted: u64,
    /// Time and membership of samples.
    pub(crate) samples: Vec<(u64, u32)>,
    /// When limits held cgroups back, in order.
    pub(crate) throttled: Vec<Throttled>,
    pub(crate) lanes: Lanes,
    pub(crate) faults: Vec<String>,
    pub(crate) faulty: u64,
}

impl Facts {
    /// Keeps about so many of the tasks that have ended.
    pub(crate) fn keeping(ended: usize) -> Self {
        Self { timeline: Timeline::with_ended_limit(ended), ..Self::default() }
    }

    fn event<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>, task: Option<usize>) {
        let Some(time) = known_time(session.time(record)) else { return };
        let timeline = &self.timeline;
        let known = task.map(|index| (timeline.task_at(index), timeline.membership_of(index)));
        let what = match (record.kind(), known) {
            (RecordType::NAMESPACES, Some((task, _))) => task.namespaces.last().map(|s| What::Namespaces(s.value)),
            (RecordType::COMM, Some((task, _))) => {
                let exec = record.misc() & MISC_COMM_EXEC != 0;
                task.names.last().map(|s| if exec { What::Exec(s.value) } else { What::Name(s.value) })
            }
            (RecordType::FORK, Some(_)) => match record.parse() {
                Ok(Record::Fork(fork)) => Some(What::Fork(fork.ptid.get())),
                _ => None,
            },
            (RecordType::EXIT, Some(_)) => Some(What::Exit),
            (RecordType::SAMPLE, Some((task, membership))) => {
                let event = session.event_of(record).map(|event| event.attr);
                if event.is_some_and(|attr| attr.kind.get() != TYPE_TRACEPOINT) {
                    if self.samples.len() < SAMPLES {
                        self.samples.push((time, membership));
                    }
                    return;
                }
                let news = |facts: &[Since<u32>]| facts.last().filter(|since| since.time == time).map(|s| s.value);
                let cgroup = news(&task.cgroups).map(What::Cgroup);
                match event.map(|attr| attr.config.get()) {
                    Some(id) if id == synthetic::TASK_NSPID.id => None,
                    Some(id) if id == synthetic::TASK_NAMESPACES.id => {
                        let set = news(&task.namespaces);
                        let before = self.events.last_mut().filter(|event| (event.tid, event.time) == (task.tid, time));
                        match (set, before) {
                            // It completes the record that it comes with.
                            (Some(set), Some(Event { what: What::Namespaces(of), membership: at, .. })) => {
                                (*of, *at) = (set, Some(membership));
                                None
                            }
                            (Some(set), _) => Some(What::Namespaces(set)),
                            (None, _) => cgroup,
                        }
                    }
                    _ => cgroup,
                }
            }
            (RecordType::LOST | RecordType::LOST_SAMPLES, _) => timeline.lost().last().map(|l| What::Lost(l.count)),
            _ => None,
        };
        let Some(what) = what else { return };
        if self.events.len() >= EVENTS {
            self.unlisted += 1;
            return;
        }
        let (pid, tid) = known.map_or((0, 0), |(task, _)| (task.pid, task.tid));
        let name = known.and_then(|(task, _)| task.names.last()).map(|since| since.value);
        self.events.push(Event { time, pid, tid, name, membership: known.map(|(_, membership)| membership), what });
    }
}

impl Visitor for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.kinds.add(record.kind());
        if record.kind().is_user() {
            return;
        }
        self.records += 1;
        let task = self.timeline.push(session, &record);
        if let Some(throttled) = self.timeline.take_throttled()
            && self.throttled.len() < THROTTLED
        {
            self.throttled.push(throttled);
        }
        self.event(session, &record, task);
        if let Some(wakeup) = self.timeline.take_wakeup() {
            self.lanes.wakeup(wakeup);
        }
        self.lanes.add(&self.timeline, session, &record);
    }

    fn fault(&mut self, error: Error) {
        self.faulty += 1;
        if self.faults.len() < FAULTS {
            self.faults.push(error.to_string());
        }
    }
}
