//! What the viewer's bench needs beside the viewer.
//!
//! ```text
//! large repeat FILE OUT MIB   a file of so many MiB: FILE's records over and over, each time later and with other pids
//! large timeline FILE...      reads each into a timeline a few times; prints the shortest, in seconds, a line each
//! ```
//!
//! FILE is one of `nsscope record --no-synth` of this machine: the events' layout is known.

use nsscope_codec::perf_data::FileHeader;
use nsscope_codec::wire::header::{HEADER_SIZE, RecordType};
use nsscope_codec::{Native, Records};
use nsscope_wasm::Trace;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::time::Instant;
use zerocopy::{FromBytes, IntoBytes};

/// How far the pids of one round are from those of the next: more than there are.
const PIDS: u32 = 1 << 16;

/// As the viewer does it.
const CHUNK: usize = 1 << 20;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["repeat", file, out, mib] => repeat(file, out, mib.parse::<u64>().map_err(io::Error::other)? << 20),
        ["timeline", files @ ..] => files.iter().try_for_each(|file| {
            let times = (0..5).map(|_| timeline(file)).collect::<io::Result<Vec<_>>>()?;
            println!("{}", times.into_iter().fold(f64::MAX, f64::min));
            Ok(())
        }),
        _ => Err(io::Error::other("see the top of large.rs")),
    }
}

/// Writes header, then the records until there are `size` bytes of them, then what was behind them.
fn repeat(file: &str, out: &str, size: u64) -> io::Result<()> {
    let bytes = std::fs::read(file)?;
    let (mut header, _) = FileHeader::<Native>::read_from_prefix(&bytes).map_err(|_| io::Error::other("no header"))?;
    let (start, len) = (header.data.offset.get() as usize, header.data.size.get() as usize);
    let records = &bytes[start..start + len];
    let times = times(records);
    let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
        return Err(io::Error::other("no times"));
    };
    let rounds = size.div_ceil(len as u64);
    header.data.size.set(rounds * len as u64);
    let behind = &bytes[start + len..];
    let mut out = BufWriter::with_capacity(CHUNK, File::create(out)?);
    out.write_all(&bytes[..start])?;
    for round in 0..rounds {
        out.write_all(&shifted(records, round as u32 * PIDS, round * (last - first + 1000)))?;
    }
    // The table of sections is behind the records, and tells offsets in the file.
    let moved = (rounds - 1) * len as u64;
    let sections = header.feature_bits().count();
    for section in behind[..sections * 16].chunks(16) {
        let offset = number(section, 0);
        let offset = if offset < start as u64 { offset } else { offset + moved };
        out.write_all(&offset.to_ne_bytes())?;
        out.write_all(&section[8..])?;
    }
    out.write_all(&behind[sections * 16..])?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(header.as_bytes())?;
    out.flush()
}

/// The times in the trailers, ns: TID, TIME, CPU, IDENTIFIER are the last four words.
fn times(records: &[u8]) -> Vec<u64> {
    let records = Records::<Native>::new(records, 0).map_while(Result::ok);
    let kernel = records.filter(|record| !record.kind().is_user() && record.kind() != RecordType::SAMPLE);
    kernel.map(|record| number(record.bytes(), record.bytes().len() - 24)).collect()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn shifted(records: &[u8], pids: u32, time: u64) -> Vec<u8> {
    let mut out = records.to_vec();
    let mut at = 0;
    while at < out.len() {
        let size = usize::from(u16::from_ne_bytes([out[at + 6], out[at + 7]]));
        let record = &mut out[at..at + size];
        let kind = RecordType(u32::from_ne_bytes([record[0], record[1], record[2], record[3]]));
        // Offsets of pids and of times.
        let (ids, at_times): (&[usize], &[usize]) = match kind {
            RecordType::FORK | RecordType::EXIT => (&[8, 12, 16, 20, size - 32, size - 28], &[24, size - 24]),
            RecordType::COMM | RecordType::NAMESPACES => (&[8, 12, size - 32, size - 28], &[size - 24]),
            // IDENTIFIER, TID, TIME.
            RecordType::SAMPLE => (&[16, 20], &[24]),
            _ if kind.is_user() || size < HEADER_SIZE + 32 => (&[], &[]),
            _ => (&[size - 32, size - 28], &[size - 24]),
        };
        for &id in ids {
            let pid = u32::from_ne_bytes(record[id..id + 4].try_into().expect("four bytes"));
            record[id..id + 4].copy_from_slice(&(pid + pids).to_ne_bytes());
        }
        for &at in at_times {
            let moved = number(record, at) + time;
            record[at..at + 8].copy_from_slice(&moved.to_ne_bytes());
        }
        at += size;
    }
    out
}

/// From chunks to a finished timeline, in seconds: what the viewer does, compiled for this machine.
fn timeline(file: &str) -> io::Result<f64> {
    let mut file = File::open(file)?;
    let begun = Instant::now();
    let mut trace = Trace::new(None);
    let mut chunk = vec![0; CHUNK];
    while let Some(offset) = trace.wanted() {
        file.seek(SeekFrom::Start(offset as u64))?;
        let len = file.read(&mut chunk)?;
        // Its error is one of JavaScript, which there is none of here.
        assert!(trace.push(&chunk[..len]).is_ok(), "no capture");
    }
    trace.finish();
    assert!(trace.duration() > 0.0, "a file without times");
    Ok(begun.elapsed().as_secs_f64())
}
