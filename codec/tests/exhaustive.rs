//! The arithmetic of lengths, tried with every value that there is: a record's size in its header, its trailer, the texts
//! and counts that it is made of, and both sides of a small ring.
// An interpreter would take hours.
#![cfg(not(miri))]
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use nsscope_codec::encode::{Comm, Encode, Namespaces, Sink};
use nsscope_codec::ring::{Consumer, Mapping, Producer};
use nsscope_codec::wire::header::{Header, RecordType, HEADER_SIZE, MAX_RECORD_SIZE};
use nsscope_codec::wire::mmap_page::{DATA_HEAD, DATA_TAIL};
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{BigEndian, ErrorKind, LittleEndian, Order, RawRecord, Record};
use zerocopy::byteorder::{U16, U32};
use zerocopy::IntoBytes;

/// All trailers that there are: one for each subset of the six fields.
fn trailers() -> impl Iterator<Item = SampleIdLayout> {
    let bits: Vec<u64> = (0..64).map(|bit| 1 << bit).filter(|bit| SampleType::TRAILER.0 & bit != 0).collect();
    assert_eq!(bits.len(), 6);
    (0..1u32 << bits.len()).map(move |subset| {
        let fields = bits.iter().enumerate().filter(|(nth, _)| subset >> nth & 1 == 1).map(|(_, bit)| bit).sum();
        SampleIdLayout::new(SampleType(fields))
    })
}

/// What is read of a trailer in which all of this was written.
fn expected(layout: SampleIdLayout, id: SampleId) -> SampleId {
    let of = |field| layout.fields().has(field);
    SampleId {
        pid: id.pid.filter(|_| of(SampleType::TID)),
        tid: id.tid.filter(|_| of(SampleType::TID)),
        time: id.time.filter(|_| of(SampleType::TIME)),
        id: id.id.filter(|_| of(SampleType::ID) || of(SampleType::IDENTIFIER)),
        stream_id: id.stream_id.filter(|_| of(SampleType::STREAM_ID)),
        cpu: id.cpu.filter(|_| of(SampleType::CPU)),
    }
}

const ID: SampleId =
    SampleId { pid: Some(1), tid: Some(2), time: Some(3), id: Some(4), stream_id: Some(5), cpu: Some(6) };

#[test]
fn every_size_in_a_header_and_every_room_for_it() {
    let mut bytes = vec![0; usize::from(u16::MAX) + 2];
    for size in 0..=u16::MAX {
        bytes[6..8].copy_from_slice(&size.to_le_bytes());
        let wanted = usize::from(size);
        let rooms = [0, 1, HEADER_SIZE - 1, HEADER_SIZE, wanted.saturating_sub(1), wanted, wanted + 1, bytes.len()];
        for room in rooms {
            match RawRecord::<LittleEndian>::split(&bytes[..room], 0) {
                Ok((record, rest)) => {
                    assert!(wanted >= HEADER_SIZE && room >= wanted, "{size} in {room}");
                    assert_eq!((record.bytes().len(), record.body().len()), (wanted, wanted - HEADER_SIZE));
                    assert_eq!(rest.len(), room - wanted);
                }
                Err(error) if room < HEADER_SIZE => assert!(matches!(error.kind, ErrorKind::Truncated { .. })),
                Err(error) if wanted < HEADER_SIZE => assert!(matches!(error.kind, ErrorKind::RecordSize { .. })),
                Err(error) => assert!(room < wanted && matches!(error.kind, ErrorKind::Truncated { .. })),
            }
        }
    }
}

/// Every trailer, behind records of every size up to 512 bytes, and of those around the largest that a header can state.
fn every_trailer<O: Order>() {
    let mut buf = vec![0; MAX_RECORD_SIZE + 1024];
    let text = vec![b'x'; MAX_RECORD_SIZE + 512];
    let mut too_long = 0;
    for layout in trailers() {
        let largest = MAX_RECORD_SIZE - HEADER_SIZE - 8 - layout.size();
        for len in (0..512).chain(largest - 32..largest + 64) {
            let comm = Comm { pid: 7, tid: 8, comm: &text[..len] };
            let size = HEADER_SIZE + 8 + (len / 8 + 1) * 8 + layout.size();
            match comm.encode::<O>(3, layout, &ID, &mut buf) {
                Ok(written) => assert_eq!((written, written % 8), (size, 0)),
                Err(error) => {
                    assert!(size > MAX_RECORD_SIZE && matches!(error.kind, ErrorKind::TooLong { .. }), "{error}");
                    too_long += 1;
                    continue;
                }
            }
            let (raw, rest) = RawRecord::<O>::split(&buf[..size], 0).unwrap();
            assert!(rest.is_empty() && raw.kind() == RecordType::COMM && raw.misc() == 3);
            let Record::Comm(read) = raw.parse().unwrap() else { panic!("{raw:?}") };
            assert_eq!((read.fixed.pid.get(), read.fixed.tid.get(), read.comm.len()), (7, 8, len));
            assert_eq!(raw.sample_id(layout).unwrap(), expected(layout, ID));
        }
        // A record that is too short for its trailer has none.
        for size in HEADER_SIZE..HEADER_SIZE + 64 {
            let header = Header::<O> { kind: U32::new(0), misc: U16::new(0), size: U16::new(size as u16) };
            buf[..HEADER_SIZE].copy_from_slice(header.as_bytes());
            let (raw, _) = RawRecord::<O>::split(&buf, 0).unwrap();
            assert_eq!(raw.sample_id(layout).is_ok(), size >= HEADER_SIZE + layout.size());
        }
    }
    assert!(too_long > 64 * 16);
}

