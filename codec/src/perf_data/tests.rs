//! The container as a whole: what is written is read, in pieces of any size, in both byte orders, damaged or not. Not
//! here: the layout of single records.

use super::*;
use crate::byte_order::Order;
use crate::encode::{Comm, Encode, Fork, Namespaces, TaskIds};
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use crate::wire::header::{Header, RecordType};
use crate::wire::namespaces::NsId;
use crate::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use crate::wire::{BigEndian, Endian, LittleEndian};
use proptest::prelude::*;
use zerocopy::byteorder::{U16, U32, U64};
use zerocopy::IntoBytes;

const FIELDS: SampleType =
    SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0);

/// A growing file.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Output for &mut Memory {
    type Error = ();

    fn write_at<'a>(&mut self, offset: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), ()> {
        let (at, bytes) = (offset as usize, pieces.into_iter().collect::<Vec<_>>().concat());
        self.0.resize(self.0.len().max(at + bytes.len()), 0);
        self.0[at..at + bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }
}

/// All that a decoder says: records with their offset and time, and faults.
#[derive(Debug, Default, PartialEq)]
struct Said {
    records: Vec<(u64, u32, Option<u64>, Vec<u8>)>,
    faults: Vec<Error>,
}

impl Visitor for Said {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let time = session.time(&record);
        self.records.push((record.offset(), record.kind().0, time, record.bytes().to_vec()));
    }

    fn fault(&mut self, error: Error) {
        self.faults.push(error);
    }
}

type Heard = (Said, Result<(), Error>, Vec<(Feature, Vec<u8>)>, Vec<Attr<LittleEndian>>);

fn decode(mut decoder: Decoder, bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> Heard {
    let mut said = Said::default();
    let mut result = Ok(());
    let mut rest = bytes;
    while !rest.is_empty() && result.is_ok() {
        let len = sizes.next().unwrap_or(1).clamp(1, rest.len());
        let (chunk, behind) = rest.split_at(len);
        result = decoder.push(chunk, &mut said);
        rest = behind;
    }
    let result = result.and_then(|()| decoder.finish(&mut said));
    let session = decoder.session();
    let features = session.features().map(|feature| (feature, session.feature(feature).unwrap().to_vec())).collect();
    (said, result, features, session.events().iter().map(|event| event.attr).collect())
}

fn whole(bytes: &[u8]) -> Heard {
    decode(Decoder::new(), bytes, core::iter::repeat(usize::MAX))
}

fn attr<O: Order>() -> Attr<O> {
    let mut attr = Attr::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::NAMESPACES | AttrFlags::TASK | AttrFlags::COMM);
    attr.sample_type.set(FIELDS.0);
    attr
}

fn put<O: Order>(to: &mut Vec<u8>, record: &impl Encode, time: u64) {
    let layout = SampleIdLayout::new(FIELDS);
    let id = SampleId { pid: Some(1), tid: Some(1), time: Some(time), cpu: Some(0), id: Some(5), stream_id: None };
    let mut buf = [0u8; 4096];
    let size = record.encode::<O>(0, layout, &id, &mut buf).unwrap();
    to.extend(&buf[..size]);
}

/// Records of three types and many sizes.
fn records<O: Order>(count: u32) -> Vec<u8> {
    let mut bytes = vec![];
    for n in 0..count {
        let links = [NsId { dev: 4, ino: u64::from(n) }; 7];
        match n % 3 {
            0 => put::<O>(&mut bytes, &Namespaces { pid: n, tid: n, links: &links }, u64::from(n)),
            1 => put::<O>(&mut bytes, &Comm { pid: n, tid: n, comm: &[b'c'; 40][..n as usize % 40] }, u64::from(n)),
            _ => put::<O>(&mut bytes, &Fork(TaskIds { pid: n, tid: n, ..TaskIds::default() }), u64::from(n)),
        }
    }
    bytes
}

fn file<O: Order>(count: u32) -> Vec<u8> {
    let mut memory = Memory::default();
    let attr = attr::<O>();
    let features: [(Feature, &[u8]); 2] = [(Feature::HOSTNAME, &[1, 2, 3]), (Feature::OSRELEASE, &[4; 20])];
    let events = [AttrIds { attr: &attr, ids: &[5, 6] }];
    let mut writer = FileWriter::begin(&mut memory, &events, &features).unwrap();
    for record in records::<O>(count).chunks(100) {
        writer.append(&[record]).unwrap();
    }
    memory.0
}

