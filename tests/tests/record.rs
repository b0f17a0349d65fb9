//! The ways to record, on the running kernel.
#![allow(missing_docs)]

use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};
use nsscope_codec::synthetic::TASK_CGROUP;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, RecordType};
use nsscope_codec::{Error, Order, RawRecord, Record};
use nsscope_tests::{
    Group, actor, by_id, cannot_record, errors, events, has_records, needs, no_bpf, no_cgroup2, no_perf, not_root,
    nsscope, report, run, start, stop, text, wait_for,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// 64 hex digits.
fn id(seed: &str) -> String {
    seed.repeat(8)
}

fn signal(child: &Child, signal: &str) {
    run(Command::new("kill").args([signal, &child.id().to_string()]));
}

/// Pid namespaces' inodes of the containers, those of their processes and their names.
fn containers(report: &Value) -> Vec<(u64, Vec<String>)> {
    let all = report["containers"].as_array().unwrap().iter();
    all.filter(|container| container["evidence"]["pid_namespace"].is_u64())
        .map(|container| {
            let mut commands: Vec<String> =
                container["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().into()).collect();
            commands.sort();
            (container["evidence"]["pid_namespace"].as_u64().unwrap(), commands)
        })
        .collect()
}

/// What a file's rounds hold.
#[derive(Default)]
struct Rounds {
    /// Processes that came by an exec, in this round and before.
    execs: BTreeSet<u32>,
    earlier: BTreeSet<u32>,
    /// Cgroups told of processes after their exec: in its round, and later.
    within: u32,
    later: u32,
    /// Rounds without a record, and whether this one has any.
    empty: u32,
    any: bool,
}

impl Visitor for Rounds {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let any = std::mem::replace(&mut self.any, record.kind() != RecordType::FINISHED_ROUND);
        match record.parse() {
            _ if record.kind() == RecordType::FINISHED_ROUND => {
                self.empty += u32::from(!any);
                self.earlier.append(&mut self.execs);
            }
            Ok(Record::Comm(comm)) if record.misc() & MISC_COMM_EXEC != 0 => {
                self.execs.insert(comm.fixed.pid.get());
            }
            _ if record.kind() == RecordType::SAMPLE => {
                let event = session.event_of(&record).unwrap();
                if event.attr.config.get() == TASK_CGROUP.id {
                    let raw = event.sample.parse(&record).unwrap().raw.unwrap();
                    let pid = u32::from_ne_bytes(raw[8..12].try_into().unwrap());
                    self.within += u32::from(self.execs.contains(&pid));
                    self.later += u32::from(self.earlier.contains(&pid));
                }
            }
            _ => {}
        }
    }

    fn fault(&mut self, error: Error) {
        panic!("{error}");
    }
}

/// A reader takes a round as a promise that every ring was looked at since the last one. What is asked for beside the
/// rings, here the cgroup after each exec, must not open a round of its own.
#[test]
fn what_is_asked_for_is_in_the_round_of_what_it_is_about() {
    needs!("what_is_asked_for_is_in_the_round", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let storm = actor();
    let script = format!("{} storm 8000 4 & while kill -0 $! 2>&-; do /bin/true; done; sleep 0.5", storm.display());
    run(nsscope().args(["record", "-o"]).arg(&file).args(["--", "sh", "-c", &script]));
    let (mut decoder, mut rounds) = (Decoder::new(), Ordered::new(Rounds::default(), usize::MAX));
    let bytes = fs::read(&file).unwrap();
    decoder.push(&bytes, &mut rounds).unwrap();
    assert_eq!(rounds.late(), 0, "records that come too late to be sorted");
    let mut rounds = Rounds::default();
    Decoder::new().push(&bytes, &mut rounds).unwrap();
    assert!(rounds.within > 0);
    assert_eq!(rounds.later, 0, "beside {} within", rounds.within);
    assert_eq!(rounds.empty, 0, "a file does not grow while nothing happens");
}

/// What lives long enough is the same by both backends, recorded at the same time.
#[test]
fn proc_sees_what_perf_sees_where_it_lives_long_enough() {
    needs!("proc_sees_what_perf_sees", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (perf, proc) = (dir.path().join("perf.data"), dir.path().join("proc.data"));
    let recorders = [start(&perf, &["-a", "--backend", "perf"]), start(&proc, &["-a", "--backend", "proc"])];
    // A name that no other test's processes have.
    let nap = dir.path().join("nap");
    std::os::unix::fs::symlink("/bin/sleep", &nap).unwrap();
    let nap = nap.display();
    let script = format!("unshare -m -n -p -f sh -c '{nap} 0.6; true' & sleep 0.3; exec unshare -u sleep 0.3");
    run(Command::new("sh").args(["-c", &script]));
    // perf is there first and last: else other tests' namespaces could be seen by proc alone.
    for recorder in recorders.into_iter().rev() {
        stop(recorder);
    }
    let (by_perf, by_proc) = (report(&perf), report(&proc));
    assert_eq!(by_perf["recorder"]["backend"], "perf");
    assert_eq!(by_proc["recorder"], json!({ "backend": "proc", "interval_ns": 10_000_000, "own_namespaces": [] }));
    let longer: Vec<_> = containers(&by_proc).into_iter().filter(|(_, c)| c.contains(&"nap".into())).collect();
    assert!(!longer.is_empty(), "{by_proc}");
    for (pid, commands) in longer {
        let of_perf = containers(&by_perf).into_iter().find(|&(other, _)| other == pid);
        let (_, all) = of_perf.unwrap_or_else(|| panic!("pid:[{pid}] is not in {by_perf}"));
        assert!(commands.iter().all(|command| all.contains(command)), "{commands:?} of {all:?}");
        let (exact, polled) = (by_id(&by_perf, &format!("pid:[{pid}]")), by_id(&by_proc, &format!("pid:[{pid}]")));
        // What no record of the kernel has is 0, which is: not known.
        let mut namespaces = polled["namespaces"].clone();
        assert_ne!(namespaces["time"].take(), 0);
        namespaces["time"] = 0.into();
        assert_eq!(exact["namespaces"], namespaces);
        // A look is 10 ms after the one before, or later where the machine is busy; an end wakes it.
        assert_eq!((&exact["first_exact"], &polled["first_exact"]), (&json!(true), &json!(false)));
        let time = |of: &Value, field: &str| of[field].as_f64().unwrap();
        assert!((time(exact, "last") - time(polled, "last")).abs() < 3e8, "{exact} {polled}");
    }
    // A change of namespaces without a fork is seen, too.
    let moved = |file: &Path| -> Vec<u64> {
        let all = events(file).into_iter().filter(|e| e["kind"] == "namespaces" && e["comm"] != "nsscope");
        all.filter_map(|event| event["namespaces"]["uts"]["ino"].as_u64()).collect()
    };
    let host = by_perf["host"]["uts"].as_u64().unwrap();
    let own: Vec<u64> = moved(&proc).into_iter().filter(|&ino| ino != host && ino != 0).collect();
    assert!(!own.is_empty() && own.iter().all(|ino| moved(&perf).contains(ino)), "{own:?}");
}

#[test]
fn a_full_file_is_followed_by_another_that_tells_all() {
    needs!("a_full_file_is_followed_by_another", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let number = |n: u32| dir.path().join(format!("a.data.{n}"));
    fs::write(&file, "what was there before").unwrap();
    let script = format!("for i in 1 2 3 4 5; do {0} storm 300 1; sleep 0.3; done", actor().display());
    let mut record = nsscope();
    record.args(["record", "--max-size", "64K", "-o"]).arg(&file).args(["--", "unshare", "-m", "-p", "-f"]);
    let told = errors(&run(record.args(["sh", "-c", &script])));
    let count = (1..99).take_while(|&n| number(n).exists()).count() as u32;
    assert!(count >= 4 && told.contains(&format!("({count} files)")), "{count}: {told}");
    assert_eq!(fs::read_to_string(number(count)).unwrap(), "what was there before");
    // No fork is lost in between, and each file knows the container by itself.
    let mut forks = 0;
    let mut ids = Vec::new();
    for file in (1..count).map(number).chain([file.clone()]) {
        let stat: Value = serde_json::from_slice(&run(nsscope().args(["stat", "--json"]).arg(&file)).stdout).unwrap();
        forks += stat["forks"].as_u64().unwrap();
        ids.extend(containers(&report(&file)).into_iter().map(|(pid, _)| pid));
        run(Command::new("perf").args(["script", "-i"]).arg(&file));
    }
    assert!(forks >= 1500, "{forks}");
    // The last file begins after the last file was full: the container may be over by then.
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");

    // Only so many are kept.
    let mut record = nsscope();
    record.args(["record", "--max-size", "64K", "--max-files", "2", "-z", "-o"]).arg(&file);
    run(record.args(["--", "sh", "-c", &script]));
    assert!(number(1).exists() && !number(2).exists());
    report(&number(1));
}

#[test]
fn complete_files_are_handed_on_in_order_until_they_are_taken() {
    needs!("complete_files_are_handed_on", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (file, there) = (dir.path().join("a b.data"), dir.path().join("there"));
    let recorded = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("a b.data")).collect();
        names.sort();
        names
    };
    let is = |name: &str, end: &str| Path::new(name).extension() == Some(end.as_ref());
    // Killed while it records, and whoever is to take the files is not there yet: they wait.
    let mut record = nsscope();
    record.args(["record", "-a", "--max-size", "64K", "-o"]).arg(&file).stderr(Stdio::null());
    record.args(["--on-file", &format!("mv {{}} '{}/'", there.display())]);
    let mut recorder = record.spawn().unwrap();
    wait_for(|| has_records(&file));
    (0..4).for_each(|_| drop(run(Command::new(actor()).args(["storm", "500", "1"]))));
    wait_for(|| recorded().len() >= 3);
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let left = recorded();
    assert!(left.len() >= 3 && !left.iter().any(|name| is(name, "sent")), "{left:?}");

    // The next recording offers them, the one that was not complete first of its own. What is taken twice is not.
    fs::create_dir(&there).unwrap();
    let list = dir.path().join("list");
    let take = format!("echo {{}} >> '{}'; mkdir {{}}.once || exit 0; exit 1", list.display());
    let mut again = nsscope();
    again.args(["record", "-a", "--max-size", "64K", "-o"]).arg(&file).args(["--on-file", &take]);
    let told = errors(&run(again.args(["--", "true"])));
    assert!(told.contains("not taken (exit status: 1), to be tried again"), "{told}");
    let sent = recorded();
    let sent: Vec<_> = sent.iter().filter(|name| !is(name, "once")).collect();
    assert!(sent.len() == left.len() + 1 && sent.iter().all(|name| is(name, "sent")), "{sent:?}");
    let list = fs::read_to_string(list).unwrap();
    let turns: Vec<&str> = list.lines().collect();
    assert!(turns.is_sorted() && turns.len() == 2 * sent.len(), "{list}");
    for name in sent {
        run(nsscope().arg("report").arg(dir.path().join(name)));
    }

    // What nobody takes is said, and stays.
    let mut never = nsscope();
    never.args(["record", "-a", "--max-size", "64K", "--on-file", "false", "-o"]).arg(&file);
    let output = never.args(["--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("1 files are not taken by: false"), "{}", errors(&output));
    assert!(recorded().iter().any(|name| name.len() == "a b.data.".len() + 19));
}

#[test]
fn a_ring_that_is_overwritten_holds_the_latest() {
    needs!("a_ring_that_is_overwritten", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut record = nsscope();
    record.args(["record", "--snapshot", "-m", "64K", "-o"]).arg(&file).stderr(Stdio::piped());
    let mut early = Command::new("unshare").args(["-m", "-p", "-f", "--kill-child", "sleep", "60"]).spawn().unwrap();
    wait_for(|| fs::read_to_string(format!("/proc/{0}/task/{0}/children", early.id())).is_ok_and(|c| !c.is_empty()));
    let recorder = record.spawn().unwrap();
    // Each round of a storm fills the rings; the last is what is left.
    let storm = || run(Command::new(actor()).args(["storm", "1000", "2"]));
    wait_for(|| fs::read_to_string(format!("/proc/{}/status", recorder.id())).is_ok_and(|s| caught(&s, 12)));
    (0..3).for_each(|_| drop(storm()));
    run(Command::new("unshare").args(["-m", "-p", "-f", "sh", "-c", "uname; exit 0"]));
    assert!(!file.exists());
    signal(&recorder, "-USR2");
    wait_for(|| has_records(&file));
    let told = stop(recorder);
    assert_eq!(told.lines().filter(|line| line.contains(" records (")).count(), 2, "{told}");
    // The second was written at the end, the first moved.
    let first = dir.path().join("a.data.1");
    let report = report(&first);
    let all = containers(&report);
    assert!(all.iter().any(|(_, commands)| commands.contains(&"uname".into())), "{report}");
    // One that had been running all the time, of which no record is left.
    assert!(all.iter().any(|(_, commands)| *commands == ["sleep"]), "{report}");
    let stat: Value = serde_json::from_slice(&run(nsscope().args(["stat", "--json"]).arg(&first)).stdout).unwrap();
    let forks = stat["forks"].as_u64().unwrap();
    assert!((50..3000).contains(&forks), "{stat}");
    // In order, and for perf the same.
    let events = events(&first);
    let times: Vec<u64> = events.iter().filter_map(|event| event["time"].as_u64()).collect();
    assert!(times.is_sorted());
    let perf = run(Command::new("perf").args(["report", "--stats", "--stdio", "-i"]).arg(&first));
    let line = text(&perf);
    let line = line.lines().find(|line| line.contains("FORK events:")).unwrap_or_else(|| panic!("{line}"));
    let theirs: u64 = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert_eq!(Value::from(theirs), stat["kinds"]["fork"]["count"]);
    early.kill().unwrap();
    early.wait().unwrap();
}

/// Whether a process handles a signal, by the line `SigCgt` of its status.
fn caught(status: &str, signal: u32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    u64::from_str_radix(set.trim(), 16).unwrap_or_default() >> (signal - 1) & 1 == 1
}

#[test]
fn one_container_is_recorded_by_its_cgroup_or_by_its_processes() {
    needs!("one_container_is_recorded", cannot_record(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let id = id("c0ffee11");
    let group = Group::new(&format!("libpod-{id}"));
    // Two containers, of which each runs a command of its own over and over.
    let inside = |command: &str| format!("while sleep 0.05; do {command}; done");
    let by_cgroup = format!("echo $$ > {}; {}", group.procs(), inside("uname > /dev/null"));
    let mut by_cgroup = Command::new("sh").args(["-c", &by_cgroup]).spawn().unwrap();
    let options = ["-m", "-p", "-f", "--kill-child", "sh", "-c", &inside("hostname > /dev/null")];
    let mut by_namespace = Command::new("unshare").args(options).spawn().unwrap();
    let inode = || -> Option<u64> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", by_namespace.id())).ok()?;
        let link = fs::read_link(format!("/proc/{}/ns/pid", children.split_whitespace().next()?)).ok()?;
        link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
    };
    wait_for(|| inode().is_some() && fs::read_to_string(group.procs()).is_ok_and(|pids| !pids.is_empty()));
    let names = |file: &Path| -> Vec<String> {
        let all = events(file).into_iter().filter(|event| event["kind"] == "comm" && event["exec"] == true);
        all.filter_map(|event| event["comm"].as_str().map(String::from)).collect()
    };
    for (name, own, other) in
        [(id[..12].to_string(), "uname", "hostname"), (format!("pid:[{}]", inode().unwrap()), "hostname", "uname")]
    {
        // A container's short id means it, too.
        let name = if name.len() == 12 { format!("{name}*") } else { name };
        run(nsscope().args(["record", "--container", &name, "--duration", "500ms", "-o"]).arg(&file));
        let names = names(&file);
        assert!(names.contains(&own.to_string()) && !names.contains(&other.to_string()), "{name}: {names:?}");
    }
    let nobody = nsscope().args(["record", "--container", "nobody", "-o"]).arg(&file).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(errors(&nobody).contains("nsscope ps lists"), "{}", errors(&nobody));
    for child in [&mut by_cgroup, &mut by_namespace] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The tracepoint tells of moves on the whole machine; whoever else is moved is not in the report of a command.
#[test]
fn a_recording_of_a_command_has_no_containers_of_others() {
    needs!("a_recording_of_a_command", cannot_record(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let id = id("07e4c0de");
    let group = Group::new(&format!("libpod-{id}"));
    let recorder = start(&file, &["--", "sleep", "1"]);
    run(Command::new("sh").args(["-c", &format!("echo $$ > {}; exec sleep 0.1", group.procs())]));
    assert!(recorder.wait_with_output().unwrap().status.success());
    let moves = text(&run(nsscope().args(["script", "--kind", "cgroup"]).arg(&file)));
    assert!(moves.contains(&id), "the tracepoint told of it: {moves}");
    let report = report(&file);
    let all = report["containers"].as_array().unwrap();
    assert!(all.iter().all(|container| container["id"] != *id), "{report}");
}

/// clone3 with CLONE_INTO_CGROUP: neither a record nor the tracepoint tells, so /proc is asked at the exec.
#[test]
fn a_process_that_is_born_into_a_cgroup_is_found_there() {
    needs!("a_process_that_is_born_into_a_cgroup", cannot_record(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let id = id("b0a4d0c5");
    let group = Group::new(&format!("libpod-{id}"));
    let actor = actor().display().to_string();
    let born: Vec<String> = [&actor, "born", &group.0.display().to_string(), "sleep", "0.6"].map(String::from).into();
    let output = run(nsscope().args(["record", "-o"]).arg(&file).arg("--").args(&born));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = report(&file);
    let container = by_id(&report, &id);
    assert_eq!(container["pids"], json!([told["pid"]]));
    let member = &container["members"][0];
    assert_eq!((&member["comm"], &member["cgroup_exact"]), (&json!("sleep"), &json!(true)), "{member}");
    // Whoever made it is not in there.
    assert_eq!(container["processes"], 1);
}

/// A name that its runtime writes down only while the recording runs.
#[test]
fn a_container_that_comes_later_gets_its_name() {
    needs!("a_container_that_comes_later", cannot_record(), no_cgroup2(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let name = format!("machine-nsscope\\x2d{}.scope", std::process::id());
    let machine = PathBuf::from(format!("/run/systemd/machines/nsscope-{}", std::process::id()));
    let recorder = start(&file, &["-a"]);
    let group = Group::new(&format!("machine.slice/{name}"));
    fs::create_dir_all("/run/systemd/machines").unwrap();
    let text = format!("NAME=nsscope-{}\nSCOPE={name}\nROOT=/srv/demo\n", std::process::id());
    fs::write(&machine, text).unwrap();
    run(Command::new("sh").args(["-c", &format!("echo $$ > '{}'; sleep 0.6", group.procs())]));
    stop(recorder);
    fs::remove_file(&machine).unwrap();
    let report = report(&file);
    let container = by_id(&report, &format!("nsscope\\x2d{}", std::process::id()));
    assert_eq!(container["name"], format!("nsscope-{}", std::process::id()));
    assert_eq!((&container["kind"], &container["image"]), (&json!("systemd-nspawn"), &json!("/srv/demo")));
}

/// What a recorder in a container cannot see is said, and not shown as something else.
#[test]
fn a_recorder_in_a_container_says_so() {
    needs!("a_recorder_in_a_container", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut outside = Command::new("sh").args(["-c", "while sleep 0.05; do unshare -m true; done"]).spawn().unwrap();
    let mut record = Command::new("unshare");
    record.args(["-p", "-C", "-f", "--mount-proc"]).arg(nsscope().get_program());
    record.args(["record", "-a", "-o"]).arg(&file).args(["--", "sh", "-c", "sleep 0.3; unshare -m -p -f sleep 0.1"]);
    let output = run(&mut record);
    outside.kill().unwrap();
    outside.wait().unwrap();
    let told = "from inside a container (its own namespaces: pid, cgroup)";
    assert!(errors(&output).contains(told), "{}", errors(&output));
    let report = report(&file);
    assert_eq!(report["recorder"]["own_namespaces"], json!(["pid", "cgroup"]));
    assert!(report["records_of_outside"].as_u64().unwrap() > 10, "{report}");
    assert_eq!(containers(&report).len(), 1, "{report}");
    let all = report["containers"].as_array().unwrap().iter();
    assert!(all.flat_map(|c| c["pids"].as_array().unwrap()).all(|pid| *pid != 0), "{report}");
    let shown = text(&run(nsscope().arg("report").arg(&file)));
    assert!(shown.contains(told) && shown.contains("processes outside its pid namespace are not shown"), "{shown}");
}

#[test]
fn what_sudo_records_belongs_to_who_asked() {
    needs!("what_sudo_records_belongs_to_who_asked", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let record = |user: Option<(&str, &str)>| {
        let mut command = nsscope();
        command.env_remove("SUDO_UID").env_remove("SUDO_GID");
        if let Some((uid, gid)) = user {
            command.env("SUDO_UID", uid).env("SUDO_GID", gid);
        }
        run(command.args(["record", "-o"]).arg(&file).args(["--", "true"]));
        let metadata = fs::metadata(&file).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(record(Some(("12345", "23456"))), (12345, 23456, 0o600));
    // The file before it is still theirs; one of root's own is root's.
    assert_eq!(record(None), (0, 0, 0o600));
    assert_eq!(fs::metadata(dir.path().join("a.data.old")).unwrap().uid(), 12345);
    // What is no number is nobody.
    assert_eq!(record(Some(("-1", "4294967295"))), (0, 0, 0o600));
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    needs!("a_link_is_replaced_and_not_followed", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let (victim, link) = (dir.path().join("victim"), dir.path().join("a.data"));
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    run(nsscope().args(["record", "-o"]).arg(&link).args(["--", "true"]));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
}

#[test]
fn what_a_recorded_command_prints_is_not_in_the_stream() {
    needs!("what_a_recorded_command_prints", cannot_record());
    // The same file, as a shell has it, and as a pipe.
    let output = run(nsscope().args(["record", "-q", "-o", "-", "--", "sh", "-c", "echo hello-$((40 + 2))"]));
    assert!(errors(&output).contains("hello-42"));
    assert!(!output.stdout.windows(8).any(|bytes| bytes == b"hello-42"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stream");
    let mut record = nsscope();
    record.args(["record", "-q", "-o", "-", "--"]).arg(actor()).args(["storm", "200", "1"]);
    run(record.stdout(fs::File::create(&file).unwrap()));
    let stat = nsscope().args(["stat", "--json"]).arg(&file).output().unwrap();
    assert!(!errors(&stat).contains("damaged"), "{}", errors(&stat));
    let stat: Value = serde_json::from_slice(&stat.stdout).unwrap();
    assert!(stat["forks"].as_u64() >= Some(200), "{stat}");
}

/// The capabilities of a set of a thread, as `/proc/PID/status` has them.
fn capabilities(status: &str, set: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

/// What opened the events is given up, by every thread; the command keeps what its caller had.
#[test]
fn a_recorder_gives_up_what_it_does_not_need() {
    needs!("a_recorder_gives_up", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let own = capabilities(&fs::read_to_string("/proc/self/status").unwrap(), "CapEff");
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SYS_PTRACE.
    let recording = 0b10_1111 | 1 << 19;
    let (perfmon, bpf) = (1 << 38, 1 << 39);
    for (backend, allowed) in [("perf", recording | perfmon), ("bpf", recording | perfmon | bpf), ("proc", recording)] {
        let file = dir.path().join(backend);
        let recorder = start(&file, &["-a", "--backend", backend]);
        let threads = fs::read_dir(format!("/proc/{}/task", recorder.id())).unwrap();
        let mut seen = 0;
        for thread in threads.map(|thread| thread.unwrap().path()) {
            let status = fs::read_to_string(thread.join("status")).unwrap();
            for set in ["CapEff", "CapPrm"] {
                assert_eq!(capabilities(&status, set), own & allowed, "{backend}: {set} of {}", thread.display());
            }
            seen += 1;
        }
        assert!(seen > 1, "it has a thread for signals");
        assert!(stop(recorder).contains(" 0 lost, "));
        let mut record = nsscope();
        record.args(["record", "--backend", backend, "-o"]).arg(&file).args([
            "--",
            "grep",
            "CapEff",
            "/proc/self/status",
        ]);
        assert_eq!(capabilities(&text(&run(&mut record)), "CapEff"), own, "{backend}");
    }
}
