//! What goes wrong says what, why and what next, with the right exit code, and leaves nothing behind.
#![allow(missing_docs)]

use nsscope_tests::mutants::{Numbers, mutate};
use nsscope_tests::{cannot_record, copy_program, errors, events, needs, not_root, nsscope, record, run, text};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command fails with this code, and its message has all these words.
fn fails(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let message = errors(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{command:?}: no {word:?} in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn the_commands_exit_status_is_passed_on() {
    needs!("the_commands_exit_status", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let status = |script: &str| -> Output {
        nsscope().args(["record", "-o"]).arg(&file).args(["--", "sh", "-c", script]).output().unwrap()
    };
    assert_eq!(status("exit 7").status.code(), Some(7));
    // As a shell has it: 128 and the signal.
    assert_eq!(status("kill -9 $$").status.code(), Some(137));
    assert!(events(&file).iter().any(|e| e["kind"] == "comm" && e["comm"] == "sh"), "what there was is kept");
    // Its output is its own.
    assert_eq!(text(&status("echo out; echo err >&2")), "out\n");
}

#[test]
fn a_command_that_cannot_be_found_leaves_all_as_it_was() {
    needs!("a_command_that_cannot_be_found", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut command = nsscope();
    command.args(["record", "-o"]).arg(&file).args(["--", "no-such-command-here"]);
    fails(&mut command, 1, &["cannot run no-such-command-here", "no such command"]);
    assert!(is_empty(dir.path()));
    // An older capture stays in place.
    fs::write(&file, "older").unwrap();
    fails(&mut command, 1, &["no such command"]);
    assert_eq!(fs::read(&file).unwrap(), b"older");
    fails(nsscope().args(["record", "-o"]).arg(&file).args(["--", "/etc/passwd"]), 1, &["not executable"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_older_capture_is_moved_aside() {
    needs!("an_older_capture", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    fs::write(&file, "older").unwrap();
    record(&file, &["true"]);
    assert_eq!(fs::read(dir.path().join("a.data.old")).unwrap(), b"older");
    assert!(fs::read(&file).unwrap().starts_with(b"PERFILE2"));
    // By default it is nsscope.data, here.
    run(nsscope().current_dir(dir.path()).args(["record", "--", "true"]));
    run(nsscope().current_dir(dir.path()).args(["record", "--", "true"]));
    assert!(dir.path().join("nsscope.data.old").exists());
    run(nsscope().current_dir(dir.path()).arg("report"));
}

#[test]
fn output_that_cannot_be_written() {
    needs!("output_that_cannot_be_written", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no/such/dir/a.data");
    fails(nsscope().args(["record", "-o"]).arg(&missing).args(["--", "true"]), 1, &["cannot create", "does not exist"]);
    fails(nsscope().args(["record", "-o"]).arg(dir.path()).args(["--", "true"]), 1, &["it is a directory"]);
    fails(
        nsscope().args(["record", "-o", "/proc/nsscope.data", "--", "true"]),
        1,
        &["cannot create /proc/nsscope.data"],
    );
    fails(nsscope().args(["snapshot", "-o", "/dev/full"]), 1, &["no space left on device"]);
}

#[test]
fn without_the_right_to_record() {
    needs!("without_the_right_to_record", not_root());
    let dir = tempfile::tempdir().unwrap();
    // The program must be reachable for a user who may not look into the target directory.
    let program = dir.path().join("nsscope");
    copy_program(nsscope().get_program(), &program);
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    for path in [dir.path(), &home, &program] {
        std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).unwrap();
    }
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).current_dir(&home).uid(65_534).gid(65_534);
        command
    };
    let mut record = as_nobody(&["record", "--backend", "perf", "--", "true"]);
    let ways = ["CAP_PERFMON", "perf_event_paranoid", "setcap", "--backend proc", "nsscope snapshot"];
    fails(&mut record, 1, &ways);
    assert!(is_empty(&home), "no file is left behind");
    fails(&mut as_nobody(&["record", "--snapshot", "--duration", "1s"]), 1, &["CAP_PERFMON"]);
    fails(&mut as_nobody(&["events", "--duration", "1s"]), 1, &["CAP_PERFMON"]);

    // What works without: a recording by looking at /proc, a snapshot, its report, the doctor's word, and the demo.
    let record = run(&mut as_nobody(&["record", "--", "unshare", "-U", "-r", "-m", "-p", "-f", "sleep", "0.3"]));
    assert!(errors(&record).contains("looking at /proc every 10 ms instead"), "{}", errors(&record));
    let report = text(&run(&mut as_nobody(&["report"])));
    assert!(report.contains("recorded by looking at /proc every 10 ms"), "{report}");
    assert!(report.contains("(inside 1)") && report.contains("user:["), "{report}");
    let snapshot = run(&mut as_nobody(&["snapshot"]));
    assert!(errors(&snapshot).contains("may not be read"), "{}", errors(&snapshot));
    run(&mut as_nobody(&["report"]));
    let doctor = as_nobody(&["doctor"]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(text(&doctor).contains("setcap"), "{}", text(&doctor));
    let demo = run(&mut as_nobody(&["demo"]));
    assert!(text(&demo).contains("pid:["), "{}", text(&demo));
}

#[test]
fn files_that_are_not_captures() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    for command in ["script", "report"] {
        fails(nsscope().arg(command).arg(&file), 1, &["cannot open", "nsscope record"]);
        fails(nsscope().arg(command).arg(dir.path()), 1, &["is a directory", "--threads"]);
    }
    fs::write(&file, "").unwrap();
    fails(nsscope().arg("report").arg(&file), 1, &["is empty"]);
    fs::write(&file, "#!/bin/sh\necho this is no capture, and long enough to be one\n").unwrap();
    fails(nsscope().arg("script").arg(&file), 1, &["not a perf.data file", "PERFILE2"]);
    fs::write(&file, b"PERFILE2").unwrap();
    fails(nsscope().arg("script").arg(&file), 1, &["not readable as perf.data", "ends within"]);
    fs::write(&file, [b"PERFILE2".as_slice(), &7u64.to_le_bytes()].concat()).unwrap();
    fails(nsscope().arg("script").arg(&file), 1, &["header states a size of 7"]);
    fails(nsscope().args(["script", "/dev/null"]), 1, &["is empty"]);
}

#[test]
fn a_truncated_capture_gives_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole.data"), dir.path().join("cut.data"));
    run(nsscope().args(["snapshot", "-o"]).arg(&whole));
    let bytes = fs::read(&whole).unwrap();
    let all = text(&run(nsscope().args(["script", "--format", "perf"]).arg(&whole)));
    let data = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    for keep in [bytes.len() - 1, bytes.len() - 300, data + 1000, data + 5, data] {
        fs::write(&cut, &bytes[..keep]).unwrap();
        let output = run(nsscope().args(["script", "--format", "perf"]).arg(&cut));
        assert!(errors(&output).contains("damaged at byte"), "{keep}: {}", errors(&output));
        let lines = text(&output).lines().count();
        assert!(lines <= all.lines().count());
        assert!(keep < data + 1000 || lines > 5, "{keep}: {lines} lines");
    }
    fs::write(&cut, &bytes[..data - 100]).unwrap();
    fails(nsscope().arg("script").arg(&cut), 1, &["not readable as perf.data", "at byte 104"]);
}

#[test]
fn damage_costs_only_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, bad) = (dir.path().join("whole.data"), dir.path().join("bad.data"));
    run(nsscope().args(["snapshot", "-o"]).arg(&whole));
    let mut bytes = fs::read(&whole).unwrap();
    let count = events(&whole).len();
    // nr_namespaces of the first NAMESPACES record of the data.
    let data = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    let mut at = data;
    while u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) != 16 {
        at += usize::from(u16::from_le_bytes(bytes[at + 6..at + 8].try_into().unwrap()));
    }
    bytes[at + 16..at + 24].copy_from_slice(&5_000_000u64.to_le_bytes());
    fs::write(&bad, &bytes).unwrap();
    assert_eq!(events(&bad).len(), count - 1);
    let output = run(nsscope().args(["report", "--json"]).arg(&bad));
    assert!(errors(&output).contains("1 records could not be read"), "{}", errors(&output));

    // A record of size 0 ends what can be read of the data; what is behind the data is still found.
    bytes[at + 6..at + 8].fill(0);
    fs::write(&bad, &bytes).unwrap();
    let output = run(nsscope().args(["script", "--format", "json"]).arg(&bad));
    assert!(errors(&output).contains(&format!("at byte {at}")), "{}", errors(&output));
    assert!(text(&output).lines().count() < count);
    assert!(text(&output).contains("\"wall\""), "the clock was found behind the data");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    run(nsscope().args(["snapshot", "-o"]).arg(&file));
    for args in [&["script"][..], &["script", "--format", "json"], &["report"], &["report", "--json"], &["doctor"]] {
        let mut command = nsscope();
        command.args(args);
        if args != ["doctor"] {
            command.arg(&file);
        }
        // A pipe whose reader has gone before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), errors(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_recording_into_a_closed_pipe_lets_the_command_finish() {
    needs!("a_recording_into_a_closed_pipe", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let done = dir.path().join("done");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let script = format!("sleep 0.3; touch {}; exit 3", done.display());
    let output = nsscope().args(["record", "-o", "-", "--", "sh", "-c", &script]).stdout(writer).output().unwrap();
    assert!(!errors(&output).contains("panicked"), "{}", errors(&output));
    // The pipe was closed before the command could start, or the command ran to its end.
    assert!(output.status.code() == Some(0) || (output.status.code() == Some(3) && done.exists()), "{output:?}");
}

#[test]
fn signals_end_a_recording_cleanly() {
    needs!("signals_end_a_recording", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let file = dir.path().join(format!("{signal:?}.data"));
        let recorder = nsscope().args(["record", "-o"]).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        while !file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        kill_process(Pid::from_raw(i32::try_from(recorder.id()).unwrap()).unwrap(), signal).unwrap();
        let output = recorder.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(errors(&output).contains(" 0 lost, "), "{}", errors(&output));
        assert!(events(&file).len() > 10);
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["record", "-m", "1X", "--", "true"][..],
        &["record", "--duration", "soon"],
        &["record", "-p", "1", "--", "true"],
        &["script", "--kind", "nonsense"],
        &["script", "--format", "xml"],
        &["no-such-command"],
    ] {
        fails(nsscope().args(args), 2, &[]);
    }
    fails(nsscope().args(["record", "-p", "4194305", "-o", "/tmp/never.data"]), 1, &["there is no process 4194305"]);
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let output = nsscope().args(["report", "/no/such/file"]).output().unwrap();
    assert!(!errors(&output).contains('\x1b'), "{}", errors(&output));
    // `script` gives the program a terminal.
    let on_terminal = |vars: &str| {
        let program = nsscope().get_program().to_string_lossy().into_owned();
        let line = format!("{vars} {program} doctor");
        let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        text(&output)
    };
    assert!(on_terminal("TERM=xterm").contains("\x1b["));
    assert!(!on_terminal("TERM=xterm NO_COLOR=1").contains("\x1b["));
}

#[test]
fn an_import_without_frames_leaves_all_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (noise, out) = (dir.path().join("noise"), dir.path().join("out.data"));
    fs::write(&noise, b"no frame\0 in here\0").unwrap();
    let output = nsscope().args(["import", "-o"]).args([&out, &noise]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(said.contains("no frame was found in") && said.contains("2 stretches of the input"), "{said}");
    assert!(!out.exists());
    let output = nsscope().args(["import", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("cannot open /nowhere"), "{}", errors(&output));
}

#[test]
fn who_reads_a_capture_has_given_up_the_rest() {
    for command in [&["report", "-"][..], &["script", "-"], &["stat", "-"], &["tree", "1", "-i", "-"]] {
        let mut reader = nsscope().args(command).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", reader.id());
        // 2: a filter; it cannot be taken off, and no set-uid program makes up for it.
        let confined = |status: &str| status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n");
        nsscope_tests::wait_for(|| fs::read_to_string(&status).is_ok_and(|status| confined(&status)));
        drop(reader.stdin.take());
        assert_eq!(reader.wait().unwrap().code(), Some(1), "an empty capture is none");
    }
}

#[test]
fn flags_of_perf_are_answered_with_what_to_do_instead() {
    for (flag, instead) in
        [("-e", "perf record -e EVENT"), ("-g", "perf record"), ("-C", "--waits"), ("--all-cgroups", "leave it out")]
    {
        let refused = nsscope().args(["record", flag, "1"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{flag}");
        assert!(errors(&refused).contains(instead), "{flag}: {}", errors(&refused));
    }
    let unknown = nsscope().args(["reprot"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(errors(&unknown).contains("report"), "{}", errors(&unknown));
    // -q says nothing, -i names the file as perf does.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let quiet = nsscope().args(["-q", "snapshot", "-o"]).arg(&file).output().unwrap();
    assert_eq!((quiet.status.code(), errors(&quiet).as_str()), (Some(0), ""));
    let by_flag = nsscope().args(["stat", "--json", "-i"]).arg(&file).output().unwrap();
    let by_place = nsscope().args(["stat", "--json"]).arg(&file).output().unwrap();
    assert!(by_flag.status.success());
    assert_eq!(text(&by_flag), text(&by_place));
}

#[test]
fn doctor_lets_a_user_record_without_sudo_and_takes_it_back() {
    // It has no --version.
    let setcap = Command::new("setcap").arg("-h").output().err();
    let setcap = setcap.map(|why| format!("setcap does not run: {why} (Debian: libcap2-bin)"));
    needs!("doctor_lets_a_user_record", cannot_record(), not_root(), setcap);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("nsscope");
    copy_program(nsscope().get_program(), &program);
    run(Command::new("chmod").arg("a+rx").arg(dir.path()).arg(&program));
    let name = program.to_str().unwrap();
    let dry = Command::new(&program).args(["doctor", "--fix"]).stdin(Stdio::null()).output().unwrap();
    assert!(dry.status.success() && errors(&dry).contains("setcap cap_perfmon"), "{}", errors(&dry));
    let alone = Command::new(&program).args(["doctor", "--yes"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2), "{}", errors(&alone));
    let record = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", name, "record", "--backend", "perf", "-a"]);
        command.args(["--duration", "200ms", "-o", "-"]).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap()
    };
    assert_eq!(record().status.code(), Some(1));
    // At a terminal, which script(1) is.
    let answered = |answer: &str, flag: &str| {
        let line = format!("echo {answer} | script -qec '{name} doctor {flag}' /dev/null");
        text(&run(Command::new("sh").args(["-c", &line])))
    };
    assert!(answered("n", "--fix").contains("Nothing was done"));
    assert_eq!(record().status.code(), Some(1));
    assert!(answered("y", "--fix").contains("Done"));
    let recorded = record();
    assert!(recorded.status.success(), "{}", errors(&recorded));
    assert!(answered("y", "--undo").contains("Done"));
    assert_eq!(record().status.code(), Some(1));
    // For one group alone: others may not run it.
    assert!(answered("y", "--fix --group daemon").contains("Done"));
    let recorded_by = |user: &str| {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--", name, "record", "--backend", "perf", "-a", "--duration", "200ms", "-o", "-"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap()
    };
    assert!(recorded_by("daemon").status.success());
    assert!(errors(&recorded_by("nobody")).contains("Permission denied"));
}

#[test]
fn no_damage_ends_a_reader_without_an_answer() {
    needs!("no_damage_ends_a_reader_without_an_answer", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let (whole, bad, out) = (dir.path().join("whole.data"), dir.path().join("bad.data"), dir.path().join("out"));
    let work = "unshare -p -m -f sh -c 'uname; true; exit 0'; unshare -n true";
    let mut record = nsscope();
    record.args(["record", "-a", "-F", "499", "--switch-events", "-o"]).arg(&whole);
    run(record.args(["--", "sh", "-c", work]));
    let bytes = fs::read(&whole).unwrap();
    let mut readers: Vec<Vec<&str>> = vec![vec!["stat"], vec!["tree", "1", "-i"], vec!["report", "--waits"]];
    readers.extend(["text", "json", "perf"].map(|format| vec!["script", "--format", format]));
    let formats = ["csv", "parquet", "arrow", "perfetto", "firefox", "otlp", "folded"];
    readers.extend(formats.map(|format| vec!["export", "--format", format, "-o", out.to_str().unwrap()]));
    let mut numbers = Numbers(11);
    for number in 0..100 {
        let mut damaged = bytes.clone();
        mutate(&mut damaged, &mut numbers);
        fs::write(&bad, &damaged).unwrap();
        for reader in &readers {
            let _ = fs::remove_dir_all(&out).or_else(|_| fs::remove_file(&out));
            let output = nsscope().args(reader).arg(&bad).output().unwrap();
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1)), "{number}: {reader:?}: {}\n{}", output.status, errors(&output));
            assert!(code == Some(0) || !output.stderr.is_empty(), "{number}: {reader:?} says nothing");
        }
    }
}
