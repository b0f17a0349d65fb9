//! What single records and errors say, where no capture of the other tests has them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use nsscope_codec::wire::header::{Header, RecordType, MISC_MMAP_BUILD_ID};
use nsscope_codec::wire::task_namespaces::{Reason, TaskNamespaces};
use nsscope_codec::{BigEndian, Error, ErrorKind, LittleEndian, Order, RawRecord, Record};
use zerocopy::byteorder::{U16, U32};
use zerocopy::IntoBytes;

/// An MMAP2 of a file whose identity is these bytes.
fn mmap2<O: Order>(misc: u16, file: [u8; 24]) -> Vec<u8> {
    let mut body = vec![0; 32];
    body.extend(file);
    body.extend([0; 8]);
    body.extend(b"/bin/sh\0");
    let size = U16::new(body.len() as u16 + 8);
    let header = Header::<O> { kind: U32::new(RecordType::MMAP2.0), misc: U16::new(misc), size };
    [header.as_bytes(), &body].concat()
}

#[test]
fn a_build_id_is_of_the_size_that_it_states_and_no_more() {
    fn check<O: Order>() {
        for (stated, len) in [(0, 0), (8, 8), (20, 20), (21, 20), (255, 20)] {
            let file: [u8; 24] = core::array::from_fn(|at| if at == 0 { stated } else { at as u8 });
            for misc in [0, MISC_MMAP_BUILD_ID] {
                let bytes = mmap2::<O>(misc, file);
                let (raw, _) = RawRecord::<O>::split(&bytes, 0).unwrap();
                let Record::Mmap2(map) = raw.parse().unwrap() else { panic!("{raw:?}") };
                assert_eq!(map.filename, b"/bin/sh");
                assert_eq!(map.build_id(), (misc != 0).then(|| &file[4..4 + len]));
            }
        }
    }
    check::<LittleEndian>();
    check::<BigEndian>();
}

#[test]
fn a_tasks_namespaces_are_the_same_in_either_order() {
    // No two bytes alike, so that a field that is left as it was, or in another's place, is seen.
    let raw: [u8; 76] = core::array::from_fn(|at| at as u8 + 1);
    let little = TaskNamespaces::<LittleEndian>::read(&raw).unwrap();
    let big = little.in_order::<BigEndian>();
    assert_eq!(big.in_order::<LittleEndian>(), little);
    assert_ne!(big.as_bytes(), raw);
    assert_eq!((big.tid.get(), big.cgroup.get(), big.levels.get()), (0x0c0b_0a09, 0x1817_1615_1413_1211, 0x2827_2625));
    assert_eq!(big.pids.map(U32::get), little.pids.map(U32::get));
    assert_eq!(TaskNamespaces::<BigEndian>::read(&raw[..75]), None);
    let names =
        [Reason::FOUND, Reason::FORK, Reason::UNSHARE, Reason::SETNS, Reason::EXEC, Reason(7)].map(Reason::name);
    assert_eq!(names, ["found", "fork", "unshare", "setns", "exec", "other"]);
}

/// Every message has every number that its error has, and where it was.
#[test]
fn errors_say_what_where_and_how_much() {
    let (needed, room, size) = (1111, 2222, 3333);
    let kinds = [
        (ErrorKind::Truncated { needed, room }, &["1111", "2222"][..]),
        (ErrorKind::RecordSize { size: 7 }, &["7 bytes"]),
        (ErrorKind::NoRecord { bytes: 4444 }, &["4444"]),
        (ErrorKind::OldHeader, &[]),
        (ErrorKind::Body { needed, room }, &["1111", "2222"]),
        (ErrorKind::NamespaceCount { count: 5555, room }, &["5555", "2222"]),
        (ErrorKind::Trailer { size, room }, &["3333", "2222"]),
        (ErrorKind::Sample { field: 23 }, &["bit 23"]),
        (ErrorKind::Attr { size, room }, &["3333", "2222"]),
        (ErrorKind::Space { needed, room }, &["1111", "2222"]),
        (ErrorKind::TooLong { size: 70_000 }, &["70000"]),
        (ErrorKind::Magic, &["PERFILE2"]),
        (ErrorKind::HeaderSize { size: 99 }, &["99", "104", "16"]),
        (ErrorKind::Section { at: 6666, size: 7777 }, &["6666", "7777"]),
        (ErrorKind::Compressed, &["zstd"]),
        (ErrorKind::Decompression, &[]),
        (ErrorKind::Limit { size: 8888, limit: 9999 }, &["8888", "9999"]),
    ];
    let mut said: Vec<String> = kinds
        .iter()
        .map(|&(kind, numbers)| {
            let said = Error { offset: 0x1234, kind }.to_string();
            assert!(said.starts_with("at byte 4660 (0x1234): "), "{said}");
            assert!(numbers.iter().all(|number| said.contains(number)), "{said}");
            said
        })
        .collect();
    let count = said.len();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), count);
}
