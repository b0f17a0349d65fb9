//! A recorder that runs for long: what it holds does not grow, nothing is lost, and no record is missing or there twice
//! where one file ends and the next begins.
#![allow(missing_docs)]

use nsscope_tests::{actor, cannot_record, needs, not_root, nsscope, run, start, stop, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For how long, in seconds, if the environment does not say.
const SECONDS: u64 = 20;

/// What the recorder holds, and the CPU time it took so far.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
    cpu: f64,
}

fn held(pid: u32) -> Held {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which may have blanks: utime and stime are the 12th and the 13th field, in hundredths.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    Held {
        resident_kib: resident.trim_end_matches("kB").trim().parse().unwrap(),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        cpu: (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0,
    }
}

/// The forks that the kernel recorded in a file: thread and time.
fn forks(file: &Path) -> Vec<(u64, u64)> {
    let printed = text(&run(nsscope().args(["script", "--format", "json", "--kind", "fork"]).arg(file)));
    let all = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let recorded = all.filter(|fork| fork["synthesized"] == false);
    recorded.map(|fork| (fork["tid"].as_u64().unwrap(), fork["time"].as_u64().unwrap())).collect()
}

/// `NSSCOPE_SOAK` says for how many seconds.
#[test]
fn a_recorder_that_runs_for_long_holds_no_more_and_loses_nothing() {
    needs!("a_recorder_that_runs_for_long", cannot_record(), not_root());
    let seconds = std::env::var("NSSCOPE_SOAK").ok().map_or(SECONDS, |value| value.parse().expect("seconds"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let recorder = start(&file, &["-a", "--switch-events", "--max-size", "1M"]);
    let begun = Instant::now();
    let (mut children, mut seen) = (0, Vec::new());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut storm = Command::new(actor());
        let output = run(storm.args(["storm", "100", "2"]).stderr(Stdio::inherit()));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        children += told["children"].as_u64().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        seen.push(held(recorder.id()));
    }
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, "), "{said}");
    let mut files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "{said}");

    // Every child once, in one file.
    let all: Vec<(u64, u64)> = files.iter().flat_map(|file| forks(file)).collect();
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "a record is in two files");
    assert!(all.len() as u64 >= children, "{} forks of {children} children", all.len());

    // The first fifth is for what is set up once.
    let after = &seen[seen.len() / 5..];
    let (first, second) = after.split_at(after.len() / 2);
    let most = |of: &[Held]| of.iter().map(|held| held.resident_kib).max().unwrap();
    let descriptors: BTreeSet<usize> = after.iter().map(|held| held.descriptors).collect();
    let rate = |of: &[Held]| (of.last().unwrap().cpu - of[0].cpu) / (of.len() - 1) as f64;
    println!(
        "{seconds} s: {children} children, {} files, 0 lost; {} KiB, then {} KiB; descriptors {descriptors:?}; CPU {:.2} ms a \
         turn, then {:.2}",
        files.len(),
        most(first),
        most(second),
        rate(first) * 1e3,
        rate(second) * 1e3
    );
    assert!(most(second) < most(first) + 4096, "it grows: {after:?}");
    assert!(descriptors.last().unwrap() - descriptors.first().unwrap() <= 4, "{descriptors:?}");
    assert!(rate(second) < 2.0 * rate(first) + 0.02, "{after:?}");
}
