//! What can go wrong in a recording, and what helps. Not here: how an error is shown, and the flags of a command
//! line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why something could not be recorded. [`Display`](fmt::Display) says what happened and why, in one line;
/// [`help`](Self::help) says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not let this user record.
    NotPermitted {
        /// What was refused, and why.
        what: String,
        /// What would allow it.
        help: String,
    },
    /// This kernel, or this build, cannot do it at all.
    Unsupported {
        /// What is missing.
        what: String,
        /// What has it.
        help: String,
    },
    /// A limit of this user or machine was met.
    Limit {
        /// Which.
        what: String,
        /// How to stay below it, or to raise it.
        help: String,
    },
    /// A ring of so many bytes per CPU cannot be had ([`Recording::ring_size`](crate::Recording::ring_size)).
    Ring {
        /// Bytes per CPU that were asked for.
        size: usize,
        /// Why not: `EPERM` where this user may not lock so much memory.
        source: io::Error,
    },
    /// Samples and the flight recorder come from perf events alone, context switches from these and eBPF, and another
    /// [`Backend`](crate::Backend) was asked for.
    NeedsPerf,
    /// Sums come from eBPF programs alone, and another [`Backend`](crate::Backend) was asked for.
    NeedsBpf,
    /// A stream cannot be rotated, nor be what a flight recorder writes.
    NeedsFile,
    /// Options that do not go together, or a value that is out of range.
    Invalid(String),
    /// What was to be recorded does not exist, or has ended.
    NotFound(String),
    /// The command that was to be recorded did not start.
    Command(String),
    /// A file could not be opened, created, read or written.
    File {
        /// What was tried: `open`, `create`, `read`, `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The recording ends here: its file takes no more, for instance because the disk is full. What is in it can be read.
    CutOff {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// How many records the recording has.
        records: u64,
        /// The time that they cover.
        covered: Duration,
    },
    /// The reader of a recording that is a stream has closed it.
    ClosedPipe,
    /// Anything else.
    Other(String),
}

/// The result of what may go wrong in a recording.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }

    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }

    /// What to do about it, where that is known: one or more lines.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::NotPermitted { help, .. } | Self::Unsupported { help, .. } | Self::Limit { help, .. } => Some(help),
            Self::Ring { source, size } if source.raw_os_error() == Some(libc::EPERM) => Some(if *size > 128 << 10 {
                "ask for a smaller ring (128 KiB), or raise kernel.perf_event_mlock_kb, or use CAP_IPC_LOCK"
            } else {
                "raise kernel.perf_event_mlock_kb, or use CAP_IPC_LOCK; another recording of this user may have what there is"
            }),
            Self::Ring { .. } => Some("ask for a smaller ring: 512 KiB"),
            Self::NeedsBpf => Some("use the bpf backend, or record each switch"),
            Self::NeedsPerf => Some("use the perf backend, or do not ask for these"),
            Self::NeedsFile => Some("record into a file"),
            _ => None,
        }
    }

    /// Whether another [`Backend`](crate::Backend) may work where this one does not.
    pub fn another_backend_may_work(&self) -> bool {
        matches!(self, Self::NotPermitted { .. } | Self::Unsupported { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted { what, .. } | Self::Unsupported { what, .. } | Self::Limit { what, .. } => {
                f.write_str(what)
            }
            Self::Invalid(what) | Self::NotFound(what) | Self::Command(what) | Self::Other(what) => f.write_str(what),
            Self::File { action, path, source } => {
                write!(f, "cannot {action} {}: {}", path.display(), reason(source))
            }
            Self::CutOff { path, source, records, covered } => write!(
                f,
                "cannot write {}: {}; the recording ends with {records} records of {:.3} s",
                path.display(),
                reason(source),
                covered.as_secs_f64()
            ),
            Self::Ring { size, source } if source.raw_os_error() == Some(libc::EPERM) => {
                let kib = size >> 10;
                write!(f, "a ring of {kib} KiB per CPU is more than this user may lock: {}", reason(source))
            }
            Self::Ring { size, source } => {
                write!(f, "a ring of {} KiB per CPU cannot be mapped: {}", size >> 10, reason(source))
            }
            Self::NeedsBpf => f.write_str("only the bpf backend sums up what ran"),
            Self::NeedsPerf => f.write_str(
                "only the perf backend has samples and a flight recorder; context switches come from perf and bpf",
            ),
            Self::NeedsFile => f.write_str("a stream can be neither rotated nor written by a flight recorder"),
            Self::ClosedPipe => f.write_str("the reader of the recording has closed it"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Ring { source, .. } | Self::CutOff { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Other(reason(&error)),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// The text of an I/O error without Rust's `(os error N)`, in small letters.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
