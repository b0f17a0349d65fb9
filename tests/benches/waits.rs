//! A hundred million context switches through `report --waits`: a real recording, its switches repeated one time after
//! another, later each time.
//!
//! `cargo bench -p nsscope-tests --bench waits`

use nsscope_tests::{cannot_record, no_perf, not_root, nsscope, repeat, run};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SWITCHES: u64 = 100_000_000;

#[expect(clippy::zombie_processes, reason = "wait4 waits, and tells the peak memory")]
fn main() {
    if let Some(why) = cannot_record().or_else(no_perf).or_else(not_root) {
        println!("SKIPPED: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("switches.pipe");
    let out = fs::File::create(&file).unwrap();
    let mut recorder = nsscope();
    recorder.args(["record", "-a", "--switch-events", "-o", "-"]).stdout(out).stderr(Stdio::null());
    let mut recorder = recorder.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    // Two containers that have the CPUs to share.
    let load = ["-p", "-f", "-m", "--mount-proc", "perf", "bench", "sched", "pipe", "-l", "100000"];
    let mut other = Command::new("unshare").args(load).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    run(Command::new("unshare").args(load).stderr(Stdio::null()));
    other.wait().unwrap();
    // SAFETY: takes no pointer.
    unsafe { libc::kill(recorder.id().cast_signed(), libc::SIGINT) };
    recorder.wait().unwrap();

    // Quieter than a file of five gigabytes: through a pipe, as fast as it is taken.
    let mut repeated = Command::new(repeat())
        .arg(&file)
        .arg(SWITCHES.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let mut report = nsscope()
        .args(["report", "--waits", "--json", "-"])
        .stdin(repeated.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = report.stdout.take().unwrap();
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    let mut status = 0;
    // SAFETY: the structure is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to what this function owns.
    let waited = unsafe { libc::wait4(report.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    assert!(waited > 0 && status == 0);
    let seconds = begun.elapsed().as_secs_f64();

    let repeated: Value = serde_json::from_slice(&repeated.wait_with_output().unwrap().stderr).unwrap();
    let number = |name: &str| repeated[name].as_u64().unwrap();
    let (switches, rounds, length) = (number("switches"), number("rounds"), number("length_ns"));
    let all: Value = serde_json::from_slice(&text).unwrap();
    let rows = all["cpu_use"].as_array().unwrap();
    let cpu: u64 = rows.iter().map(|row| row["cpu_ns"].as_u64().unwrap()).sum();
    // Of each CPU's time none is missing: the switches alone go on for that long.
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    let length = length * cpus;
    assert!(cpu as f64 > 0.99 * length as f64, "{cpu} of {length} ns");
    assert!(rows.iter().filter(|row| row["waited_ns"].as_u64() > Some(0)).count() >= 2, "{rows:?}");
    let own = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu_time = own(usage.ru_utime) + own(usage.ru_stime);
    println!("{switches} switches in {} records of a real capture, {rounds} times", switches / rounds);
    println!(
        "{:<40} {:>8.2} M records/s   >= 5",
        "report --waits, from pipe to answer",
        switches as f64 / seconds / 1e6
    );
    println!("{:<40} {:>8.2} M records/s", "the same by its own CPU time", switches as f64 / cpu_time / 1e6);
    println!("{:<40} {:>8.1} MB            < 200", "its peak memory", usage.ru_maxrss as f64 / 1e3);

    let large = dir.path().join("large.pipe");
    run(Command::new(repeat()).arg(&file).arg(SWITCHES.to_string()).stdout(fs::File::create(&large).unwrap()));
    // Taken in turns: the machine is not the same for long.
    let mut took = [f64::MAX; 2];
    for _ in 0..3 {
        let outputs = ["1", "2"].map(|threads| {
            let begun = Instant::now();
            let output = run(nsscope().args(["report", "--waits", "--json", "--threads", threads]).arg(&large));
            (begun.elapsed().as_secs_f64(), output.stdout)
        });
        assert!(outputs[0].1 == outputs[1].1, "two threads tell something else");
        took = [0, 1].map(|at| outputs[at].0.min(took[at]));
    }
    println!(
        "report --waits of {:.1} GB: {:.2} s with one thread, {:.2} s with two {:>8.2} x            >= 1.7",
        fs::metadata(&large).unwrap().len() as f64 / 1e9,
        took[0],
        took[1],
        took[0] / took[1]
    );
}
