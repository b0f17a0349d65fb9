//! Context switches: exact CPU time, who waited for whom, and what a limit does, against the kernel's own accounts and
//! perf's.
#![allow(missing_docs)]

use nsscope_tests::runtimes::{IMAGE, World, docker};
use nsscope_tests::{
    Running, cannot_record, copy_program, errors, json_of, missing, needs, no_bpf, no_perf, not_root, nsscope,
    perf_script, report, run, skip, start, stop, text, wait_for,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Each test wants the CPUs for itself.
static CPUS: Mutex<()> = Mutex::new(());

const BUSY: &str = "while :; do :; done";

/// A container that is busy until this is dropped.
struct Busy(Running);

impl Drop for Busy {
    /// Pid 1 of a pid namespace outlives the unshare(1) that made it, whatever it is told of that one's end.
    fn drop(&mut self) {
        let pid = self.0.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", child]).status();
        }
    }
}

/// A container by unshare(1) that is busy on the first CPU under a name of its own.
fn busy(dir: &Path, name: &str) -> Busy {
    let shell = dir.join(name);
    copy_program("/bin/sh", &shell);
    let mut command = Command::new("taskset");
    command.args(["-c", "0", "unshare", "-p", "-m", "-f"]).arg(&shell).args(["-c", BUSY]);
    Busy(Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()))
}

/// Whether a process of this name has run for a tenth of a second.
fn has_run(name: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    // `PID (NAME) STATE ...`: of what comes behind the name the twelfth is the time in user mode, in hundredths.
    let ran = |stat: String| stat.split_once(&format!("({name}) "))?.1.split(' ').nth(11)?.parse::<u64>().ok();
    stats.filter_map(ran).any(|ticks| ticks >= 10)
}

/// The row of one who ran.
fn row<'r>(report: &'r Value, begins: &str) -> &'r Value {
    let all = report["cpu_use"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let found = all.iter().find(|row| {
        row["who"]["title"].as_str().or(row["who"]["kind"].as_str()).is_some_and(|title| title.starts_with(begins))
    });
    found.unwrap_or_else(|| panic!("no {begins} in {all:#?}"))
}

fn ns(of: &Value, field: &str) -> f64 {
    of[field].as_f64().unwrap_or_else(|| panic!("no {field} in {of:#}"))
}

/// How long one waited while another ran, ns.
fn waited_for(row: &Value, begins: &str) -> f64 {
    let others = row["waited_for"].as_array().unwrap();
    let found =
        others.iter().find(|other| other["who"]["title"].as_str().is_some_and(|title| title.starts_with(begins)));
    found.map_or(0.0, |other| ns(other, "ns"))
}

fn is_near(got: f64, wanted: f64, part: f64) -> bool {
    (got - wanted).abs() <= wanted * part
}

/// All that a CPU did adds up to the recording's length.
fn adds_up(report: &Value) {
    let length = ns(report, "last") - ns(report, "first");
    let rows = report["cpu_use"].as_array().unwrap();
    for cpu in ["0", "1"] {
        let sum: f64 = rows.iter().filter_map(|row| row["cpus_ns"][cpu].as_f64()).sum();
        assert!((sum - length).abs() < 1.0, "CPU {cpu}: {sum} of {length}");
    }
}

