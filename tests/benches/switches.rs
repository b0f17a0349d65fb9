//! What it costs to record context switches, or what they sum up to, beside `perf sched record` and a histogram of waits by
//! bpftrace: ratios of one run, on the running kernel.
//!
//! `cargo bench -p nsscope-tests --bench switches`

use nsscope_tests::{cannot_record, children_cpu, json_of, missing, no_bpf, no_perf, not_root, nsscope, run, text};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// perf's own benchmarks of the scheduler, and what they are told to do. Where all is on one CPU, none waits for another to
/// wake up: how long that takes is chance.
const LOADS: [(&str, &[&str]); 3] = [
    ("pipe", &["perf", "bench", "sched", "pipe", "-l", "200000"]),
    ("pipe on one CPU", &["taskset", "-c", "0", "perf", "bench", "sched", "pipe", "-l", "1000000"]),
    ("messaging", &["perf", "bench", "sched", "messaging", "-l", "1000"]),
];

/// A recorder and how it is started, the file's name being last.
const RECORDERS: [(&str, &[&str]); 6] = [
    ("perf sched record", &["sched", "record", "-q", "-a", "-o"]),
    ("--switch-events", &["record", "-a", "--switch-events", "-o"]),
    ("--wakeups", &["record", "-a", "--wakeups", "-o"]),
    ("  by perf", &["record", "-a", "--backend", "perf", "--wakeups", "-o"]),
    (SUMMARY, &["record", "-a", "--summary", "1s", "-z", "-o"]),
    (BPFTRACE, &["-e", WAITS, "-o"]),
];
const SUMMARY: &str = "--summary 1s -z";
const BPFTRACE: &str = "bpftrace, waits";

/// How long threads wait from a wake-up or from being preempted until they run, as `runqlat` shows it.
const WAITS: &str = "
tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @since[args->pid] = nsecs; }
tracepoint:sched:sched_switch {
    if (args->prev_state == 0) { @since[args->prev_pid] = nsecs; }
    if (@since[args->next_pid]) { @us = hist((nsecs - @since[args->next_pid]) / 1000); }
    delete(@since[args->next_pid]);
}
END { clear(@since); }";

/// How long a load takes, in seconds.
fn load(args: &[&str]) -> f64 {
    let begin = Instant::now();
    run(Command::new(args[0]).args(&args[1..]));
    begin.elapsed().as_secs_f64()
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Of the load while it is recorded, and CPU time of the recorder, in seconds.
    load: f64,
    cpu: f64,
    bytes: f64,
}

fn started(recorder: usize, file: &Path) -> Child {
    let (name, args) = RECORDERS[recorder];
    let mut command = match name {
        BPFTRACE => Command::new("bpftrace"),
        _ if recorder == 0 => Command::new("perf"),
        _ => nsscope(),
    };
    if recorder == 0 {
        command.args(args).arg(file).args(["--", "sleep", "1000"]);
    } else {
        command.args(args).arg(file);
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Both have described what runs by then.
    std::thread::sleep(Duration::from_millis(1500));
    child
}

fn measure(recorder: usize, args: &[&str], file: &Path) -> Cost {
    let mut child = started(recorder, file);
    let load = load(args);
    // SAFETY: takes no pointer.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    let before = children_cpu();
    child.wait().unwrap();
    Cost { load, cpu: children_cpu() - before, bytes: fs::metadata(file).unwrap().len() as f64 }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// How many context switches a file of ours has, and how many records are missing.
fn switches(file: &Path) -> (f64, f64) {
    let stat = json_of(nsscope().args(["stat", "--json"]).arg(file));
    let kinds = &stat["kinds"];
    // Each has one record of who leaves and one of who comes, but for the idle task.
    let count = |kind: &str| kinds[kind]["count"].as_f64().unwrap_or(0.0);
    (count("switch_cpu_wide"), stat["lost"].as_f64().unwrap_or(0.0))
}

fn main() {
    if let Some(why) = cannot_record().or_else(no_perf).or_else(no_bpf).or_else(not_root) {
        println!("SKIPPED switches: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bench.data");
    println!("{}", text(&run(Command::new("uname").arg("-r"))).trim());
    let no_bpftrace = missing("bpftrace", "bpftrace");
    let recorders = RECORDERS.len() - usize::from(no_bpftrace.is_some());
    if let Some(why) = no_bpftrace {
        println!("without bpftrace: {why}");
    }
    for (name, args) in LOADS {
        let mut alone = Vec::new();
        let mut costs = vec![Vec::new(); RECORDERS.len()];
        for _ in 0..RUNS {
            alone.push(load(args));
            for (recorder, all) in costs.iter_mut().enumerate().take(recorders) {
                all.push(measure(recorder, args, &file));
                if RECORDERS[recorder].0.starts_with(SUMMARY) {
                    assert!(json_of(nsscope().args(["report", "--json"]).arg(&file))["cpu_source"] == "sums");
                } else if recorder > 0 && RECORDERS[recorder].0 != BPFTRACE {
                    let (records, lost) = switches(&file);
                    assert!(records > 0.0, "it has no switches");
                    if lost > 0.0 {
                        println!("{name}: {} lost {lost} of {records} records", RECORDERS[recorder].0);
                    }
                }
            }
        }
        let alone = median(alone);
        let of = |recorder: usize, what: fn(&Cost) -> f64| median(costs[recorder].iter().map(what).collect());
        println!("\n{name}: {alone:.3} s alone, median of {RUNS}");
        println!(
            "{:<20} {:>12} {:>8} {:>12} {:>8} {:>12} {:>8}",
            "", "added s", "ratio", "CPU s", "ratio", "MB", "ratio"
        );
        let theirs = Cost { load: of(0, |c| c.load) - alone, cpu: of(0, |c| c.cpu), bytes: of(0, |c| c.bytes) };
        for (recorder, (label, _)) in RECORDERS.iter().enumerate().take(recorders) {
            let ours = Cost {
                load: of(recorder, |c| c.load) - alone,
                cpu: of(recorder, |c| c.cpu),
                bytes: of(recorder, |c| c.bytes),
            };
            println!(
                "{label:<20} {:>12.3} {:>8.2} {:>12.3} {:>8.2} {:>12.2} {:>8.2}",
                ours.load,
                ours.load / theirs.load,
                ours.cpu,
                ours.cpu / theirs.cpu,
                ours.bytes / 1e6,
                ours.bytes / theirs.bytes
            );
        }
    }
    println!(
        "\ntargets: added time, recorder's CPU <= 0.5 of perf sched record's, bytes <= 0.4; --summary <= 0.25 of all"
    );
}
