//! What the user is told when something fails, and the exit code. Not here: what can go wrong.

use nsscope_capture::check::CAPABILITIES;
pub(crate) use nsscope_capture::reason;
use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A command that could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1 with this message: what happened, why, what to do next.
    Failed(String),
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
            // EMFILE, which may be wrapped.
            _ if reason(error).starts_with("too many open files") => "\n  raise the limit: ulimit -n 65536",
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
            Self::Failed(message) | Self::Usage(message) => message,
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        let code = match self {
            Self::ClosedPipe => return ExitCode::SUCCESS,
            Self::Failed(_) => 1,
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

impl From<nsscope_capture::Error> for Failure {
    fn from(error: nsscope_capture::Error) -> Self {
        use nsscope_capture::Error;
        let next: Cow<'_, str> = match &error {
            Error::ClosedPipe => return Self::ClosedPipe,
            Error::Invalid(what) => return Self::Usage(what.clone()),
            Error::NeedsPerf => {
                return Self::Usage(
                    "-F and --snapshot need --backend perf, --switch-events needs perf or bpf: the others have no samples, \
                     no ring that is overwritten and no switches"
                        .into(),
                );
            }
            Error::NeedsBpf => {
                return Self::Usage("--summary needs --backend bpf: its programs sum up in the kernel".into());
            }
            Error::NeedsFile => {
                return Self::Usage("standard output is one stream: --snapshot and --max-size need a file (-o)".into());
            }
            Error::Ring { size, .. } if *size <= 128 << 10 => "".into(),
            Error::Ring { .. } => "the flag is -m: nsscope record -m 128K ...".into(),
            Error::CutOff { path, .. } => format!("to see what is there: nsscope report {}", path.display()).into(),
            Error::File { action, path, source } => return Self::file(action, path, source),
            Error::NotPermitted { .. } => format!(
                "as root:             sudo nsscope record ...\n  \
                 once for this file:  sudo setcap {CAPABILITIES} \"$(command -v nsscope)\"\n  \
                 without privileges:  nsscope record --backend proc ...   (looks at /proc many times a second)\n  \
                                      nsscope snapshot   (what runs now, from /proc, in the same format)"
            )
            .into(),
            Error::Unsupported { .. } => {
                "other ways: nsscope record --backend perf, or --backend proc, which looks at /proc; nsscope doctor says \
                 what this kernel offers"
                    .into()
            }
            _ => "".into(),
        };
        let lines = std::iter::once(error.to_string()).chain(error.help().map(String::from));
        let lines = lines.chain((!next.is_empty()).then(|| next.to_string()));
        Self::Failed(lines.collect::<Vec<_>>().join("\n  "))
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

static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether the user is told of nothing but errors.
pub(crate) fn be_quiet(quiet: bool) {
    QUIET.store(quiet, Relaxed);
}

/// Tells the user something that is not an error.
pub(crate) fn note(message: impl Display) {
    if QUIET.load(Relaxed) {
        return;
    }
    let yellow = anstyle::AnsiColor::Yellow.on_default();
    anstream::eprintln!("{yellow}nsscope:{yellow:#} {message}");
}

/// Shows people what the libraries warn of.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("nsscope")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Another backend than the best is used.
        let hint = match record.target() {
            "nsscope_capture::backend" => "\n  nsscope doctor says what to do about it",
            _ => "",
        };
        note(format_args!("{}{hint}", record.args()));
    }

    fn flush(&self) {}
}

/// From now on what else the libraries say of what they do is shown, too.
pub(crate) fn be_verbose() {
    log::set_max_level(log::LevelFilter::Debug);
}

/// From now on what the libraries warn of is shown.
pub(crate) fn show_warnings() {
    // It is the first.
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
