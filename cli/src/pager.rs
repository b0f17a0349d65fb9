//! Long output on a terminal goes through the user's pager, as that of git does. Not here: what is shown.

use signal_hook::consts::SIGINT;
use std::env;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// How wide the terminal is that the pager shows our output on, in columns.
static BEHIND: OnceLock<u16> = OnceLock::new();

/// Whether people look at standard output, by a pager or without one.
pub(crate) fn is_terminal() -> bool {
    BEHIND.get().is_some() || io::stdout().is_terminal()
}

/// How wide the terminal is that standard output is shown on, in columns, by a pager or without one.
pub(crate) fn width() -> Option<u16> {
    BEHIND.get().copied().or_else(columns)
}

/// How wide the terminal is that standard output is. A serial line does not know: 80, as everywhere.
fn columns() -> Option<u16> {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).ok()?.ws_col;
    Some(if columns == 0 { 80 } else { columns })
}

/// A pager that shows our standard output.
pub(crate) struct Pager {
    program: Child,
    /// What standard output becomes at the end: whoever reads a capture opens nothing to write.
    nothing: File,
}

impl Pager {
    /// Starts `NSSCOPE_PAGER`, `PAGER` or less(1), in a shell, where standard output is a terminal. `None`: there is no pager,
    /// or it is `cat`.
    pub(crate) fn start() -> Option<Self> {
        let is_dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        if !io::stdout().is_terminal() || is_dumb {
            return None;
        }
        let program = env::var("NSSCOPE_PAGER").or_else(|_| env::var("PAGER")).unwrap_or_else(|_| "less".into());
        let name = program.split_whitespace().next().filter(|&name| name != "cat")?;
        let is_there = |dir: std::path::PathBuf| dir.join(name).is_file();
        if !name.contains('/') && !env::split_paths(&env::var_os("PATH")?).any(is_there) {
            return None;
        }
        let width = columns()?;
        let nothing = File::options().write(true).open("/dev/null").ok()?;
        let mut command = Command::new("sh");
        command.args(["-c", &program]).stdin(Stdio::piped());
        if env::var_os("LESS").is_none() {
            // Colours as they are, and what fits on the screen stays there.
            command.env("LESS", "FRX");
        }
        let mut program = command.spawn().ok()?;
        let pipe = OwnedFd::from(program.stdin.take()?);
        // Ctrl-C is the pager's. Its end closes the pipe, which ends us.
        signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false))).ok()?;
        rustix::stdio::dup2_stdout(&pipe).ok()?;
        let _ = BEHIND.set(width);
        Some(Self { program, nothing })
    }
}

impl Drop for Pager {
    /// There is no more, and the user reads on.
    fn drop(&mut self) {
        if rustix::stdio::dup2_stdout(&self.nothing).is_ok() {
            let _ = self.program.wait();
        }
    }
}
