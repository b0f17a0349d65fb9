//! `nsscope recover`: makes a capture that was cut off or damaged one that perf opens, with all records before the damage and
//! behind it. Where compressed records are damaged, those that are left are written as they were before.
//! Not here: what the records say.

use crate::args;
use crate::error::{Failure, Outcome, note};
use indicatif::{HumanBytes, HumanCount};
use nsscope_codec::perf_data::{
    Decoder, FILE_HEADER_SIZE, Feature, FileHeader, MAGIC_BE, MAGIC_LE, PIPE_HEADER_SIZE, Section, Session, Visitor,
    tracing,
};
use nsscope_codec::wire::header::{HEADER_SIZE, RecordType};
use nsscope_codec::{BigEndian, Error, ErrorKind, LittleEndian, Order, RawRecord};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use zerocopy::byteorder::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// `nsscope recover`.
pub(crate) fn run(args: &args::Recover) -> Outcome {
    let fail = |error: &io::Error| Failure::file("read", &args.file, error);
    let mut file = File::open(&args.file).map_err(|error| Failure::file("open", &args.file, &error))?;
    let mut start = [0; PIPE_HEADER_SIZE as usize];
    file.read_exact(&mut start).map_err(|error| fail(&error))?;
    match start[..8].try_into() {
        Ok(MAGIC_LE) => recover::<LittleEndian>(args, file, &start),
        Ok(MAGIC_BE) => recover::<BigEndian>(args, file, &start),
        _ => Err(Failure::new(format!(
            "{} does not begin as a perf.data file does (PERFILE2): there is nothing to recover",
            args.file.display()
        ))),
    }
}

fn recover<O: Order>(args: &args::Recover, mut file: File, start: &[u8]) -> Outcome {
    let fail = |error: &io::Error| Failure::file("read", &args.file, error);
    let too_short = || {
        let path = args.file.display();
        Failure::new(format!("{path} ends before its first record: there is nothing to recover"))
    };
    let len = file.metadata().map_err(|error| fail(&error))?.len();
    let size = U64::<O>::ref_from_bytes(&start[8..]).map_or(0, |size| size.get());
    let mut prologue = start.to_vec();
    if size == PIPE_HEADER_SIZE {
        let walked = walk::<O>(&mut file, start, (PIPE_HEADER_SIZE, len)).map_err(|error| fail(&error))?;
        return finish(args, &prologue, &walked, &[]);
    }
    prologue.resize(FILE_HEADER_SIZE as usize, 0);
    file.read_exact(&mut prologue[start.len()..]).map_err(|_| too_short())?;
    let mut header = FileHeader::<O>::read_from_bytes(&prologue).map_err(|_| too_short())?;
    let (data_at, data_size) = (header.data.offset.get(), header.data.size.get());
    if data_at < FILE_HEADER_SIZE || data_at > len {
        return Err(too_short());
    }
    let data_end = data_at.checked_add(data_size).filter(|&end| data_size > 0 && end <= len);
    // Where records are in place of the table of features, the header is older than they are: it tells of a part of them.
    let mut first = [0; 8];
    let mut is_table =
        |end: u64| file.read_exact_at(&mut first, end).is_err() || U64::<O>::from_bytes(first).get() < 1 << 48;
    let data_end = data_end.filter(|&end| header.feature_bits().next().is_none() || is_table(end));
    let attrs_end = header.attrs.offset.get().saturating_add(header.attrs.size.get());
    if attrs_end < FILE_HEADER_SIZE {
        return Err(too_short());
    }
    let formats_size = data_at.saturating_sub(attrs_end);
    let mut magic = [0; tracing::MAGIC.len()];
    let has_formats = formats_size >= magic.len() as u64
        && file.read_exact_at(&mut magic, attrs_end).is_ok()
        && magic == tracing::MAGIC;
    let limit = data_end.unwrap_or(len);
    let mut plain = header;
    plain.data.size.set(limit - data_at);
    plain.features = FromZeros::new_zeroed();
    let mut walked = walk::<O>(&mut file, plain.as_bytes(), (data_at, limit)).map_err(|error| fail(&error))?;
    let is_whole = walked.inflated.is_none() && data_end.is_some_and(|end| walked.pieces == [(data_at, end)]);
    let compressed = walked.compressed.is_some() && walked.inflated.is_none();
    let size = walked.size();
    let end = data_at + size;
    if let Some(first) = walked.pieces.first_mut() {
        first.0 = FILE_HEADER_SIZE;
    }
    let table = header.feature_bits().count() as u64 * size_of::<Section<O>>() as u64;
    // A writer that is killed as it replaces the table has said before that there is none.
    let was_replaced = table == 0 && has_formats;
    if is_whole && table <= len - end && !was_replaced {
        note(format_args!("{} is whole", args.file.display()));
        walked.pieces = vec![(FILE_HEADER_SIZE, len)];
        return finish(args, header.as_bytes(), &walked, &[]);
    }
    // The table of where the features are was behind the data, and is lost. Of the features perf wants two: the formats of
    // tracepoints, which nsscope and perf write behind the attrs; and how records were compressed.
    header.data.size.set(size);
    header.features = FromZeros::new_zeroed();
    let bit = |has: bool, feature: Feature| u64::from(has) << feature.0;
    header.features[0].set(bit(has_formats, Feature::TRACING_DATA) | bit(compressed, Feature::COMPRESSED));
    let how: Vec<u8> = HOW_COMPRESSED.iter().flat_map(|&number| U32::<O>::new(number).to_bytes()).collect();
    let how_at = end + (u64::from(has_formats) + 1) * size_of::<Section<O>>() as u64;
    let formats = has_formats.then(|| Section::<O>::new(attrs_end, formats_size));
    let how_there = compressed.then(|| Section::<O>::new(how_at, how.len() as u64));
    let mut behind: Vec<u8> =
        formats.iter().chain(&how_there).flat_map(|section| section.as_bytes().to_vec()).collect();
    if compressed {
        behind.extend(how);
    }
    finish(args, header.as_bytes(), &walked, &behind)
}

