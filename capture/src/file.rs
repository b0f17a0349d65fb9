//! Where a recording goes: a perf.data file, or a pipe. Not here: what the records say.

use crate::error::{Error, Result};
use crate::events::EventDesc;
use crate::features;
use crate::machine;
use nsscope_codec::Native;
use nsscope_codec::perf_data::{AttrIds, Feature, FileWriter, MAGIC_BE, MAGIC_LE, Output, PIPE_HEADER_SIZE};
use nsscope_codec::wire::header::{HEADER_SIZE, RecordType};
use rustix::fs::{FallocateFlags, fallocate};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::NamedTempFile;
use zerocopy::IntoBytes;

/// An open recording.
pub(crate) enum Sink {
    /// A file in file mode, complete after each append.
    File {
        writer: Box<FileWriter<Native, PositionedFile>>,
        path: PathBuf,
        /// The file has its name once it has records: whoever is killed before leaves what was there.
        unnamed: Option<(NamedTempFile, Older)>,
        /// Where a file of the same name went.
        old: Option<PathBuf>,
        /// Whether a round has ended that the file does not tell of yet: it does with what follows.
        round: bool,
    },
    /// A stream in pipe mode.
    Pipe { out: Box<dyn Write + Send>, bytes: u64 },
    /// Nowhere: whoever follows takes the bytes away.
    Memory(Vec<u8>),
}

/// A file that is written at places.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    file: File,
    /// Up to where it has its blocks; `u64::MAX`: it gets them as it grows.
    reserved: u64,
}

impl PositionedFile {
    /// A file gets its blocks at once, in steps as large as it is, but no larger than this: so the kernel need not look
    /// for each as it is written, which is a third of the time of a large write.
    const STEP: u64 = 64 << 20;

    /// Makes room up to `end`. Whether there is any is for the write to tell.
    fn reserve(&mut self, end: u64) {
        // One piece is no large write.
        if end <= self.reserved || end < 1 << 20 {
            return;
        }
        let step = end.next_power_of_two().min(Self::STEP);
        // The file is no longer for that: blocks are behind its end until it grows or is cut.
        let reserved = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.reserved, end + step - self.reserved);
        self.reserved = if reserved.is_ok() { end + step } else { u64::MAX };
    }

    /// Gives back the blocks that it did not need.
    fn cut(&self, end: u64) {
        if self.reserved > 0 {
            // It is as it would be without; it only takes more room.
            let _ = self.file.set_len(end);
        }
    }
}

impl Output for PositionedFile {
    type Error = io::Error;

