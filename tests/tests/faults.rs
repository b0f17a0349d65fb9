//! What a recording leaves when it is killed at any of its steps, or when any of them fails: the system calls by which it
//! makes and writes its file, each in turn, by strace(1).
#![allow(missing_docs)]

use nsscope_tests::{
    actor, cannot_record, errors, missing, needs, no_bpf, no_perf, not_root, nsscope, perf_script, run, text,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The steps by which a file comes to be, gets its contents and its name.
const STEPS: &str = "pwritev,fallocate,renameat,renameat2,rename,ftruncate,fchmod,fchown,unlink,unlinkat,link,linkat";

/// A recording of something that is over soon, into `dir/a.data`, under strace with these options.
fn traced(dir: &Path, options: &[&str], record: &[&str]) -> Output {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(dir.join("trace")).args(options).arg(nsscope().get_program());
    command.args(["record", "--names", "off"]).args(record).arg("-o").arg(dir.join("a.data")).arg("--").arg(actor());
    command.args(["churn", "5"]).stdin(Stdio::null()).output().unwrap()
}

/// The steps that a recording took, and how often each.
fn steps(dir: &Path) -> BTreeMap<String, usize> {
    let mut steps = BTreeMap::new();
    for line in fs::read_to_string(dir.join("trace")).unwrap().lines() {
        if let Some((name, _)) = line.split_once('(') {
            *steps.entry(name.to_string()).or_default() += 1;
        }
    }
    steps
}

/// Whether what is left is right. The file of before is there, under its name or as the one before; a new one can be
/// read by nsscope and by perf, which say the same. Where the table of its features is about to be replaced perf wants it
/// mended first, which `nsscope recover` does.
fn is_whole(dir: &Path, before: &[u8], what: &str) {
    let (file, old) = (dir.join("a.data"), dir.join("a.data.old"));
    let has = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes == before);
    assert!(has(&file) || has(&old) || has(&dir.join("a.data.1")), "{what}: the file of before is gone");
    if has(&file) || !file.exists() {
        return;
    }
    let ours = run(nsscope().args(["script", "--format", "perf"]).arg(&file));
    assert!(ours.stdout.len() > 1000 && ours.stderr.is_empty(), "{what}: {}", errors(&ours));
    let has_features = fs::read(&file).unwrap()[72..104].iter().any(|&byte| byte != 0);
    let mended = dir.join("mended.data");
    if !has_features {
        run(nsscope().arg("recover").arg(&file).arg("-o").arg(&mended));
    }
    let theirs = perf_script(if has_features { &file } else { &mended }).output().unwrap();
    assert!(theirs.status.success(), "{what}: perf: {}", errors(&theirs));
    assert!(ours.stdout == theirs.stdout, "{what}: perf prints {}, nsscope {}", text(&theirs), text(&ours));
}

/// Has the recording meet `fault` at each of its steps, one at a time. `ends` gets what it did then.
fn at_each_step(record: &[&str], fault: &str, ends: impl Fn(&str, &Output)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    run(nsscope().args(["snapshot", "-o"]).arg(dir.path().join("before")));
    let before = fs::read(dir.path().join("before")).unwrap();
    let fresh = || {
        let fresh = tempfile::tempdir_in(dir.path()).unwrap();
        fs::write(fresh.path().join("a.data"), &before).unwrap();
        fresh
    };
    let plain = fresh();
    let output = traced(plain.path(), &["-e", &format!("trace={STEPS}")], record);
    assert!(output.status.success(), "{}", errors(&output));
    let steps = steps(plain.path());
    assert!(steps["pwritev"] > 20 && steps.contains_key("renameat"), "{steps:?}");
    let mut met = 0;
    for (step, count) in steps {
        for nth in 1..=count {
            let dir = fresh();
            let inject = format!("inject={step}:{fault}:when={nth}");
            let output = traced(dir.path(), &["-e", &format!("trace={STEPS}"), "-e", &inject], record);
            let what = format!("{record:?}, {step} {nth} of {count}: {fault}");
            // Not every recording takes as many steps.
            let trace = fs::read_to_string(dir.path().join("trace")).unwrap();
            if trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL") {
                ends(&what, &output);
                met += 1;
            }
            is_whole(dir.path(), &before, &what);
        }
    }
    met
}

