//! What recording costs, by perf's events and by eBPF programs: ratios of one run, on the running kernel.
//!
//! `cargo bench -p nsscope-tests --bench backends`

use nsscope_tests::{Running, actor, cannot_record, children_cpu, no_bpf, no_perf, not_root, nsscope, wait_for};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Children of a storm: each is a fork, an unshare and an exit.
const CHILDREN: u32 = 40_000;
const EVENTS: f64 = 3.0 * CHILDREN as f64;
const RUNS: usize = 5;

fn row(what: &str, figure: &str, ratio: &str, target: &str) {
    println!("{what:<66} {figure:>14} {ratio:>34}   {target}");
}

/// CPU time of a storm, in seconds.
fn storm(workers: usize) -> f64 {
    let before = children_cpu();
    let mut storm = Command::new(actor());
    storm.args(["storm", &CHILDREN.to_string(), &workers.to_string()]).stdout(Stdio::null());
    assert!(storm.status().unwrap().success());
    children_cpu() - before
}

/// CPU time that a process has had so far, in seconds.
fn cpu_of(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let one = |dir: PathBuf| -> Option<f64> {
        fs::read_to_string(dir.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    threads.filter_map(|thread| one(thread.path())).sum::<f64>() / 1e9
}

/// Begins to record and waits until the recorder has nothing to do.
fn recorder(command: &mut Command) -> Running {
    let child: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut last = -1.0;
    let settled = || {
        std::thread::sleep(Duration::from_millis(500));
        let now = cpu_of(child.id());
        let settled = now - last < 0.02;
        last = now;
        settled
    };
    wait_for(settled);
    Running(child)
}

/// Ends a recorder. Returns what it said, and the CPU time that it had from its start to its end, in seconds.
fn stop(mut recorder: Running) -> (String, f64) {
    // SAFETY: takes no pointer.
    unsafe { libc::kill(recorder.0.id() as i32, libc::SIGINT) };
    let mut told = String::new();
    std::io::Read::read_to_string(&mut recorder.0.stderr.take().unwrap(), &mut told).unwrap();
    let before = children_cpu();
    recorder.0.wait().unwrap();
    (told, children_cpu() - before)
}

fn nsscope_record(backend: &str, file: &Path, more: &[&str]) -> Command {
    let mut command = nsscope();
    command.args(["record", "--backend", backend, "-o"]).arg(file).args(more);
    command
}

/// Time and number of the runs of a recorder's programs (`kernel.bpf_stats_enabled`), ns.
fn programs(pid: u32) -> (f64, f64) {
    let mut all = (0.0, 0.0);
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        if let (Some(time), Some(count)) = (field("run_time_ns:"), field("run_cnt:")) {
            all = (all.0 + time, all.1 + count);
        }
    }
    all
}

/// The kernel's setting, put back at the end.
struct Stats(String);
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Stats {
    fn on() -> Self {
        let before = fs::read_to_string(STATS).unwrap();
        fs::write(STATS, "1").unwrap();
        Self(before)
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        let _ = fs::write(STATS, &self.0);
    }
}

fn shortest(mut work: impl FnMut() -> f64) -> f64 {
    (0..RUNS).map(|_| work()).fold(f64::MAX, f64::min)
}

fn main() {
    if let Some(why) = cannot_record().or_else(no_bpf).or_else(no_perf).or_else(not_root) {
        println!("SKIPPED: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let cpus = std::thread::available_parallelism().unwrap().get();

    // What an event costs those who cause it.
    let off = shortest(|| storm(1));
    let perf = recorder(&mut nsscope_record("perf", &file, &["-a"]));
    let on = shortest(|| storm(1));
    drop(perf);
    let (ran, stats_on) = {
        let _stats = Stats::on();
        let bpf = recorder(&mut nsscope_record("bpf", &file, &["-a"]));
        let before = programs(bpf.0.id());
        let on = shortest(|| storm(1));
        let after = programs(bpf.0.id());
        ((after.0 - before.0) / (after.1 - before.1), on)
    };
    // What it costs without changes with what ran before.
    let off = off.min(shortest(|| storm(1)));
    let [own, whole] = [on, stats_on].map(|on| (on - off) / EVENTS * 1e9);
    row("an event by the kernel's own records: storm with them, minus without", &format!("{own:.0} ns"), "", "");
    row(
        "an event in the eBPF programs (bpf_stats)",
        &format!("{ran:.0} ns"),
        &format!("{:.2} x the kernel's own", ran / own),
        "<= 1",
    );
    row(
        "the same as the storm sees it, with bpf_stats on",
        &format!("{whole:.0} ns"),
        &format!("{:.2} x the kernel's own", whole / own),
        "",
    );

    // What the recorder costs, and whether it keeps up with every CPU.
    let perf_record = |more: &[&str]| {
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-e", "dummy:u", "--namespaces", "--all-cgroups", "-a"]).args(more);
        command.arg("-o").arg(&file);
        command
    };
    let cost = |command: &mut Command| {
        let recorder = recorder(command);
        let before = cpu_of(recorder.0.id());
        storm(2 * cpus);
        std::thread::sleep(Duration::from_millis(500));
        let during = cpu_of(recorder.0.id()) - before;
        let (told, whole) = stop(recorder);
        // Their pages go to the next: in a virtual machine new ones have to come from the host, which takes longer than
        // all the rest of a write.
        fs::read_dir(dir.path()).unwrap().flatten().for_each(|file| fs::remove_file(file.path()).unwrap());
        (whole, during, told)
    };
    let least = |make: &dyn Fn() -> Command| {
        let all: Vec<(f64, f64, String)> = (0..3).map(|_| cost(&mut make())).collect();
        let lost: u64 = all.iter().flat_map(|(.., told)| told.lines()).filter_map(lost).sum();
        let least = |of: fn(&(f64, f64, String)) -> f64| all.iter().map(of).fold(f64::MAX, f64::min);
        (least(|&(whole, ..)| whole), least(|&(_, during, _)| during), lost)
    };
    let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
    let (whole, during, _) = least(&|| perf_record(&[]));
    let (lean, ..) = least(&|| perf_record(&["-B", "-N"]));
    row("storm on every CPU, CPU time of perf record from start to end", &ms(whole), "", "");
    row("    without build ids (-B -N)", &ms(lean), &format!("{:.2} x perf record's", lean / whole), "");
    row("    during the storm", &ms(during), "", "");
    for backend in ["perf", "bpf"] {
        let (our_whole, our_during, lost) = least(&|| nsscope_record(backend, &file, &["-a"]));
        let ratio = |ours: f64, theirs: f64| format!("{:.2} x perf record's", ours / theirs);
        let what = format!("the same of nsscope record --backend {backend}");
        row(&what, &ms(our_whole), &ratio(our_whole, whole), "<= 0.5");
        row("    during the storm", &ms(our_during), &ratio(our_during, during), "");
        row("    lost, default buffers, 3 storms", &lost.to_string(), "", "0");
    }

    // A container in which nothing happens.
    let quiet = ["-m", "-p", "-f", "--kill-child", "sleep", "600"];
    let quiet = Running(Command::new("unshare").args(quiet).spawn().unwrap());
    let mut inside = None;
    wait_for(|| {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", quiet.0.id())).unwrap_or_default();
        inside = fs::read_link(format!("/proc/{}/ns/pid", children.trim())).ok();
        inside.as_deref().is_some_and(|inside| inside != fs::read_link("/proc/self/ns/pid").unwrap())
    });
    let inside = inside.unwrap().display().to_string();
    let watching = recorder(&mut nsscope_record("bpf", &file, &["--container", &inside]));
    let (before, begun) = (cpu_of(watching.0.id()), Instant::now());
    while begun.elapsed() < Duration::from_secs(5) {
        storm(2 * cpus);
    }
    let part = (cpu_of(watching.0.id()) - before) / begun.elapsed().as_secs_f64();
    row("recorder of one quiet container, storm elsewhere", "", &format!("{:.2} % of a CPU", part * 100.0), "< 2 %");
}

/// How many records a recorder says it lost: `..., 0 lost, ...`.
fn lost(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split(' ').collect();
    let at = words.iter().position(|&word| word == "lost,")?;
    words.get(at.checked_sub(1)?)?.replace(',', "").parse().ok()
}