    fn write_at<'a>(&mut self, mut offset: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let mut pieces: Vec<_> = pieces.map(IoSlice::new).collect();
        self.reserve(offset + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        for mut left in pieces.chunks_mut(MOST_PIECES) {
            while !left.is_empty() {
                match rustix::io::pwritev(&self.file, left, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        offset += written as u64;
                        IoSlice::advance_slices(&mut left, written);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }
}

/// The kernel writes no more pieces in one call (`UIO_MAXIOV`).
const MOST_PIECES: usize = 1024;

/// What becomes of a file that has the name of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Older {
    /// It becomes FILE.old, as perf does it.
    One,
    /// It becomes FILE.1, FILE.1 becomes FILE.2, and so on; with the new one there are so many at most.
    Numbered(Option<u32>),
    /// It becomes FILE.TIME, a name that it keeps: the time is now, in ns since 1970 and as wide for two hundred years.
    Stamped,
}

impl Older {
    /// Makes room for a new `path`. Returns where the old one went, if there was one.
    pub(crate) fn make_room(self, path: &Path) -> io::Result<Option<PathBuf>> {
        let with = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        if !path.exists() {
            return Ok(None);
        }
        let most = match self {
            Self::Numbered(most) => most,
            Self::One | Self::Stamped => {
                let stamp = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                let old = with(&if self == Self::One { ".old".into() } else { format!(".{:019}", stamp()) });
                fs::rename(path, &old)?;
                return Ok(Some(old));
            }
        };
        let number = |n: u32| if n == 0 { path.to_path_buf() } else { with(&format!(".{n}")) };
        let mut last = (0..u32::MAX).find(|&n| !number(n + 1).exists()).unwrap_or(0);
        while most.is_some_and(|most| last + 1 >= most) {
            fs::remove_file(number(last))?;
            if last == 0 {
                return Ok(None);
            }
            last -= 1;
        }
        for n in (0..=last).rev() {
            fs::rename(number(n), number(n + 1))?;
        }
        Ok(Some(number(1)))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sink").field(&self.name()).finish()
    }
}

impl Sink {
    /// A stream, with the metadata written.
    pub(crate) fn pipe(
        out: Box<dyn Write + Send>,
        events: &[EventDesc],
        sections: &[(Feature, Vec<u8>)],
    ) -> Result<Self> {
        let mut sink = Self::Pipe { out, bytes: 0 };
        sink.append(&[&pipe_metadata(events, sections)])?;
        Ok(sink)
    }

    /// Creates the file `path` and writes the metadata.
    pub(crate) fn create(
        path: &Path,
        older: Older,
        events: &[EventDesc],
        sections: &[(Feature, Vec<u8>)],
    ) -> Result<Self> {
        let fail = |error: io::Error| Error::file("create", path, error);
        // Beside the old file first: if this cannot be written, nothing has changed.
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(fail(io::Error::other("it is a directory")));
        }
        let is_special = fs::metadata(path).is_ok_and(|m| !m.is_file());
        if is_special {
            let file = File::options().write(true).open(path).map_err(fail)?;
            return Self::begin(file, path, events, sections);
        }
        let new = tempfile::Builder::new().prefix(".nsscope-").tempfile_in(dir).map_err(fail)?;
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(umask);
        let mode = rustix::fs::Mode::from_bits_truncate(0o600) & !umask;
        rustix::fs::fchmod(new.as_file(), mode).map_err(|e| fail(e.into()))?;
        if let Some((user, group)) = machine::invoking_user() {
            rustix::fs::fchown(new.as_file(), Some(user), Some(group)).map_err(|e| fail(e.into()))?;
        }
        let mut sink = Self::begin(new.reopen().map_err(fail)?, path, events, sections)?;
        if let Self::File { unnamed, .. } = &mut sink {
            *unnamed = Some((new, older));
        }
        Ok(sink)
    }

    /// The file gets its name, and what had it another, if that has not been.
    pub(crate) fn give_name(&mut self) -> Result<()> {
        let Self::File { path, unnamed, old, .. } = self else { return Ok(()) };
        let Some((file, older)) = unnamed.take() else { return Ok(()) };
        let fail = |error: io::Error| Error::file("create", path, error);
        *old = older.make_room(path).map_err(fail)?;
        file.persist(&*path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    fn begin(file: File, path: &Path, events: &[EventDesc], sections: &[(Feature, Vec<u8>)]) -> Result<Self> {
        let attrs: Vec<_> = events.iter().map(|event| AttrIds { attr: &event.attr, ids: &event.ids }).collect();
        let sections: Vec<_> = sections.iter().map(|(feature, bytes)| (*feature, bytes.as_slice())).collect();
        let writer = FileWriter::begin(PositionedFile { file, reserved: 0 }, &attrs, &sections)
            .map_err(|error| Error::file("write", path, error))?;
        Ok(Self::File { writer: Box::new(writer), path: path.into(), unnamed: None, old: None, round: false })
    }

    /// Appends whole records.
    pub(crate) fn append(&mut self, pieces: &[&[u8]]) -> Result<()> {
        match self {
            Self::File { writer, path, round, .. } => {
                if pieces.iter().all(|piece| piece.is_empty()) {
                    return Ok(());
                }
                let mark = std::mem::take(round).then(|| user_record(RecordType::FINISHED_ROUND, &[], true));
                let pieces: Vec<&[u8]> = mark.as_deref().into_iter().chain(pieces.iter().copied()).collect();
                writer.append(&pieces).map_err(|error| Error::file("write", path, error))?;
                self.give_name()
            }
            Self::Memory(held) => {
                held.extend(pieces.iter().copied().flatten());
                Ok(())
            }
            Self::Pipe { out, bytes } => {
                for piece in pieces {
                    out.write_all(piece)?;
                    *bytes += piece.len() as u64;
                }
                Ok(out.flush()?)
            }
        }
    }

    /// Every ring was drained once.
    pub(crate) fn finished_round(&mut self) -> Result<()> {
        match self {
            Self::File { round, .. } => {
                *round = true;
                Ok(())
            }
            Self::Pipe { .. } | Self::Memory(_) => self.append(&[&user_record(RecordType::FINISHED_ROUND, &[], true)]),
        }
    }

    /// The file is complete: writes what is known only now.
    pub(crate) fn span(&mut self, span: Option<(u64, u64)>) -> Result<()> {
        self.give_name()?;
        match self {
            Self::File { writer, path, .. } => {
                writer
                    .update_feature(Feature::SAMPLE_TIME, &features::sample_time(span))
                    .map_err(|error| Error::file("write", path, error))?;
                writer.output().cut(writer.end());
                Ok(())
            }
            Self::Pipe { .. } | Self::Memory(_) => Ok(()),
        }
    }

    /// Bytes of records so far.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::File { writer, .. } => writer.data_size(),
            Self::Pipe { bytes, .. } => *bytes,
            Self::Memory(held) => held.len() as u64,
        }
    }

    /// Where it went, for the summary.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Pipe { .. } => "standard output".into(),
            Self::Memory(_) => "memory".into(),
        }
    }

    /// Nothing was recorded: leaves no file behind and puts an old one back.
    pub(crate) fn abandon(self) {
        if let Self::File { path, old, unnamed: None, .. } = self {
            let _ = fs::remove_file(&path);
            if let Some(old) = old {
                let _ = fs::rename(old, path);
            }
        }
    }
}

