//! The same records as linux-perf-data, where both read a file without complaint.

use linux_perf_data::{PerfFileReader, PerfFileRecord};
use nsscope_codec::perf_data::{FileHeader, Reader, Session, Visitor};
use nsscope_codec::{Error, LittleEndian, Order, RawRecord, Records};
use nsscope_tests::{actor, cannot_record, needs, record};
use std::collections::BTreeMap;
use std::io::Cursor;
use zerocopy::FromBytes;

/// Records by type and size of the body.
type Counts = BTreeMap<(u32, usize), u32>;

#[derive(Default)]
struct Ours {
    counts: Counts,
    faults: u32,
}

impl Visitor for Ours {
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        if !record.kind().is_user() {
            *self.counts.entry((record.kind().0, record.body().len())).or_insert(0) += 1;
        }
    }

    fn fault(&mut self, _: Error) {
        self.faults += 1;
    }
}

fn ours(bytes: &[u8]) -> Option<Counts> {
    let (mut reader, mut ours) = (Reader::new(), Ours::default());
    while let Some(offset) = reader.wanted() {
        let rest = bytes.get(usize::try_from(offset).ok()?..).unwrap_or(&[]);
        reader.push(&rest[..rest.len().min(4096)], &mut ours).ok()?;
    }
    (ours.faults == 0).then_some(ours.counts)
}

/// What the peer reads; `None` where it complains or panics.
fn theirs(bytes: &[u8]) -> Option<Counts> {
    std::panic::catch_unwind(|| {
        let PerfFileReader { mut perf_file, mut record_iter } = PerfFileReader::parse_file(Cursor::new(bytes)).ok()?;
        let mut counts = Counts::new();
        while let Some(record) = record_iter.next_record(&mut perf_file).ok()? {
            if let PerfFileRecord::EventRecord { record, .. } = record {
                *counts.entry((record.record_type.0, record.data.len())).or_insert(0) += 1;
            }
        }
        Some(counts)
    })
    .ok()?
}

#[test]
fn whole_and_damaged_files_give_what_linux_perf_data_reads() {
    needs!("whole_and_damaged_files_give_what_linux_perf_data_reads", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &[actor().to_str().unwrap(), "storm", "50", "2"]);
    let good = std::fs::read(&file).unwrap();
    let whole = ours(&good).expect("our own file");
    assert_eq!(Some(&whole), theirs(&good).as_ref());
    assert!(whole.values().sum::<u32>() > 200);

    // Damage in the bodies alone: sizes in headers and metadata are what the peer allocates by.
    let (header, _) = FileHeader::<LittleEndian>::ref_from_prefix(&good).unwrap();
    let (at, size) = (header.data.offset.get() as usize, header.data.size.get() as usize);
    let mut bodies = Vec::new();
    for record in Records::<LittleEndian>::new(&good[at..at + size], at as u64) {
        let record = record.unwrap();
        let start = record.offset() as usize;
        bodies.extend(if record.kind().is_user() { 0..0 } else { start + 8..start + record.bytes().len() });
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (mut both, mut alone, mut differ) = (0, 0, Vec::new());
    for _ in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=next(3) {
            bytes[bodies[next(bodies.len())]] = next(256) as u8;
        }
        match (ours(&bytes), theirs(&bytes)) {
            (Some(ours), Some(theirs)) if ours == theirs => both += 1,
            (Some(ours), Some(theirs)) => differ.push((ours, theirs)),
            // One of the two complains of what the other passes over.
            _ => alone += 1,
        }
    }
    std::panic::set_hook(hook);
    println!("of 500 damaged files both read {both}, one alone or none {alone}");
    assert!(both > 300, "{both}");
    assert!(differ.is_empty(), "{} differ, the first: {:?}", differ.len(), differ[0]);
}
