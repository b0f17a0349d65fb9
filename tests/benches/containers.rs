//! What it takes to look at a thousand containers: `ps` once, `top` for a while.
//!
//! `cargo bench -p nsscope-tests --bench containers`, as root on a machine with a cgroup v2 hierarchy.

use nsscope_tests::{Group, Running, cannot_record, no_cgroup2, not_root, nsscope};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many containers.
const CONTAINERS: usize = 1000;

/// How long top is watched.
const WATCHED: Duration = Duration::from_secs(10);

fn main() {
    if let Some(why) = not_root().or_else(no_cgroup2).or_else(cannot_record) {
        println!("SKIPPED containers: {why}");
        return;
    }
    let groups: Vec<Group> =
        (0..CONTAINERS).map(|number| Group::new(&format!("nsscope-bench/{number:064x}"))).collect();
    let sleeper = |group: &Group| {
        let script = format!("echo $$ > {}; exec busybox sleep 600", group.procs());
        Running(Command::new("sh").args(["-c", &script]).spawn().expect("sh runs"))
    };
    let running: Vec<Running> = groups.iter().map(sleeper).collect();
    let mut times: Vec<Duration> = (0..20).map(|_| ps()).collect();
    times.sort_unstable();
    println!(
        "{CONTAINERS} containers: ps, median of {}   {:>8.1} ms   < 100 ms",
        times.len(),
        times[times.len() / 2].as_secs_f64() * 1e3
    );
    println!("{CONTAINERS} containers: top, its own CPU time   {:>8.2} %    < 2 %", top() * 100.0);
    drop(running);
}

fn ps() -> Duration {
    let begun = Instant::now();
    let output = nsscope().arg("ps").output().expect("it runs");
    let took = begun.elapsed();
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(lines > CONTAINERS, "it shows {lines} lines");
    took
}

/// The share of a CPU that top takes once it has begun, in a terminal.
fn top() -> f64 {
    let program = nsscope().get_program().to_string_lossy().into_owned();
    let tmux = |args: &[&str]| {
        Command::new("tmux").args(["-f", "/dev/null", "-L", "nsscope-bench"]).args(args).output().expect("tmux runs")
    };
    let pid = format!("{}/nsscope-bench-top.pid", std::env::temp_dir().display());
    tmux(&["new-session", "-d", "-x", "130", "-y", "40", &format!("echo $$ > {pid}; exec {program} top 2> /dev/null")]);
    std::thread::sleep(Duration::from_secs(3));
    let pid = fs::read_to_string(pid).expect("it runs");
    let before = cpu_time(pid.trim());
    std::thread::sleep(WATCHED);
    let took = cpu_time(pid.trim()) - before;
    let _ = Command::new("tmux").args(["-L", "nsscope-bench", "kill-server"]).stderr(Stdio::null()).status();
    took / WATCHED.as_secs_f64()
}

/// User and system time of a process, in seconds (fields 14 and 15 of proc_pid_stat(5), in hundredths).
fn cpu_time(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().expect("ticks")).collect();
    ticks.iter().sum::<f64>() / 100.0
}