#[test]
fn the_one_to_blame_is_named() {
    needs!("the_one_to_blame_is_named", cannot_record(), not_root(), missing("taskset", "util-linux"));
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let recorder = start(&file, &["-a", "--switch-events"]);
    let names = ["victim-one", "victim-two", "aggressor"];
    let running: Vec<Busy> = names.iter().map(|name| busy(dir.path(), name)).collect();
    std::thread::sleep(Duration::from_secs(3));
    // The same, live.
    let top = text(&run(nsscope().args(["top", "--json", "--duration", "2s"])));
    let top: Value = serde_json::from_str(top.lines().last().unwrap()).unwrap();
    let live = top["containers"].as_array().unwrap();
    for name in names {
        let one = live.iter().find(|one| one["title"].as_str().is_some_and(|title| title.starts_with(name)));
        let one = one.unwrap_or_else(|| panic!("no {name} in {top:#}"));
        assert!((0.2..0.5).contains(&ns(one, "cpu_share")) && (0.5..0.8).contains(&ns(one, "wait_share")), "{one:#}");
        let worst = one["worst_neighbour"]["title"].as_str().unwrap();
        assert!(names.into_iter().any(|other| other != name && worst.starts_with(other)), "{one:#}");
    }
    let waits = ["events", "--longer-than", "3ms", "--duration", "1s", "--filter", "comm=aggressor"];
    let told = text(&run(nsscope().args(waits).arg("--json")));
    assert!(told.lines().count() > 3, "{told}");
    for line in told.lines() {
        let wait: Value = serde_json::from_str(line).unwrap();
        assert!(wait["comm"] == "aggressor" && wait["cpu"] == 0 && ns(&wait, "waited_ns") > 3e6, "{wait}");
    }
    assert!(told.contains("victim-one:") || told.contains("victim-two:"), "{told}");
    let told = text(&run(nsscope().args(waits)));
    assert!(told.lines().all(|line| line.contains(" ms for CPU 0, mostly for ")), "{told}");
    drop(running);
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, "), "{said}");
    let report = report(&file);
    adds_up(&report);
    for name in names {
        let one = row(&report, name);
        // A third each: on one CPU whoever does not run waits for who does.
        let others: Vec<&str> = names.into_iter().filter(|other| *other != name).collect();
        for other in &others {
            let ran = ns(row(&report, other), "cpu_ns");
            let waited = waited_for(one, other);
            assert!(is_near(waited, ran, 0.02), "{name} waited {waited} for {other}, which ran {ran}");
        }
        let sum: f64 = one["waited_for"].as_array().unwrap().iter().map(|other| ns(other, "ns")).sum();
        assert!((sum - ns(one, "waited_ns")).abs() < 1.0, "{one:#}");
        assert!(ns(one, "preempted") > 50.0 && ns(one, "longest_wait_ns") >= ns(one, "p99_wait_ns"), "{one:#}");
        let container = report["containers"].as_array().unwrap().iter().find(|c| c["id"] == one["who"]["id"]).unwrap();
        assert_eq!(container["cpu_ns"], one["cpu_ns"], "{container:#}");
    }
    let shown = text(&run(nsscope().args(["report", "--waits"]).arg(&file)));
    assert!(shown.contains("victim-one:") && shown.contains(" ms for aggressor:"), "{shown}");
    assert!(shown.contains(" on CPU 0"), "{shown}");
}

/// How long a container of Docker's was held back since it began, by its cgroup, ns.
fn throttled(id: &str) -> f64 {
    let places = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"];
    let read = |place: &str| fs::read_to_string(format!("{place}/docker/{id}/cpu.stat")).ok();
    let text = places.into_iter().find_map(read).expect("it has a cgroup");
    let value =
        |key: &str| -> Option<f64> { text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()) };
    value("throttled_time ").or_else(|| value("throttled_usec ").map(|usec| usec * 1e3)).unwrap()
}

/// The kernel's account of a cgroup, read by the recorder from its `cpu.stat` and `cpuacct.usage`.
#[test]
fn cpu_time_and_limits_are_those_of_the_cgroup() {
    needs!("cpu_time_and_limits", cannot_record(), not_root());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("cpu_time_and_limits", &why),
    };
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let file = world.rootfs().parent().unwrap().join("cpu.data");
    let busy = |name: &str, options: &[&str]| {
        let mut command = docker(&["run", "-d", "--network", "none", "--name", name]);
        run(command.args(options).args([IMAGE, "/bin/busybox", "sh", "-c", BUSY]));
    };
    busy("free", &["--cpuset-cpus", "1"]);
    busy("limited", &["--cpuset-cpus", "0", "--cpus", "0.4"]);
    busy("beside", &["--cpuset-cpus", "0", "--cpu-shares", "512"]);
    let id = text(&run(&mut docker(&["inspect", "-f", "{{.Id}}", "limited"])));
    let before = throttled(id.trim());
    let recorder = start(&file, &["-a", "--switch-events"]);
    std::thread::sleep(Duration::from_secs(5));
    let said = stop(recorder);
    let after = throttled(id.trim());
    run(&mut docker(&["rm", "-f", "free", "limited", "beside"]));
    assert!(said.contains(" 0 lost, "), "{said}");
    let report = report(&file);
    adds_up(&report);
    let length = ns(&report, "last") - ns(&report, "first");
    for name in ["free", "limited", "beside"] {
        let one = row(&report, name);
        let (ours, kernels) = (ns(one, "cpu_ns"), ns(&one["limit"], "used_ns"));
        // The two are not read at the same moment.
        assert!((ours - kernels).abs() < 0.005 * kernels + 2e7, "{name}: {ours} by us, {kernels} by the kernel");
    }
    let limited = row(&report, "limited");
    // Where the machine has more to do it gets less.
    assert!((0.2..0.42).contains(&(ns(limited, "cpu_ns") / length)), "{limited:#} of {length}");
    let limit = &limited["limit"];
    // It was in force for longer than it was recorded.
    let (ours, kernels) = (ns(limit, "throttled_ns"), after - before);
    assert!(ns(limit, "throttled_periods") > 0.0 && ours <= kernels && ours > 0.7 * kernels, "{ours} of {kernels}");
    // Who has no limit is not throttled, and waits for who runs.
    let beside = row(&report, "beside");
    assert_eq!(beside["limit"]["throttled_periods"], 0, "{beside:#}");
    let waited = waited_for(beside, "limited");
    assert!(is_near(waited, ns(limited, "cpu_ns"), 0.05), "{waited} of {limited:#}");
    let shown = text(&run(nsscope().args(["report", "--waits"]).arg(&file)));
    let line = shown.lines().find(|line| line.starts_with("limited ") && line.contains("was held back"));
    assert!(line.is_some_and(|line| line.contains("by its own CPU limit for")), "{shown}");
}