/// The feature COMPRESSED: version, type (zstd), level and ratio, which nobody asks for, and the room that perf makes for
/// what is in one record, in bytes: as much as the rings of those who record with large ones.
const HOW_COMPRESSED: [u32; 5] = [1, 1, 1, 1, 4 << 20];

/// What is there.
#[derive(Default)]
struct Walked {
    /// Where records are that are whole.
    pieces: Vec<(u64, u64)>,
    records: u64,
    /// Where the first is that is compressed, and how many are before it.
    compressed: Option<(u64, u64)>,
    /// What the pieces are followed by, where compressed records are damaged.
    inflated: Option<Inflated>,
}

impl Walked {
    /// Bytes of all records.
    fn size(&self) -> u64 {
        let pieces: u64 = self.pieces.iter().map(|(from, to)| to - from).sum();
        pieces + self.inflated.as_ref().map_or(0, |inflated| inflated.size)
    }
}

/// What was compressed, and what lies between, from an offset on.
struct Inflated {
    /// As [`decode`] takes them.
    start: Vec<u8>,
    limit: u64,
    from: u64,
    size: u64,
}

/// Walks the records between two offsets. `start`: a file's first bytes, as they would be if these were all of its records.
fn walk<O: Order>(file: &mut File, start: &[u8], (from, limit): (u64, u64)) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let mut end = walk_piece::<O>(&mut *file, from, limit, &mut walked)?;
    walked.pieces.push((from, end));
    if end < limit && walked.compressed.is_none() {
        let mut damage = Damage::default();
        decode(file, start, limit, &mut damage)?;
        for Range { start, end: begin } in damage.0 {
            // The last record before a hole may go on in it.
            if let Some(last) = walked.pieces.last_mut().filter(|last| (last.0..last.1).contains(&start)) {
                last.1 = start;
                walked.records -= 1;
                end = start;
            }
            if start >= end && begin < limit && walked.compressed.is_none() {
                end = walk_piece::<O>(&mut *file, begin, limit, &mut walked)?;
                walked.pieces.push((begin, end));
            }
        }
    }
    if let Some((from, before)) = walked.compressed {
        let mut there = Inflate::new(from, None);
        decode(file, start, limit, &mut there)?;
        // perf reads none that is compressed behind one that is damaged. That the last record is cut is no damage.
        if there.damage < end || there.last >= end {
            walked.pieces.retain(|piece| piece.0 <= from);
            if let Some(last) = walked.pieces.last_mut() {
                last.1 = last.1.min(from);
            }
            walked.records = before + there.records;
            walked.inflated = Some(Inflated { start: start.to_vec(), limit, from, size: there.size });
        }
    }
    Ok(walked)
}

/// Writes the records from an offset on that are not compressed, or were not before, where somebody wants them.
struct Inflate<'w> {
    from: u64,
    to: Option<&'w mut dyn Write>,
    written: io::Result<()>,
    size: u64,
    records: u64,
    /// Where the last is, or was.
    last: u64,
    /// Where the first is that is damaged.
    damage: u64,
}

impl<'w> Inflate<'w> {
    fn new(from: u64, to: Option<&'w mut dyn Write>) -> Self {
        Self { from, to, written: Ok(()), size: 0, records: 0, last: 0, damage: u64::MAX }
    }
}

