//! The records of the running kernel, compared with what `/proc` says to the process they are about.
#![allow(missing_docs)]

use nsscope_tests::{
    Running, actor, cannot_record, cgroup2, errors, events, json_of, needs, no_bpf, no_cgroup2, no_tracepoints,
    not_root, nsscope, record, report, run, skip, start, stop, text, wait_for,
};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const KINDS: [&str; 7] = ["net", "uts", "ipc", "pid", "user", "mnt", "cgroup"];

/// What the actor told on standard output.
fn told(output: &std::process::Output) -> Value {
    serde_json::from_str(text(output).lines().last().expect("a line")).expect("JSON")
}

/// The kernel's own NAMESPACES records (not those read from /proc) of a thread, in time order.
fn namespaces_of(events: &[Value], tid: u64) -> Vec<&Value> {
    let ours = |event: &&Value| event["kind"] == "namespaces" && event["tid"] == tid && event["by_tid"] != 0;
    events.iter().filter(ours).collect()
}

/// `/proc`'s seven, without the time namespace that no record carries.
fn seven(all: &Value) -> Value {
    let mut all = all.clone();
    all.as_object_mut().expect("an object").remove("time");
    all
}

fn actor_path() -> String {
    actor().to_str().expect("utf-8").into()
}

#[test]
fn unshare_of_everything_gives_fork_unshare_and_child() {
    needs!("unshare_of_everything", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let actor = actor_path();
    let output = record(&file, &["unshare", "-n", "-m", "-u", "-i", "-p", "-f", "-C", &actor, "show"]);
    let inside = told(&output);
    let events = events(&file);

    // unshare's own record, then its child's: the same namespaces, but for the pid namespace, which only the child is in.
    let exec = events.iter().find(|e| e["kind"] == "comm" && e["comm"] == "unshare").expect("unshare ran");
    let (parent, child) = {
        let fork = |e: &&Value| e["kind"] == "fork" && e["ptid"] == exec["tid"] && e["synthesized"] == false;
        let fork = events.iter().find(fork).expect("unshare forked");
        (exec["tid"].as_u64().unwrap(), fork["tid"].as_u64().unwrap())
    };
    let (unshared, forked) = (namespaces_of(&events, parent), namespaces_of(&events, child));
    assert_eq!((unshared.len(), forked.len()), (1, 1));
    assert_eq!(forked[0]["namespaces"], seven(&inside["after"]));
    for kind in KINDS {
        let same = unshared[0]["namespaces"][kind] == forked[0]["namespaces"][kind];
        assert_eq!(same, kind != "pid", "{kind}");
    }

    // And the report makes one container of it.
    let report = report(&file);
    assert_eq!(report["containers"].as_array().unwrap().len(), 1);
    let container = &report["containers"][0];
    assert_eq!(container["own"], json!(["net", "uts", "ipc", "pid", "mnt", "cgroup"]));
    assert_eq!(container["pids"], json!([child]));
    assert_eq!(container["namespaces"]["net"], inside["after"]["net"]["ino"]);
    assert_eq!(container["processes"], 1);
    assert!(container["commands"].as_array().unwrap().contains(&json!("ns-actor")));
    assert!(container["last"].is_u64(), "its end was seen: {container}");
}

#[test]
fn fork_keeps_all_namespaces() {
    needs!("fork_keeps_all_namespaces", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let told = told(&record(&file, &[&actor_path(), "fork"]));
    let events = events(&file);
    let records = namespaces_of(&events, told["pid"].as_u64().unwrap());
    assert_eq!(records.len(), 1, "one record, at fork");
    assert_eq!(records[0]["namespaces"], seven(&told["before"]));
    assert_eq!(told["before"], told["after"]);
    let exit = |e: &&Value| e["kind"] == "exit" && e["tid"] == told["pid"];
    assert_eq!(events.iter().filter(exit).count(), 1);
}

/// One kind of change: the record is there, equals what /proc says inside, and only the one type differs from before.
fn only_one_changes(act: &str, kind: &str, in_record: bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let told = told(&record(&file, &[&actor_path(), act, kind]));
    let events = events(&file);
    let records = namespaces_of(&events, told["pid"].as_u64().unwrap());
    assert_eq!(records.len(), 1, "{act} {kind}: one record");
    let (before, after) = (seven(&told["before"]), seven(&told["after"]));
    let recorded = &records[0]["namespaces"];
    assert_eq!(recorded, &after, "{act} {kind}: as /proc has it");
    for other in KINDS {
        let changed = recorded[other] != before[other];
        assert_eq!(changed, in_record && other == kind, "{act} {kind}: {other}");
    }
}

macro_rules! changes {
    ($($name:ident: $act:literal $kind:literal $in_record:literal;)*) => {
        $(#[test]
        fn $name() {
            needs!(stringify!($name), cannot_record());
            only_one_changes($act, $kind, $in_record);
        })*
    };
}

// A new pid or time namespace by unshare or setns is for the children: the record shows the task's own, unchanged.
// The time namespace is in no record at all; the one that a clone, unshare or setns causes must change nothing.
changes! {
    clone_newnet: "clone" "net" true;
    clone_newuts: "clone" "uts" true;
    clone_newipc: "clone" "ipc" true;
    clone_newpid: "clone" "pid" true;
    clone_newuser: "clone" "user" true;
    clone_newns: "clone" "mnt" true;
    clone_newcgroup: "clone" "cgroup" true;
    clone_newtime: "clone" "time" false;
    unshare_net: "unshare" "net" true;
    unshare_uts: "unshare" "uts" true;
    unshare_ipc: "unshare" "ipc" true;
    unshare_pid: "unshare" "pid" false;
    unshare_user: "unshare" "user" true;
    unshare_mnt: "unshare" "mnt" true;
    unshare_cgroup: "unshare" "cgroup" true;
    unshare_time: "unshare" "time" false;
    setns_net: "setns" "net" true;
    setns_uts: "setns" "uts" true;
    setns_ipc: "setns" "ipc" true;
    setns_pid: "setns" "pid" false;
    setns_user: "setns" "user" true;
    setns_mnt: "setns" "mnt" true;
    setns_cgroup: "setns" "cgroup" true;
    setns_time: "setns" "time" false;
}

#[test]
fn what_already_runs_is_in_the_file_and_as_proc_has_it() {
    needs!("what_already_runs", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    run(nsscope().args(["record", "-a", "-o"]).arg(&file).args(["--", "true"]));
    let me = u64::from(std::process::id());
    let events = events(&file);
    let ours = events.iter().find(|e| e["kind"] == "namespaces" && e["tid"] == me).expect("this test's process");
    let said: Value = serde_json::from_slice(&run(std::process::Command::new(actor()).arg("show")).stdout).unwrap();
    assert_eq!(ours["namespaces"], seven(&said["after"]));
    assert!(events.iter().any(|e| e["kind"] == "fork" && e["tid"] == me && e["synthesized"] == true));
    // With -a the command's own records are there too.
    assert!(events.iter().any(|e| e["kind"] == "comm" && e["comm"] == "true" && e["exec"] == true));

    let without = dir.path().join("b.data");
    run(nsscope().args(["record", "-a", "--no-synth", "-o"]).arg(&without).args(["--", "true"]));
    assert!(!nsscope_tests::events(&without).iter().any(|e| e["tid"] == me && e["kind"] == "namespaces"));
}

#[test]
fn tasks_that_vanish_while_they_are_read_do_no_harm() {
    needs!("tasks_that_vanish", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let mut churn = std::process::Command::new(actor()).args(["churn", "1500"]).spawn().unwrap();
    for round in 0..10 {
        let file = dir.path().join(format!("{round}.data"));
        let output = run(nsscope().args(["record", "-a", "--duration", "20ms", "-o"]).arg(&file));
        assert!(!errors(&output).contains("cannot"), "{}", errors(&output));
        assert!(events(&file).len() > 10);
        run(nsscope().args(["snapshot", "-o"]).arg(&file));
        assert!(events(&file).len() > 10);
    }
    churn.wait().unwrap();
}

#[test]
fn a_running_process_and_its_future_children_are_recorded() {
    needs!("a_running_process", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    // With more to do behind it, every shell forks.
    let script = "read line; unshare -n true; true";
    let mut target =
        std::process::Command::new("sh").args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let pid = target.id().to_string();
    let recorder =
        nsscope().args(["record", "-p", &pid, "-o"]).arg(&file).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The file appears once the events are open.
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(target.stdin.take());
    target.wait().unwrap();
    // It ends by itself when its target has.
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let net = |e: &&Value| e["kind"] == "namespaces" && e["by_tid"] != 0;
    let events = events(&file);
    assert!(events.iter().filter(net).count() >= 2, "the child's fork and its unshare");
    assert!(events.iter().any(|e| e["comm"] == "unshare"));
}

#[test]
fn moves_between_cgroups_are_recorded_and_name_the_container() {
    needs!("moves_between_cgroups", cannot_record(), no_cgroup2(), no_tracepoints());
    let id = "c0ffee".repeat(11)[..64].to_string();
    let root = cgroup2().unwrap();
    let groups = [format!("{root}/docker"), format!("{root}/docker/{id}")];
    for group in &groups {
        fs::create_dir_all(group).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let output = record(&file, &[&actor_path(), "move", &groups[1], &root]);
    for group in groups.iter().rev() {
        let _ = fs::remove_dir(group);
    }
    let pid = told(&output)["pid"].clone();
    let attached = events(&file)
        .into_iter()
        .filter(|e| e["event"] == "cgroup:cgroup_attach_task" && e["fields"]["pid"] == pid)
        .map(|e| e["fields"]["dst_path"].as_str().unwrap().to_string());
    assert_eq!(attached.collect::<Vec<_>>(), [format!("/docker/{id}"), "/".into()]);

    let report = report(&file);
    let container = &report["containers"][0];
    assert_eq!((&container["id"], &container["runtime"]), (&json!(id), &json!("docker")), "{report}");
    assert_eq!(container["pids"], json!([pid]));
    assert!(container["last"].is_u64(), "it left the cgroup before it ended");
}

#[test]
fn a_container_from_before_the_recording_is_known_by_its_cgroup() {
    needs!("a_container_from_before", no_cgroup2());
    let id = "abad1dea".repeat(8);
    let root = cgroup2().unwrap();
    let groups = [format!("{root}/libpod_parent"), format!("{root}/libpod_parent/libpod-{id}")];
    for group in &groups {
        fs::create_dir_all(group).unwrap();
    }
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(format!("{}/cgroup.procs", groups[1]), child.id().to_string()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    // A snapshot needs no privileges and no tracefs.
    run(nsscope().args(["snapshot", "-o"]).arg(&file));
    let report = report(&file);
    child.kill().unwrap();
    child.wait().unwrap();
    for group in groups.iter().rev() {
        let _ = fs::remove_dir(group);
    }
    let found = report["containers"].as_array().unwrap().iter().find(|c| c["id"] == *id);
    let container = found.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(container["runtime"], "podman");
    assert_eq!(container["pids"], json!([child.id()]));
    assert_eq!((&container["first_exact"], &container["last"]), (&json!(false), &Value::Null));
}

#[test]
fn host_is_honest_when_there_is_nothing() {
    needs!("host_is_honest", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &["true"]);
    let output = run(nsscope().arg("report").arg(&file));
    assert!(text(&output).contains("no container: every process shares the host's namespaces"), "{}", text(&output));
    assert_eq!(report(&file)["containers"], json!([]));
}

/// The first child of a process, for kernels without CONFIG_PROC_CHILDREN.
fn child_of(pid: u32) -> Option<u64> {
    let parent = format!("PPid:\t{pid}\n");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
    pids.find(|pid| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains(&parent)))
}

/// Whether a backend that may be missing in a kernel is there.
fn works(backend: &str) -> bool {
    backend != "bpf" || no_bpf().is_none()
}

/// `NS_GET_ID`, where the kernel has it: the recording's number of a namespace is the one that one is told who asks.
#[test]
fn a_namespace_has_the_number_that_is_never_given_again() {
    needs!("a_namespace_has_the_number", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let unshare = || {
        Running(
            Command::new("unshare")
                .args(["-m", "-n", "-u", "-p", "-f", "--kill-child", "sleep", "60"])
                .spawn()
                .unwrap(),
        )
    };
    let before = unshare();
    for backend in ["perf", "bpf", "proc"].into_iter().filter(|&backend| works(backend)) {
        let file = dir.path().join(backend);
        let recorder = start(&file, &["-a", "--backend", backend]);
        let during = unshare();
        let root = |of: &Running| child_of(of.0.id());
        wait_for(|| [&before, &during].into_iter().all(|of| root(of).is_some()));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let roots = [&before, &during].map(|of| root(of).unwrap());
        let now = json_of(nsscope().args(["ps", "--json"]));
        stop(recorder);
        let report = report(&file);
        for pid in roots {
            let ours = |all: &Value| -> Value {
                let all = all["containers"].as_array().unwrap();
                let found = all.iter().find(|one| one["root_pid"] == pid);
                found.unwrap_or_else(|| panic!("{pid} is in none of {all:#?}")).clone()
            };
            let (recorded, asked) = (ours(&report), ours(&now));
            for kind in ["mnt", "net", "uts", "pid"] {
                let ino = &asked["namespaces"][kind];
                let census = now["namespaces"].as_array().unwrap();
                let wanted = &census.iter().find(|one| one["type"] == kind && one["ino"] == *ino).unwrap()["unique"];
                if wanted.is_null() {
                    return skip("a_namespace_has_the_number", "this kernel has no NS_GET_ID (Linux 6.18)");
                }
                assert_eq!(&recorded["namespaces_unique"][kind], wanted, "{kind} by {backend}");
            }
        }
    }
}

/// A network namespace may be kept by somebody whom no record tells of: that another came to its inode is known by its
/// number alone.
#[test]
fn namespaces_that_had_the_same_inode_are_told_apart() {
    needs!("namespaces_that_had_the_same_inode", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    // What a capture says of network namespaces, while it is recorded too.
    let recorded = |file: &Path| -> Vec<u64> {
        let report = json_of(nsscope().args(["report", "--json", "--definition", "by:net", "-i"]).arg(file));
        let found = report["containers"].as_array().unwrap().iter();
        found.filter_map(|one| one["namespaces_unique"]["net"].as_u64()).collect()
    };
    for backend in ["perf", "bpf"].into_iter().filter(|&backend| works(backend)) {
        let file = dir.path().join(backend);
        let recorder = start(&file, &["-a", "--backend", backend]);
        let (mut inodes, mut numbers) = (Vec::new(), Vec::new());
        // The kernel gives the lowest inode that is free; others may be quicker than we are.
        while inodes.iter().collect::<std::collections::BTreeSet<_>>().len() == inodes.len() {
            let mut one = Running(Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap());
            let link = format!("/proc/{}/ns/net", one.0.id());
            let own = fs::read_link("/proc/self/ns/net").unwrap();
            wait_for(|| fs::read_link(&link).is_ok_and(|link| link != own));
            let ino = fs::metadata(&link).unwrap().ino();
            let now = json_of(nsscope().args(["ps", "--json"]));
            let census = now["namespaces"].as_array().unwrap();
            let Some(number) = census.iter().find(|one| one["ino"] == ino).and_then(|one| one["unique"].as_u64())
            else {
                stop(recorder);
                return skip("namespaces_that_had_the_same_inode", "this kernel has no NS_GET_ID (Linux 6.18)");
            };
            // A recorder that has little time asks later, but while it is there.
            wait_for(|| recorded(&file).contains(&number) || one.0.try_wait().unwrap().is_some());
            inodes.push(ino);
            numbers.push(number);
            drop(one);
            // The kernel takes a network namespace down in its own time.
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        stop(recorder);
        let ours: Vec<u64> = recorded(&file).into_iter().filter(|number| numbers.contains(number)).collect();
        assert_eq!(ours, numbers, "{backend}: {inodes:?}");
    }
}

#[test]
fn doctor_says_that_it_works_here() {
    needs!("doctor_says", cannot_record());
    let output = run(nsscope().args(["doctor", "--json"]));
    let doctor: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let find = |name: &str| checks.iter().find(|c| c["check"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(find("namespace records")["state"], "ok");
    for kind in KINDS {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        let found = find(&format!("{kind} namespace"))["found"].as_str().unwrap().to_string();
        assert!(found.contains(link.to_str().unwrap()), "{found}");
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(find("kernel")["found"].as_str().unwrap().contains(release.trim()));
    assert!(text(&run(nsscope().arg("doctor"))).contains("nsscope record works here."));
}

#[test]
fn demo_shows_a_container() {
    let output = run(nsscope().arg("demo"));
    assert!(text(&output).contains("pid:["), "{}", text(&output));
}

/// An engine that answers and starts nothing: the second recording is as good as the first.
#[test]
fn the_demo_goes_on_where_an_engine_fails() {
    needs!("the_demo_goes_on", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let docker = dir.path().join("docker");
    fs::write(&docker, "#!/bin/sh\ntest \"$1\" = version\n").unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([dir.path(), "/usr/sbin".as_ref(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let output = run(nsscope().arg("demo").env("PATH", path));
    let said = errors(&output);
    assert!(said.contains("docker did not start them") && said.contains("unshare(1) instead"), "{said}");
    assert!(!said.contains("/proc"), "it recorded by something else than perf: {said}");
    assert!(text(&output).contains("pid:["), "{}", text(&output));
}