/// Header, events and features as the records of pipe mode.
pub(crate) fn pipe_metadata(events: &[EventDesc], sections: &[(Feature, Vec<u8>)]) -> Vec<u8> {
    let mut out = if cfg!(target_endian = "little") { MAGIC_LE } else { MAGIC_BE }.to_vec();
    out.extend(PIPE_HEADER_SIZE.to_ne_bytes());
    for event in events {
        let attr = &event.attr.as_bytes()[..event.attr.size.get() as usize];
        let ids: Vec<u8> = event.ids.iter().flat_map(|id| id.to_ne_bytes()).collect();
        out.extend(user_record(RecordType::HEADER_ATTR, &[attr, &ids], true));
    }
    for (feature, bytes) in sections {
        if *feature == Feature::TRACING_DATA {
            let size = (bytes.len() as u32).next_multiple_of(8);
            out.extend(user_record(RecordType::HEADER_TRACING_DATA, &[&size.to_ne_bytes(), &[0; 4]], true));
            out.extend(bytes);
            out.resize(out.len().next_multiple_of(8), 0);
        // A section too long for a record stays out; none of ours but a long command line can be.
        } else if bytes.len() < 0xff00 {
            let id = u64::from(feature.0).to_ne_bytes();
            out.extend(user_record(RecordType::HEADER_FEATURE, &[&id, bytes], true));
        }
    }
    out
}

/// A record of the perf tool's own, padded to 8 bytes where its reader knows what is padding.
pub(crate) fn user_record(kind: RecordType, body: &[&[u8]], padded: bool) -> Vec<u8> {
    let len = HEADER_SIZE + body.iter().map(|part| part.len()).sum::<usize>();
    let size = if padded { len.next_multiple_of(8) } else { len };
    let mut out = kind.0.to_ne_bytes().to_vec();
    out.extend(0u16.to_ne_bytes());
    out.extend((size as u16).to_ne_bytes());
    for part in body {
        out.extend_from_slice(part);
    }
    out.resize(size, 0);
    out
}
