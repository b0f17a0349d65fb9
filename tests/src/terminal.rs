//! Terminals that tests type into and look at, and what was on one as a recording that asciinema plays. Not here: what
//! is typed.

use crate::{run, text};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A terminal that a test can look at: a server of tmux's of its own.
#[derive(Debug)]
pub struct Terminal {
    /// The server's name.
    pub socket: String,
}

impl Terminal {
    /// Runs a command of tmux's. Returns what it prints.
    pub fn tmux(&self, args: &[&str]) -> String {
        text(&run(Command::new("tmux").args(["-f", "/dev/null", "-L", &self.socket]).args(args)))
    }

    /// What is on it.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen, once it shows what is waited for.
    ///
    /// # Panics
    /// Where it does not.
    pub fn until(&self, what: &str, shown: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        for _ in 0..300 {
            screen = self.screen();
            if shown(&screen) {
                return screen;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}:\n{screen}");
    }

    /// Records what is drawn on it from now on, into a file in asciicast's second format. The thread ends with the terminal.
    ///
    /// # Panics
    /// Where the file or the pipe beside it cannot be made.
    pub fn record(&self, file: &Path, (width, height): (u32, u32)) -> JoinHandle<io::Result<()>> {
        let pipe = file.with_extension("pipe");
        run(Command::new("mkfifo").arg(&pipe));
        let mut out = File::create(file).expect("the recording");
        self.tmux(&["pipe-pane", &format!("exec cat > '{}'", pipe.display())]);
        std::thread::spawn(move || {
            let mut from = File::open(&pipe)?;
            std::fs::remove_file(&pipe)?;
            let header = json!({ "version": 2, "width": width, "height": height, "title": "nsscope" });
            writeln!(out, "{header}")?;
            let begun = Instant::now();
            let (mut held, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                let len = from.read(&mut buffer)?;
                if len == 0 {
                    return Ok(());
                }
                held.extend(&buffer[..len]);
                // A letter may have come in part.
                let whole = match std::str::from_utf8(&held) {
                    Err(error) if error.error_len().is_none() => error.valid_up_to(),
                    _ => held.len(),
                };
                let drawn: Vec<u8> = held.drain(..whole).collect();
                writeln!(out, "{}", json!([begun.elapsed().as_secs_f64(), "o", String::from_utf8_lossy(&drawn)]))?;
            }
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

/// Why there can be none, if there can be none.
pub fn no_tmux() -> Option<String> {
    let works = Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success());
    (!works).then(|| "tmux is not installed (Debian: tmux)".into())
}