#[test]
fn every_trailer_behind_every_length() {
    every_trailer::<LittleEndian>();
    every_trailer::<BigEndian>();
}

#[test]
fn every_count_of_namespaces_in_every_room() {
    let links = vec![NsId { dev: 4, ino: 0xf000_0001 }; 5000];
    let mut buf = vec![0; MAX_RECORD_SIZE];
    for count in 0..links.len() {
        let record = Namespaces { pid: 1, tid: 2, links: &links[..count] };
        let size = HEADER_SIZE + 16 + 16 * count;
        assert_eq!(
            record.encode::<LittleEndian>(0, SampleIdLayout::NONE, &ID, &mut buf).ok(),
            (size <= MAX_RECORD_SIZE).then_some(size)
        );
        if size <= MAX_RECORD_SIZE {
            let (raw, _) = RawRecord::<LittleEndian>::split(&buf[..size], 0).unwrap();
            let Record::Namespaces(read) = raw.parse().unwrap() else { panic!("{raw:?}") };
            assert_eq!(read.links.len(), count);
        }
    }
    // What is counted is there, or the record is refused: for each size, and for each count up to more than fit, and the
    // counts whose bytes are no number of 64 bits.
    let huge = (0..64).flat_map(|bit| [1u64 << bit, (1u64 << bit).wrapping_sub(1), u64::MAX - (1 << bit)]);
    let counts: Vec<u64> = (0..40).chain(huge).collect();
    for size in HEADER_SIZE..512 {
        buf[..8].copy_from_slice(&[&16u32.to_le_bytes()[..], &[0, 0], &(size as u16).to_le_bytes()].concat());
        for &count in &counts {
            if size >= 24 {
                buf[16..24].copy_from_slice(&count.to_le_bytes());
            }
            let (raw, _) = RawRecord::<LittleEndian>::split(&buf[..size], 0).unwrap();
            match raw.parse() {
                Ok(Record::Namespaces(read)) => assert_eq!(read.links.len() as u64, count),
                Ok(other) => panic!("{other:?}"),
                Err(_) => assert!(size < 24 || count > (size as u64 - 24) / 16, "{count} in {size}"),
            }
        }
    }
}

const PAGE: usize = 4096;
const DATA: usize = 64;

/// A ring of 64 bytes, with its head and tail where they are wanted. The memory stays as long as the ring.
struct Ring(Vec<u64>);

impl Ring {
    fn new(head: u64, tail: u64) -> (Self, Mapping) {
        let mut memory = vec![0u64; (PAGE + DATA) / 8];
        // SAFETY: the vector is aligned, as long as said, and outlives the mapping.
        let mapping = unsafe { Mapping::create(memory.as_mut_ptr().cast(), PAGE + DATA, PAGE) }.unwrap();
        memory[DATA_HEAD / 8] = head;
        memory[DATA_TAIL / 8] = tail;
        (Self(memory), mapping)
    }
}

/// Where positions begin: at 0, and where they wrap around.
fn bases() -> impl Iterator<Item = u64> {
    (0..DATA as u64 * 2).chain((0..DATA as u64 * 2).map(|before| u64::MAX - before))
}

#[test]
fn every_head_and_tail_that_a_consumer_can_find() {
    for tail in bases() {
        // Also heads that no producer has made.
        for ahead in (0..DATA as u64 * 3).chain([1 << 32, 1 << 63, u64::MAX - 1, u64::MAX]) {
            let (_memory, mapping) = Ring::new(tail.wrapping_add(ahead), tail);
            let consumer = Consumer::new(mapping);
            let available = consumer.available();
            assert_eq!(available.len() as u64, ahead.min(DATA as u64), "{ahead} behind {tail}");
            assert!(available.first.len() <= DATA - (tail as usize & (DATA - 1)));
        }
    }
}

#[test]
fn every_reservation_that_a_producer_can_be_asked_for() {
    for tail in bases().filter(|tail| tail.is_multiple_of(8)) {
        for used in (0..=DATA as u64).step_by(8) {
            for size in 0..=DATA + 17 {
                let head = tail.wrapping_add(used);
                let (memory, mapping) = Ring::new(head, tail);
                let mut producer = Producer::new(mapping);
                let fits = size.is_multiple_of(8) && size as u64 <= DATA as u64 - used;
                match producer.reserve(size) {
                    None => assert!(!fits && producer.lost() == 1, "{size} where {used} are used"),
                    Some(mut room) => {
                        assert!(fits, "{size} where {used} are used");
                        room.put(&vec![0xff; size]);
                        // There is room for no more.
                        room.put(&[0xee; 8]);
                        room.commit();
                    }
                }
                let written = if fits { size as u64 } else { 0 };
                assert_eq!(memory.0[DATA_HEAD / 8], head.wrapping_add(written));
                // What was reserved is written, and nothing else.
                for (word, value) in memory.0[PAGE / 8..].iter().enumerate() {
                    let behind = (word as u64 * 8).wrapping_sub(head) & (DATA as u64 - 1);
                    let is = if behind < written { u64::MAX } else { 0 };
                    assert_eq!(*value, is, "word {word} of {size} at {head}");
                }
            }
        }
    }
}
