//! How much of the core crates the Rust tests run. Not here: the tests.

use crate::{bpf, root, run, setup, test, viewer};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Those that everything else is made of.
const CRATES: [&str; 3] = ["codec", "timeline", "capture"];
/// Counters are in the file of counts itself, from a program's start on: one that is killed or may open nothing any more
/// has counted, too.
const FLAGS: [&str; 2] = ["-Cinstrument-coverage", "-Cllvm-args=-runtime-counter-relocation"];

/// Runs the Rust tests, and prints how many regions of each crate's code they ran.
pub(crate) fn measure() -> Result<()> {
    setup::debian_packages(setup::PACKAGES)?;
    setup::debian_packages(&[("llvm-22", "reads what was run")])?;
    bpf::build()?.map_err(anyhow::Error::msg)?;
    viewer::make()?;
    let target = root().join("target/coverage");
    let counts = target.join("counts");
    let _ = fs::remove_dir_all(&counts);
    fs::create_dir_all(&counts)?;
    // Some of the programs run as another user.
    fs::set_permissions(&counts, fs::Permissions::from_mode(0o777))?;
    let mut programs = Vec::new();
    for mut tests in test::rust_tests() {
        tests
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("LLVM_PROFILE_FILE", counts.join("%c%m.profraw"));
        // A test that a slower program breaks has run what it ran.
        println!("{}", tests.status()?);
        let built = tests.args(["--no-run", "--message-format=json"]).stdout(Stdio::piped()).output()?;
        programs.extend(executables(&built.stdout));
    }
    programs.extend(["nsscope", "ns-actor", "ns-work"].map(|name| target.join("release").join(name)));
    let all = counts.join("all");
    let raw = fs::read_dir(&counts)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    run(Command::new("llvm-profdata-22").args(["merge", "--sparse", "--failure-mode=all", "-o"]).arg(&all).args(raw))?;
    let mut report = Command::new("llvm-cov-22");
    report.args(["export", "--format=text", "--summary-only", "--instr-profile"]).arg(&all);
    let (first, others) = programs.split_first().context("no test was built")?;
    let report = report.arg(first).args(others.iter().flat_map(|program| [Path::new("--object"), program])).output()?;
    ensure!(report.status.success(), "llvm-cov: {}", String::from_utf8_lossy(&report.stderr));
    print(&serde_json::from_slice(&report.stdout)?)
}

/// The programs that a build's messages are of.
fn executables(messages: &[u8]) -> Vec<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect()
}

/// Prints regions by file, worst first, and by crate.
fn print(report: &Value) -> Result<()> {
    let files = report["data"][0]["files"].as_array().context("llvm-cov's files")?;
    let (mut rows, mut sums) = (Vec::new(), BTreeMap::<&str, (u64, u64)>::new());
    for file in files {
        let path = Path::new(file["filename"].as_str().unwrap_or_default());
        let Ok(path) = path.strip_prefix(root()) else { continue };
        let krate = CRATES.into_iter().find(|krate| path.starts_with(Path::new(krate).join("src")));
        let Some(krate) = krate.filter(|_| !path.ends_with("tests.rs")) else { continue };
        let regions = &file["summary"]["regions"];
        let (all, run) = (regions["count"].as_u64().unwrap_or(0), regions["covered"].as_u64().unwrap_or(0));
        rows.push((all - run, all, path.display()));
        let sum = sums.entry(krate).or_default();
        *sum = (sum.0 + run, sum.1 + all);
    }
    rows.sort_by_key(|&(missed, ..)| std::cmp::Reverse(missed));
    println!("{:>7} {:>7}  file", "missed", "regions");
    for (missed, all, path) in rows {
        println!("{missed:>7} {all:>7}  {path}");
    }
    for (krate, (run, all)) in sums {
        println!("{krate:<10} {run} of {all} regions, {:.1} %", 100.0 * run as f64 / all as f64);
    }
    Ok(())
}
