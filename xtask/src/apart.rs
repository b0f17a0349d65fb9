//! Chores in processes of their own, beside others. Not here: which chores these are.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a chore says of a part that it cannot do here, before the reason.
pub(crate) const SKIPPED: &str = "SKIPPED ";

/// A chore that runs.
pub(crate) struct Apart {
    name: String,
    child: Child,
    /// Where it says what it does, so that the lines of two chores are not mixed.
    said: PathBuf,
}

impl Apart {
    /// Starts `cargo xtask` with these arguments; what it says is kept in a directory.
    pub(crate) fn start(chore: &[&str], dir: &Path) -> Result<Self> {
        let name = chore.join(" ");
        let said = dir.join(name.replace(' ', "-"));
        let file = File::create(&said)?;
        let child = Command::new(std::env::current_exe()?)
            .args(chore)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        Ok(Self { name, child, said })
    }

    /// Waits for its end, and prints what it said. Returns why it left parts out.
    pub(crate) fn end(mut self) -> Result<Vec<String>> {
        let status = self.child.wait()?;
        let said = String::from_utf8_lossy(&fs::read(&self.said)?).into_owned();
        print!("{said}");
        ensure!(status.success(), "{}: {status}", self.name);
        Ok(said.lines().filter_map(|line| line.strip_prefix(SKIPPED)).map(str::to_string).collect())
    }
}