fn user<O: Order>(to: &mut Vec<u8>, kind: RecordType, body: &[u8], payload: &[u8]) {
    let size = U16::new(8 + body.len() as u16);
    to.extend(Header::<O> { kind: U32::new(kind.0), misc: U16::new(0), size }.as_bytes());
    to.extend(body);
    to.extend(payload);
}

/// A pipe as perf writes it: metadata and payloads amid the records.
fn pipe<O: Order>(count: u32) -> Vec<u8> {
    let magic = if O::ENDIAN == Endian::Little { MAGIC_LE } else { MAGIC_BE };
    let mut bytes = magic.to_vec();
    bytes.extend(U64::<O>::new(PIPE_HEADER_SIZE).as_bytes());
    let mut body = attr::<O>().as_bytes()[..96].to_vec();
    body.extend(U64::<O>::new(5).as_bytes());
    user::<O>(&mut bytes, RecordType::HEADER_ATTR, &body, &[]);
    let mut feature = U64::<O>::new(u64::from(Feature::HOSTNAME.0)).as_bytes().to_vec();
    feature.extend(b"machine\0");
    user::<O>(&mut bytes, RecordType::HEADER_FEATURE, &feature, &[]);
    let size: [U32<O>; 2] = [U32::new(40), U32::new(0)];
    user::<O>(&mut bytes, RecordType::HEADER_TRACING_DATA, size.as_bytes(), &[0xff; 40]);
    bytes.extend(records::<O>(count / 2));
    // 1000 bytes of a trace that look like records of size 0.
    let mut auxtrace = U64::<O>::new(1000).as_bytes().to_vec();
    auxtrace.resize(40, 0);
    user::<O>(&mut bytes, RecordType::AUXTRACE, &auxtrace, &[0; 1000]);
    bytes.extend(records::<O>(count - count / 2));
    user::<O>(&mut bytes, RecordType::FINISHED_ROUND, &[], &[]);
    bytes
}

/// Android's simpleperf has the formats of tracepoints within the record.
#[test]
fn tracing_data_of_simpleperf_is_passed_over() {
    fn check<O: Order>() {
        let mut bytes = pipe::<O>(10);
        let size = U32::<O>::new(40).as_bytes().to_vec();
        user::<O>(&mut bytes, RecordType::HEADER_TRACING_DATA, &[size, vec![0xee; 44]].concat(), &[]);
        bytes.extend(records::<O>(4));
        let heard = whole(&bytes);
        assert_eq!(heard, decode(Decoder::new(), &bytes, core::iter::repeat(1000)));
        let (said, result, ..) = heard;
        assert_eq!((said.faults, result), (vec![], Ok(())));
        let kernels = said.records.iter().filter(|(_, kind, ..)| *kind < RecordType::USER_START);
        assert_eq!(kernels.count(), 14);
    }
    check::<LittleEndian>();
    check::<BigEndian>();
}

/// A pipe as `perf record -z -o -` writes it: a frame that never ends, flushed at the end of each record that holds it.
#[cfg(feature = "zstd")]
fn compressed<O: Order>(count: u32) -> Vec<u8> {
    use mzstd::{Compressor, EncoderStatus, Operation};
    let mut bytes = pipe::<O>(0);
    let mut compressor = Compressor::new(mzstd::EncoderConfig::default()).unwrap();
    let mut stream = compressor.start(mzstd::StreamConfig::default());
    for (index, mut plain) in records::<O>(count).chunks(700).enumerate() {
        let mut packed = vec![0; 2000];
        let mut size = 0;
        loop {
            let step = stream.process(plain, &mut packed[size..], Operation::Flush).unwrap();
            plain = &plain[step.consumed..];
            size += step.produced;
            if step.status != EncoderStatus::NeedsOutput {
                break;
            }
        }
        packed.truncate(size);
        // As perf before and since 6.16.
        if index % 2 == 0 {
            user::<O>(&mut bytes, RecordType::COMPRESSED, &packed, &[]);
        } else {
            let mut body = U64::<O>::new(size as u64).as_bytes().to_vec();
            body.extend(packed);
            body.resize(body.len().next_multiple_of(8), 0);
            user::<O>(&mut bytes, RecordType::COMPRESSED2, &body, &[]);
        }
    }
    bytes
}

