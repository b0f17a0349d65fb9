//! The fuzz targets, each for a while, from real captures on. Not here: what the targets check.

use crate::{programs, root, run, tools};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const TARGETS: [&str; 4] = ["push_decoder", "file", "round_trip", "compact"];

/// Runs every target for `seconds`; or says why it cannot. Returns how many targets ran.
pub(crate) fn check(seconds: u32) -> Result<std::result::Result<u64, String>> {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    if !nightly.is_ok_and(|output| output.status.success()) {
        return Ok(Err("fuzz targets: there is no nightly Rust (rustup toolchain install nightly)".into()));
    }
    let cargo_fuzz = tools::install("cargo-fuzz")?;
    let dir = root().join("codec/fuzz");
    seed(&dir.join("corpus"))?;
    // A debug build checks for overflow as well, and is there sooner.
    let fuzz = |command: &str| {
        let mut fuzz = Command::new("rustup");
        fuzz.args(["run", "nightly"]).arg(&cargo_fuzz).args(["fuzz", command, "--dev", "--fuzz-dir"]).arg(&dir);
        fuzz.arg("--target-dir").arg(root().join("target/fuzz")).env_remove("CARGO").env_remove("RUSTC");
        fuzz.env_remove("RUSTUP_TOOLCHAIN").current_dir(&dir);
        fuzz
    };
    run(&mut fuzz("build"))?;
    // Each keeps one CPU busy.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    for targets in TARGETS.chunks(at_once) {
        let run = |target: &'static str| {
            let time = format!("-max_total_time={seconds}");
            let mut run = fuzz("run");
            run.args([target, "--", &time, "-max_len=40000", "-timeout=20"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            Ok((target, run.spawn()?))
        };
        let running: Vec<_> = targets.iter().map(|target| run(target)).collect::<Result<_>>()?;
        for (target, child) in running {
            let output = child.wait_with_output()?;
            let log = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{target}:\n{log}");
            let done = log.lines().rfind(|line| line.starts_with("Done")).unwrap_or("no count");
            println!("{target}: {done}");
        }
    }
    Ok(Ok(TARGETS.len() as u64))
}

/// Captures of this machine: a recording where that is allowed, else what /proc tells.
fn seed(corpus: &Path) -> Result<()> {
    for target in TARGETS {
        fs::create_dir_all(corpus.join(target))?;
    }
    programs::build()?;
    let file = corpus.join("file/recorded");
    let nsscope = |args: &[&str]| {
        let mut nsscope = programs::nsscope();
        nsscope.args(args).stderr(Stdio::null());
        nsscope
    };
    let mut record = nsscope(&["record", "--no-synth", "-o"]);
    if !record.arg(&file).args(["--", "unshare", "-n", "-m", "-p", "-f", "true"]).status()?.success() {
        run(nsscope(&["snapshot", "-o"]).arg(&file))?;
    }
    let bytes = fs::read(&file)?;
    fs::write(corpus.join("push_decoder/recorded"), &bytes)?;
    let pipe = nsscope(&["snapshot", "-o", "-"]).output()?;
    fs::write(corpus.join("push_decoder/pipe"), &pipe.stdout[..pipe.stdout.len().min(30_000)])?;
    // Behind the metadata are the records.
    fs::write(corpus.join("round_trip/recorded"), &bytes[(bytes.len() / 2) & !7..])?;
    Ok(())
}
