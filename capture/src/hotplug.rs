//! CPUs that go offline and come back: which did, and whose event a record is that an event opened later has written. Not
//! here: the events.
//!
//! A CPU that goes offline takes its events with it (`perf_event_exit_cpu()` in kernel/events/core.c). So does one that a
//! machine's sleep takes offline, which nobody sees, for it is back when anybody runs again.

use crate::error::Result;
use crate::{clock, machine};
use nsscope_codec::wire::header::{HEADER_SIZE, RecordType};
use std::time::{Duration, Instant};

/// How often it is looked whether a CPU has gone.
const LOOK: Duration = Duration::from_secs(1);

/// What the clock that goes on in a machine's sleep is ahead of the other by reading one after the other.
const NO_SLEEP: u64 = 1_000_000;

/// The CPUs that are recorded.
#[derive(Debug)]
pub(crate) struct Cpus {
    /// Each, and whether it is there.
    all: Vec<(u32, bool)>,
    looked: Instant,
    /// For how long the machine has slept, ns.
    asleep: u64,
}

impl Cpus {
    pub(crate) fn new(all: &[u32]) -> Self {
        Self { all: all.iter().map(|&cpu| (cpu, true)).collect(), looked: Instant::now(), asleep: clock::asleep() }
    }

    /// The CPUs whose events may have gone and that are there again.
    pub(crate) fn back(&mut self) -> Result<Vec<u32>> {
        if self.looked.elapsed() < LOOK {
            return Ok(Vec::new());
        }
        self.looked = Instant::now();
        let asleep = clock::asleep();
        let slept = asleep > self.asleep + NO_SLEEP;
        self.asleep = asleep;
        let online = machine::online_cpus()?;
        let mut back = Vec::new();
        for (cpu, there) in &mut self.all {
            let was_there = std::mem::replace(there, online.contains(cpu));
            match (was_there, *there) {
                (true, false) => log::warn!("CPU {cpu} went offline"),
                (false, true) => back.push(*cpu),
                (true, true) if slept => back.push(*cpu),
                _ => {}
            }
        }
        Ok(back)
    }
}

/// Ids of events that were opened later, each with that of the event in whose place it is: files know that one.
#[derive(Debug, Default)]
pub(crate) struct Aliases(Vec<(u64, u64)>);

impl Aliases {
    pub(crate) fn add(&mut self, later: u64, first: u64) {
        self.0.push((later, first));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives whole records of the kernel's the ids that files know.
    pub(crate) fn apply(&self, records: &mut [u8]) {
        let mut rest = records;
        while rest.len() >= HEADER_SIZE {
            let size = usize::from(u16::from_ne_bytes([rest[6], rest[7]]));
            if size < HEADER_SIZE || size > rest.len() {
                return;
            }
            let kind = RecordType(u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]));
            let (record, others) = rest.split_at_mut(size);
            // A sample begins with its id, all others end with it; a LOST record also begins with that of its ring.
            if matches!(kind, RecordType::SAMPLE | RecordType::LOST) {
                self.rename(record, HEADER_SIZE);
            }
            if kind != RecordType::SAMPLE {
                self.rename(record, size - 8);
            }
            rest = others;
        }
    }

    fn rename(&self, record: &mut [u8], at: usize) {
        let Some(id) = record.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).filter(|_| at >= HEADER_SIZE)
        else {
            return;
        };
        if let Some((_, first)) = self.0.iter().find(|(later, _)| later.to_ne_bytes() == *id) {
            *id = first.to_ne_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordType, words: &[u64]) -> Vec<u8> {
        let size = (HEADER_SIZE + 8 * words.len()) as u16;
        let header = [&kind.0.to_ne_bytes()[..], &0u16.to_ne_bytes(), &size.to_ne_bytes()].concat();
        header.into_iter().chain(words.iter().flat_map(|word| word.to_ne_bytes())).collect()
    }

    #[test]
    fn records_of_later_events_have_the_ids_that_files_know() {
        let aliases = Aliases(vec![(70, 7), (80, 8)]);
        let mut records = [
            record(RecordType::SAMPLE, &[70, 70, 80]),
            record(RecordType::LOST, &[80, 70, 70]),
            record(RecordType::EXIT, &[70, 80]),
            record(RecordType::EXIT, &[70, 9]),
        ]
        .concat();
        aliases.apply(&mut records);
        let wanted = [
            record(RecordType::SAMPLE, &[7, 70, 80]),
            record(RecordType::LOST, &[8, 70, 7]),
            record(RecordType::EXIT, &[70, 8]),
            record(RecordType::EXIT, &[70, 9]),
        ];
        assert_eq!(records, wanted.concat());
    }

    #[test]
    fn what_is_no_record_is_left_as_it_is() {
        let aliases = Aliases(vec![(70, 7)]);
        for mut bytes in [vec![], vec![1; 7], record(RecordType::EXIT, &[]), vec![0xff; 24], vec![0; 24]] {
            let before = bytes.clone();
            aliases.apply(&mut bytes);
            assert_eq!(bytes, before);
        }
    }
}
