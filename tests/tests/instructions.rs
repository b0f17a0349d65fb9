//! Instructions a record, as callgrind counts them, against a baseline: a regression shows on a noisy machine too.
//!
//! To accept a change: `NSSCOPE_BASELINE=write cargo test -p nsscope-tests --test instructions`.

use nsscope_tests::{missing, needs, run, text, work};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Piece of work, and what of it only prepares the input.
const WORKS: [(&str, Option<&str>); 4] = [
    ("walk-little", Some("write-only")),
    ("walk-big", Some("write-only")),
    ("push-decoder", Some("file-only")),
    ("encode", None),
];

fn instructions(work: &Path, what: &str, records: u32) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let out = format!("--callgrind-out-file={}", dir.path().join("out").display());
    let mut valgrind = Command::new("valgrind");
    let output = run(valgrind.args(["--tool=callgrind", &out]).arg(work).args([what, &records.to_string()]));
    let log = nsscope_tests::errors(&output);
    let line = log.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind says how many").1;
    line.trim().parse().unwrap()
}

/// What a record costs: the slope between two numbers of records, without what prepares them.
fn per_record(work: &Path, what: &str) -> f64 {
    (instructions(work, what, 120_000) - instructions(work, what, 40_000)) as f64 / 80_000.0
}

#[test]
fn instructions_per_record_are_those_of_the_baseline() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let rustc = text(&run(Command::new("rustc").arg("--version")));
    let rustc = rustc.split(' ').nth(1).unwrap_or_default();
    let write = std::env::var("NSSCOPE_BASELINE").is_ok_and(|value| value == "write");
    let baseline: Value =
        if write { json!({}) } else { serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap() };
    // Another compiler writes other instructions.
    let other = (!write && (baseline["rustc"] != rustc || baseline["arch"] != std::env::consts::ARCH))
        .then(|| format!("the baseline is of rustc {} for {}, this is {rustc}", baseline["rustc"], baseline["arch"]));
    needs!("instructions_per_record", missing("valgrind", "valgrind"), other);

    let work = work();
    let mut measured = json!({ "rustc": rustc, "arch": std::env::consts::ARCH });
    for (what, prepares) in WORKS {
        let count = per_record(&work, what) - prepares.map_or(0.0, |prepares| per_record(&work, prepares));
        println!("{what}: {count:.1} instructions a record");
        measured[what] = json!((count * 10.0).round() / 10.0);
        if !write {
            let expected = baseline[what].as_f64().unwrap_or_else(|| panic!("the baseline has no {what}"));
            let change = count / expected - 1.0;
            assert!(change.abs() < 0.05, "{what}: {count:.1} instructions a record, {expected:.1} in the baseline");
        }
    }
    if write {
        std::fs::write(file, format!("{measured:#}\n")).unwrap();
    }
}
