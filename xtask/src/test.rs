//! Every check and every test, with counts that are the runners' own. Not here: how a single step is done.

use crate::apart::{Lane, Step};
use crate::{
    book, bpf, cargo, example, linux, npm, npm_command, programs, root, run, setup, targets, tools, viewer, wasm,
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Steps that failed, tests or not, each with why.
    broken: Vec<String>,
}

impl Totals {
    /// Runs a step; a failed one does not keep the others from running.
    fn step(&mut self, name: &str, step: impl FnOnce(&mut Self) -> Result<()>) {
        println!("\n== {name}");
        let begun = Instant::now();
        let result = step(self);
        self.end(name, begun.elapsed(), result);
    }

    fn end(&mut self, name: &str, took: Duration, result: Result<()>) {
        match result {
            Ok(()) => println!("== {name}: ok, {:.0} s", took.as_secs_f64()),
            Err(error) => {
                println!("== {name}: FAILED after {:.0} s, {error:#}", took.as_secs_f64());
                self.broken.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// Counts the checks of a step that passed, or why there are none.
    fn count(&mut self, passed: std::result::Result<u64, String>) {
        match passed {
            Ok(count) => self.passed += count,
            Err(why) => self.skip(&why),
        }
    }

    /// Waits for the steps of a lane, and tells of each as of one that was run here.
    fn lane(&mut self, lane: Lane) {
        for ended in lane.end() {
            println!("\n== {}, beside the steps before\n{}", ended.name, ended.said.trim_end());
            self.passed += ended.passed();
            ended.skipped().for_each(|why| self.skip(why));
            self.end(ended.name, ended.took, ended.result);
        }
    }

    fn skip(&mut self, what: &str) {
        println!("SKIPPED {what}");
        self.skipped += 1;
    }
}

/// The tests that take as long as one lets them.
pub(crate) fn soak(minutes: u64, recordings: u64) -> Result<()> {
    setup::debian_packages(setup::PACKAGES)?;
    bpf::build()?.map_err(anyhow::Error::msg)?;
    programs::build()?;
    // Each of another day is another one.
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    run(cargo()
        .args(["test", "--package", "nsscope-tests"])
        .args(["--test", "soak", "--test", "differential", "--test", "tutorial", "--", "--nocapture"])
        .env("NSSCOPE_TUTORIAL", "whole")
        .env("NSSCOPE_SOAK", (minutes * 60).to_string())
        .env("NSSCOPE_RECORDINGS", recordings.to_string())
        .env("NSSCOPE_SEED", seed.to_string()))
}

/// What is compiled beside the tests, for no test among them.
const IDLE: [&[Step]; 2] = [
    &[("packages to hand out", &["dist", "--fast"])],
    &[("codec on every target", &["targets"]), ("oldest Rust", &["oldest"])],
];

pub(crate) fn all() -> Result<ExitCode> {
    let scratch = tempfile::tempdir()?;
    let skips = scratch.path().join("skips");
    fs::write(&skips, "")?;
    let mut totals = Totals::default();

    totals.step("packages", |_| setup::debian_packages(setup::PACKAGES));
    totals.step("format", |_| {
        // Those with targets of their own are not in the workspace.
        let apart = ["capture/bpf", "codec/examples/cortex-m", "codec/examples/kernel-module", "codec/fuzz"];
        run(cargo().args(["fmt", "--all", "--check"]))?;
        // What the kernel builds is no package.
        let in_kernel = ["kernel/perf_namespaces.rs", "codec/examples/rust-for-linux/nsscope_rust.rs"];
        run(Command::new("rustfmt").args(["--edition=2021", "--check"]).args(in_kernel))?;
        apart.iter().try_for_each(|dir| run(cargo().args(["fmt", "--check"]).current_dir(root().join(dir))))
    });
    totals.step("lints", |_| {
        let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run(cargo().args(clippy))?;
        run(cargo().args(clippy.into_iter().filter(|&arg| arg != "--all-features")))
    });
    totals.step("documentation", |_| {
        let doc = ["doc", "--quiet", "--workspace", "--all-features", "--no-deps", "--document-private-items"];
        run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    totals.step("licences and sources", |_| deny());
    totals.step("eBPF programs", |totals| {
        if let Err(why) = bpf::build()? {
            totals.skip(&why);
        }
        Ok(())
    });
    totals.step("wasm", |_| wasm::build());
    totals.step("example", |_| example::record());
    totals.step("viewer", |_| {
        npm(&["ci", "--no-fund", "--no-audit"])?;
        npm(&["run", "--silent", "check"])?;
        npm(&["run", "--silent", "lint"])?;
        viewer::build()
    });
    // Compilers alone, which take what tests and emulators leave.
    let beside = IDLE.map(Lane::start_idle);
    totals.step("Rust tests", |totals| {
        programs::build()?;
        // Both run, whatever comes of the first.
        let results = rust_tests().map(|mut tests| {
            tests.env("NSSCOPE_SKIPS", &skips);
            cargo_test(totals, tests)
        });
        results.into_iter().collect()
    });
    totals.step("book", |totals| {
        book::build()?;
        totals.passed += 1;
        Ok(())
    });
    // An emulated machine keeps one CPU busy.
    let kernels = Lane::start(&[("codec in a kernel", &["kernel"])]);
    totals.step("Linux in Rust", |totals| {
        totals.count(linux::check(linux::Kernels::Two)?);
        Ok(())
    });
    totals.lane(kernels);
    let machines = Lane::start(&[
        ("codec on a microcontroller", &["cortex-m"]),
        ("codec without cargo, std or panics", &["bare"]),
        ("fuzz targets", &["fuzz", "--seconds=10"]),
    ]);
    totals.step("codec tests on emulated machines", |totals| {
        let tests = targets::EMULATED.iter().map(targets::Emulated::tests).collect::<Result<Vec<_>>>()?;
        // An emulator leaves CPUs idle. Only the compilers wait for each other.
        let running: Vec<_> = tests
            .into_iter()
            .map(|tests| tests.map(|mut tests| thread::spawn(move || tests.stderr(Stdio::inherit()).output())))
            .collect();
        let results = running.into_iter().map(|running| match running {
            Ok(running) => {
                let output = running.join().expect("running does not panic")?;
                count_tests(totals, output.stdout.as_slice())?;
                ended(output.status)
            }
            Err(why) => {
                totals.skip(&why);
                Ok(())
            }
        });
        // Both are told, whatever comes of the first.
        results.collect::<Vec<_>>().into_iter().collect()
    });
    totals.lane(machines);
    for lane in beside {
        totals.lane(lane);
    }
    totals.step("viewer tests", |totals| vitest(totals, scratch.path(), &skips));

    let arm64 = Lane::start(&[("aarch64 in a kernel", &["arm64"])]);
    totals.step("distribution", |totals| {
        let mut tests = cargo();
        // Of the whole workspace, because a crate alone has other features, with which all is built again.
        tests.args(["test", "--workspace", "--exclude=nsscope-codec", "--test=packages"]).env("NSSCOPE_SKIPS", &skips);
        cargo_test(totals, tests)
    });
    totals.lane(arm64);

    println!();
    for skip in fs::read_to_string(&skips)?.lines() {
        // A test that skipped itself was counted as passed by its runner.
        totals.skip(skip);
        totals.passed = totals.passed.saturating_sub(1);
    }
    for broken in &totals.broken {
        // The whole stands where the step was.
        println!("FAILED {}", broken.chars().take(2000).collect::<String>());
    }
    println!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    Ok(if totals.broken.is_empty() && totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The Rust tests of this machine. defmt's symbols cannot be in a shared library, which the wasm crate is here: its feature
/// is the codec's alone.
pub(crate) fn rust_tests() -> [Command; 2] {
    let crates: [&[&str]; 2] =
        [&["--workspace", "--exclude=nsscope-codec"], &["--package=nsscope-codec", "--all-features"]];
    crates.map(|crates| {
        let mut tests = cargo();
        tests.arg("test").args(crates).arg("--no-fail-fast");
        tests
    })
}

/// `cargo deny` on what needs no network; known vulnerabilities are looked up by a workflow of their own.
fn deny() -> Result<()> {
    let program = tools::install("cargo-deny")?;
    run(Command::new(program).args(["--log-level", "warn", "--all-features", "check", "licenses", "bans", "sources"]))
}

fn cargo_test(totals: &mut Totals, mut command: Command) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    count_tests(totals, child.stdout.take().context("stdout")?)?;
    ended(child.wait()?)
}

fn ended(status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { bail!("{status}") }
}

/// Prints what a runner says, and adds up what it counts.
fn count_tests(totals: &mut Totals, said: impl Read) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(said).split(b'\n') {
        let line = line?;
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        let line = String::from_utf8_lossy(&line);
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
            continue;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(count, what)| (count.parse::<u64>(), what)) {
                Some((Ok(count), "passed")) => totals.passed += count,
                Some((Ok(count), "failed")) => totals.failed += count,
                Some((Ok(count), "ignored")) => totals.skipped += count,
                _ => {}
            }
        }
    }
    Ok(())
}

fn vitest(totals: &mut Totals, scratch: &Path, skips: &Path) -> Result<()> {
    let file = scratch.join("vitest.json");
    let status = npm_command()
        .args(["run", "--silent", "test", "--", "--reporter=verbose", "--reporter=json"])
        .arg(format!("--outputFile.json={}", file.display()))
        .env("NSSCOPE_SKIPS", skips)
        .status()?;
    let results: Value = serde_json::from_slice(&fs::read(&file).context("the test runner left no results")?)?;
    let count = |name: &str| results[name].as_u64().with_context(|| format!("{name} in the test runner's results"));
    totals.passed += count("numPassedTests")?;
    totals.failed += count("numFailedTests")?;
    totals.skipped += count("numPendingTests")? + count("numTodoTests")?;
    ended(status)
}
