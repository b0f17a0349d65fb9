//! Reads a perf.data file or pipe and hands out its records in time order.

use crate::error::{Failure, Outcome, note};
use nsscope_codec::order::Sorter;
use nsscope_codec::perf_data::{Decoder, Session, Visitor};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{BigEndian, Endian, Error, ErrorKind, LittleEndian, Order, RawRecord};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Takes a capture's records in time order.
pub(crate) trait Consumer {
    /// A record of the kernel.
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()>;

    /// Whether nothing more is wanted.
    fn done(&self) -> bool {
        false
    }
}

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// How much of the records is held for sorting, in bytes; perf holds all between two FINISHED_ROUND.
const SORT_LIMIT: usize = 512 << 20;

/// Reads the capture at `path` (`-`: standard input) into `consumer`. Damage is told on standard error and costs
/// only what is damaged.
pub(crate) fn read<C: Consumer>(path: &Path, consumer: &mut C) -> Outcome<Session> {
    if path == Path::new("-") {
        return read_stream(&mut io::stdin().lock(), path, consumer);
    }
    let file = File::open(path).map_err(|e| Failure::file("open", path, &e))?;
    let metadata = file.metadata().map_err(|e| Failure::file("open", path, &e))?;
    if metadata.is_dir() {
        return Err(Failure::new(format!(
            "{} is a directory: perf record --threads writes one, and this reader wants a single file\n  \
             record without --threads, or name a file inside",
            path.display()
        )));
    }
    if !metadata.is_file() {
        return read_stream(&mut { file }, path, consumer);
    }
    read_file(&file, path, consumer)
}

/// A file is looked at twice: first for its metadata, part of which perf writes behind the records.
fn read_file<C: Consumer>(file: &File, path: &Path, consumer: &mut C) -> Outcome<Session> {
    let mut chunk = vec![0; CHUNK];
    let mut looker = Decoder::metadata_only();
    let mut ignore = Ignore;
    while !looker.is_done() {
        looker.skip(looker.skippable());
        let len =
            read_at(file, &mut chunk[..1 << 16], looker.position()).map_err(|e| Failure::file("read", path, &e))?;
        if len == 0 {
            break;
        }
        looker.push(&chunk[..len], &mut ignore).map_err(|e| not_perf_data(path, e))?;
        if looker.session().is_pipe() {
            break;
        }
    }

    let mut decoder = looker.restart();
    let mut ordered = Ordered::new(consumer);
    loop {
        decoder.skip(decoder.skippable());
        let len = read_at(file, &mut chunk, decoder.position()).map_err(|e| Failure::file("read", path, &e))?;
        if len == 0 || decoder.is_done() || ordered.stop() {
            break;
        }
        decoder.push(&chunk[..len], &mut ordered).map_err(|e| not_perf_data(path, e))?;
    }
    ordered.finish(decoder, path)
}

fn read_stream<C: Consumer>(input: &mut impl Read, path: &Path, consumer: &mut C) -> Outcome<Session> {
    let mut chunk = vec![0; CHUNK];
    let mut decoder = Decoder::new();
    let mut ordered = Ordered::new(consumer);
    loop {
        let len = match input.read(&mut chunk) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::file("read", path, &error)),
        };
        if len == 0 || ordered.stop() {
            break;
        }
        // A file's metadata may be behind its records: it is put aside to be looked at twice.
        if decoder.position() == 0 && is_file_mode(&chunk[..len]) {
            let mut spool = tempfile::tempfile()?;
            io::Write::write_all(&mut spool, &chunk[..len])?;
            io::copy(input, &mut spool)?;
            return read_file(&spool, path, ordered.consumer);
        }
        decoder.push(&chunk[..len], &mut ordered).map_err(|e| not_perf_data(path, e))?;
    }
    ordered.finish(decoder, path)
}

