//! `nsscope recover`: makes a capture that was cut off or damaged one that perf opens, with all records before the damage and
//! behind it.
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
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
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
        let there = walk::<O>(&mut file, start, (PIPE_HEADER_SIZE, len)).map_err(|error| fail(&error))?;
        return finish(args, &prologue, &there.pieces, &[], there.records);
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
    let Walked { mut pieces, records, compressed } =
        walk::<O>(&mut file, plain.as_bytes(), (data_at, limit)).map_err(|error| fail(&error))?;
    let is_whole = data_end.is_some_and(|end| pieces == [(data_at, end)]);
    let size: u64 = pieces.iter().map(|(from, to)| to - from).sum();
    let end = data_at + size;
    if let Some(first) = pieces.first_mut() {
        first.0 = FILE_HEADER_SIZE;
    }
    let table = header.feature_bits().count() as u64 * size_of::<Section<O>>() as u64;
    // A writer that is killed as it replaces the table has said before that there is none.
    let was_replaced = table == 0 && has_formats;
    if is_whole && table <= len - end && !was_replaced {
        note(format_args!("{} is whole", args.file.display()));
        return finish(args, header.as_bytes(), &[(FILE_HEADER_SIZE, len)], &[], records);
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
    finish(args, header.as_bytes(), &pieces, &behind, records)
}

/// The feature COMPRESSED: version, type (zstd), level and ratio, which nobody asks for, and the room that perf makes for
/// what is in one record, in bytes: as much as the rings of those who record with large ones.
const HOW_COMPRESSED: [u32; 5] = [1, 1, 1, 1, 4 << 20];

/// What is there.
struct Walked {
    /// Where records are that are whole.
    pieces: Vec<(u64, u64)>,
    records: u64,
    /// Whether some are compressed.
    compressed: bool,
}

/// Walks the records between two offsets. `start`: a file's first bytes, as they would be if these were all of its records.
fn walk<O: Order>(file: &mut File, start: &[u8], (from, limit): (u64, u64)) -> io::Result<Walked> {
    let mut walked = Walked { pieces: Vec::new(), records: 0, compressed: false };
    let mut end = walk_piece::<O>(&mut *file, from, limit, &mut walked)?;
    walked.pieces.push((from, end));
    // Of what is compressed nothing is known without all that was before.
    if end < limit && !walked.compressed {
        for Range { start, end: begin } in damage(file, start, limit)? {
            // The last record before a hole may go on in it.
            if let Some(last) = walked.pieces.last_mut().filter(|last| (last.0..last.1).contains(&start)) {
                last.1 = start;
                walked.records -= 1;
                end = start;
            }
            if start >= end && begin < limit && !walked.compressed {
                end = walk_piece::<O>(&mut *file, begin, limit, &mut walked)?;
                walked.pieces.push((begin, end));
            }
        }
    }
    Ok(walked)
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

/// Decodes a file as if it had another beginning, and says where no record is.
fn damage(file: &mut File, start: &[u8], limit: u64) -> io::Result<Vec<Range<u64>>> {
    file.seek(SeekFrom::Start(start.len() as u64))?;
    let mut input = BufReader::with_capacity(1 << 20, file).take(limit - start.len() as u64);
    let (mut decoder, mut damage) = (Decoder::new(), Damage::default());
    // One that cannot be decoded has no damage that we know of.
    let mut goes_on = decoder.push(start, &mut damage).is_ok();
    while goes_on {
        let chunk = input.fill_buf()?;
        let len = chunk.len();
        goes_on = len > 0 && decoder.push(chunk, &mut damage).is_ok();
        input.consume(len);
    }
    let _ = decoder.finish(&mut damage);
    Ok(damage.0)
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
        at += size + behind;
        walked.records += 1;
        walked.compressed |= kind.is_compressed();
    }
    Ok(at)
}

/// Writes the new beginning, pieces of the file, and what comes behind them.
fn finish(args: &args::Recover, start: &[u8], pieces: &[(u64, u64)], behind: &[u8], records: u64) -> Outcome {
    let dir = args.output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |error: &io::Error| Failure::file("create", &args.output, error);
    let mut new = tempfile::Builder::new().prefix(".nsscope-").tempfile_in(dir).map_err(|error| fail(&error))?;
    let mut file = File::open(&args.file).map_err(|error| Failure::file("open", &args.file, &error))?;
    new.write_all(start)?;
    for (from, to) in pieces {
        file.seek(SeekFrom::Start(*from))?;
        io::copy(&mut Read::by_ref(&mut file).take(to - from), &mut new)?;
    }
    new.write_all(behind)?;
    fs::set_permissions(new.path(), fs::metadata(&args.file)?.permissions())?;
    new.persist(&args.output).map_err(|error| fail(&error.error))?;
    note(format_args!(
        "{} records, {} of {} to {}",
        HumanCount(records),
        HumanBytes(start.len() as u64 + pieces.iter().map(|(from, to)| to - from).sum::<u64>()),
        HumanBytes(file.metadata()?.len()),
        args.output.display()
    ));
    Ok(ExitCode::SUCCESS)
}
