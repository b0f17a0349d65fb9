//! Hands files that a recording has completed to a command, in their order, until it takes them. Not here: when a file
//! is complete, and what it is called.
//!
//! The folder is the queue: what waits there is found again by the next recording into the same file. Nothing is held in
//! memory, and the recorder waits for nothing.

use crate::error::{Failure, Outcome, note};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a command that failed is left alone, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often a file is tried once the recording is over.
const LAST: u32 = 3;
/// Digits of the time in a complete file's name.
const DIGITS: usize = 19;

/// A thread that hands files on.
pub(crate) struct Shipper {
    over: Sender<()>,
    thread: JoinHandle<usize>,
    command: String,
}

impl Shipper {
    /// Hands on what waits for it already, and what comes. `file` is what is recorded into.
    pub(crate) fn start(file: &Path, command: &str) -> Outcome<Self> {
        if file == Path::new("-") {
            return Err(Failure::Usage("standard output is one stream: --on-file needs a file (-o)".into()));
        }
        let (over, end) = mpsc::channel();
        let queue = Queue { file: file.into(), command: command.into() };
        let thread = thread::spawn(move || {
            let mut wait = LOOK;
            while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(wait) {
                wait = match queue.first() {
                    Some(file) if !queue.take(&file) => (2 * wait).clamp(AGAIN.0, AGAIN.1),
                    Some(_) => Duration::ZERO,
                    None => LOOK,
                };
            }
            // In order: behind one that is not taken, none is.
            while let Some(file) = queue.first() {
                if !(0..LAST).any(|turn| {
                    thread::sleep(AGAIN.0 * turn);
                    queue.take(&file)
                }) {
                    break;
                }
            }
            queue.waiting().count()
        });
        Ok(Self { over, thread, command: command.into() })
    }

    /// The recording is over: hands on the rest. Fails where some of it is not taken; it stays where it is.
    pub(crate) fn finish(self) -> Outcome<()> {
        drop(self.over);
        match self.thread.join().unwrap_or(0) {
            0 => Ok(()),
            files => Err(Failure::new(format!(
                "{files} files are not taken by: {}\n  \
                 they are where they were recorded, and the next recording into the same file offers them again",
                self.command
            ))),
        }
    }
}

struct Queue {
    file: PathBuf,
    command: String,
}

impl Queue {
    /// Complete files that nobody has taken.
    fn waiting(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let dir = self.file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let mut begin = self.file.file_name().unwrap_or_default().as_bytes().to_vec();
        begin.push(b'.');
        let is = move |name: &[u8]| {
            let time = name.strip_prefix(begin.as_slice());
            time.is_some_and(|time| time.len() == DIGITS && time.iter().all(u8::is_ascii_digit))
        };
        let names = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(move |name| is(name.as_bytes())).map(move |name| dir.join(name))
    }

    /// The oldest.
    fn first(&self) -> Option<PathBuf> {
        self.waiting().min()
    }

    /// Runs the command for a file. Returns whether the file is taken.
    fn take(&self, file: &Path) -> bool {
        // The name is an argument, so that nothing in it is the shell's.
        let script = self.command.replace("{}", "\"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "nsscope"]).arg(file).stdin(Stdio::null());
        let why = match command.status() {
            Ok(status) if status.success() => {
                let mut sent = file.as_os_str().as_bytes().to_vec();
                sent.extend(b".sent");
                return !file.exists() || fs::rename(file, OsString::from_vec(sent)).is_ok();
            }
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        note(format_args!("{}: not taken ({why}), to be tried again", file.display()));
        false
    }
}
