//! Context switches without end: those of a real recording, one time after another, later each time.
//!
//! ```text
//! nsscope record -a --switch-events -o - > FILE
//! ns-repeat FILE COUNT    the same with COUNT switches or a few more, to stdout; to stderr what that is, as JSON
//! ```

use nsscope_codec::perf_data::{Decoder, Session, Visitor};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Error, Order, RawRecord};
use serde_json::json;
use std::io::{self, Write};

/// What is repeated: switches and the rounds that they came in, with where each has its time.
#[derive(Default)]
struct Repeated {
    bytes: Vec<u8>,
    /// Offset of each time in `bytes`.
    times: Vec<usize>,
    first: u64,
    last: u64,
    /// All that comes before the first switch.
    before: usize,
}

impl Visitor for Repeated {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let kind = record.kind();
        if kind == RecordType::SWITCH_CPU_WIDE {
            let time = session.time(&record).expect("a trailer");
            let at = record.bytes().windows(8).rposition(|bytes| bytes == time.to_ne_bytes()).expect("its time");
            if self.times.is_empty() {
                (self.before, self.first) = (record.offset() as usize, time);
            }
            self.times.push(self.bytes.len() + at);
            self.last = self.last.max(time);
            self.first = self.first.min(time);
        } else if kind != RecordType::FINISHED_ROUND || self.times.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(record.bytes());
    }

    fn fault(&mut self, error: Error) {
        panic!("{error}");
    }
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, count] = args.as_slice() else { return Err(io::Error::other("ns-repeat FILE COUNT")) };
    let count: u64 = count.parse().map_err(io::Error::other)?;
    let real = std::fs::read(file)?;
    let mut repeated = Repeated::default();
    let mut decoder = Decoder::new();
    decoder.push(&real, &mut repeated).map_err(io::Error::other)?;
    decoder.finish(&mut repeated).map_err(io::Error::other)?;
    let Repeated { bytes, times, first, last, before } = &mut repeated;
    if times.is_empty() {
        return Err(io::Error::other("no context switches"));
    }
    let span = *last - *first + 1;
    let rounds = count.div_ceil(times.len() as u64);
    let mut out = io::stdout().lock();
    out.write_all(&real[..*before])?;
    for round in 0..rounds {
        if round > 0 {
            for &at in times.iter() {
                let time: &mut [u8; 8] = bytes[at..].first_chunk_mut().expect("a time");
                *time = (u64::from_ne_bytes(*time) + span).to_ne_bytes();
            }
        }
        out.write_all(bytes)?;
    }
    eprintln!("{}", json!({"switches": rounds * times.len() as u64, "rounds": rounds, "length_ns": span * rounds}));
    Ok(())
}