/// Compressed records are those that were not, each as soon as the record that holds its end has been read.
#[cfg(feature = "zstd")]
#[test]
fn compressed_records_are_read() {
    fn check<O: Order>() {
        let kernel = |said: &Said| -> Vec<Vec<u8>> {
            let records = said.records.iter().filter(|(_, kind, ..)| *kind < RecordType::USER_START);
            records.map(|(_, _, _, bytes)| bytes.clone()).collect()
        };
        let plain = kernel(&whole(&file::<O>(60)).0);
        let bytes = compressed::<O>(60);
        let (said, result, ..) = whole(&bytes);
        assert_eq!((said.faults.as_slice(), result), (&[][..], Ok(())));
        assert!(kernel(&said) == plain);
        // Every record is at the offset of the one that held its end.
        let packed: Vec<_> = said.records.iter().filter(|(_, kind, ..)| RecordType(*kind).is_compressed()).collect();
        assert!(packed.len() > 5);
        for (offset, kind, ..) in &said.records {
            assert!(*kind >= RecordType::USER_START || packed.iter().any(|(at, ..)| at == offset));
        }
        // A stream that ends in the middle of a record says so and has given all before it.
        let cut = packed[3].0 as usize;
        let (said, ..) = whole(&bytes[..cut]);
        assert!(plain.starts_with(&kernel(&said)) && kernel(&said).len() > 10);
        assert_eq!(said.faults, [Error::new(cut as u64, ErrorKind::Decompression)]);
        // Damage costs what lies behind it, up to a new frame.
        let mut damaged = bytes.clone();
        damaged[cut + 20..cut + 60].fill(0xff);
        damaged.extend(&compressed::<O>(30)[16..]);
        let (said, ..) = whole(&damaged);
        assert_eq!(said.faults.first(), Some(&Error::new(cut as u64, ErrorKind::Decompression)));
        assert!(kernel(&said).ends_with(&plain[..30]) && kernel(&said).len() > 40, "{}", kernel(&said).len());
        // So does a hole, behind which records begin anywhere.
        let mut holed = bytes.clone();
        holed[cut - 16..cut + 100].fill(0);
        holed.extend(&compressed::<O>(60)[16..]);
        let (said, ..) = whole(&holed);
        assert!(kernel(&said).ends_with(&plain) && kernel(&said).len() > 70, "{}", kernel(&said).len());
    }
    check::<LittleEndian>();
    check::<BigEndian>();
}

#[test]
fn what_was_written_is_read() {
    fn check<O: Order>() {
        let (said, result, features, attrs) = whole(&file::<O>(30));
        assert_eq!((said.faults.len(), result), (0, Ok(())));
        assert_eq!(said.records.len(), 30);
        assert!(said.records.iter().enumerate().all(|(n, (_, _, time, _))| *time == Some(n as u64)));
        assert_eq!(features, [(Feature::HOSTNAME, vec![1, 2, 3]), (Feature::OSRELEASE, vec![4; 20])]);
        assert_eq!(attrs, [attr::<LittleEndian>()]);

        let (said, result, features, attrs) = whole(&pipe::<O>(30));
        assert_eq!((said.faults.len(), result), (0, Ok(())));
        assert_eq!(said.records.iter().filter(|(_, kind, ..)| *kind < RecordType::USER_START).count(), 30);
        assert_eq!(features, [(Feature::TRACING_DATA, vec![0xff; 40]), (Feature::HOSTNAME, b"machine\0".to_vec())]);
        assert_eq!(attrs, [attr::<LittleEndian>()]);
    }
    check::<LittleEndian>();
    check::<BigEndian>();
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let bytes = file::<LittleEndian>(3000);
    let mut decoder = Decoder::new();
    let mut said = Said::default();
    for chunk in bytes.chunks(1000) {
        decoder.push(chunk, &mut said).unwrap();
        assert!(decoder.held() <= 200, "{} bytes are held between chunks", decoder.held());
    }
    assert_eq!(said.records.len(), 3000);
}