#[test]
fn a_recorder_that_is_killed_at_any_step_leaves_a_whole_file() {
    needs!("killed_at_any_step", cannot_record(), no_perf(), not_root(), missing("strace", "strace"));
    for record in [&[][..], &["-z"]] {
        let met = at_each_step(record, "signal=KILL", |what, output| {
            assert!(output.status.signal() == Some(9) || output.status.code() == Some(137), "{what}: {output:?}");
        });
        assert!(met > 20, "{met} steps");
    }
}

#[test]
fn a_step_that_fails_is_said_and_costs_nothing_that_was_written() {
    needs!("a_step_that_fails", cannot_record(), no_perf(), not_root(), missing("strace", "strace"));
    for fault in ["error=ENOSPC", "error=EIO"] {
        let met = at_each_step(&[], fault, |what, output| {
            let said = errors(output);
            match output.status.code() {
                // Room that is not there yet, or not given back, is no loss.
                Some(0) => assert!(what.contains("fallocate") || what.contains("ftruncate"), "{what}: {said}"),
                Some(1) => assert!(said.contains("a.data: ") && !said.contains("panicked"), "{what}: {said}"),
                other => panic!("{what}: {other:?}, {said}"),
            }
        });
        assert!(met > 20, "{met} steps");
    }
}

/// A disk that is full in the midst of a write: the kernel writes as much as fits.
#[test]
fn a_full_disk_ends_the_recording_with_what_it_has() {
    needs!("a_full_disk", cannot_record(), no_perf(), not_root(), missing("prlimit", "util-linux"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let record = |limit: &str| {
        let _ = fs::remove_file(&file);
        // The signal that comes with it is for programs that do not look.
        let mut command = Command::new("env");
        command.args(["--ignore-signal=XFSZ", "prlimit", limit]).arg(nsscope().get_program());
        command.args(["record", "--names", "off", "-o"]).arg(&file).arg("--").arg(actor()).args(["churn", "40"]);
        command.output().unwrap()
    };
    let mut cut_off = 0;
    for part in 1..40 {
        // Processes of others come and go, and a recording begins with those that are there.
        assert!(record("--fsize=unlimited").status.success());
        let limit = fs::metadata(&file).unwrap().len() * part / 40;
        let output = record(&format!("--fsize={limit}"));
        let said = errors(&output);
        if output.status.success() {
            continue;
        }
        assert!(output.status.code() == Some(1) && said.contains("a.data: file too large"), "{limit}: {said}");
        if !file.exists() {
            // Not even what describes the recording fits.
            continue;
        }
        assert!(said.contains("the recording ends with ") && said.contains("nsscope report "), "{limit}: {said}");
        let theirs = perf_script(&file).output().unwrap();
        assert!(theirs.status.success(), "{limit}: perf: {}", errors(&theirs));
        let ours = run(nsscope().args(["script", "--format", "perf"]).arg(&file));
        assert!(ours.stdout == theirs.stdout, "{limit}");
        cut_off += 1;
    }
    assert!(cut_off > 10, "{cut_off} recordings were cut off");
}

/// Ctrl-C while the events are still being opened ends a recording like any other.
#[test]
fn a_recording_that_is_ended_before_it_has_begun_is_one() {
    needs!("ended_before_it_has_begun", cannot_record(), not_root(), missing("strace", "strace"));
    for record in [&["-a"][..], &["-a", "--backend", "bpf"]] {
        if record.contains(&"bpf") && no_bpf().is_some() {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.data");
        let call = if record.contains(&"bpf") { "bpf" } else { "perf_event_open" };
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("inject={call}:signal=SIGINT:when=1"));
        command.arg(nsscope().get_program()).args(["record", "--duration", "60s"]).args(record).arg("-o").arg(&file);
        let output = run(command.stdin(Stdio::null()));
        assert!(errors(&output).contains(" 0 lost, "), "{}", errors(&output));
        assert!(text(&run(nsscope().arg("script").arg(&file))).lines().count() > 20);
    }
}