/// One recording of perf's with both: what perf makes of its tracepoints, and what we make of the switch records.
#[test]
fn run_times_are_those_of_perf_sched() {
    needs!("run_times_are_those_of_perf", cannot_record(), no_perf(), not_root(), missing("taskset", "util-linux"));
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("both.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-a", "--switch-events", "--namespaces", "--all-cgroups", "-e"])
        .arg("sched:sched_switch,sched:sched_wakeup,sched:sched_wakeup_new,sched:sched_process_exit")
        .args(["-m", "2048", "-o"])
        .arg(&file)
        .args(["--", "sh", "-c", "touch begun; until [ -e ended ]; do sleep 0.05; done"]);
    let mut perf = perf.current_dir(dir.path()).stderr(Stdio::null()).spawn().unwrap();
    // perf starts and stops switches and tracepoints one after another: both are on while the two run.
    while !dir.path().join("begun").exists() {
        assert!(perf.try_wait().unwrap().is_none(), "perf has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    let running = ["one", "two"].map(|name| busy(dir.path(), &format!("perf-{name}")));
    // An idle CPU leaves tracepoints out, so that perf does not know when a thread came to run.
    wait_for(|| ["one", "two"].iter().all(|name| has_run(&format!("perf-{name}"))));
    // Who sleeps waits from its wake-up on; who is new, from its first.
    let naps = "for i in $(seq 50); do sleep 0.005; done";
    run(Command::new("taskset").args(["-c", "0", "sh", "-c", naps]));
    drop(running);
    fs::write(dir.path().join("ended"), "").unwrap();
    assert!(perf.wait_with_output().unwrap().status.success());
    let theirs = text(&run(Command::new("perf").args(["sched", "timehist", "--summary", "-i"]).arg(&file)));
    let report = report(&file);
    assert_eq!(report["lost"], 0, "{report:#}");
    let rows = report["cpu_use"].as_array().unwrap();
    for name in ["perf-one", "perf-two"] {
        // `perf-one[123]  parent  sched-in  run-time ...`, times in ms.
        let line = theirs.lines().find(|line| line.trim_start().starts_with(&format!("{name}[")));
        let line = line.unwrap_or_else(|| panic!("{theirs}"));
        let perfs: f64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
        let ours = ns(row(&report, name), "cpu_ns") / 1e6;
        // The switch records of a thread that is ending have no id: what it runs then is `unknown`.
        let unnamed =
            rows.iter().find(|row| row["who"]["kind"] == "unknown").map_or(0.0, |row| ns(row, "cpu_ns") / 1e6);
        let apart = perfs - ours;
        // An idle CPU that gets work may leave out the tracepoint by which perf knows it.
        let missed = 0.1 + ours / 100.0;
        assert!(
            (-missed..unnamed + 0.1).contains(&apart),
            "{name}: {ours} ms, {perfs} ms by perf, {unnamed}\n{theirs}"
        );
    }
    waits_are_those_of_perf_sched(&file);
}

/// Thread by thread: how long it waited, in all and at most, is what `perf sched timehist` says. Two records tell of one
/// switch, its tracepoint first and its switch record some microseconds later; perf goes by the first, nsscope by the
/// second. (`perf sched latency` is no measure: perf 6.1 takes `R+`, preempted within the kernel, for asleep.)
fn waits_are_those_of_perf_sched(file: &Path) {
    let theirs = text(&run(Command::new("perf").args(["sched", "timehist", "--state", "-i"]).arg(file)));
    let mut waits = BTreeMap::<u64, Vec<f64>>::new();
    let mut was_running = BTreeMap::new();
    let (mut sleeps, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    for line in theirs.lines() {
        // `62435.908 [0000]  sleep[13018]  wait-time  sch-delay  run-time  state`, times in ms.
        let Some((tid, rest)) = line.split_once(']').and_then(|(_, rest)| rest.split_once('[')?.1.split_once(']'))
        else {
            continue;
        };
        let Ok(tid) = tid.parse::<u64>() else { continue };
        // A thread has another name before it runs its program.
        if line.contains(" sleep[") {
            sleeps.insert(tid);
        }
        if !line.contains(" [0000] ") {
            elsewhere.insert(tid);
        }
        let columns: Vec<&str> = rest.split_whitespace().collect();
        let [wait, delay, _, state] = columns[..] else { continue };
        // Which it left its CPU in: `R`, or what perf 6.1 makes of `R+`.
        let runnable = was_running.insert(tid, ["R", "R+", "W"].contains(&state)).unwrap_or(false);
        waits.entry(tid).or_default().push(if runnable { wait } else { delay }.parse().unwrap());
    }
    let mut ours = BTreeMap::<u64, Vec<f64>>::new();
    let json = text(&run(nsscope().args(["script", "--longer-than", "0ns", "--format", "json"]).arg(file)));
    for line in json.lines() {
        let wait: Value = serde_json::from_str(line).unwrap();
        ours.entry(wait["tid"].as_u64().unwrap()).or_default().push(ns(&wait, "waited_ns") / 1e6);
    }
    let (sum, max) =
        (|waits: &[f64]| waits.iter().sum::<f64>(), |waits: &[f64]| waits.iter().copied().fold(0.0, f64::max));
    // Those that kept to the busy CPU.
    waits.retain(|tid, _| sleeps.contains(tid) && !elsewhere.contains(tid));
    let (mut long, mut others) = (0, Vec::new());
    for (tid, theirs) in &waits {
        let ours = ours.get(tid).map_or(&[][..], Vec::as_slice);
        let apart = (sum(ours) - sum(theirs)).abs().max((max(ours) - max(theirs)).abs());
        if apart > 0.02 * theirs.len() as f64 {
            others.push(format!("{tid}: {ours:?} ms, by perf {theirs:?}"));
        }
        long += usize::from(max(theirs) > 1.0);
    }
    // An interrupt may come between the two records of a switch.
    assert!(others.len() * 10 <= waits.len(), "{} threads differ: {others:#?}", others.len());
    assert!(waits.len() >= 50 && long > 2, "{} threads, {long}: {theirs}", waits.len());
}

/// The kernel gives the inode of a namespace again at once: what ran in one life of it is none of the next one's.
#[test]
fn cpu_time_is_of_the_container_that_had_the_inode_then() {
    needs!("cpu_time_is_of_the_container_that", cannot_record(), not_root());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    for (name, how) in [("switches", &["-a", "--switch-events"][..]), ("samples", &["-F", "999"])] {
        let file = dir.path().join(name);
        let busy = "unshare -m -p -f sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 0'";
        let all = format!("for i in $(seq 40); do unshare -m -p -f true; done; {busy}; unshare -m -p -f true");
        run(nsscope().arg("record").args(how).arg("-o").arg(&file).args(["--", "sh", "-c", &all]));
        let report = report(&file);
        let containers = report["containers"].as_array().unwrap();
        let named = |command: &'static str| containers.iter().filter(move |one| one["commands"] == json!([command]));
        let (all, busy) = (named("true").count(), named("sh").collect::<Vec<_>>());
        assert_eq!((all, busy.len()), (41, 1), "{report:#}");
        let id = &busy[0]["id"];
        let reused = named("true").filter(|one| one["id"] == *id).count();
        assert!(reused > 0, "no other has had {id}: {report:#}");
        let sum: f64 = named("true").map(|one| ns(one, "cpu_ns")).sum();
        assert!(sum < ns(busy[0], "cpu_ns"), "{sum} of {report:#}");
        if name == "switches" {
            let all: f64 = containers.iter().map(|one| ns(one, "cpu_ns")).sum();
            let rows = report["cpu_use"].as_array().unwrap().iter().filter(|row| row["who"]["kind"] == "container");
            let rows: f64 = rows.map(|row| ns(row, "cpu_ns")).sum();
            assert!((all - rows).abs() < 1.0, "{all} in containers, {rows} in rows: {report:#}");
        } else {
            let all: u64 = containers.iter().map(|one| one["samples"].as_u64().unwrap()).sum();
            let stat = json_of(nsscope().args(["stat", "--json"]).arg(&file));
            let taken = stat["kinds"]["sample"]["count"].as_u64().unwrap();
            assert!(all <= taken, "{all} samples of {taken}");
        }
    }
}

#[test]
fn perf_prints_the_switches_that_we_print() {
    needs!("perf_prints_the_switches", cannot_record(), no_perf(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    for (name, args) in [
        ("all", &["-a", "--switch-events", "--wakeups", "--backend", "perf"][..]),
        ("bpf", &["-a", "--wakeups", "--backend", "bpf"]),
        ("packed", &["-a", "-z", "--switch-events"]),
        ("own", &["--switch-events"]),
    ] {
        let file = dir.path().join(name);
        let command = ["--", "sh", "-c", "for i in 1 2 3; do sleep 0.02; done"];
        run(nsscope().arg("record").args(args).arg("-o").arg(&file).args(command));
        let ours = run(nsscope().args(["script", "--format", "perf"]).arg(&file));
        let theirs = run(&mut perf_script(&file));
        let kind = if name == "own" { "PERF_RECORD_SWITCH " } else { "PERF_RECORD_SWITCH_CPU_WIDE " };
        assert!(text(&ours).contains(kind), "{name}: {}", text(&ours));
        assert!(ours.stdout == theirs.stdout, "{name}: {}\n{}", text(&ours), text(&theirs));
    }
    let json = json_of(nsscope().args(["report", "--json"]).arg(dir.path().join("all")));
    assert_eq!(json["cpu_source"], "switches");
}

#[test]
fn a_capture_without_switches_says_so() {
    needs!("a_capture_without_switches", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    run(nsscope().args(["record", "-o"]).arg(&file).args(["--", "true"]));
    for command in [&["report", "--waits"][..], &["script", "--longer-than", "20ms"]] {
        let output = nsscope().args(command).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(errors(&output).contains("has no context switches") && errors(&output).contains("--switch-events"));
    }
    let output = nsscope().args(["script", "--longer-than", "20ms", "--format", "perf"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let output = nsscope().args(["record", "--backend", "proc", "--switch-events", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
}

/// Context switches go the way of all other records, whatever else a recording is told.
#[test]
fn switches_are_recorded_with_every_other_option() {
    needs!("switches_are_recorded_with_every_other_option", cannot_record(), no_bpf(), not_root());
    let _alone = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (busy(dir.path(), "opt-one"), busy(dir.path(), "opt-two"));
    std::thread::sleep(Duration::from_millis(300));
    let ps = json_of(nsscope().args(["ps", "--json"]));
    let containers = ps["containers"].as_array().unwrap();
    let of = |name: &str| {
        let found = containers.iter().find(|c| c["commands"].as_array().unwrap().contains(&name.into()));
        let found = found.unwrap_or_else(|| panic!("no {name} in {containers:#?}"));
        (found["id"].as_str().unwrap().to_string(), found["root_pid"].to_string())
    };
    let (id, pid) = of("opt-one");
    let options: [&[&str]; 8] = [
        &["-a", "-z"],
        &["-a", "--backend", "bpf", "-z"],
        &["-p", &pid, "--backend", "bpf"],
        &["--container", &id, "--backend", "bpf"],
        &["-p", &pid],
        &["--container", &id],
        &["-a", "--max-size", "256K", "-m", "64K"],
        &["-a", "--snapshot"],
    ];
    for (number, option) in options.into_iter().enumerate() {
        let file = dir.path().join(format!("{number}.data"));
        let mut record = nsscope();
        record.args(["record", "--switch-events", "--duration", "1500ms", "-o"]).arg(&file).args(option);
        run(&mut record);
        let name = file.file_name().unwrap().to_str().unwrap().to_string();
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> =
            files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect();
        assert!(!files.is_empty(), "{option:?}");
        let mut busy_ns = 0.0;
        for file in &files {
            let stat = json_of(nsscope().args(["stat", "--json"]).arg(file));
            let kinds = &stat["kinds"];
            let count = ["switch", "switch_cpu_wide"].iter().filter_map(|kind| kinds[kind]["count"].as_u64());
            assert!(count.sum::<u64>() > 10, "{option:?} {}: {stat}", file.display());
            assert_eq!(stat["lost"], 0, "{option:?}");
            busy_ns +=
                ns(row(&json_of(nsscope().args(["report", "--waits", "--json"]).arg(file)), "opt-one"), "cpu_ns");
        }
        // Half of a CPU, as two share it; a flight recorder's rings may go back less far.
        assert!((0.4e9..1.2e9).contains(&busy_ns), "{option:?}: {busy_ns} ns in {} files", files.len());
    }
    drop((one, two));
}