#[test]
fn a_writer_that_was_killed_leaves_all_it_appended() {
    let mut bytes = file::<LittleEndian>(30);
    let data_size = core::mem::offset_of!(FileHeader<LittleEndian>, data) + 8;
    // Killed between a record and the size: the data is longer than the header says, and is read all the same.
    let size = u64::from_le_bytes(bytes[data_size..data_size + 8].try_into().unwrap());
    let last = whole(&bytes).0.records[29].3.len() as u64;
    bytes[data_size..data_size + 8].copy_from_slice(&(size - last).to_le_bytes());
    assert_eq!(whole(&bytes).0.records.len(), 30);
    // perf, killed, leaves a size of 0: the data reaches to the end, where the table is no record.
    bytes[data_size..data_size + 8].fill(0);
    let (said, result, ..) = whole(&bytes);
    assert_eq!((said.records.len(), result), (30, Ok(())));
    // A file cut anywhere in its data gives all whole records before the cut.
    let bytes = file::<LittleEndian>(30);
    let all = whole(&bytes).0;
    for cut in (all.records[0].0 as usize..bytes.len()).step_by(7) {
        let (said, ..) = whole(&bytes[..cut]);
        let before = all.records.iter().filter(|(at, _, _, record)| *at as usize + record.len() <= cut).count();
        assert_eq!(said.records.len(), before, "cut at {cut}");
    }
}

/// What is wrong within the data costs nothing behind it.
#[test]
fn the_features_are_found_behind_damaged_data() {
    let good = file::<LittleEndian>(30);
    let all = whole(&good);
    let last = all.0.records[29].0;
    let in_data = |bytes: &[u8]| {
        let at = core::mem::offset_of!(FileHeader<LittleEndian>, data);
        let (from, size) = (&bytes[at..at + 8], &bytes[at + 8..at + 16]);
        [from, size].map(|word| u64::from_le_bytes(word.try_into().unwrap()))
    };
    let [from, size] = in_data(&good);
    let table = (from + size) as usize;

    // The last record says that it is longer than the data.
    let mut bytes = good.clone();
    let at = last as usize + 6;
    let stated = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    bytes[at..at + 2].copy_from_slice(&(stated + 8).to_le_bytes());
    // An AUXTRACE whose payload would reach over the end; a record of size 0 in the middle.
    let mut auxtrace = good.clone();
    let mut body = u64::MAX.to_le_bytes().to_vec();
    body.resize(stated as usize - 8, 0);
    let mut record = vec![];
    user::<LittleEndian>(&mut record, RecordType::AUXTRACE, &body, &[]);
    auxtrace[last as usize..table].copy_from_slice(&record);
    let mut empty = good.clone();
    let middle = all.0.records[10].0;
    empty[middle as usize + 6..][..2].fill(0);

    let needed = u32::from(stated) + 8;
    let short = Error::new(last, ErrorKind::Truncated { needed, room: u32::from(stated) });
    let zero = Error::new(middle, ErrorKind::RecordSize { size: 0 });
    let left_out = Error::new(middle, ErrorKind::NoRecord { bytes: all.0.records[11].0 - middle });
    for (bytes, count, faults) in [(bytes, 29, vec![short]), (auxtrace, 30, vec![]), (empty, 29, vec![zero, left_out])]
    {
        let (said, result, features, _) = whole(&bytes);
        assert_eq!((said.records.len(), said.faults, result, &features), (count, faults, Ok(()), &all.2));
    }

    // A pipe that ends within a record says where that record begins.
    let pipe = pipe::<LittleEndian>(3);
    let (said, ..) = whole(&pipe[..pipe.len() - 9]);
    let (offset, _, _, record) = said.records.last().unwrap();
    let [fault] = said.faults[..] else { panic!("{:?}", said.faults) };
    assert_eq!(fault.offset, offset + record.len() as u64);
}

