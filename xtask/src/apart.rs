//! Chores in processes of their own, beside others. Not here: which chores these are.

use crate::tools;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a chore says of the checks that passed, before their number.
const PASSED: &str = "PASSED ";
/// What a chore says of a part that it cannot do here, before the reason.
const SKIPPED: &str = "SKIPPED ";

/// Says how many checks of a chore passed, or why there are none.
pub(crate) fn tell(passed: Result<u64, String>) {
    match passed {
        Ok(count) => println!("{PASSED}{count}"),
        Err(why) => println!("{SKIPPED}{why}"),
    }
}

/// Steps one after another, beside what else is done meanwhile.
pub(crate) struct Lane(JoinHandle<Vec<Ended>>);

/// A step, and the arguments of `cargo xtask` that do it.
pub(crate) type Step = (&'static str, &'static [&'static str]);

/// A step that ended.
pub(crate) struct Ended {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    /// Which is not mixed with what others say meanwhile.
    pub(crate) said: String,
    pub(crate) result: Result<()>,
}

impl Ended {
    /// How many checks passed.
    pub(crate) fn passed(&self) -> u64 {
        self.said.lines().filter_map(|line| line.strip_prefix(PASSED)?.parse::<u64>().ok()).sum()
    }

    /// Why there are not more.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &str> {
        self.said.lines().filter_map(|line| line.strip_prefix(SKIPPED))
    }
}

impl Lane {
    /// Starts them.
    pub(crate) fn start(steps: &'static [Step]) -> Self {
        Self::run(&[], steps)
    }

    /// Starts them on what others leave of the CPUs.
    pub(crate) fn start_idle(steps: &'static [Step]) -> Self {
        Self::run(if tools::exists("chrt") { &["chrt", "--idle", "0"] } else { &[] }, steps)
    }

    fn run(with: &'static [&'static str], steps: &'static [Step]) -> Self {
        Self(thread::spawn(|| steps.iter().map(|step| end(with, step)).collect()))
    }

    /// Waits for them.
    pub(crate) fn end(self) -> Vec<Ended> {
        self.0.join().expect("a failed chore is a result")
    }
}

/// Runs a step to its end.
fn end(with: &[&str], &(name, chore): &Step) -> Ended {
    let begun = Instant::now();
    let mut said = String::new();
    let mut run = || -> Result<()> {
        let mut file = tempfile::tempfile()?;
        let us = std::env::current_exe()?.into_os_string();
        let words: Vec<OsString> = with.iter().map(OsString::from).chain([us]).collect();
        let (program, args) = words.split_first().context("a program")?;
        let mut command = Command::new(program);
        command.args(args).args(chore).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        let status = command.status().with_context(|| format!("{command:?} does not start"))?;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        said = String::from_utf8_lossy(&bytes).into_owned();
        ensure!(status.success(), "{status}");
        Ok(())
    };
    let result = run();
    Ended { name, took: begun.elapsed(), said, result }
}

/// Waits until no other chore does what this one is about to: two of apt-get or rustup at once fail.
pub(crate) fn alone(what: &str) -> Result<File> {
    let dir = tools::cache();
    fs::create_dir_all(&dir)?;
    let file = File::create(dir.join(format!("{what}.lock")))?;
    file.lock()?;
    Ok(file)
}
