//! Reads a perf.data file or pipe and hands out its records in time order. Not here: what the records mean.

use crate::archive::{is_archive, unarchived};
use crate::deliver::{Consumer, Deliver};
use crate::error::{Failure, Outcome, note, reason};
use crate::folder::join;
use crate::packed::{is_packed, unpacked};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nsscope_codec::perf_data::{Decoder, Ordered, Reader, Session};
use nsscope_codec::{Error, ErrorKind};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// How long a read goes on without a word.
const PATIENCE: Duration = Duration::from_millis(700);
/// How much of the records is held for sorting, in bytes; perf holds all between two FINISHED_ROUND.
const SORT_LIMIT: usize = 512 << 20;

/// Reads the capture at `path` (`-`: standard input) into `consumer`. Damage is told on standard error and costs
/// only what is damaged.
pub(crate) fn read<C: Consumer>(path: &Path, consumer: &mut C) -> Outcome<Session> {
    if path == Path::new("-") {
        let mut input =
            unpacked(io::stdin().lock()).and_then(unarchived).map_err(|e| Failure::file("read", path, &e))?;
        return read_stream(&mut input, path, consumer);
    }
    let file = File::open(path).map_err(|e| Failure::file("open", path, &e))?;
    let metadata = file.metadata().map_err(|e| Failure::file("open", path, &e))?;
    if metadata.is_dir() {
        let mut whole = spool()?;
        join(path, &mut whole).map_err(|error| {
            Failure::new(format!(
                "{} is a directory, and not one that perf record --threads writes: {}",
                path.display(),
                reason(&error)
            ))
        })?;
        return read_file(&whole, path, consumer);
    }
    let mut start = [0; 512];
    let known = if metadata.is_file() { read_at(&file, &mut start, 0) } else { Ok(0) };
    let known = known.map_err(|e| Failure::file("read", path, &e))?;
    if !metadata.is_file() || is_packed(&start[..known]) || is_archive(&start[..known]) {
        let mut input = unpacked(file).and_then(unarchived).map_err(|e| Failure::file("read", path, &e))?;
        return read_stream(&mut input, path, consumer);
    }
    read_file(&file, path, consumer)
}

/// A file is looked at twice: first for its metadata, part of which perf writes behind the records.
fn read_file<C: Consumer>(file: &File, path: &Path, consumer: &mut C) -> Outcome<Session> {
    let mut chunk = vec![0; CHUNK];
    let mut reader = Reader::new();
    thread::scope(|scope| {
        let mut ordered = Ordered::new(Deliver::new(scope, consumer), SORT_LIMIT);
        let progress = Progress::of(file.metadata().map_or(0, |metadata| metadata.len()), path);
        while let Some(offset) = reader.wanted().filter(|_| !ordered.visitor().stop()) {
            progress.show(offset);
            let len = read_at(file, &mut chunk, offset).map_err(|e| Failure::file("read", path, &e))?;
            reader.push(&chunk[..len], &mut ordered).map_err(|e| not_perf_data(path, e))?;
        }
        drop(progress);
        finish(ordered, reader.session())
    })
}

/// A bar on a terminal, once reading takes long; gone when it is over.
struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    fn of(size: u64, path: &Path) -> Self {
        let template = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden()).with_style(style);
        bar.set_message(format!("reading {}", path.display()));
        Self { bar, since: Instant::now() }
    }

    fn show(&self, offset: u64) {
        if self.since.elapsed() > PATIENCE {
            if self.bar.is_hidden() {
                // Where standard error is no terminal, it stays so.
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.bar.set_position(offset);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn read_stream<C: Consumer>(input: &mut impl Read, path: &Path, consumer: &mut C) -> Outcome<Session> {
    // A file's metadata may be behind its records: it is put aside to be looked at twice.
    let mut start = Vec::new();
    input.by_ref().take(16).read_to_end(&mut start).map_err(|error| Failure::file("read", path, &error))?;
    let mut input = start.chain(input);
    if is_file_mode(&start) {
        let mut spool = spool()?;
        io::copy(&mut input, &mut spool).map_err(|error| Failure::file("read", path, &error))?;
        return read_file(&spool, path, consumer);
    }
    let mut chunk = vec![0; CHUNK];
    let mut decoder = Decoder::new();
    thread::scope(|scope| {
        let mut ordered = Ordered::new(Deliver::new(scope, consumer), SORT_LIMIT);
        while !ordered.visitor().stop() {
            let len = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::file("read", path, &error)),
            };
            decoder.push(&chunk[..len], &mut ordered).map_err(|e| not_perf_data(path, e))?;
        }
        decoder.finish(&mut ordered).map_err(|e| not_perf_data(path, e))?;
        finish(ordered, decoder.session())
    })
}

/// A file without a name: a reader may make no other (`confine`). Where the file system has none, memory has.
fn spool() -> Outcome<File> {
    let file = tempfile::tempfile()
        .or_else(|_| memfd_create("capture", MemfdFlags::CLOEXEC).map(File::from).map_err(io::Error::from));
    Ok(file?)
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

/// The end of a read: what there is to say about it.
fn finish<C: Consumer>(ordered: Ordered<Deliver<'_, '_, C>>, session: &Session) -> Outcome<Session> {
    let late = ordered.late();
    let mut deliver = ordered.finish(session);
    let failed = deliver.finish();
    let faults = deliver.faults;
    if faults > 1 && !C::QUIET {
        note(format_args!("{faults} faults in all; everything else was read"));
    }
    if late > 0 && !C::QUIET {
        note(format_args!("{late} records came too late to be put in order"));
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(session.clone()),
    }
}
