//! The programs that tests run. Not here: what they are run for.

use crate::{cargo, root, run};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the programs that tests run.
pub(crate) fn build() -> Result<()> {
    run(cargo().args(["programs", "--quiet", "--release"]))
}

/// Builds a file of `tests/tests`, as a program of its name in a directory.
pub(crate) fn test(name: &str, dir: &Path) -> Result<PathBuf> {
    let mut cargo = cargo();
    // Of the whole workspace, as `cargo xtask test` has built it: a crate alone has other features.
    cargo.args(["test", "--workspace", "--exclude=nsscope-codec", "--test", name]);
    cargo.args(["--no-run", "--message-format=json"]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests of {name} do not build");
    let built = String::from_utf8(output.stdout)?.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        // The programs that it runs are built, too.
        let is_test = message["profile"]["test"] == true;
        message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
    });
    let program = dir.join(name);
    fs::copy(built.context("a test without a program")?, &program)?;
    Ok(program)
}

/// The program itself, which is built before.
pub(crate) fn nsscope() -> Command {
    Command::new(dir().join("nsscope"))
}

/// Where they are then.
pub(crate) fn dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("release")
}