/// Whether a stream begins as a file does: magic, and not the pipe's header size.
fn is_file_mode(start: &[u8]) -> bool {
    matches!(start.get(8..16), Some(size) if size.contains(&104))
}

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn not_perf_data(path: &Path, error: Error) -> Failure {
    let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    let what = match error.kind {
        ErrorKind::Magic => "not a perf.data file (it does not begin with PERFILE2)".to_string(),
        ErrorKind::Truncated { room: 0, .. } if error.offset == 0 => "empty".to_string(),
        _ => format!("not readable as perf.data: {error}"),
    };
    Failure::new(format!("{name} is {what}\n  nsscope record and perf record write such files"))
}

struct Ignore;

impl Visitor for Ignore {
    fn record<O: Order>(&mut self, _: &Session, _: RawRecord<'_, O>) {}

    fn fault(&mut self, _: Error) {}
}

/// Sorts records within rounds on their way to the consumer.
struct Ordered<'c, C> {
    consumer: &'c mut C,
    sorter: Sorter<Held>,
    /// The bytes of the records held.
    held: Vec<u8>,
    /// Records that came when the consumer had failed are dropped.
    failed: Option<Failure>,
    faults: u64,
}

struct Held {
    bytes: Range<usize>,
    offset: u64,
}

impl<'c, C: Consumer> Ordered<'c, C> {
    fn new(consumer: &'c mut C) -> Self {
        Self { consumer, sorter: Sorter::new(usize::MAX), held: Vec::new(), failed: None, faults: 0 }
    }

    fn stop(&self) -> bool {
        self.failed.is_some() || self.consumer.done()
    }

    fn deliver<O: Order>(
        &mut self,
        session: &Session,
        drain: impl FnOnce(&mut Sorter<Held>, &mut dyn FnMut(u64, Held)),
    ) {
        let Self { consumer, sorter, held, failed, .. } = self;
        drain(sorter, &mut |_, Held { bytes, offset }| {
            let record = held.get(bytes).map(|bytes| RawRecord::<O>::split(bytes, offset));
            if let (Some(Ok((record, _))), None) = (record, &failed) {
                *failed = consumer.record(session, &record).err();
            }
        });
        // What is left moves to the front.
        let mut kept = Vec::new();
        for Held { bytes, .. } in sorter.values_mut() {
            let start = kept.len();
            kept.extend_from_slice(&held[bytes.clone()]);
            *bytes = start..kept.len();
        }
        if kept.is_empty() {
            held.clear();
        } else {
            *held = kept;
        }
    }

    fn finish(mut self, mut decoder: Decoder, path: &Path) -> Outcome<Session> {
        decoder.finish(&mut self).map_err(|e| not_perf_data(path, e))?;
        let session = decoder.session();
        match session.endian() {
            Some(Endian::Big) => self.deliver::<BigEndian>(session, |sorter, out| sorter.finish(out)),
            _ => self.deliver::<LittleEndian>(session, |sorter, out| sorter.finish(out)),
        }
        if self.faults > 1 {
            note(format_args!("{} faults in all; everything else was read", self.faults));
        }
        if self.sorter.late() > 0 {
            note(format_args!("{} records came too late to be put in order", self.sorter.late()));
        }
        match self.failed {
            Some(failure) => Err(failure),
            None => Ok(session.clone()),
        }
    }
}

impl<C: Consumer> Visitor for Ordered<'_, C> {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        if record.kind() == RecordType::FINISHED_ROUND {
            return self.deliver::<O>(session, |sorter, out| sorter.round(out));
        }
        if record.kind().is_user() || self.failed.is_some() {
            return;
        }
        match session.time(&record) {
            Some(time) if time != 0 && time != u64::MAX => {
                let start = self.held.len();
                self.held.extend_from_slice(record.bytes());
                let held = Held { bytes: start..self.held.len(), offset: record.offset() };
                let _ = self.sorter.push(time, held);
                if self.held.len() > SORT_LIMIT {
                    self.deliver::<O>(session, |sorter, out| sorter.overflow(out));
                }
            }
            // Without a time there is nothing to sort by; perf handles such records at once too.
            _ => self.failed = self.consumer.record(session, &record).err(),
        }
    }

    fn fault(&mut self, error: Error) {
        self.faults += 1;
        if self.faults == 1 {
            note(format_args!("the capture is damaged {error}"));
        }
    }
}
