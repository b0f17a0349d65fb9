//! The eBPF programs in the running kernel, beside perf's own records of the same moments.
#![allow(missing_docs)]

use nsscope_tests::{
    Group, Running, actor, by_id, cannot_record, cpu_usage, errors, events, json_of, kernel_that_refuses, missing,
    needs, no_bpf, no_cgroup2, no_perf, not_root, nsscope, perf_script, report, run, start, stop, text, wait_for,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Tests of switches want the CPUs for themselves.
static CPUS: Mutex<()> = Mutex::new(());

/// A process and all that descend from it, by the FORK records.
fn descendants(events: &[Value], root: u64) -> BTreeSet<u64> {
    let mut all = BTreeSet::from([root]);
    for event in events.iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == false) {
        if all.contains(&event["ppid"].as_u64().unwrap()) {
            all.insert(event["pid"].as_u64().unwrap());
        }
    }
    all
}

/// What is told of some processes, by kind, without when and by whom; in no order.
fn told(events: &[Value], of: &BTreeSet<u64>) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let ours = |event: &&Value| event["pid"].as_u64().is_some_and(|pid| of.contains(&pid));
    for event in events.iter().filter(ours).filter(|event| event["kind"] != "sample") {
        let mut event = event.clone();
        event.as_object_mut().unwrap().retain(|name, _| !["time", "wall", "cpu"].contains(&name.as_str()));
        told.entry(event["kind"].as_str().unwrap().into()).or_default().push(event.to_string());
    }
    for all in told.values_mut() {
        all.sort();
    }
    told
}

/// The fields of the samples of `nsscope:task_namespaces` of one task, in time order.
fn contexts(events: &[Value], pid: u64) -> Vec<&Value> {
    let of = events.iter().filter(|event| event["event"] == "nsscope:task_namespaces");
    of.map(|event| &event["fields"]).filter(|fields| fields["pid"] == pid).collect()
}

/// Has a shell run a script between two moments at which both recorders are there. Returns its pid and its output.
fn shell(script: &str) -> (u64, String) {
    let mut sh = Command::new("sh");
    let child = sh.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = u64::from(child.id());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    (pid, text(&output))
}

