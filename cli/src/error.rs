//! What the user is told when something fails, and the exit code.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1 with this message: what happened, why, what to do next.
    Failed(String),
    /// The same where the kernel refuses perf events to this user, or has none: there are other ways to record.
    Refused(String),
    /// Exit code 2.
    Usage(String),
    /// Whoever read our output has gone: nothing is wrong.
    ClosedPipe,
}

/// Result of a command: the exit code it asks for, or why it failed.
pub(crate) type Outcome<T = ExitCode> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Cannot do `verb` with a file.
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::NotFound if verb == "open" => {
                "\n  capture one first: nsscope record -o FILE, or nsscope snapshot -o FILE"
            }
            io::ErrorKind::NotFound => "\n  the directory does not exist: create it, or name another file with -o",
            io::ErrorKind::PermissionDenied if verb == "create" => {
                "\n  name a file in a place you may write to with -o"
            }
            _ => "",
        };
        Self::Failed(format!("cannot {verb} {}: {}{hint}", path.display(), reason(error)))
    }

    /// What the user is told.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::ClosedPipe => "whoever read the output has gone",
            Self::Failed(message) | Self::Refused(message) | Self::Usage(message) => message,
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        let code = match self {
            Self::ClosedPipe => return ExitCode::SUCCESS,
            Self::Failed(_) | Self::Refused(_) => 1,
            Self::Usage(_) => 2,
        };
        let red = anstyle::AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{red}nsscope:{red:#} {}", self.message());
        ExitCode::from(code)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Failed(reason(&error)),
        }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// An error's text without Rust's "(os error N)".
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Tells the user something that is not an error.
pub(crate) fn note(message: impl Display) {
    let yellow = anstyle::AnsiColor::Yellow.on_default();
    anstream::eprintln!("{yellow}nsscope:{yellow:#} {message}");
}