/// A hole of zeros, as a file has where a machine lost its power: the records behind it are read, whatever the chunks.
#[test]
fn behind_a_hole_records_are_found_again() {
    fn check(good: &[u8]) {
        let (all, ..) = whole(good);
        let ends = |record: &(u64, u32, Option<u64>, Vec<u8>)| record.0 as usize + record.3.len();
        let is_kernels = |record: &&(u64, u32, Option<u64>, Vec<u8>)| record.2.is_some();
        let first = all.records.iter().find(is_kernels).unwrap().0 as usize;
        let last = ends(all.records.last().unwrap());
        let mut kept_behind = 0;
        for at in (first..last).step_by(40) {
            for len in [8, 56, 512, 4096] {
                let hole = at..last.min(at + len);
                let mut bytes = good.to_vec();
                bytes[hole.clone()].fill(0);
                let one = whole(&bytes);
                // All are there that the hole leaves whole; but an AUXTRACE right behind it, whose payload is no record.
                let touched = |record: &&(u64, u32, Option<u64>, Vec<u8>)| {
                    ends(record) > hole.start && (record.0 as usize) < hole.end
                };
                let whole_ones = all.records.iter().filter(|record| !touched(record) && is_kernels(record));
                for record in whole_ones {
                    assert!(one.0.records.contains(record), "{hole:?} in {first}..{last}: {record:?}");
                    kept_behind += u32::from(record.0 as usize > hole.end);
                }
                // None is made up: but for those that the hole is within. One that goes on in the hole is left out.
                let new = one.0.records.iter().filter(|record| !all.records.contains(record));
                for record in new {
                    assert!(ends(record) >= hole.end && (record.0 as usize) < hole.end, "{hole:?}: {record:?}");
                }
                for size in [1, 7, 8, 100, 5000] {
                    assert_eq!(decode(Decoder::new(), &bytes, core::iter::repeat(size)), one, "{hole:?} by {size}");
                }
                let left_out = |fault: &&Error| matches!(fault.kind, ErrorKind::NoRecord { .. });
                let damages = one.0.faults.iter().filter(|fault| matches!(fault.kind, ErrorKind::RecordSize { .. }));
                assert_eq!(
                    one.0.faults.iter().filter(left_out).count(),
                    damages.count(),
                    "{hole:?}: {:?}",
                    one.0.faults
                );
            }
        }
        assert!(kept_behind > 1000, "{kept_behind}");
    }
    check(&file::<LittleEndian>(60));
    check(&file::<BigEndian>(60));
    check(&pipe::<LittleEndian>(40));
}

/// A machine may lose its power when the records are on its disk and the header is not yet.
#[test]
fn a_header_that_is_older_than_the_records_costs_none() {
    let records = records::<LittleEndian>(30);
    let attr = attr::<LittleEndian>();
    let features: [(Feature, &[u8]); 2] = [(Feature::HOSTNAME, &[1, 2, 3]), (Feature::OSRELEASE, &[4; 20])];
    let events = [AttrIds { attr: &attr, ids: &[5, 6] }];
    let mut memory = Memory::default();
    let mut headers = vec![];
    {
        let mut writer = FileWriter::begin(&mut memory, &events, &features).unwrap();
        for record in crate::Records::<LittleEndian>::new(&records, 0) {
            writer.append(&[record.unwrap().bytes()]).unwrap();
            headers.push(writer.output().0[..104].to_vec());
        }
    }
    let good = whole(&memory.0);
    headers.pop();
    for (count, header) in headers.iter().enumerate() {
        let mut bytes = memory.0.clone();
        bytes[..104].copy_from_slice(header);
        let old = whole(&bytes);
        assert_eq!(old.0.records, good.0.records, "header of {} records", count + 1);
        let at = old.0.records[count + 1].0;
        assert_eq!(old.0.faults[0], Error::new(at, ErrorKind::OldHeader));
        assert_eq!(decode(Decoder::new(), &bytes, core::iter::repeat(9)), old);
        // The metadata alone is as far as the header knows it.
        let mut decoder = Decoder::metadata_only();
        let mut said = Said::default();
        decoder.push(&bytes, &mut said).unwrap();
        assert!(decoder.is_done() && said == Said::default());
    }
}

