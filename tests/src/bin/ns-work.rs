//! Does one piece of the codec's work over and over, for an instruction counter to watch.
//!
//! `ns-work WORK RECORDS`

use nsscope_codec::encode::{Comm, Encode, Exit, Fork, Namespaces, TaskIds};
use nsscope_codec::perf_data::{AttrIds, Decoder, FileWriter};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{BigEndian, LittleEndian, Order};
use nsscope_tests::{Bytes, Sum};
use std::hint::black_box;

const LAYOUT: SampleIdLayout = SampleIdLayout::new(SampleType(
    SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0,
));

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (Some(work), Some(count)) = (args.get(1), args.get(2).and_then(|count| count.parse().ok())) else {
        eprintln!("ns-work WORK RECORDS");
        std::process::exit(2);
    };
    match work.as_str() {
        "walk-little" => drop(black_box(walk::<LittleEndian>(&records::<LittleEndian>(count)))),
        "walk-big" => drop(black_box(walk::<BigEndian>(&records::<BigEndian>(count)))),
        "write-only" => drop(black_box(records::<LittleEndian>(count))),
        "encode" => encode(count),
        "push-decoder" => push(&file(count)),
        "file-only" => drop(black_box(file(count))),
        other => {
            eprintln!("no work {other}");
            std::process::exit(2);
        }
    }
}

/// What a storm of forks leaves: FORK, NAMESPACES, COMM, EXIT.
fn records<O: Order>(count: u32) -> Vec<u8> {
    let mut bytes = vec![0; count as usize * 192];
    let mut at = 0;
    for n in 0..count {
        let id =
            SampleId { pid: Some(n), tid: Some(n), time: Some(n.into()), cpu: Some(1), id: Some(9), stream_id: None };
        let task = TaskIds { pid: n, ppid: 1, tid: n, ptid: 1, time: n.into() };
        let buf = &mut bytes[at..];
        let written = match n % 4 {
            0 => Fork(task).encode::<O>(0, LAYOUT, &id, buf),
            1 => Namespaces { pid: n, tid: n, links: &[NsId { dev: 4, ino: n.into() }; 7] }
                .encode::<O>(0, LAYOUT, &id, buf),
            2 => Comm { pid: n, tid: n, comm: b"ns-work" }.encode::<O>(0, LAYOUT, &id, buf),
            _ => Exit(task).encode::<O>(0, LAYOUT, &id, buf),
        };
        at += written.expect("room for it");
    }
    bytes.truncate(at);
    bytes
}

#[inline(never)]
fn walk<O: Order>(bytes: &[u8]) -> u64 {
    Sum::of::<O>(bytes)
}

#[inline(never)]
fn encode(count: u32) {
    let mut buf = [0u8; 256];
    let links = [NsId { dev: 4, ino: 7 }; 7];
    let id = SampleId { pid: Some(1), tid: Some(1), time: Some(1), cpu: Some(1), id: Some(9), stream_id: None };
    for n in 0..count {
        let record = Namespaces { pid: n, tid: n, links: black_box(&links) };
        let _ = black_box(record.encode::<LittleEndian>(0, black_box(LAYOUT), black_box(&id), &mut buf));
    }
}

fn file(count: u32) -> Vec<u8> {
    let mut attr = Attr::<LittleEndian>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::NAMESPACES);
    attr.sample_type.set(LAYOUT.fields().0);
    let mut memory = Bytes::default();
    let mut writer = FileWriter::begin(&mut memory, &[AttrIds { attr: &attr, ids: &[9] }], &[]).expect("memory");
    writer.append(&[&records::<LittleEndian>(count)[..]]).expect("memory");
    memory.0
}

#[inline(never)]
fn push(file: &[u8]) {
    let mut decoder = Decoder::new();
    let mut sum = Sum::default();
    for chunk in file.chunks(64 << 10) {
        decoder.push(chunk, &mut sum).expect("our own file");
    }
    black_box(sum.0);
}
