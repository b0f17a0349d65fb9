//! Debian's `perf` as a peer: it reads our files as we do, and we read its files as it does.
#![allow(missing_docs)]

use nsscope_tests::{
    actor, cannot_record, count_kinds, count_records, errors, events, json_of, kernel_that_refuses, missing, needs,
    no_perf, nsscope, perf_counts, perf_script, record, run, text,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn our_script(file: &Path) -> Output {
    run(nsscope().args(["script", "--format", "perf"]).arg(file))
}

/// Byte for byte the same, and neither has anything to complain of.
fn same_script(file: &Path) -> String {
    let (perf, ours) = (run(&mut perf_script(file)), our_script(file));
    assert_eq!(errors(&perf), "", "perf script complains");
    assert_eq!(errors(&ours), "", "nsscope script complains");
    if perf.stdout != ours.stdout {
        let (perf, ours) = (text(&perf), text(&ours));
        let lines = perf.lines().zip(ours.lines()).enumerate();
        for (number, (perf, ours)) in lines {
            assert_eq!(ours, perf, "line {}", number + 1);
        }
        panic!("perf prints {} lines, we print {}", perf.lines().count(), ours.lines().count());
    }
    text(&ours)
}

/// Records by kind, as `perf report -D` counts them.
fn counts_of_perf(file: &Path) -> BTreeMap<String, u64> {
    let output = run(Command::new("perf").args(["report", "-D", "-i"]).arg(file));
    assert_eq!(errors(&output), "", "perf report complains");
    perf_counts(&text(&output))
}

/// Records by kind, as `nsscope script --format json` prints them.
fn our_counts(file: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events(file) {
        *counts.entry(event["kind"].as_str().unwrap().to_string()).or_insert(0) += 1;
    }
    counts
}

/// perf counts what we print, kind by kind.
fn same_counts(file: &Path) {
    let (perf, ours) = (counts_of_perf(file), our_counts(file));
    assert!(ours.contains_key("namespaces"), "{ours:?}");
    for kind in ["namespaces", "comm", "fork", "exit", "cgroup", "lost", "sample"] {
        assert_eq!(ours.get(kind), perf.get(kind), "{kind}: ours {ours:?}, perf's {perf:?}");
    }
}

fn storm(file: &Path, count: u32, options: &[&str]) -> Output {
    let count = count.to_string();
    let actor = actor();
    let command = ["--", actor.to_str().unwrap(), "storm", &count, "4"];
    run(nsscope().args(["record", "-o"]).arg(file).args(options).args(command))
}

fn perf_record(file: &Path, options: &[&str], command: &[&str]) {
    run(Command::new("perf").args(["record", "-q", "-o"]).arg(file).args(options).arg("--").args(command));
}

#[test]
fn perf_reads_a_small_capture_of_ours_as_we_do() {
    needs!("perf_reads_a_small_capture", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &["unshare", "-n", "-m", "-u", "-i", "-p", "-f", "-C", "true"]);
    let script = same_script(&file);
    assert!(script.contains("PERF_RECORD_NAMESPACES"));
    assert!(script.contains("PERF_RECORD_COMM exec: unshare"));
    same_counts(&file);
    // Its header is understood, wall clock included.
    let header = text(&run(Command::new("perf").args(["report", "--header-only", "-i"]).arg(&file)));
    for line in [
        "# hostname : ",
        "# os release : ",
        "# clockid: monotonic",
        "# reference time: ",
        "# cmdline : ",
        "# nrcpus online : ",
    ] {
        assert!(header.contains(line), "{line}\n{header}");
    }
}

#[test]
fn perf_reads_a_storm_of_ours_as_we_do() {
    needs!("perf_reads_a_storm", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    storm(&file, 30_000, &[]);
    let script = same_script(&file);
    let records = script.matches("PERF_RECORD_").count();
    assert!(records > 100_000, "{records} records");
    same_counts(&file);
    // It got its blocks in large steps, and gave back those that it did not need.
    let (size, taken) = (fs::metadata(&file).unwrap().len(), fs::metadata(&file).unwrap().blocks() * 512);
    assert!(size > 4 << 20 && taken < size + (1 << 20), "{taken} bytes taken for {size}");
}

#[test]
fn perf_reads_what_we_compress_as_we_do() {
    needs!("perf_reads_what_we_compress", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let size = |options: &[&str]| {
        storm(&file, 3000, options);
        assert!(same_script(&file).lines().count() > 9000, "{options:?}");
        fs::metadata(&file).unwrap().len()
    };
    let (plain, packed) = (size(&[]), size(&["-z"]));
    assert!(packed * 4 < plain, "{packed} of {plain} bytes");
    same_counts(&file);
}

#[test]
fn what_is_lost_is_said_everywhere() {
    needs!("what_is_lost", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    // A ring of one page holds about twenty records; the recorder is stopped while the storm goes on.
    let recorder =
        nsscope().args(["record", "-a", "-m", "4K", "-o"]).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let pid = rustix::process::Pid::from_raw(i32::try_from(recorder.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    run(Command::new(actor()).args(["storm", "2000", "4"]));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    // The kernel tells of a gap when it has room again.
    run(Command::new(actor()).args(["storm", "40", "2"]));
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = recorder.wait_with_output().unwrap();
    assert!(output.status.success());
    let summary = errors(&output);
    assert!(summary.contains("records were lost because the rings were full"), "{summary}");
    let script = same_script(&file);
    let lost: u64 = script.lines().filter_map(|l| l.split_once("PERF_RECORD_LOST lost ")?.1.parse::<u64>().ok()).sum();
    assert!(lost > 1000, "{lost}");
    assert_eq!(nsscope_tests::report(&file)["lost"], lost);
}

#[test]
fn we_read_perfs_own_files_as_perf_does() {
    needs!("we_read_perfs_own_files", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let actor = actor();
    let unshare = ["unshare", "-n", "-m", "-u", "-i", "-p", "-f", "-C", "true"];
    let storm = [actor.to_str().unwrap(), "storm", "2000", "4"];
    let side_band = ["-e", "dummy:u", "--namespaces", "--all-cgroups"];
    let system = [&side_band[..], &["-a"]].concat();
    let tracepoints = [&system[..], &["-e", "cgroup:cgroup_attach_task", "-e", "cgroup:cgroup_mkdir"]].concat();
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("the whole system", &system, &unshare),
        ("the whole system in a storm", &system, &storm),
        ("a command", &side_band, &unshare),
        ("a command in a storm", &side_band, &storm),
        ("several events", &tracepoints, &unshare),
    ];
    for (name, options, command) in cases {
        perf_record(&file, options, command);
        println!("{name}");
        assert!(same_script(&file).contains("PERF_RECORD_NAMESPACES"), "{name}");
        same_counts(&file);
    }
}

/// Whatever perf was asked for besides: the counts are those of `perf report -D`.
#[test]
fn files_of_every_mode_of_perf_record_give_perfs_counts() {
    needs!("files_of_every_mode_of_perf_record", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let actor = actor();
    let actor = actor.to_str().unwrap();
    // The children are too short to be sampled; the shell is not.
    let work = format!("{actor} storm 300 2; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    let work = ["sh", "-c", &work];
    let clock = ["-e", "cpu-clock", "-F", "999", "--namespaces", "--all-cgroups"];
    let modes: [(&str, &[&str]); 10] = [
        ("samples", &[]),
        ("call graphs by frame pointer", &["-g"]),
        ("call graphs by DWARF", &["--call-graph", "dwarf"]),
        ("context switches", &["--switch-events"]),
        ("several events in a group", &["-e", "{cpu-clock,task-clock}:S"]),
        ("all that is known of a sample", &["-d", "--phys-data", "-W", "--code-page-size", "--data-page-size", "-T"]),
        ("a ring that is overwritten", &["--overwrite"]),
        ("build ids in MMAP2", &["--buildid-mmap"]),
        ("every thread on its own", &["--per-thread"]),
        ("compressed", &["-z"]),
    ];
    for (name, options) in modes {
        let file = dir.path().join("mode.data");
        perf_record(&file, &[&clock[..], options].concat(), &work);
        println!("{name}");
        let counts = our_counts(&file);
        assert!(counts["sample"] > 0, "{name}: {counts:?}");
        same_counts(&file);
    }

    // One file for each signal, each of them whole.
    let file = dir.path().join("switch.data");
    perf_record(&file, &[&clock[..], &["--switch-output=1M"]].concat(), &[actor, "storm", "20000", "4"]);
    let parts = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let parts: Vec<_> = parts.filter(|path| path.to_string_lossy().contains("switch.data.")).collect();
    assert!(parts.len() > 1, "{parts:?}");
    for part in parts {
        same_counts(&part);
    }

    // A pipe, where attrs and features are records, compressed and not.
    for options in [&[][..], &["-z"]] {
        let pipe = dir.path().join("pipe.data");
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "-o", "-"]).args(clock).args(options).arg("--").args(work);
        run(perf.stdout(File::create(&pipe).unwrap()));
        same_counts(&pipe);
    }
}

/// Records without a trailer have no time, and are no worse for it.
#[test]
fn a_file_without_sample_id_all_gives_perfs_counts() {
    needs!("a_file_without_sample_id_all", cannot_record(), no_perf(), missing("gcc", "gcc"));
    let dir = tempfile::tempdir().unwrap();
    // A kernel from before 2.6.38 knows no `sample_id_all`, and perf does without.
    let library = kernel_that_refuses(dir.path(), "attr->sample_id_all", "EINVAL");
    let file = dir.path().join("a.data");
    let mut perf = Command::new("perf");
    perf.env("LD_PRELOAD", &library).args(["record", "-q", "-e", "cpu-clock", "-F", "999", "--namespaces", "-o"]);
    run(perf.arg(&file).arg("--").arg(actor()).args(["storm", "300", "2"]));
    let attrs = text(&run(Command::new("perf").args(["evlist", "-v", "-i"]).arg(&file)));
    assert!(!attrs.contains("sample_id_all") && attrs.contains("namespaces: 1"), "{attrs}");
    same_counts(&file);
}

#[test]
fn perfs_file_gives_the_same_report_as_ours() {
    needs!("perfs_file_gives_the_same_report", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    perf_record(
        &file,
        &["-e", "dummy:u", "--namespaces", "--all-cgroups", "-a"],
        &["unshare", "-m", "-p", "-f", "true"],
    );
    let report = nsscope_tests::report(&file);
    let containers = report["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{report}");
    assert_eq!(containers[0]["own"], serde_json::json!(["pid", "mnt"]));
}

#[test]
fn a_pipe_carries_the_same() {
    needs!("a_pipe_carries_the_same", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pipe.data");
    let out = File::create(&file).unwrap();
    let made = nsscope().args(["record", "-o", "-", "--", "unshare", "-m", "-p", "-f", "true"]).stdout(out).status();
    assert!(made.unwrap().success());
    let read = |mut command: Command| run(command.stdin(File::open(&file).unwrap())).stdout;
    let perf = perf_script(Path::new("-"));
    let mut ours = nsscope();
    ours.args(["script", "--format", "perf", "-"]);
    let (perf, ours) = (read(perf), read(ours));
    assert!(ours.windows(22).any(|w| w == b"PERF_RECORD_NAMESPACES"));
    assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&perf));
    // The same bytes as a file, and a file through a pipe.
    assert_eq!(our_script(&file).stdout, ours);
    let normal = dir.path().join("file.data");
    record(&normal, &["true"]);
    let mut piped = nsscope();
    piped.args(["script", "--format", "perf", "-"]).stdin(File::open(&normal).unwrap());
    assert_eq!(run(&mut piped).stdout, our_script(&normal).stdout);
    let mut cat = Command::new("cat").arg(&normal).stdout(Stdio::piped()).spawn().unwrap();
    let mut piped = nsscope();
    piped.args(["script", "--format", "perf", "-"]).stdin(cat.stdout.take().unwrap());
    assert_eq!(run(&mut piped).stdout, our_script(&normal).stdout);
    cat.wait().unwrap();
}

#[test]
fn a_killed_recorder_leaves_a_file_that_both_read() {
    needs!("a_killed_recorder", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let mut recorder = nsscope().args(["record", "-a", "-o"]).arg(&file).stderr(Stdio::null()).spawn().unwrap();
    while !file.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    run(Command::new(actor()).args(["storm", "3000", "4"]));
    std::thread::sleep(std::time::Duration::from_millis(400));
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let script = same_script(&file);
    assert!(script.matches("PERF_RECORD_EXIT").count() >= 3000);
    same_counts(&file);
    // Large enough to have got blocks in advance, which do not make it longer: behind the records is their table alone.
    let bytes = fs::read(&file).unwrap();
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let features = bytes[72..104].iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    assert!(bytes.len() > 1 << 20, "{}", bytes.len());
    assert_eq!(bytes.len() as u64, word(40) + word(48) + 16 * features);
    let header = text(&run(Command::new("perf").args(["report", "--header-only", "-i"]).arg(&file)));
    assert!(header.contains("# clockid: monotonic"), "{header}");

    // A file of perf's own whose writer was killed has a data size of 0; ours with that size reads as well.
    let mut bytes = fs::read(&file).unwrap();
    bytes[48..56].fill(0);
    let zeroed = dir.path().join("zeroed.data");
    fs::write(&zeroed, &bytes).unwrap();
    let output = run(nsscope().args(["script", "--format", "perf"]).arg(&zeroed));
    assert!(text(&output).starts_with(&script[..1000]));
    assert_eq!(text(&output).matches("PERF_RECORD_EXIT").count(), script.matches("PERF_RECORD_EXIT").count());
}

#[test]
fn kinds_are_those_of_perf() {
    needs!("kinds_are_those_of_perf", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &["unshare", "-m", "true"]);
    let ours = |kind: &str| text(&run(nsscope().args(["script", "--format", "perf", "--kind", kind]).arg(&file)));
    let lines = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).collect::<Vec<_>>().join("\n");
    let all = text(&run(&mut perf_script(&file)));
    for (kind, what) in [("comm", "PERF_RECORD_COMM"), ("fork", "PERF_RECORD_FORK"), ("exit", "PERF_RECORD_EXIT")] {
        assert_eq!(ours(kind).trim_end(), lines(&all, what), "{kind}");
    }
    assert!(ours("namespaces").lines().count() % 3 == 0);
    assert_eq!(lines(&ours("namespaces"), "PERF_RECORD_NAMESPACES"), lines(&all, "PERF_RECORD_NAMESPACES"));
}

#[test]
fn perf_opens_what_was_recovered_wherever_it_was_cut() {
    needs!("perf_opens_what_was_recovered", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut, recovered) = (dir.path().join("whole"), dir.path().join("cut"), dir.path().join("recovered"));
    let pipe = dir.path().join("pipe");
    run(nsscope().args(["record", "-o"]).arg(&whole).args(["--"]).arg(actor()).args(["storm", "300", "1"]));
    let mut piped = nsscope();
    piped.args(["record", "-o", "-", "--"]).arg(actor()).args(["storm", "300", "1"]);
    run(piped.stdout(fs::File::create(&pipe).unwrap()));
    for file in [&whole, &pipe] {
        let bytes = fs::read(file).unwrap();
        let mut before = u64::MAX;
        // The last bytes one by one, then in steps that meet every part of a record.
        for missing in (0..40).chain((41..60_000.min(bytes.len() - 4096)).step_by(1501)) {
            fs::write(&cut, &bytes[..bytes.len() - missing]).unwrap();
            run(nsscope().arg("recover").arg(&cut).arg("-o").arg(&recovered));
            let ours = count_records(&recovered);
            assert_eq!(ours, count_records(&cut), "{missing} bytes are missing");
            assert!(ours <= before && ours > 0);
            before = ours;
            // perf reads pipe mode from a pipe alone.
            if missing % 4 == 0 && file == &whole {
                // perf prints each record as we do, tracepoints with their fields too.
                same_script(&recovered);
            }
        }
        // A record of impossible size: what is before it is kept.
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 10 * 9..].fill(0);
        fs::write(&cut, &damaged).unwrap();
        run(nsscope().arg("recover").arg(&cut).arg("-o").arg(&recovered));
        let (left, all) = (count_records(&recovered), count_records(file));
        assert!(0 < left && left < all, "{left} of {all} records of {}, {} bytes", file.display(), bytes.len());
        // A hole in the midst, of the pages that a machine had not written when it lost its power: what is behind it is
        // kept, too. It begins within a record of namespaces, before and behind their number.
        let is_namespaces =
            |at: &usize| bytes[*at..].starts_with(&[16, 0, 0, 0]) && bytes[at + 16..].starts_with(&7u64.to_ne_bytes());
        let record = (bytes.len() / 2 / 8 * 8..).step_by(8).find(is_namespaces).unwrap();
        for middle in [record + 16, record + 24] {
            let mut holed = bytes.clone();
            holed[middle..middle + 8192].fill(0);
            fs::write(&cut, &holed).unwrap();
            run(nsscope().arg("recover").arg(&cut).arg("-o").arg(&recovered));
            let left = count_records(&recovered);
            assert_eq!(left, count_records(&cut));
            // The smallest record has 48 bytes.
            assert!(left < all && left >= all - 8192 / 48 - 2, "{left} of {all}");
            if file == &whole {
                same_script(&recovered);
            }
        }
    }
    // The header of some time ago, with all records behind it.
    let copy = format!(
        "{actor} storm 100 1; sleep 1.5; head -c 104 {file} > {cut}; {actor} storm 100 1",
        actor = actor().display(),
        file = whole.display(),
        cut = cut.display()
    );
    run(nsscope().args(["record", "-o"]).arg(&whole).args(["--", "sh", "-c", &copy]));
    let bytes = fs::read(&whole).unwrap();
    let mut old = fs::read(&cut).unwrap();
    assert_ne!(old, bytes[..104]);
    old.extend(&bytes[104..]);
    fs::write(&cut, &old).unwrap();
    assert_eq!(count_records(&cut), count_records(&whole));
    run(nsscope().arg("recover").arg(&cut).arg("-o").arg(&recovered));
    assert_eq!(count_records(&recovered), count_records(&whole));
    same_script(&recovered);
    fs::write(&cut, b"PERFILE2").unwrap();
    let nothing = nsscope().arg("recover").arg(&cut).arg("-o").arg(dir.path().join("none")).output().unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    assert!(!dir.path().join("none").exists());
}

/// A hole in what is compressed costs the frame that it is in; perf opens the rest once it is recovered.
#[test]
fn behind_a_hole_compressed_records_are_there() {
    needs!("behind_a_hole_compressed_records", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let (whole, holed, recovered) = (dir.path().join("whole"), dir.path().join("holed"), dir.path().join("recovered"));
    let pipe = dir.path().join("pipe");
    let storm = ["storm", "30000", "2"];
    run(nsscope().args(["record", "-z", "-o"]).arg(&whole).arg("--").arg(actor()).args(storm));
    let mut piped = nsscope();
    piped.args(["record", "-z", "-o", "-", "--"]).arg(actor()).args(storm);
    run(piped.stdout(File::create(&pipe).unwrap()));
    for file in [&whole, &pipe] {
        let bytes = fs::read(file).unwrap();
        let all = plain_counts(file);
        assert!(all.values().sum::<u64>() > 100_000, "{all:?}");
        for middle in [bytes.len() / 3, bytes.len() / 2] {
            let mut damaged = bytes.clone();
            damaged[middle..middle + 8192].fill(0);
            fs::write(&holed, &damaged).unwrap();
            let there = plain_counts(&holed);
            let (left, all): (u64, u64) = (there.values().sum(), all.values().sum());
            // A frame has a MiB of records, the smallest of which has 48 bytes; two of them may be cut.
            assert!(left < all && left > all - 2 * (1 << 20) / 48, "{left} of {all} in {}", file.display());
            run(nsscope().arg("recover").arg(&holed).arg("-o").arg(&recovered));
            assert_eq!(plain_counts(&recovered), there);
            if file == &whole {
                same_script(&recovered);
                same_counts(&recovered);
            }
        }
        // What is only cut stays compressed, in frames that perf reads as one stream.
        fs::write(&holed, &bytes[..bytes.len() / 2]).unwrap();
        run(nsscope().arg("recover").arg(&holed).arg("-o").arg(&recovered));
        assert_eq!(plain_counts(&recovered), plain_counts(&holed));
        assert!(fs::metadata(&recovered).unwrap().len() <= bytes.len() as u64 / 2 + 100, "{}", file.display());
        if file == &whole {
            same_counts(&recovered);
        }
    }
}

/// Records by kind, without those that hold others.
fn plain_counts(file: &Path) -> BTreeMap<String, u64> {
    let mut counts = count_kinds(file);
    counts.remove("compressed");
    counts
}

#[test]
fn a_directory_of_perf_record_threads_is_one_capture() {
    needs!("a_directory_of_perf_record_threads", cannot_record(), no_perf());
    let dir = tempfile::tempdir().unwrap();
    let threads = dir.path().join("threads");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "--threads", "-a", "--namespaces", "--all-cgroups", "-e", "dummy:u", "-o"])
        .arg(&threads);
    run(perf.args(["--", "unshare", "-m", "-p", "-f", "sh", "-c", "true; uname; exit 0"]));
    assert!(threads.join("data.1").is_file() || threads.join("data.0").is_file());
    let script = same_script(&threads);
    assert!(script.contains("uname") && script.contains("PERF_RECORD_NAMESPACES"));
    let report = json_of(nsscope().args(["report", "--json"]).arg(&threads));
    assert!(report["containers"].to_string().contains("uname"), "{report}");
    // The features behind the records are found, too.
    assert!(report["hostname"].is_string(), "{report}");
    // Another directory is none.
    let other = nsscope().arg("report").arg(dir.path()).output().unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(errors(&other).contains("perf record --threads"), "{}", errors(&other));
}
