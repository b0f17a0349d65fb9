//! Counts what goes by on its way to the file. Not here: what the records mean.

use crate::target::Target;
use nsscope_codec::wire::header::{HEADER_SIZE, MISC_COMM_EXEC, RecordType};
use nsscope_codec::wire::sample_id::SampleIdLayout;
use nsscope_codec::{Native, RawRecord, Record, RecordCounts, Records};
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::time::Duration;

/// How much was recorded.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Records, with those that the recorder synthesized.
    pub records: u64,
    /// Records that the kernel could not deliver.
    pub lost: u64,
    /// Size of the records in this file, in bytes.
    pub bytes: u64,
    /// Files begun.
    pub files: u64,
    /// Time since the recording began.
    pub elapsed: Duration,
}

/// What was recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Records by type; those that the recorder synthesized are among them.
    pub counts: RecordCounts,
    /// Records that the kernel could not deliver.
    pub lost: u64,
    /// Size of the records in the last file, in bytes.
    pub bytes: u64,
    /// How many files were written.
    pub files: u64,
    /// Where the last file is: its path, or `standard output`.
    pub output: String,
    /// Types of the recorder's own namespaces that are not the machine's first ones: it runs in a container, and sees no
    /// more than that does.
    pub own_namespaces: Vec<&'static str>,
}

/// How many processes that came by an exec are remembered.
const EXECS: usize = 64;

/// Records by kind, and the span of time they cover.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    /// Records by type.
    pub(crate) counts: RecordCounts,
    /// Records the kernel says are missing.
    pub(crate) lost: u64,
    /// First and last time, ns.
    pub(crate) span: Option<(u64, u64)>,
    /// The recorded processes that live: those with a FORK or a name and no EXIT. `None`: nobody asks.
    pub(crate) live: Option<FxHashSet<u32>>,
    /// Processes that came by an exec since this was last taken; of many the last [`EXECS`], which are the most likely
    /// to be there still.
    pub(crate) execs: VecDeque<u32>,
    layout: SampleIdLayout,
    /// A record that lies across the end of the ring, put together.
    joined: Vec<u8>,
}

impl Counter {
    /// `layout` is the trailer of the records.
    pub(crate) fn new(layout: SampleIdLayout) -> Self {
        Self { layout, ..Self::default() }
    }

    /// The same with a list of the processes that live, which is what there is to describe where only some are recorded.
    pub(crate) fn following(self, target: &Target) -> Self {
        Self { live: target.members().map(|_| FxHashSet::default()), ..self }
    }

    /// All records.
    pub(crate) fn total(&self) -> u64 {
        self.counts.total()
    }

    /// Counts the records in two pieces of a ring, which are in the order of their times; one record may lie across both.
    pub(crate) fn add(&mut self, first: &[u8], second: &[u8]) {
        let rest = self.add_whole(first);
        if rest.is_empty() {
            self.add_whole(second);
            return;
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        joined.extend_from_slice(rest);
        let grow = |joined: &mut Vec<u8>, size: usize| {
            let from = joined.len() - rest.len();
            let missing = size.saturating_sub(joined.len());
            joined.extend_from_slice(second.get(from..from + missing).unwrap_or_default());
        };
        grow(&mut joined, HEADER_SIZE);
        let size = joined.get(6..8).map_or(0, |size| u16::from_ne_bytes([size[0], size[1]]));
        grow(&mut joined, usize::from(size));
        self.add_whole(&joined);
        self.add_whole(second.get(joined.len() - rest.len()..).unwrap_or_default());
        self.joined = joined;
    }

    /// Counts whole records and returns what is not one.
    fn add_whole<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut records = Records::<Native>::new(bytes, 0);
        // A ring's records are in the order of their times, so that the first and the last tell the span; to read it of
        // each costs more than all the rest here.
        let (mut first, mut last): (&[u8], &[u8]) = (&[], &[]);
        let rest = loop {
            let here = records.rest();
            let Some(Ok(record)) = records.next() else { break here };
            let kind = record.kind();
            self.counts.add(kind);
            match kind {
                // A sample's time is not where the trailer's is; its neighbours' will do.
                RecordType::SAMPLE => continue,
                kind if kind.is_user() => continue,
                _ => self.add_record(&record),
            }
            if first.is_empty() {
                first = record.bytes();
            }
            last = record.bytes();
        };
        for time in [first, last].into_iter().filter_map(|record| self.layout.time::<Native>(record)) {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        rest
    }

    fn add_record(&mut self, record: &RawRecord<'_, Native>) {
        match record.kind() {
            RecordType::LOST | RecordType::LOST_SAMPLES => match record.parse() {
                Ok(Record::Lost(lost)) => self.lost += lost.lost.get(),
                Ok(Record::LostSamples(lost)) => self.lost += lost.lost.get(),
                _ => {}
            },
            RecordType::COMM if record.misc() & MISC_COMM_EXEC != 0 => {
                if let Ok(Record::Comm(comm)) = record.parse() {
                    let pid = comm.fixed.pid.get();
                    self.live.as_mut().map(|live| live.insert(pid));
                    if self.execs.len() == EXECS {
                        self.execs.pop_front();
                    }
                    self.execs.push_back(pid);
                }
            }
            RecordType::FORK | RecordType::EXIT => {
                if let Some(live) = &mut self.live {
                    match record.parse() {
                        Ok(Record::Fork(task)) if task.pid == task.tid => drop(live.insert(task.pid.get())),
                        Ok(Record::Exit(task)) if task.pid == task.tid => drop(live.remove(&task.pid.get())),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsscope_codec::encode::{Comm, Encode, Lost};
    use nsscope_codec::wire::sample_id::{SampleId, SampleType};

    #[test]
    fn a_record_across_the_end_of_the_ring_is_counted_once_wherever_it_is_cut() {
        let layout = SampleIdLayout::new(SampleType::TIME);
        let mut bytes = vec![];
        for time in 1..=3 {
            let mut buf = [0; 64];
            let id = SampleId { time: Some(time), ..SampleId::default() };
            let comm = Comm { pid: 1, tid: 1, comm: b"x" };
            let size = comm.encode::<Native>(0, layout, &id, &mut buf).expect("fits");
            bytes.extend_from_slice(&buf[..size]);
        }
        let mut buf = [0; 64];
        let size = Lost { id: 1, lost: 5 }.encode::<Native>(0, layout, &SampleId::default(), &mut buf).expect("fits");
        bytes.extend_from_slice(&buf[..size]);
        for cut in 0..=bytes.len() {
            let mut counter = Counter::new(layout);
            counter.add(&bytes[..cut], &bytes[cut..]);
            assert_eq!((counter.total(), counter.lost), (4, 5), "cut at {cut}");
            assert_eq!(counter.counts.of(RecordType::COMM), 3);
        }
    }
}