#[test]
fn both_backends_record_the_same() {
    needs!("both_backends_record_the_same", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (perf, bpf) = (dir.path().join("perf.data"), dir.path().join("bpf.data"));
    let recorders = [start(&perf, &["-a", "--backend", "perf"]), start(&bpf, &["-a", "--backend", "bpf"])];
    let actor = actor();
    let actor = actor.display();
    let (root, _) = shell(&format!(
        "{actor} storm 500 2; {actor} clone user; {actor} unshare cgroup; {actor} setns net; {actor} churn 50
         unshare -T -m -p -f sh -c 'unshare -u true; perl -e \"\\$0 = q(a renamed one with a long name)\"; true'
         unshare -n true; exec sh -c 'exit 0'"
    ));
    for recorder in recorders {
        stop(recorder);
    }
    let (by_perf, by_bpf) = (events(&perf), events(&bpf));
    let ours = descendants(&by_perf, root);
    assert!(ours.len() > 500, "{ours:?}");
    let (perf, bpf) = (told(&by_perf, &ours), told(&by_bpf, &ours));
    assert_eq!(perf.keys().collect::<Vec<_>>(), ["comm", "exit", "fork", "namespaces"]);
    for (kind, records) in &perf {
        let missing: Vec<_> = records.iter().filter(|record| !bpf[kind].contains(record)).take(3).collect();
        let more: Vec<_> = bpf[kind].iter().filter(|record| !records.contains(record)).take(3).collect();
        assert!(*records == bpf[kind], "{kind}: only perf has {missing:#?}, only bpf {more:#?}");
    }
    // To what perf's file says bpf's adds, and nothing is said of how the recording was made but that.
    assert_eq!(report(&dir.path().join("bpf.data"))["recorder"]["backend"], "bpf");
}

/// Switches of some threads out of their CPUs, and their wake-ups, each thread's in time order, without when they were.
/// Without those by the idle task: perf's tracepoints miss some, perf's own recorder's too. Until its EXIT: perf may not
/// know the id of a thread that has ended.
fn scheduled(events: &[Value], of: &BTreeSet<u64>) -> BTreeMap<(u64, &'static str), Vec<Value>> {
    let mut all: Vec<&Value> = events.iter().collect();
    all.sort_by_key(|event| event["time"].as_u64());
    let mut by_thread: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for event in all {
        if event["kind"] == "exit" {
            ended.extend(event["tid"].as_u64());
        }
        // perf may not know who has ended.
        let alive = |tid: &Value| tid.as_u64().filter(|tid| *tid != u64::from(u32::MAX) && !ended.contains(tid));
        let (tid, kind, what) = if event["out"] == true {
            (&event["tid"], "switches", json!([event["cpu"], event["preempted"], alive(&event["other_tid"])]))
        } else if ["sched:sched_wakeup", "sched:sched_wakeup_new", "nsscope:wakeup"]
            .iter()
            .any(|of| event["event"] == *of)
            && event["tid"] != 0
        {
            let fields = &event["fields"];
            (&fields["pid"], "wake-ups", json!([alive(&event["tid"]), fields["target_cpu"]]))
        } else {
            continue;
        };
        if let Some(tid) = tid.as_u64().filter(|tid| of.contains(tid) && !ended.contains(tid)) {
            by_thread.entry((tid, kind)).or_default().push(what);
        }
    }
    by_thread
}

/// The kernel's own records of who left a CPU, to whom and whether it would have run on; and of each wake-up.
#[test]
fn both_backends_record_the_same_switches() {
    needs!("both_backends_record_the_same_switches", cannot_record(), no_bpf(), not_root());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let files = ["perf", "bpf"].map(|backend| (backend, dir.path().join(backend)));
    let recorders = files.clone().map(|(backend, file)| {
        start(&file, &["-a", "--switch-events", "--wakeups", "-m", "16M", "--backend", backend])
    });
    // Two that take turns on one CPU, one that waits for a pipe, and one that is limited to nothing.
    let (root, _) = shell(
        "for i in 1 2; do taskset -c 0 timeout 0.5 sh -c 'while :; do :; done' & done
         for i in $(seq 200); do echo $i; done | while read n; do read n; sleep 0.001; done
         wait",
    );
    for recorder in recorders {
        stop(recorder);
    }
    let [by_perf, by_bpf] = files.map(|(_, file)| events(&file));
    let ours = descendants(&by_perf, root);
    let (perf, bpf) = (scheduled(&by_perf, &ours), scheduled(&by_bpf, &ours));
    assert!(perf.len() > 50 && perf.values().flatten().count() > 500, "{} threads", perf.len());
    assert!(perf.values().flatten().any(|what| what[1] == true), "nobody was preempted");
    for (key, perf) in &perf {
        let bpf = bpf.get(key).unwrap_or_else(|| panic!("bpf has nothing of {key:?}"));
        let differs = perf.iter().zip(bpf).position(|(perf, bpf)| perf != bpf);
        if let Some(at) = differs {
            panic!("{key:?}, {at} of {}: {} by perf, {} by bpf", perf.len(), perf[at], bpf[at]);
        }
        assert_eq!(perf.len(), bpf.len(), "{key:?}: {:?} by perf, {:?} by bpf", perf.last(), bpf.last());
    }
}

/// Who ran for how long, and who waited for whom, is the same by both.
#[test]
fn both_backends_name_the_same_neighbour() {
    needs!("both_backends_name_the_same_neighbour", cannot_record(), no_bpf(), not_root());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let files = ["perf", "bpf"].map(|backend| (backend, dir.path().join(backend)));
    let recorders = files.clone().map(|(backend, file)| start(&file, &["-a", "--switch-events", "--backend", backend]));
    run(Command::new("sh")
        .args(["-c", "for i in 1 2; do taskset -c 0 unshare -pmf timeout 1 sh -c 'while :; do :; done' & done; wait"]));
    for recorder in recorders {
        let said = stop(recorder);
        assert!(said.contains(" 0 lost, "), "{said}");
    }
    let [perf, bpf] = files.map(|(_, file)| report(&file));
    let rows = |report: &Value| -> BTreeMap<String, (f64, f64)> {
        let all = report["cpu_use"].as_array().unwrap().iter();
        let busy = all.filter_map(|row| {
            let title = row["who"]["title"].as_str().filter(|title| title.starts_with("timeout:"))?;
            Some((title.to_string(), (row["cpu_ns"].as_f64().unwrap(), row["waited_ns"].as_f64().unwrap())))
        });
        busy.collect()
    };
    let said = [&perf, &bpf].map(|report| json!([report["containers"], report["cpu_use"]]).to_string());
    let (perf, bpf) = (rows(&perf), rows(&bpf));
    assert!(perf.len() == 2 && perf.keys().eq(bpf.keys()), "{perf:?} {bpf:?}: {said:?}");
    // How a container begins and ends is not recorded at the same moments: a slice or two are apart.
    let near = |one: f64, other: f64| (one - other).abs() < 0.02 * one + 2.5e7;
    for ((ran, waited), (ran_bpf, waited_bpf)) in perf.values().zip(bpf.values()) {
        assert!(near(*ran, *ran_bpf), "ran {perf:?} by perf, {bpf:?} by bpf");
        assert!(near(*waited, *waited_bpf), "waited {perf:?} by perf, {bpf:?} by bpf");
    }
}

/// What the programs sum up is what comes of their records of each switch and each wake-up.
#[test]
fn sums_are_those_of_the_switches() {
    needs!("sums_are_those_of_the_switches", cannot_record(), no_bpf(), no_perf(), not_root());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (sums, switches) = (dir.path().join("sums"), dir.path().join("switches"));
    let recorders = [
        start(&sums, &["-a", "--backend", "bpf", "--summary", "200ms"]),
        start(&switches, &["-a", "--backend", "bpf", "--wakeups", "-m", "16M"]),
    ];
    // Two that share a CPU, and one that sleeps most of the time.
    run(Command::new("sh").args([
        "-c",
        "for i in 1 2; do taskset -c 0 unshare -pmf timeout 2 sh -c 'while :; do :; done' & done
         taskset -c 1 unshare -pmf timeout 2 sh -c 'while :; do sleep 0.002; done' & wait",
    ]));
    for recorder in recorders {
        let said = stop(recorder);
        assert!(said.contains(" 0 lost, "), "{said}");
    }
    let (summed, each) = (report(&sums), report(&switches));
    assert_eq!((&summed["cpu_source"], &each["cpu_source"]), (&json!("sums"), &json!("switches")));
    let row = |report: &Value, who: &Value| -> Value {
        let all = report["cpu_use"].as_array().unwrap();
        // CPUs that had work all the time were never idle.
        let none = (who["kind"] == "idle").then(|| json!({ "cpu_ns": 0, "waited_ns": 0 }));
        let found = all.iter().find(|row| row["who"] == *who).cloned().or(none);
        found.unwrap_or_else(|| panic!("no {who} in {all:#?}"))
    };
    let number = |row: &Value, field: &str| row[field].as_f64().unwrap_or_else(|| panic!("no {field} in {row:#}"));
    let of_containers = |report: &Value| -> Vec<Value> {
        let all = report["cpu_use"].as_array().unwrap().iter().map(|row| row["who"].clone());
        all.filter(|who| who["title"].as_str().is_some_and(|title| title.starts_with("timeout:"))).collect()
    };
    let containers = of_containers(&each);
    assert_eq!(containers.len(), 3, "{each:#}");
    // Time of all CPUs that one of the recordings has and the other has not.
    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    let moment = |field| (number(&summed, field) - number(&each, field)).abs();
    let apart_by = cpus * (moment("first") + moment("last"));
    for who in containers.iter().chain([&json!({ "kind": "idle" })]) {
        let (ours, told) = (row(&summed, who), row(&each, who));
        for field in ["cpu_ns", "waited_ns"] {
            // The recordings do not begin and end together: the idle task runs then, and before they have each other's names.
            // Sums know from a task's first slice on where it is; records of switches first have to say who it is.
            let near = if who["kind"] == "idle" { 3e8 + apart_by } else { 0.02 * number(&told, field) + 5e7 };
            let apart = (number(&ours, field) - number(&told, field)).abs();
            assert!(apart <= near, "{field}: {ours:#} by sums, {told:#} by switches");
        }
        if who["kind"] == "container" {
            for field in ["waits", "slept", "preempted"] {
                let apart = (number(&ours, field) - number(&told, field)).abs();
                assert!(apart <= 0.02 * number(&told, field) + 5.0, "{field}: {ours:#} by sums, {told:#} by switches");
            }
            let longest = number(&told, "longest_wait_ns");
            // The longest may have been before that.
            assert!(number(&ours, "longest_wait_ns") > longest - 1e6, "{ours:#} by sums, {told:#} by switches");
            assert_eq!(ours["median_wait_ns"], Value::Null);
            // Who ran meanwhile. Whoever is woken up for one CPU may run on another: those few are told apart differently.
            let for_whom = |row: &Value, whom: &Value| {
                let all = row["waited_for"].as_array().unwrap();
                all.iter().find(|other| other["who"] == *whom).map_or(0.0, |other| number(other, "ns"))
            };
            let waited = number(&told, "waited_ns");
            for whom in containers.iter().chain([&json!({ "kind": "host" }), &json!({ "kind": "unknown" })]) {
                let (sums, switches) = (for_whom(&ours, whom), for_whom(&told, whom));
                assert!(
                    (sums - switches).abs() < 0.02 * waited + 5e7,
                    "for {whom}: {ours:#} by sums, {told:#} by switches"
                );
            }
            // Little that is held back is said later, when it may be known better whose it is.
            let all: f64 = ours["waited_for"].as_array().unwrap().iter().map(|other| number(other, "ns")).sum();
            assert!((all - number(&ours, "waited_ns")).abs() < 2e6, "{ours:#}");
        }
    }
    // All CPUs' time is somebody's.
    let all: f64 = summed["cpu_use"].as_array().unwrap().iter().map(|row| number(row, "cpu_ns")).sum();
    let length = number(&summed, "last") - number(&summed, "first");
    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    assert!((all - length * cpus).abs() < 0.1 * length * cpus, "{all} of {cpus} CPUs for {length}");
    // No switch is in the file, and perf reads what is.
    let kinds = json_of(nsscope().args(["stat", "--json"]).arg(&sums));
    assert_eq!(kinds["kinds"]["switch_cpu_wide"], Value::Null, "{kinds:#}");
    let ours = run(nsscope().args(["script", "--format", "perf"]).arg(&sums));
    assert!(text(&ours).matches("nsscope:cpu_sum").count() > 50);
    assert!(ours.stdout == run(&mut perf_script(&sums)).stdout);
    assert!(text(&ours).contains("nsscope:cpu_wait"));
    let shown = text(&run(nsscope().args(["report", "--cpu", "--waits"]).arg(&sums)));
    assert!(shown.contains("summed in the kernel") && shown.contains(" ms for timeout:"), "{shown}");
    for wrong in [&["--backend", "perf", "--summary", "1s"][..], &["--summary", "1s", "--switch-events"]] {
        let output = nsscope().arg("record").args(wrong).args(["--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    }
}

/// How long the tasks of each cgroup ran by the sums of a file, ns, by its id.
fn ran_by_cgroup(file: &Path) -> BTreeMap<u64, u64> {
    let mut ran: BTreeMap<u64, u64> = BTreeMap::new();
    for event in events(file).iter().filter(|event| event["event"] == "nsscope:cpu_sum") {
        let field = |name: &str| event["fields"][name].as_u64().unwrap();
        *ran.entry(field("cgroup")).or_default() += field("ran");
    }
    ran
}

/// Each cgroup ran for as long as the kernel says.
#[test]
fn sums_of_cgroups_are_the_kernels() {
    needs!("sums_of_cgroups", cannot_record(), no_bpf(), not_root(), no_cgroup2());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sums");
    let group = Group::new("nsscope-sums");
    let recorder = start(&file, &["-a", "--backend", "bpf", "--summary", "20ms"]);
    run(Command::new("sh").current_dir(&group.0).args([
        "-c",
        "one() {
             mkdir $1
             (echo 0 > $1/cgroup.procs; sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done')
         }
         for i in $(seq 1 20); do one a$i & one b$i; wait $!; done",
    ]));
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, "), "{said}");
    let summed = ran_by_cgroup(&file);
    let (mut all, mut told) = (0, 0);
    for cgroup in fs::read_dir(&group.0).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let usage = cpu_usage(&cgroup.path());
        let ran = *summed.get(&cgroup.ino()).unwrap_or_else(|| panic!("no sum of {cgroup:?}"));
        // The kernel itself counts by its ticks where a task moves between cgroups that have no CPU controller.
        assert!(ran.abs_diff(usage) < 10_000_000, "{cgroup:?} ran {ran} ns, {usage} by the kernel");
        (all, told) = (all + ran, told + usage);
    }
    assert!(all.abs_diff(told) * 50 < told, "all ran {all} ns, {told} by the kernel");
}

/// There are numbers for 4096 groups at once: those of cgroups where nobody runs any more are given to others.
#[test]
fn sums_have_room_for_all_cgroups_one_after_another() {
    const CGROUPS: usize = 9000;
    needs!("sums_have_room", cannot_record(), no_bpf(), not_root(), no_cgroup2());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sums");
    let group = Group::new("nsscope-many");
    for index in 0..CGROUPS {
        fs::create_dir(group.0.join(index.to_string())).unwrap();
    }
    let recorder = start(&file, &["-a", "--backend", "bpf", "--summary", "20ms"]);
    let script = format!("i=0; while [ $i -lt {CGROUPS} ]; do echo 0 > $i/cgroup.procs; (:); i=$((i + 1)); done");
    run(Command::new("sh").current_dir(&group.0).args(["-c", &script]));
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, ") && !said.contains("at once"), "{said}");
    let summed = ran_by_cgroup(&file);
    let usages: BTreeMap<u64, u64> = (0..CGROUPS)
        .map(|index| group.0.join(index.to_string()))
        .map(|cgroup| (fs::metadata(&cgroup).unwrap().ino(), cpu_usage(&cgroup)))
        .collect();
    let ran = |cgroup| summed.get(cgroup).copied().unwrap_or(0);
    let (all, told): (u64, u64) = (usages.keys().map(ran).sum(), usages.values().sum());
    assert!(all.abs_diff(told) * 20 < told, "all ran {all} ns, {told} by the kernel");
    let missing = usages.keys().filter(|&cgroup| ran(cgroup) == 0).count();
    assert_eq!(missing, 0, "of {CGROUPS} cgroups");
}

/// A task that goes on running as it is moved has run in both cgroups, though the sums are read meanwhile.
#[test]
fn a_slice_in_two_cgroups_is_summed_once() {
    needs!("a_slice_in_two_cgroups", cannot_record(), no_bpf(), not_root(), no_cgroup2());
    let _cpus = CPUS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sums");
    let groups = [Group::new("nsscope-here"), Group::new("nsscope-there")];
    let recorder = start(&file, &["-a", "--backend", "bpf", "--summary", "20ms"]);
    let mut busy = Running(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    for turn in 0..6 {
        fs::write(groups[turn % 2].procs(), busy.0.id().to_string()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    busy.0.kill().unwrap();
    busy.0.wait().unwrap();
    let usages = groups.each_ref().map(|group| cpu_usage(&group.0));
    stop(recorder);
    let summed = ran_by_cgroup(&file);
    for (group, usage) in groups.iter().zip(usages) {
        let ran = summed[&fs::metadata(&group.0).unwrap().ino()];
        assert!(usage > 200_000_000 && ran.abs_diff(usage) * 20 < usage, "ran {ran} ns, {usage} by the kernel");
    }
}

/// In a pid namespace of their own both tell the pids of there.
#[test]
fn both_backends_record_the_same_inside_a_container() {
    needs!("both_backends_record_the_same_inside", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (perf, bpf) = (dir.path().join("perf.data"), dir.path().join("bpf.data"));
    let (nsscope, actor) = (nsscope(), actor());
    let script = format!(
        "{0} record -a --backend perf -o {1} 2>&- & perf=$!; {0} record -a --backend bpf -o {2} 2>&- & bpf=$!
         for file in {1} {2}; do until [ -s $file ]; do sleep 0.1; done; done; sleep 0.5
         sh -c '{3} storm 20 2 >&-; unshare -p -f unshare -n true' & echo $!; wait $!
         kill -INT $perf $bpf; wait",
        Path::new(nsscope.get_program()).display(),
        perf.display(),
        bpf.display(),
        actor.display()
    );
    let output = run(Command::new("unshare").args(["-p", "-C", "-f", "--mount-proc", "sh", "-c", &script]));
    let root = text(&output).trim().parse().unwrap();
    let (by_perf, by_bpf) = (events(&perf), events(&bpf));
    let ours = descendants(&by_perf, root);
    assert!(root < 1000 && ours.len() > 20, "{ours:?}");
    assert_eq!(told(&by_perf, &ours), told(&by_bpf, &ours));
}

/// Where functions cannot be probed, tracepoints of system calls tell the same; tracefs need not be mounted for it.
#[test]
fn a_machine_without_tracefs_tells_of_unshare() {
    needs!("a_machine_without_tracefs", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let script = "umount -a -t tracefs,debugfs; test ! -e /sys/kernel/tracing/events && exec \"$@\"";
    let mut hidden = Command::new("unshare");
    hidden.args(["-m", "sh", "-c", script, "sh"]).arg(nsscope().get_program());
    hidden.args(["record", "--backend", "bpf", "-o"]).arg(&file).args(["--", "unshare", "-u", "true"]);
    let said = errors(&run(&mut hidden));
    assert!(!said.contains("does not let"), "{said}");
    let all = events(&file);
    let reasons = all.iter().filter(|event| event["event"] == "nsscope:task_namespaces");
    assert!(reasons.map(|event| &event["fields"]["reason"]).any(|reason| *reason == json!(2)), "an unshare");
}

/// By default perf, where that is refused bpf, where that is refused too /proc; it is said which, and why. Of wake-ups bpf,
/// where that is refused perf.
#[test]
fn the_backend_is_the_best_that_is_allowed() {
    needs!("the_backend_is_the_best", cannot_record(), no_bpf(), not_root(), missing("gcc", "gcc"));
    let dir = tempfile::tempdir().unwrap();
    // As a sandbox may do it.
    let library = kernel_that_refuses(dir.path(), "attr->type != PERF_TYPE_TRACEPOINT", "EACCES");
    let file = dir.path().join("a.data");
    let backend = |record: &mut Command| {
        let said = errors(&run(record.arg("-o").arg(&file).args(["--", "true"])));
        (report(&file)["recorder"]["backend"].as_str().unwrap().to_owned(), said)
    };
    assert_eq!(backend(nsscope().arg("record")).0, "perf");
    let (by, said) = backend(nsscope().env("LD_PRELOAD", &library).arg("record"));
    assert_eq!(by, "bpf");
    assert!(said.contains("by eBPF programs instead: the kernel refuses perf_event_open"), "{said}");
    let nsscope = nsscope();
    let program = nsscope.get_program().to_str().unwrap();
    let mut without = Command::new("setpriv");
    let (by, said) = backend(without.args(["--bounding-set=-all", "--inh-caps=-all", program, "record"]));
    assert_eq!(by, "proc");
    assert!(said.contains("the kernel refuses perf_event_open") && said.contains("eBPF programs"), "{said}");

    assert_eq!(backend(Command::new(program).args(["record", "-a", "--wakeups"])).0, "bpf");
    let without = ["--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin", program];
    let mut record = Command::new("setpriv");
    let (by, said) = backend(record.args(without).args(["record", "-v", "-a", "--wakeups"]));
    assert_eq!(by, "perf");
    assert!(said.contains("recording wake-ups by perf, not by eBPF programs"), "{said}");
}

/// What no record of the kernel has, against what the process itself finds in /proc.
#[test]
fn time_namespaces_reasons_and_pids_inside_are_told() {
    needs!("time_namespaces_reasons_and_pids", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let recorder = start(&file, &["-a", "--backend", "bpf"]);
    let actor = actor();
    let ns = "cd /proc/self/ns; stat -L -c %i time time_for_children pid_for_children";
    let script = format!(
        "{0} unshare time; {0} setns uts; {0} clone time
         unshare -T -p -f sh -c 'grep NSpid /proc/self/status; {ns}; :'",
        actor.display()
    );
    let (_, output) = shell(&script);
    stop(recorder);
    let events = events(&file);
    let lines: Vec<&str> = output.lines().collect();
    let [unshared, entered, cloned, nspid, time, time_for_children, pid_for_children] = lines[..] else {
        panic!("{output}")
    };
    let json = |line: &str| -> Value { serde_json::from_str(line).unwrap() };

    // unshare: its own stays, its children's is new.
    let unshared = json(unshared);
    let all = contexts(&events, unshared["pid"].as_u64().unwrap());
    let last = all.last().unwrap();
    assert_eq!((&last["reason"], &last["time"]), (&json!(2), &unshared["after"]["time"]["ino"]), "{all:?}");
    assert_ne!(last["time"], last["time_for_children"]);
    let entered = json(entered);
    let reasons: Vec<_> =
        contexts(&events, entered["pid"].as_u64().unwrap()).iter().map(|c| c["reason"].clone()).collect();
    assert_eq!(reasons, [json!(1), json!(3)], "a fork, then setns");
    // A child by clone is in the new one at once.
    let cloned = json(cloned);
    let all = contexts(&events, cloned["pid"].as_u64().unwrap());
    assert_eq!((&all[0]["reason"], &all[0]["time"]), (&json!(1), &cloned["after"]["time"]["ino"]));
    assert_ne!(cloned["before"]["time"], cloned["after"]["time"]);

    // Inside: grep's own pids and namespaces.
    let pid_for_children: u64 = pid_for_children.parse().unwrap();
    let pids: Vec<u64> = nspid.split_whitespace().skip(1).map(|pid| pid.parse().unwrap()).collect();
    let inner = *pids.last().unwrap();
    let grep = events.iter().find(|event| {
        event["event"] == "nsscope:task_namespaces" && {
            let fields = &event["fields"];
            fields["levels"] == 2 && fields["pids"][1] == inner && fields["pid_for_children"] == pid_for_children
        }
    });
    let grep = &grep.unwrap_or_else(|| panic!("{output}"))["fields"];
    assert_eq!(grep["pids"][0], grep["pid"]);
    assert_eq!(
        (grep["time"].to_string(), grep["time_for_children"].to_string()),
        (time.into(), time_for_children.into())
    );

    // So says the report of a definition that no other recording has.
    let by_time = json_of(nsscope().args(["report", "--json", "--definition", "by:time"]).arg(&file));
    let container = by_id(&by_time, &format!("time:[{time}]"));
    let commands = container["commands"].as_array().unwrap();
    assert!(commands.contains(&json!("grep")), "{container}");
}

/// A cgroup that a process is born into (clone3 with CLONE_INTO_CGROUP) is known at its birth.
#[test]
fn the_cgroup_of_birth_is_exact() {
    needs!("the_cgroup_of_birth", cannot_record(), no_bpf(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let id = "b0".repeat(32);
    let recorder = start(&file, &["-a", "--backend", "bpf"]);
    let group = Group::new(&format!("docker/{id}"));
    let output = run(Command::new(actor()).args(["born", &group.0.display().to_string(), "true"]));
    let told: Value = serde_json::from_str(&text(&output)).unwrap();
    // One that moves there by itself is told by the tracepoint.
    run(Command::new("sh").args(["-c", &format!("echo $$ > {}; exec true", group.procs())]));
    stop(recorder);
    let report = report(&file);
    let container = by_id(&report, &id);
    assert_eq!((&container["cgroup_inferred"], &container["processes"]), (&json!(0), &json!(2)), "{container}");
    let born = events(&file).into_iter().find(|event| event["kind"] == "fork" && event["pid"] == told["pid"]).unwrap();
    assert_eq!(container["first"], born["time"], "from its fork on");
}

/// What is not watched does not even come out of the kernel.
#[test]
fn one_container_alone_is_recorded() {
    needs!("one_container_alone_is_recorded", cannot_record(), no_bpf(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let id = "c0".repeat(32);
    let group = Group::new(&format!("docker/{id}"));
    let own = dir.path().join("mine");
    std::os::unix::fs::symlink("/bin/sleep", &own).unwrap();
    let own = own.display();
    let work = format!("while :; do {own} 0.02; done");
    let entering = format!("echo $$ > {}; {work}", group.procs());
    let _by_cgroup = Running(Command::new("sh").args(["-c", &entering]).spawn().unwrap());
    let mut unshare = Command::new("unshare");
    let by_namespace = Running(unshare.args(["-m", "-p", "-f", "--kill-child", "sh", "-c", &work]).spawn().unwrap());
    let inode = || -> Option<String> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", by_namespace.0.id())).ok()?;
        let link = fs::read_link(format!("/proc/{}/ns/pid", children.trim())).ok()?;
        Some(link.display().to_string())
    };
    wait_for(|| inode().is_some_and(|of| of != fs::read_link("/proc/self/ns/pid").unwrap().display().to_string()));
    let namespace = inode().unwrap();
    wait_for(|| fs::read_to_string(group.procs()).is_ok_and(|pids| !pids.is_empty()));
    for (number, name) in [id.as_str(), namespace.as_str()].into_iter().enumerate() {
        let file = dir.path().join(format!("{number}.data"));
        let recorder = start(&file, &["--backend", "bpf", "--container", name]);
        run(Command::new(actor()).args(["storm", "300", "2"]));
        // Who joins later is recorded, too.
        if name == id {
            run(Command::new("sh").args(["-c", &format!("echo $$ > {}; exec uname", group.procs())]));
        } else {
            let target = fs::read_to_string(format!("/proc/{0}/task/{0}/children", by_namespace.0.id())).unwrap();
            run(Command::new("nsenter").args(["-t", target.trim(), "-m", "-p", "uname"]));
        }
        stop(recorder);
        let recorded: Vec<Value> = events(&file)
            .into_iter()
            .filter(|event| event["kind"] != "sample" && event["synthesized"] != true)
            .collect();
        let comms: BTreeSet<String> =
            recorded.iter().filter(|e| e["exec"] == true).map(|e| e["comm"].to_string()).collect();
        assert_eq!(comms, BTreeSet::from(["\"mine\"".into(), "\"uname\"".into()]), "{name}");
        let forks = recorded.iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == false).count();
        assert!((1..100).contains(&forks), "{forks} forks are not those of a storm");
        let report = report(&file);
        assert!(by_id(&report, name)["processes"].as_u64().unwrap() > 1, "{report}");
    }
}

/// The file is perf's to read, with the samples of our own.
#[test]
fn perf_prints_what_we_print() {
    needs!("perf_prints_what_we_print", cannot_record(), no_bpf(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let script = format!("{} storm 200 2; unshare -T -n -m -p -f true", actor().display());
    run(nsscope().args(["record", "--backend", "bpf", "-z", "-o"]).arg(&file).args(["--", "sh", "-c", &script]));
    let theirs = run(&mut perf_script(&file));
    let ours = run(nsscope().args(["script", "--format", "perf"]).arg(&file));
    assert!(text(&ours).contains("reason=unshare"), "{}", text(&ours));
    assert!(ours.stdout == theirs.stdout, "{}", text(&theirs));
    // A command's recording has what descends from it.
    let all = events(&file);
    let root = all.iter().find(|event| event["exec"] == true).unwrap()["pid"].as_u64().unwrap();
    let ours = descendants(&all, root);
    let exits = |event: &&Value| event["kind"] == "exit";
    assert!(ours.len() > 200 && all.iter().filter(exits).all(|event| ours.contains(&event["pid"].as_u64().unwrap())));
}

/// A recorder that does not get to read loses records, and says how many: in the file and at its end.
#[test]
fn what_has_no_room_is_counted() {
    needs!("what_has_no_room_is_counted", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let recorder = start(&file, &["-a", "--backend", "bpf", "-m", "4K"]);
    let signal = |name: &str| run(Command::new("kill").args([name, &recorder.id().to_string()]));
    signal("-STOP");
    run(Command::new(actor()).args(["storm", "500", "2"]));
    signal("-CONT");
    let told = stop(recorder);
    let lost: u64 = events(&file).iter().filter_map(|event| event["lost"].as_u64()).sum();
    // Each child is at least a fork, its namespaces and what they leave out.
    assert!(lost > 1000, "{lost}: {told}");
    let told = told.replace(',', "");
    assert!(told.contains(&format!(" {lost} lost ")), "{lost}: {told}");
}

fn programs() -> String {
    text(&run(Command::new("bpftool").args(["-j", "prog", "show"])))
}

/// Ids of the programs that a process holds open.
fn held(pid: u32) -> BTreeSet<u64> {
    let all = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten();
    let id = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    all.filter_map(|entry| id(fs::read_to_string(entry.path()).ok()?)).collect()
}

#[test]
fn a_killed_recorder_leaves_no_program_and_a_whole_file() {
    needs!("a_killed_recorder_leaves_no_program", cannot_record(), no_bpf(), not_root(), missing("bpftool", "bpftool"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut recorder = start(&file, &["-a", "--backend", "bpf"]);
    run(Command::new(actor()).args(["storm", "200", "2"]));
    let ours = held(recorder.id());
    let run_now = || -> BTreeSet<u64> {
        let all: Value = serde_json::from_str(&programs()).unwrap();
        all.as_array().unwrap().iter().filter_map(|program| program["id"].as_u64()).collect()
    };
    assert!(ours.len() >= 8 && ours.is_subset(&run_now()), "{ours:?}");
    let size = fs::metadata(&file).unwrap().len();
    wait_for(|| fs::metadata(&file).unwrap().len() > size);
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    // The kernel takes them away a moment later.
    wait_for(|| ours.is_disjoint(&run_now()));
    let forks = events(&file).iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == false).count();
    assert!(forks >= 200, "{forks}");
}

#[test]
fn a_kernel_without_btf_and_a_user_without_rights_are_told_so() {
    needs!("a_kernel_without_btf", cannot_record(), no_bpf(), not_root(), missing("setpriv", "util-linux"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let nsscope = nsscope();
    let program = Path::new(nsscope.get_program()).display().to_string();
    let hidden =
        format!("mount -t tmpfs none /sys/kernel/btf && {program} record --backend bpf -o {} -- true", file.display());
    let output = Command::new("unshare").args(["-m", "sh", "-c", &hidden]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    for told in ["CONFIG_DEBUG_INFO_BTF", "--backend perf"] {
        assert!(errors(&output).contains(told), "{}", errors(&output));
    }
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-all", "--inh-caps=-all", &program, "record", "--backend", "bpf", "-o"]).arg(&file);
    let output = without.args(["--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    for told in ["CAP_BPF", "CAP_PERFMON", "--backend proc"] {
        assert!(errors(&output).contains(told), "{}", errors(&output));
    }
    assert!(!file.exists());
}
