//! The codec on a microcontroller: the example runs in QEMU, its log is decoded here, and what it sent over the serial
//! line becomes a perf.data file that perf reads. Not here: the example itself.

use crate::toolchain::Toolchain;
use crate::{programs, root, run, setup, toolchain, tools};
use anyhow::{Context, Result, bail, ensure};
use defmt_decoder::{DecodeError, Table};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const TARGET: &str = "thumbv7m-none-eabi";
const QEMU: &str = "qemu-system-arm";

/// What the log must say, in this order.
const LOG: [&str; 8] = [
    "nobody wants it: Emitted { written: 0, lost: 0 }",
    "emitted: Emitted { written: 1, lost: 0 }",
    "Fork(Task { pid: 2, ppid: 1, tid: 2, ptid: 1, time: 1000 })",
    "Namespaces { pid: 2, tid: 2, links: [NsLink { dev: 4, ino: 4026531733 }",
    "NsLink { dev: 0, ino: 0 }",
    "Comm { fixed: CommFixed { pid: 2, tid: 2 }, comm: blinky }",
    "kept 3, lost 0",
    "Error { offset: 4096, kind: NamespaceCount { count: 200, room: 7 } }",
];

/// Builds, runs, checks; or says why it cannot.
pub(crate) fn check() -> Result<std::result::Result<(), String>> {
    setup::debian_packages(&[("qemu-system-arm", "runs programs of microcontrollers")])?;
    if !tools::exists(QEMU) {
        return Ok(Err(format!("the codec on a microcontroller: {QEMU} is not installed")));
    }
    let example = root().join("codec/examples/cortex-m");
    let toolchain = Toolchain::find(TARGET)?;
    let mut build = toolchain.cargo("build", &[TARGET], "core");
    build.args(["--release", "--locked"]).env("DEFMT_LOG", "info").current_dir(&example);
    if toolchain == Toolchain::Debian {
        let lld = toolchain::lld()?;
        build.arg("--config").arg(format!("target.{TARGET}.linker=\"{}\"", lld.display()));
    }
    run(&mut build)?;
    let elf = toolchain.target_dir().join(TARGET).join("release/nsscope-cortex-m");

    let scratch = tempfile::tempdir()?;
    let frames = scratch.path().join("frames");
    let output = Command::new(QEMU)
        .args(["-cpu", "cortex-m3", "-machine", "lm3s6965evb", "-nographic", "-monitor", "none"])
        .args(["-semihosting-config", "enable=on,target=native", "-serial"])
        .arg(format!("file:{}", frames.display()))
        .arg("-kernel")
        .arg(&elf)
        .stderr(Stdio::null())
        .output()?;
    let log = decode(&fs::read(&elf)?, &output.stdout)?;
    println!("{log}");
    ensure!(output.status.success(), "the program ended with {}", output.status);
    let mut rest = log.as_str();
    for line in LOG {
        let Some((_, behind)) = rest.split_once(line) else { bail!("the log does not say, in its place: {line}") };
        rest = behind;
    }
    import(&frames, scratch.path())?;
    Ok(Ok(()))
}

fn decode(elf: &[u8], log: &[u8]) -> Result<String> {
    let table = Table::parse(elf)?.context("the program has no log")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(log);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return Ok(lines.join("\n")),
            Err(DecodeError::Malformed) => bail!("the log is damaged behind {lines:?}"),
        }
    }
}

/// The frames, with garbage before them, as a file that perf and we read.
fn import(frames: &Path, dir: &Path) -> Result<()> {
    programs::build()?;
    let noisy = dir.join("noisy");
    fs::write(&noisy, [b"\x07line noise\0", &fs::read(frames)?[..]].concat())?;
    let file = dir.join("board.data");
    let nsscope = |args: &[&str], path: &[&Path]| -> Result<String> {
        let output = programs::nsscope().args(args).args(path).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "nsscope {args:?}: {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    };
    nsscope(&["import", "-o"], &[&file, &noisy])?;
    let ours = nsscope(&["script", "--format", "perf"], &[&file])?;
    for line in [
        "PERF_RECORD_FORK(2:2):(1:1)",
        "PERF_RECORD_NAMESPACES 2/2 - nr_namespaces: 7",
        "PERF_RECORD_COMM exec: blinky:2/2",
    ] {
        ensure!(ours.contains(line), "{line} is not in\n{ours}");
    }
    let mut perf = Command::new("perf");
    perf.args(["script", "--show-namespace-events", "--show-task-events", "-i"]).arg(&file);
    match perf.output() {
        Ok(theirs) => {
            ensure!(theirs.stdout == ours.as_bytes(), "perf: {}", String::from_utf8_lossy(&theirs.stdout));
        }
        Err(_) => println!("perf is not installed: only nsscope has read the file"),
    }
    Ok(())
}
