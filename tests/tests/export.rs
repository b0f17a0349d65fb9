//! What is exported, read by those it is for: DuckDB, Perfetto's own messages, and the line formats' rules.
#![allow(missing_docs)]

use nsscope_tests::fleet::{self, query};
use nsscope_tests::server::Server;
use nsscope_tests::{
    actor, cannot_record, errors, json_of, missing, needs, no_perf, no_python, not_root, nsscope, python, record,
    report, run, skip, text,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Records some containers by unshare(1) on a machine of this name: two that are busy on one CPU, and one that lives for
/// a moment, changes its namespaces and is entered.
fn recorded(dir: &Path, host: &str) -> PathBuf {
    let file = dir.join(format!("{host}.data"));
    let work = r#"
        busy='i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'
        taskset -c 0 unshare -p -m -f sh -c "$busy; $busy" &
        taskset -c 0 unshare -p -m -n -f sh -c "uname > /dev/null; $busy; exit 0" &
        unshare -p -m -f sh -c 'unshare -i true; true; exit 0'
        wait
    "#;
    let mut record = Command::new("unshare");
    let named = "printf %s \"$1\" > /proc/sys/kernel/hostname; shift; exec \"$@\"";
    record.args(["-u", "sh", "-c", named, "sh", host]);
    record.arg(nsscope().get_program()).args(["record", "-a", "-F", "499", "--switch-events", "-o"]);
    run(record.arg(&file).args(["--", "sh", "-c", work]));
    file
}

fn exported(files: &[&Path], format: &str, to: &Path, more: &[&str]) {
    run(nsscope().args(["export", "--format", format, "-o"]).arg(to).args(more).args(files));
}

/// The one file of a table.
fn only_file(dir: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn lines_of(file: &Path) -> Vec<Value> {
    fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tables_say_what_report_and_stat_say_in_every_format() {
    needs!("tables_say_what_report_and_stat_say", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    let to = |format: &str| {
        let to = dir.path().join(format);
        exported(&[&file], format, &to, &[]);
        to
    };
    let (csv, jsonl, parquet) = (to("csv"), to("jsonl"), to("parquet"));

    // Records of each kind: those of script, but for what is no event.
    let stat = json_of(nsscope().args(["stat", "--json"]).arg(&file));
    let count = |kind: &str| stat["kinds"][kind]["count"].as_i64().unwrap_or(0);
    let sql = "SELECT kind, count(*) FROM events GROUP BY kind";
    let kinds: BTreeMap<String, i64> = query(&parquet, sql)
        .iter()
        .map(|row| (row[0].as_str().unwrap().to_string(), row[1].as_i64().unwrap()))
        .collect();
    assert_eq!(kinds["switch"], count("switch_cpu_wide"));
    assert_eq!(kinds["comm"] + kinds["exec"], count("comm"));
    for kind in ["exit", "namespaces", "sample", "cgroup"] {
        assert_eq!(kinds[kind], count(kind), "{kind}");
    }

    // Containers, their facts and waits: those of report.
    let report = json_of(nsscope().args(["report", "--waits", "--json"]).arg(&file));
    let containers = report["containers"].as_array().unwrap();
    assert!(containers.len() >= 3, "{report}");
    let rows = query(
        &parquet,
        "SELECT id, title, processes, root_pid, cpu_ns, pidns, first, last FROM containers ORDER BY first, id",
    );
    assert_eq!(rows.len(), containers.len());
    for row in &rows {
        let container =
            containers.iter().find(|container| container["id"] == row[0] && container["first"] == row[6]).unwrap();
        let ours = ["title", "processes", "root_pid", "cpu_ns"].map(|field| &container[field]);
        assert_eq!([&row[1], &row[2], &row[3]], ours[..3]);
        assert_eq!(row[5], container["namespaces"]["pid"]);
        assert_eq!((&row[6], &row[7]), (&container["first"], &container["last"]));
        let used = report["cpu_use"].as_array().unwrap().iter().find(|used| used["who"]["id"] == row[0]);
        if let Some(used) = used {
            assert_eq!(row[4], used["cpu_ns"]);
        }
    }
    let waited: i64 = query(&parquet, "SELECT CAST(sum(ns) AS BIGINT) FROM waits")[0][0].as_i64().unwrap();
    let others = |used: &Value| -> i64 {
        used["waited_for"].as_array().unwrap().iter().map(|other| other["ns"].as_i64().unwrap()).sum()
    };
    assert_eq!(waited, report["cpu_use"].as_array().unwrap().iter().map(others).sum::<i64>());
    // The two on one CPU waited for each other.
    let pairs = query(
        &parquet,
        "SELECT count(*) FROM waits WHERE waiter LIKE 'pid:%' AND runner LIKE 'pid:%' AND waiter <> runner",
    );
    assert!(pairs[0][0].as_i64() >= Some(2), "{pairs:?}");
    // The wall clock agrees with the clock of the recording.
    let apart = query(
        &parquet,
        "SELECT max(abs(epoch_ns(wall) - time) - abs(epoch_ns(w) - t)) FROM events, (SELECT first(wall) w, first(time) t FROM events)",
    );
    assert_eq!(apart[0][0], 0, "{apart:?}");

    // The three formats have the same rows.
    for table in ["events", "containers", "processes", "namespaces", "waits"] {
        let (csv, jsonl) = (only_file(&csv.join(table)), only_file(&jsonl.join(table)));
        let lines = lines_of(&jsonl);
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(query(&parquet, &sql)[0][0], lines.len(), "{table}");
        let mut reader = csv::Reader::from_path(&csv).unwrap();
        let names = reader.headers().unwrap().clone();
        for (record, line) in reader.records().map(Result::unwrap).zip(&lines) {
            let line = line.as_object().unwrap();
            let filled = names.iter().zip(&record).filter(|(_, value)| !value.is_empty());
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
            let theirs: BTreeMap<&str, String> = line
                .iter()
                .map(|(name, value)| (name.as_str(), text(value)))
                .filter(|(_, text)| !text.is_empty())
                .collect();
            assert_eq!(filled.map(|(name, value)| (name, value.to_string())).collect::<BTreeMap<_, _>>(), theirs);
        }
    }
    // To standard output, and from standard input.
    let piped = nsscope()
        .args(["export", "--format", "jsonl", "--table", "containers", "-"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert_eq!(text(&piped), fs::read_to_string(only_file(&jsonl.join("containers"))).unwrap());
}

#[test]
fn a_fleet_is_asked_by_plain_sql() {
    needs!("a_fleet_is_asked_by_plain_sql", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let files = ["alpha", "beta"].map(|host| recorded(dir.path(), host));
    let data = dir.path().join("data");
    let all: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let partitions = ["--partition-by", "host,date"];
    exported(&all, "parquet", &data, &partitions);
    // Once more: nothing is there twice.
    exported(&all, "parquet", &data, &partitions);
    let events =
        fs::read_dir(data.join("events")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut events: Vec<String> = events.collect();
    events.sort();
    assert_eq!(events, ["host=alpha", "host=beta"]);

    // pyarrow takes no column that is in the path and in the files.
    let script = r#"
import pyarrow.dataset, sys
hosts = pyarrow.dataset.dataset(sys.argv[1], partitioning="hive").to_table()["host"].to_pylist()
print(sorted(set(hosts)))
"#;
    let by_pyarrow = run(Command::new(python().unwrap()).args(["-c", script]).arg(data.join("containers")));
    assert_eq!(text(&by_pyarrow).trim(), "['alpha', 'beta']");

    let answers = fleet::by_duckdb(&data);
    assert_eq!(answers.len(), 10);
    let reports = files.iter().map(|file| report(file)).collect::<Vec<_>>();
    let number = |field: &str| -> u64 {
        let all = reports.iter().flat_map(|report| report["containers"].as_array().unwrap());
        all.map(|container| container[field].as_u64().unwrap()).sum()
    };
    let sum = |name: &str, column: usize| answers[name].iter().map(|row| row[column].as_f64().unwrap()).sum::<f64>();
    assert_eq!(
        answers["cpu_time"].len(),
        reports.iter().map(|r| r["containers"].as_array().unwrap().len()).sum::<usize>()
    );
    assert!((sum("programs", 1) as u64).abs_diff(number("processes")) <= 2, "{answers:#?}");
    assert!(answers["programs"].iter().any(|row| row[0] == "uname" && row[2] == 2), "{answers:#?}");
    for host in ["alpha", "beta"] {
        for name in ["forks", "neighbours", "namespace_changes", "short_lived"] {
            assert!(answers[name].iter().any(|row| row[0] == host), "{name}: {:#?}", answers[name]);
        }
    }
    assert_eq!(answers["lost"], Vec::<Vec<Value>>::new());
    assert!(!answers["lifetimes"].is_empty() && answers["execs"].is_empty() && answers["shared_networks"].is_empty());

    // Spark gives the same answers, by two worker processes.
    if let Some(why) = missing("java", "openjdk-17-jre-headless") {
        return skip("a_fleet_is_asked_by_plain_sql (Spark)", &why);
    }
    fleet::assert_same(&fleet::by_spark(&data), &answers);
}

/// `nsscope query` over captures, over a data set, and at its prompt.
#[test]
fn captures_are_asked_in_sql() {
    needs!("captures_are_asked_in_sql", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    // Numbers stay names.
    let files = ["6", "7"].map(|host| recorded(dir.path(), host));
    let data = dir.path().join("data");
    exported(&[&files[0], &files[1]], "parquet", &data, &["--partition-by", "host"]);
    let duckdb = python().unwrap().parent().unwrap().to_path_buf();
    let asked = |what: &[&Path], args: &[&str]| {
        let path = std::env::join_paths([duckdb.clone(), "/bin".into(), "/usr/bin".into()]).unwrap();
        let mut query = nsscope();
        query.env("PATH", path).arg("query").args(what).args(args).stdin(Stdio::null());
        query
    };
    let rows = |what: &[&Path], sql: &str| -> Vec<Value> {
        serde_json::from_slice(&run(&mut asked(what, &["--format", "json", sql])).stdout).unwrap()
    };
    // The same of captures and of the data set; every type of column comes through.
    let both = [files[0].as_path(), files[1].as_path()];
    for sql in [
        "SELECT host, kind, count(*) AS n, min(epoch_ns(wall)) AS wall, bool_or(out) AS out FROM events GROUP BY ALL ORDER BY ALL",
        "SELECT host, title, processes, first_exact, cpu_ns FROM containers ORDER BY ALL",
        "SELECT host, pid, comm, container FROM processes ORDER BY ALL",
        "FROM neighbours",
        "FROM forks",
    ] {
        let of_files = rows(&both, sql);
        assert!(of_files.len() > 3, "{sql}: {of_files:?}");
        assert_eq!(of_files, rows(&[&data], sql), "{sql}");
    }
    let (odd, apart) = (recorded(dir.path(), "a b%=é"), dir.path().join("apart"));
    exported(&[&odd], "parquet", &apart, &["--partition-by", "host"]);
    assert_eq!(rows(&[&apart], "SELECT DISTINCT host FROM containers"), [json!({ "host": "a b%=é" })]);
    let views = fleet::questions();
    assert_eq!(views.len(), 10);
    for (name, sql) in views {
        assert_eq!(rows(&[&data], &format!("SELECT * FROM {name}")).len(), query(&data, &sql).len(), "{name}");
    }
    // Formats, for people and programs.
    let count: usize = files.iter().map(|file| report(file)["containers"].as_array().unwrap().len()).sum();
    assert!(count >= 6, "{count}");
    let csv = text(&run(&mut asked(&both, &["--format", "csv", "SELECT count(*) AS n FROM containers"])));
    let lines = text(&run(&mut asked(&both, &["--format", "jsonl", "SELECT count(*) AS n FROM containers"])));
    assert_eq!(csv, format!("n\n{count}\n"));
    assert_eq!(lines, format!("{{\"n\":{count}}}\n"));
    let shown = text(&run(&mut asked(&both, &["SELECT count(*) AS n FROM containers"])));
    assert!(shown.contains(&format!("│ {count} │")), "{shown}");
    // The prompt, which a pipe may use.
    let mut prompt = asked(&both, &[]);
    let mut prompt = prompt.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut prompt.stdin.take().unwrap(), b".mode csv\nSELECT count(*) FROM containers;\n")
        .unwrap();
    let output = prompt.wait_with_output().unwrap();
    assert!(text(&output).lines().last() == Some(&count.to_string()), "{output:?}");
    assert!(
        errors(&output).contains("tables: events, containers") && errors(&output).contains("neighbours"),
        "{output:?}"
    );
    // What goes wrong.
    for (what, sql, says) in [
        (&files[0], "SELECT nothing FROM containers", "nothing"),
        (&dir.path().join("none.data"), "SELECT 1 FROM events", "nsscope record -o"),
    ] {
        let output = asked(&[what], &[sql]).output().unwrap();
        assert!(output.status.code() == Some(1) && errors(&output).contains(says), "{output:?}");
    }
    let output = asked(&[&files[0]], &["SELECT 1"]).env("PATH", "/nowhere").output().unwrap();
    assert!(output.status.code() == Some(1) && errors(&output).contains("pip install duckdb-cli"), "{output:?}");
    // Nothing is left behind.
    let left = dir.path().join("tmp");
    fs::create_dir(&left).unwrap();
    run(asked(&[&files[0]], &["FROM containers"]).env("TMPDIR", &left));
    assert_eq!(fs::read_dir(&left).unwrap().count(), 0);
}

#[test]
fn perfetto_reads_the_trace() {
    needs!("perfetto_reads_the_trace", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    let trace = dir.path().join("one.pftrace");
    exported(&[&file], "perfetto", &trace, &[]);
    let script = r#"
import json, sys
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent
trace = Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
tracks, slices, open_slices, instants, switches, threads = {}, [], {}, 0, [], 0
for packet in trace.packet:
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        assert track.uuid not in tracks
        assert track.parent_uuid == 0 or track.parent_uuid in tracks
        tracks[track.uuid] = track.name
        threads += track.HasField("thread")
    elif packet.HasField("track_event"):
        event = packet.track_event
        assert event.track_uuid in tracks
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            open_slices[event.track_uuid] = (event.categories[0], event.name, packet.timestamp)
        elif event.type == TrackEvent.TYPE_SLICE_END:
            kind, name, begin = open_slices.pop(event.track_uuid)
            slices.append((kind, name, begin, packet.timestamp))
        else:
            instants += 1
    else:
        assert packet.HasField("ftrace_events")
        bundle = packet.ftrace_events
        switches += [(bundle.cpu, e.timestamp, e.sched_switch.prev_pid, e.sched_switch.next_pid) for e in bundle.event]
assert not open_slices
chains = {}
for cpu, time, before, after in switches:
    chains.setdefault(cpu, []).append((time, before, after))
broken = sum(a[2] != b[1] for chain in chains.values() for a, b in zip(chain, chain[1:]))
ordered = all(a[0] <= b[0] for chain in chains.values() for a, b in zip(chain, chain[1:]))
print(json.dumps(dict(slices=slices, instants=instants, switches=len(switches), broken=broken, ordered=ordered,
                      threads=threads, cpus=len(chains))))
"#;
    let said: Value =
        serde_json::from_slice(&run(Command::new(python().unwrap()).args(["-c", script]).arg(&trace)).stdout).unwrap();
    let report = report(&file);
    let slices = |kind: &str| -> Vec<&Value> {
        said["slices"].as_array().unwrap().iter().filter(|slice| slice[0] == kind).collect()
    };
    let containers = report["containers"].as_array().unwrap();
    assert_eq!(slices("container").len(), containers.len());
    for container in containers {
        let of = slices("container")
            .into_iter()
            .find(|slice| slice[1] == container["title"] && slice[2] == container["first"]);
        let slice = of.unwrap_or_else(|| panic!("{container} is not in {:#?}", slices("container")));
        assert!(container["last"].is_null() || slice[3] == container["last"]);
    }
    let processes: u64 = containers.iter().map(|container| container["processes"].as_u64().unwrap()).sum();
    assert_eq!(slices("process").len() as u64, processes);
    // `unshare -i` in a container that lives, at least.
    assert!(said["instants"].as_u64() >= Some(1), "{said}");
    // Who leaves a CPU is who came to it: each switch once, none missing.
    assert!(said["switches"].as_u64() > Some(100) && said["ordered"] == true, "{}", said["switches"]);
    assert_eq!(said["broken"], 0);
}

#[test]
fn stacks_have_all_samples() {
    needs!("stacks_have_all_samples", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    let folded = text(&run(nsscope().args(["export", "--format", "folded"]).arg(&file)));
    let stacks: Vec<(&str, u64)> =
        folded.lines().map(|line| line.rsplit_once(' ').unwrap()).map(|(s, n)| (s, n.parse().unwrap())).collect();
    // perf counts the samples of that event.
    let script = run(Command::new("perf").args(["script", "-F", "event", "-i"]).arg(&file).stderr(Stdio::null()));
    let samples =
        text(&script).lines().filter(|line| line.trim_end().ends_with("clock:") || line.contains("cycles")).count();
    assert_eq!(stacks.iter().map(|(_, count)| count).sum::<u64>(), samples as u64, "{folded}");
    assert!(stacks.iter().filter(|(stack, count)| stack.ends_with(";sh") && *count > 5).count() >= 2, "{folded}");
}

#[test]
fn what_cannot_be_exported_says_why_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    run(nsscope().args(["snapshot", "-o"]).arg(&file));
    let code = |args: &[&str]| {
        let output = nsscope().arg("export").args(args).arg(&file).output().unwrap();
        (output.status.code(), errors(&output))
    };
    for args in [
        &["--format", "perfetto", "--table", "events"][..],
        &["--format", "csv", "--partition-by", "host"],
        &["--format", "csv", "--table", "events,waits"],
        &["--format", "csv", "--table", "nothing"],
    ] {
        assert_eq!(code(args).0, Some(2), "{args:?}");
    }
    // A full disk: what is not whole is not there.
    let (status, why) = code(&["--format", "csv", "--table", "events", "-o", "/dev/full/x"]);
    assert_eq!(status, Some(1), "{why}");
    assert!(why.contains("/dev/full/x"), "{why}");
    let out = dir.path().join("out");
    let script = "ulimit -f 1; exec \"$@\"";
    let limited = Command::new("sh")
        .args(["-c", &format!("trap '' XFSZ; {script}"), "sh"])
        .arg(nsscope().get_program())
        .args(["export", "--format", "jsonl", "--table", "events", "-o"])
        .arg(&out)
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(1), "{}", errors(&limited));
    assert_eq!(fs::read_dir(out.join("events")).unwrap().count(), 0);
    let tables = text(&run(nsscope().args(["export", "--tables"])));
    assert!(["events:", "containers:", "waits:", "  pidns "].iter().all(|part| tables.contains(part)), "{tables}");
}

#[test]
fn arrow_files_are_the_parquet_files_tables() {
    needs!("arrow_files_are_the_parquet_files_tables", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    let (arrow, parquet) = (dir.path().join("arrow"), dir.path().join("parquet"));
    exported(&[&file], "arrow", &arrow, &[]);
    exported(&[&file], "parquet", &parquet, &[]);
    let script = r#"
import pyarrow, pyarrow.feather, pyarrow.parquet, sys
arrow = pyarrow.feather.read_table(sys.argv[1], memory_map=True)
parquet = pyarrow.parquet.read_table(sys.argv[2])
assert arrow.schema.metadata[b"nsscope.table"] == sys.argv[3].encode()
def plain(column):
    return column.cast(column.type.value_type) if pyarrow.types.is_dictionary(column.type) else column
assert arrow.column_names == parquet.column_names
for name in arrow.column_names:
    assert plain(arrow[name]).equals(plain(parquet[name])), name
print(arrow.num_rows)
"#;
    for table in ["events", "containers", "processes", "namespaces", "waits"] {
        let files = [&arrow, &parquet].map(|to| only_file(&to.join(table)));
        let mut compare = Command::new(python().unwrap());
        let rows: u64 = text(&run(compare.args(["-c", script]).args(files).arg(table))).trim().parse().unwrap();
        assert!(rows > 0, "{table}");
    }
    // As many as have dictionaries that grow.
    let storm = dir.path().join("storm.data");
    record(&storm, &[actor().to_str().unwrap(), "storm", "25000", "2"]);
    let files = ["arrow", "parquet"].map(|format| {
        let to = dir.path().join(format!("{format} of a storm"));
        exported(&[&storm], format, &to, &["--table", "events"]);
        only_file(&to.join("events"))
    });
    let mut compare = Command::new(python().unwrap());
    let rows: u64 = text(&run(compare.args(["-c", script]).args(files).arg("events"))).trim().parse().unwrap();
    assert!(rows > 100_000 - 100, "{rows}");
}

#[test]
fn a_collector_takes_the_spans() {
    needs!("a_collector_takes_the_spans", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    // As the book has it.
    let book = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.md")).unwrap();
    let (_, place) = book.split_once("nsscope export --format otlp -o ").expect("a command");
    let place = place.split_once('`').unwrap().0;
    let mut server = Server::start();
    let place = place.replace("COLLECTOR:4318", server.url.trim_start_matches("http://"));
    run(server.export(&["--format", "otlp", "-o", &place]).arg(&file));
    let written = dir.path().join("spans.json");
    exported(&[&file], "otlp", &written, &[]);
    let written: Value = serde_json::from_slice(&fs::read(&written).unwrap()).unwrap();
    assert_eq!(server.ask(&json!({ "bodies": 1 })), json!([written]));
    let requests = server.ask(&json!({ "requests": 1 }));
    let resources = &requests[0]["resources"];
    let report = report(&file);
    let containers = report["containers"].as_array().unwrap();
    assert_eq!(resources.as_array().unwrap().len(), containers.len());
    for (resource, container) in resources.as_array().unwrap().iter().zip(containers) {
        let attributes = &resource["attributes"];
        assert_eq!((&resource["title"], &attributes["container.id"]), (&container["title"], &container["id"]));
        assert_eq!(attributes["host.name"], "one");
        assert_eq!(attributes["linux.namespace.pid"], container["namespaces"]["pid"]);
        assert_eq!(resource["spans"].as_array().unwrap().len() as u64, container["processes"].as_u64().unwrap() + 1);
    }
}

#[test]
fn a_firefox_profile_has_all_samples_by_container() {
    needs!("a_firefox_profile_has_all_samples_by_container", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), "one");
    let profile = dir.path().join("profile.json");
    exported(&[&file], "firefox", &profile, &[]);
    let profile: Value = serde_json::from_slice(&fs::read(&profile).unwrap()).unwrap();
    assert!(profile["meta"]["preprocessedProfileVersion"].as_u64() >= Some(40), "{}", profile["meta"]);
    let threads = profile["threads"].as_array().unwrap();
    let samples = |thread: &Value| thread["samples"]["length"].as_u64().unwrap_or(0);
    let all: u64 = threads.iter().map(samples).sum();
    let folded = text(&run(nsscope().args(["export", "--format", "folded"]).arg(&file)));
    let counts = folded.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    assert!(all > 20 && all == counts.sum::<u64>(), "{all} samples, {folded}");
    let report = report(&file);
    for container in report["containers"].as_array().unwrap() {
        let of = |thread: &&Value| thread["processName"] == container["title"];
        let its: u64 = threads.iter().filter(of).map(samples).sum();
        assert!(its >= container["samples"].as_u64().unwrap(), "{container}");
        let lives = threads.iter().filter(of).find(|thread| thread["isMainThread"] == true).unwrap();
        assert_eq!(lives["markers"]["length"], container["processes"], "{container}");
    }
}

#[test]
fn the_python_package_gives_tables_and_its_notebook_runs() {
    needs!("the_python_package_gives_tables", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("perf.data");
    fs::rename(recorded(dir.path(), "one"), &capture).unwrap();
    // Every cell of the notebook, and what the tables say beside what report says.
    let script = r#"
import json, sys, nsscope
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]))
try:
    nsscope.read(sys.argv[1]).containers()
    sys.exit("a notebook is no capture")
except nsscope.Error as error:
    assert "not a perf.data file" in str(error), error
table = nsscope.read("perf.data").containers()
print(json.dumps(dict(titles=table["title"].to_pylist(), processes=table["processes"].to_pylist(),
                      events=capture.events().num_rows)))
"#;
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("python");
    let program = PathBuf::from(nsscope().get_program());
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut cells = Command::new(python().unwrap());
    cells.args(["-c", script]).arg(package.join("example.ipynb")).current_dir(dir.path());
    let said = json_of(cells.env("PYTHONPATH", package).env("PATH", path));
    let report = report(&capture);
    let containers = report["containers"].as_array().unwrap();
    let of = |name: &str| containers.iter().map(|container| container[name].clone()).collect::<Vec<_>>();
    assert_eq!((&said["titles"], &said["processes"]), (&of("title").into(), &of("processes").into()));
    assert!(said["events"].as_u64() > Some(20), "{said}");
}
