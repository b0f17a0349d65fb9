//! What can go wrong in a recording, and what mends it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be recorded. [`Display`](fmt::Display) says what happened and why, in one line;
/// [`mend`](Self::mend) says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not let this user record.
    NotPermitted {
        /// What was refused, and why.
        what: String,
        /// What would allow it.
        mend: String,
    },
    /// This kernel, or this build, cannot do it at all.
    Unsupported {
        /// What is missing.
        what: String,
        /// What has it.
        mend: String,
    },
    /// A limit of this user or machine was met.
    Limit {
        /// Which.
        what: String,
        /// How to stay below it, or to raise it.
        mend: String,
    },
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
    pub fn mend(&self) -> Option<&str> {
        match self {
            Self::NotPermitted { mend, .. } | Self::Unsupported { mend, .. } | Self::Limit { mend, .. } => Some(mend),
            _ => None,
        }
    }

    /// Whether another [`Backend`](crate::Backend) may work where this one does not.
    pub fn is_of_backend(&self) -> bool {
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
            Self::ClosedPipe => f.write_str("the reader of the recording has closed it"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
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