impl Visitor for Inflate<'_> {
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        self.last = self.last.max(record.offset());
        // What is behind an AUXTRACE is no record, and is not seen here.
        if record.offset() < self.from || record.kind().is_compressed() || record.kind() == RecordType::AUXTRACE {
            return;
        }
        self.records += 1;
        self.size += record.bytes().len() as u64;
        if let Some(to) = &mut self.to
            && self.written.is_ok()
        {
            self.written = to.write_all(record.bytes());
        }
    }

    fn fault(&mut self, error: Error) {
        if error.kind == ErrorKind::Decompression {
            self.damage = self.damage.min(error.offset);
        }
    }
}

/// Where no record is.
#[derive(Default)]
struct Damage(Vec<Range<u64>>);

impl Visitor for Damage {
    fn record<O: Order>(&mut self, _: &Session, _: RawRecord<'_, O>) {}

    fn fault(&mut self, error: Error) {
        if let ErrorKind::NoRecord { bytes } = error.kind {
            self.0.push(error.offset..error.offset.saturating_add(bytes));
        }
    }
}

/// Decodes a file as if it had another beginning.
fn decode(file: &mut File, start: &[u8], limit: u64, visitor: &mut impl Visitor) -> io::Result<()> {
    file.seek(SeekFrom::Start(start.len() as u64))?;
    let mut input = BufReader::with_capacity(1 << 20, file).take(limit - start.len() as u64);
    let mut decoder = Decoder::new();
    // One that cannot be decoded has no damage that we know of.
    let mut goes_on = decoder.push(start, visitor).is_ok();
    while goes_on {
        let chunk = input.fill_buf()?;
        let len = chunk.len();
        goes_on = len > 0 && decoder.push(chunk, visitor).is_ok();
        input.consume(len);
    }
    let _ = decoder.finish(visitor);
    Ok(())
}

/// Walks the records from `at` on. Returns where the last one ends that is whole.
fn walk_piece<O: Order>(file: &mut File, mut at: u64, limit: u64, walked: &mut Walked) -> io::Result<u64> {
    file.seek(SeekFrom::Start(at))?;
    let mut input = BufReader::new(file);
    while limit - at >= HEADER_SIZE as u64 {
        let mut header = [0; HEADER_SIZE];
        input.read_exact(&mut header)?;
        let kind = RecordType(U32::<O>::from_bytes(header[..4].try_into().unwrap_or_default()).get());
        let size = u64::from(U16::<O>::from_bytes(header[6..].try_into().unwrap_or_default()).get());
        if size < HEADER_SIZE as u64 || size > limit - at {
            break;
        }
        let mut body = vec![0; size as usize - HEADER_SIZE];
        input.read_exact(&mut body)?;
        // Two kinds have more behind them that is no record.
        let behind = match kind {
            RecordType::HEADER_TRACING_DATA => {
                U32::<O>::read_from_prefix(&body).map_or(0, |(size, _)| u64::from(size.get()))
            }
            RecordType::AUXTRACE => U64::<O>::read_from_prefix(&body).map_or(0, |(size, _)| size.get()),
            _ => 0,
        };
        if behind > limit - at - size {
            break;
        }
        io::copy(&mut Read::by_ref(&mut input).take(behind), &mut io::sink())?;
        if kind.is_compressed() {
            walked.compressed.get_or_insert((at, walked.records));
        }
        at += size + behind;
        walked.records += 1;
    }
    Ok(at)
}

/// Writes the new beginning, what is there, and what comes behind it.
fn finish(args: &args::Recover, start: &[u8], there: &Walked, behind: &[u8]) -> Outcome {
    let dir = args.output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |error: &io::Error| Failure::file("create", &args.output, error);
    let mut new = tempfile::Builder::new().prefix(".nsscope-").tempfile_in(dir).map_err(|error| fail(&error))?;
    let mut file = File::open(&args.file).map_err(|error| Failure::file("open", &args.file, &error))?;
    new.write_all(start)?;
    for (from, to) in &there.pieces {
        file.seek(SeekFrom::Start(*from))?;
        io::copy(&mut Read::by_ref(&mut file).take(to - from), &mut new)?;
    }
    if let Some(Inflated { start, limit, from, .. }) = &there.inflated {
        let mut out = BufWriter::new(&mut new);
        let mut inflate = Inflate::new(*from, Some(&mut out));
        decode(&mut file, start, *limit, &mut inflate)?;
        inflate.written?;
        out.flush()?;
    }
    new.write_all(behind)?;
    fs::set_permissions(new.path(), fs::metadata(&args.file)?.permissions())?;
    new.persist(&args.output).map_err(|error| fail(&error.error))?;
    note(format_args!(
        "{} records, {} of {} to {}",
        HumanCount(there.records),
        HumanBytes(start.len() as u64 + there.size()),
        HumanBytes(file.metadata()?.len()),
        args.output.display()
    ));
    Ok(ExitCode::SUCCESS)
}
