//! Recordings in a world that does not help: readers that pause, limits, a hidden /proc, a sandbox, cgroups that go away.
//! What was captured stays, and what is missing is said.
#![allow(missing_docs)]

use nsscope_tests::{
    Group, actor, cannot_record, copy_program, errors, events, json_of, missing, needs, no_bpf, no_cgroup2, not_root,
    nsscope, run, start, stop, text,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn backend(file: &Path) -> String {
    let report = json_of(nsscope().args(["report", "--json"]).arg(file));
    report["recorder"]["backend"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_string()
}

/// A reader that pauses fills the pipe, then the rings. What had no room is counted: records and losses together are what
/// happened.
#[test]
fn a_reader_that_pauses_costs_what_is_said() {
    needs!("a_reader_that_pauses", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (file, fifo) = (dir.path().join("a.data"), dir.path().join("fifo"));
    run(Command::new("mkfifo").arg(&fifo));
    // Both ends at once: neither waits for the other.
    let mut reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let mut record = nsscope();
    record.args(["record", "-a", "-m", "64K", "-o", "-"]).stderr(Stdio::piped());
    let recorder = record.stdout(File::options().write(true).open(&fifo).unwrap()).spawn().unwrap();
    // Nobody reads, though there is much to say.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let told = text(&run(Command::new(actor()).args(["storm", "3000", "2"])));
    let children = serde_json::from_str::<Value>(&told).unwrap()["children"].as_u64().unwrap();
    let mut out = File::create(&file).unwrap();
    let copier = std::thread::spawn(move || std::io::copy(&mut reader, &mut out));
    std::thread::sleep(std::time::Duration::from_millis(500));
    run(Command::new("kill").args(["-INT", &recorder.id().to_string()]));
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    // The copier holds the pipe open for itself: what came is there already.
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(copier);
    let all = events(&file);
    let forks = all.iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == false).count() as u64;
    let lost: u64 = all.iter().filter_map(|event| event["lost"].as_u64()).sum();
    assert!(lost > 0 && forks > 0, "{forks} forks, {lost} lost: {}", errors(&output));
    // Each child is four records.
    assert!(forks + lost >= children, "{forks} forks and {lost} lost of {children} children");
    let said = errors(&output).replace(',', "");
    assert!(said.contains(&format!(" {lost} lost")), "{lost}: {said}");
}

#[test]
fn too_few_descriptors_are_said_with_what_to_do() {
    needs!("too_few_descriptors", cannot_record(), not_root(), missing("prlimit", "util-linux"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    for limit in [5, 8, 10, 12] {
        let mut record = Command::new("prlimit");
        record.arg(format!("--nofile={limit}:{limit}")).arg(nsscope().get_program());
        let output = record.args(["record", "-a", "--duration", "100ms", "-o"]).arg(&file).output().unwrap();
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{limit}: {said}");
        assert!(said.contains("too many open files") && said.contains("ulimit -n"), "{limit}: {said}");
        assert!(!file.exists(), "{limit}");
    }
}

/// What setpriv(1) is told of a user who may record and nothing else.
const AS_RECORDER: [&str; 5] = ["--clear-groups", "--inh-caps", "+perfmon", "--ambient-caps", "+perfmon"];

/// The program, and a name for a capture, where every user may read and write.
fn for_everybody(dir: &Path) -> (PathBuf, PathBuf) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    let program = dir.join("nsscope");
    copy_program(nsscope().get_program(), &program);
    (program, dir.join("a.data"))
}

/// Who may lock little memory gets smaller rings; who asks for large ones is told.
#[test]
fn little_memory_for_rings_is_enough() {
    needs!("little_memory_for_rings", cannot_record(), not_root(), missing("setpriv", "util-linux"));
    let dir = tempfile::tempdir().unwrap();
    let (program, file) = for_everybody(dir.path());
    // Of a user who has locked nothing yet.
    let record = |options: &[&str]| -> Output {
        let mut record = Command::new("setpriv");
        record.args(["--reuid", "61234", "--regid", "61234", "--clear-groups", "--inh-caps", "+perfmon"]);
        record
            .args(["--ambient-caps", "+perfmon", "prlimit", "--memlock=0:0"])
            .arg(&program)
            .arg("record")
            .args(options);
        record.args(["-a", "--backend", "perf", "--duration", "200ms", "-o"]).arg(&file).output().unwrap()
    };
    let output = record(&[]);
    assert!(output.status.success() && backend(&file) == "perf", "{}", errors(&output));
    let output = record(&["-m", "64M"]);
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("65536 KiB") && said.contains("-m 128K") && said.contains("perf_event_mlock_kb"), "{said}");
}

/// With hidepid other users' processes are not there for who may not trace them; what happens is recorded all the same.
#[test]
fn a_hidden_proc_hides_only_what_ran_before() {
    needs!("a_hidden_proc", cannot_record(), not_root(), missing("setpriv", "util-linux"));
    let dir = tempfile::tempdir().unwrap();
    let (program, file) = for_everybody(dir.path());
    let script = format!(
        "mount -t proc -o hidepid=2 proc /proc || exit
         (sleep 0.5; sh -c 'true; true') &
         setpriv --reuid 61235 --regid 61235 {} {} record -a --backend perf --duration 1500ms -o {}",
        AS_RECORDER.join(" "),
        program.display(),
        file.display()
    );
    run(Command::new("unshare").args(["-m", "sh", "-c", &script]));
    let all = events(&file);
    let of = |synthesized: bool| {
        all.iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == synthesized).count()
    };
    assert!(of(true) <= 3, "{} processes are not hidden", of(true));
    assert!(of(false) >= 1, "no fork of another user's");
}

/// A filter that refuses these system calls, as a container's profile does.
fn refusing(calls: &[i64]) -> BpfProgram {
    let rules = calls.iter().map(|&call| (call, vec![])).collect();
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with seccomp");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32), arch);
    filter.expect("a filter").try_into().expect("a program")
}

#[test]
fn a_sandbox_without_perf_events_is_recorded_by_what_it_has() {
    needs!("a_sandbox_without_perf_events", cannot_record(), no_bpf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let confined = |calls: &[i64], options: &[&str]| -> Output {
        let filter = refusing(calls);
        let mut record = nsscope();
        record.arg("record").args(options).arg("-o").arg(&file).args(["--", "sh", "-c", "sleep 0.3"]);
        // SAFETY: the filter is made before the fork; installing it is two system calls.
        unsafe {
            record.pre_exec(move || seccompiler::apply_filter(&filter).map_err(|_| std::io::ErrorKind::Other.into()));
        }
        record.output().unwrap()
    };
    let output = confined(&[libc::SYS_perf_event_open], &[]);
    assert!(output.status.success() && backend(&file) == "bpf", "{}", errors(&output));
    assert!(errors(&output).contains("by eBPF programs instead"), "{}", errors(&output));
    let output = confined(&[libc::SYS_perf_event_open, libc::SYS_bpf], &[]);
    assert!(output.status.success() && backend(&file) == "proc", "{}", errors(&output));
    assert!(errors(&output).contains("looking at /proc"), "{}", errors(&output));
    let output = confined(&[libc::SYS_perf_event_open], &["--backend", "perf"]);
    assert!(output.status.code() == Some(1), "{}", errors(&output));
    assert!(
        errors(&output).contains("CAP_PERFMON") && errors(&output).contains("--backend proc"),
        "{}",
        errors(&output)
    );
}

/// In a user namespace of its own nobody has what perf events of the machine need.
#[test]
fn a_user_namespace_is_recorded_by_proc() {
    needs!("a_user_namespace", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut record = Command::new("unshare");
    record.arg("-Ur").arg(nsscope().get_program()).args(["record", "-o"]).arg(&file).args(["--", "sleep", "0.3"]);
    let said = errors(&run(&mut record));
    assert!(said.contains("looking at /proc") && said.contains("its own namespaces: user"), "{said}");
    assert_eq!(backend(&file), "proc");
}

/// The cgroup that is recorded is removed: the recording goes on, and has what was in it.
#[test]
fn a_cgroup_that_is_removed_stays_recorded() {
    needs!("a_cgroup_that_is_removed", cannot_record(), not_root(), no_cgroup2());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let id = "5eed".repeat(16);
    let group = Group::new(&format!("docker-{id}.scope"));
    let script = format!("echo $$ > {}; sleep 1; true; true", group.procs());
    let mut inside = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let recorder = start(&file, &["--container", &id]);
    inside.wait().unwrap();
    drop(group);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, "), "{said}");
    let report = json_of(nsscope().args(["report", "--json"]).arg(&file));
    let containers = report["containers"].as_array().unwrap();
    let ours = containers.iter().find(|container| container["id"] == *id).unwrap_or_else(|| panic!("{report:#}"));
    assert!(ours["last"].is_u64(), "it has ended: {ours:#}");
}

/// No file is larger than it was to be by more than what comes in one round.
#[test]
fn files_end_where_they_are_to_end() {
    needs!("files_end_where_they_are_to_end", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let recorder = start(&file, &["-a", "--max-size", "512K", "--max-files", "4"]);
    run(Command::new(actor()).args(["storm", "6000", "2"]));
    let said = stop(recorder);
    assert!(said.contains(" 0 lost, "), "{said}");
    let sizes: Vec<u64> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    // A ring of 2 MiB for each CPU is the most that a round can have; a storm does not fill it in a tick.
    assert!(sizes.len() == 4 && sizes.iter().all(|size| *size < (512 << 10) + (1 << 20)), "{sizes:?}: {said}");
}