/// Bytes that are like records again and again, with damage between: found as fast as they are read.
#[test]
fn damage_without_end_is_read_in_time_and_memory_of_the_input() {
    let mut bytes = pipe::<LittleEndian>(4);
    let records = records::<LittleEndian>(4);
    for _ in 0..20_000 {
        bytes.extend(&records);
        bytes.extend([0; 8]);
    }
    let mut decoder = Decoder::new();
    let mut said = Said::default();
    for chunk in bytes.chunks(1 << 16) {
        decoder.push(chunk, &mut said).unwrap();
        assert!(decoder.held() < 1 << 19);
    }
    decoder.finish(&mut said).unwrap();
    assert!(said.records.len() > 80_000, "{}", said.records.len());
}

#[test]
fn headers_that_cannot_be_are_refused_at_their_offset() {
    let good = file::<LittleEndian>(1);
    let refused = |at: usize, value: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        whole(&bytes).1.unwrap_err()
    };
    assert_eq!(refused(0, 7), Error::new(0, ErrorKind::Magic));
    assert_eq!(refused(8, 64), Error::new(8, ErrorKind::HeaderSize { size: 64 }));
    assert!(matches!(refused(16, 15), Error { offset: 16, kind: ErrorKind::Attr { size: 15, .. } }));
    assert!(matches!(refused(24, u64::MAX), Error { offset: 24, kind: ErrorKind::Section { .. } }));
    assert!(matches!(refused(40, 50), Error { offset: 40, kind: ErrorKind::Section { at: 50, .. } }));
    assert!(matches!(refused(40, 1 << 40).kind, ErrorKind::Limit { .. }));
    assert!(matches!(whole(&[]).1.unwrap_err().kind, ErrorKind::Magic | ErrorKind::Truncated { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The size of the chunks makes no difference: not to the records, not to what is damaged, not to the metadata.
    #[test]
    fn chunks_make_no_difference(
        count in 0u32..60, big: bool, form in 0u8..3,
        sizes in proptest::collection::vec(prop_oneof![Just(1usize), 1usize..20, 1usize..2000], 1..50),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = match (big, form) {
            (false, 0) => file::<LittleEndian>(count),
            (true, 0) => file::<BigEndian>(count),
            #[cfg(feature = "zstd")]
            (false, 1) => compressed::<LittleEndian>(count),
            #[cfg(feature = "zstd")]
            (true, 1) => compressed::<BigEndian>(count),
            (false, _) => pipe::<LittleEndian>(count),
            (true, _) => pipe::<BigEndian>(count),
        };
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let expected = whole(&bytes);
        prop_assert_eq!(&decode(Decoder::new(), &bytes, sizes.into_iter().cycle()), &expected);
        prop_assert_eq!(&decode(Decoder::new(), &bytes, core::iter::repeat(1)), &expected);
    }

    #[test]
    fn any_bytes_behind_any_header_come_to_an_end(
        mut bytes in proptest::collection::vec(prop_oneof![2 => Just(0u8), 1 => any::<u8>(), 1 => 0u8..90], 0..3000),
        header in 0u8..5,
    ) {
        let (magic, size) = [(MAGIC_LE, 16u64), (MAGIC_BE, 16), (MAGIC_LE, 104), (MAGIC_BE, 104), ([0; 8], 0)][usize::from(header)];
        if bytes.len() >= 16 && header < 4 {
            bytes[..8].copy_from_slice(&magic);
            let size = if magic == MAGIC_LE { size.to_le_bytes() } else { size.to_be_bytes() };
            bytes[8..16].copy_from_slice(&size);
        }
        prop_assert_eq!(&decode(Decoder::new(), &bytes, core::iter::repeat(13)), &whole(&bytes));
    }
}

/// Each is looked at once, not once for each that is behind it.
#[test]
fn a_file_may_have_very_many_events() {
    const EVENTS: u32 = 50_000;
    let ids: Vec<u64> = (0..u64::from(EVENTS)).collect();
    let attr = attr::<LittleEndian>();
    let events: Vec<_> = ids.chunks(1).map(|ids| AttrIds { attr: &attr, ids }).collect();
    // Count, size of the attrs, which are left out; then of each: how many ids follow, length of the name, name.
    let mut names: Vec<u8> = [EVENTS, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    for event in 0..EVENTS {
        names.extend([0, 8].iter().flat_map(|word: &u32| word.to_le_bytes()));
        names.extend(std::format!("{event:07}\0").bytes());
    }
    let mut memory = Memory::default();
    let mut writer = FileWriter::begin(&mut memory, &events, &[(Feature::EVENT_DESC, &names)]).unwrap();
    writer.append(&[&records::<LittleEndian>(10)]).unwrap();
    let mut reader = super::Reader::new();
    let mut said = Said::default();
    while let Some(offset) = reader.wanted() {
        reader.push(&memory.0[offset as usize..], &mut said).unwrap();
    }
    let events = reader.session().events();
    assert_eq!((events.len(), events.last().unwrap().name.as_deref()), (EVENTS as usize, Some("0049999")));
    assert!(said.faults.is_empty());
}

/// What was written, in its order.
#[derive(Default)]
struct Writes(Vec<(usize, Vec<u8>)>);

impl Output for &mut Writes {
    type Error = ();

    fn write_at<'a>(&mut self, offset: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), ()> {
        self.0.push((offset as usize, pieces.into_iter().collect::<Vec<_>>().concat()));
        Ok(())
    }
}

/// A write stops anywhere: the file's records are at all times those of before or more, and it has all of its metadata
/// or says that it has none.
#[test]
fn a_file_whose_writer_is_killed_has_what_it_had() {
    let records = records::<LittleEndian>(30);
    let attr = attr::<LittleEndian>();
    let features: [(Feature, &[u8]); 2] = [(Feature::HOSTNAME, &[1, 2, 3]), (Feature::OSRELEASE, &[4; 20])];
    let events = [AttrIds { attr: &attr, ids: &[5, 6] }];
    let (mut metadata, mut writes) = (Memory::default(), Writes::default());
    FileWriter::begin(&mut metadata, &events, &features).unwrap();
    let mut writer = FileWriter::begin(&mut writes, &events, &features).unwrap();
    let sizes: Vec<usize> =
        crate::Records::<LittleEndian>::new(&records, 0).map(|r| r.unwrap().bytes().len()).collect();
    let (first, second) = (sizes[..10].iter().sum::<usize>(), sizes[..29].iter().sum::<usize>());
    for batch in [&records[..first], &records[first..second], &records[second..]] {
        let (one, other) = batch.split_at(batch.len().min(7));
        writer.append(&[one, &[], other]).unwrap();
    }

    let had = |file: &Memory| {
        let mut reader = super::Reader::new();
        let mut said = Said::default();
        while let Some(offset) = reader.wanted() {
            if reader.push(file.0.get(offset as usize..).unwrap_or_default(), &mut said).is_err() {
                break;
            }
        }
        let whole = reader.session().feature(Feature::OSRELEASE) == Some(&[4; 20][..]);
        let says_none = file.0.get(72..104).is_some_and(|bits| bits.iter().all(|&byte| byte == 0));
        (said.records.len(), whole, says_none)
    };
    let (mut file, mut least) = (Memory::default(), 0);
    for (offset, bytes) in writes.0 {
        let end = file.0.len();
        if end < metadata.0.len() {
            (&mut file).write_at(offset as u64, [&bytes[..]]).unwrap();
            continue;
        }
        // What is in the header is within a page: it is written as one.
        let cuts = if offset < 104 { 1 } else { bytes.len() };
        for cut in 0..cuts {
            let mut killed = Memory(file.0.clone());
            (&mut killed).write_at(offset as u64, [&bytes[..cut]]).unwrap();
            let (records, whole, says_none) = had(&killed);
            assert!(records >= least, "{records} of {least} at {offset} + {cut}");
            // A size of 0 may be that of a writer that does not tell it; features are not looked for then.
            let size_is_known = killed.0[48..56].iter().any(|&byte| byte != 0);
            assert!(whole != says_none || !size_is_known, "at {offset} + {cut} of {}", bytes.len());
        }
        (&mut file).write_at(offset as u64, [&bytes[..]]).unwrap();
        least = least.max(had(&file).0);
    }
    assert_eq!(had(&file), (30, true, false));
}
