//! What is exported over a network: to an object store (moto's S3), and to a collector of spans.
#![allow(missing_docs)]

use nsscope_tests::server::Server;
use nsscope_tests::{actor, cannot_record, errors, needs, no_python, not_root, nsscope, report, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Processes whose events are more than go into a part.
const PART: u32 = 24_000;
/// Processes that are more spans than go into a request.
const REQUEST: u32 = 12_000;

/// A container with so many processes.
fn recorded(dir: &Path, processes: u32) -> PathBuf {
    let file = dir.join("perf.data");
    let mut record = nsscope();
    record.args(["record", "-a", "-o"]).arg(&file).args(["--", "unshare", "-pmf"]).arg(actor());
    run(record.args(["storm", &processes.to_string(), "2"]));
    file
}

/// The files of a directory, by their paths below it, with the sums of what is in them.
fn sums(dir: &Path) -> Value {
    let found = run(Command::new("sh").args(["-c", "find . -type f | xargs sha256sum"]).current_dir(dir));
    let found = String::from_utf8(found.stdout).unwrap();
    let of = |line: &str| {
        let (sum, path) = line.split_once("  ./").unwrap();
        (path.to_string(), Value::from(sum))
    };
    Value::Object(found.lines().map(of).collect())
}

#[test]
fn an_object_store_has_what_a_directory_has() {
    needs!("an_object_store_has_what_a_directory_has", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), PART);
    let file = file.to_str().unwrap();
    let mut server = Server::start();
    let local = dir.path().join("with blank");
    let of_host = ["--partition-by", "host,date", file];
    let place = format!("file://{}", local.to_str().unwrap().replace(' ', "%20"));
    run(server.export(&["--format", "csv", "-o", &place]).args(of_host));
    // A part that the store is too busy for is sent again.
    server.fault(&["PUT", "partNumber=1"], 503, "", 1);
    for _ in 0..2 {
        run(server.export(&["--format", "csv", "-o", "s3://captures"]).args(of_host));
        assert_eq!(server.ask(&json!({ "objects": 1 })), sums(&local));
    }
    let parts = server.ask(&json!({ "seen": ["PUT", "/events/", "partNumber="] }));
    assert!(parts.as_array().unwrap().len() > 4, "{parts}");
    // What reads data sets from stores reads this one.
    run(server.export(&["--format", "parquet", "-o", "s3://captures/data"]).args(of_host));
    for table in ["events", "processes", "containers"] {
        let rows = server.ask(&json!({ "rows": format!("captures/data/{table}") }));
        let shown = report(Path::new(file));
        match table {
            "events" => assert!(rows.as_u64() > Some(4 * u64::from(PART)), "{rows}"),
            "processes" => assert!(rows.as_u64() > Some(PART.into()), "{rows}"),
            _ => assert_eq!(rows.as_u64(), Some(shown["containers"].as_array().unwrap().len() as u64)),
        }
    }
    run(&mut server.export(&["--format", "perfetto", "-o", "gs://captures/a trace", file]));
    assert!(server.objects().contains(&"a trace".to_string()));
}

#[test]
fn what_an_object_store_does_not_get_whole_is_not_there() {
    needs!("what_an_object_store_does_not_get_whole_is_not_there", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), PART);
    let file = file.to_str().unwrap();
    let mut server = Server::start();
    let events = ["--format", "csv", "--table", "events", file];
    run(server.export(&["-o", "s3://captures"]).args(events));
    let before = server.ask(&json!({ "objects": 1 }));
    // A store that refuses the end of it; its words are no commands to a terminal.
    let words = "<Error><Code>SlowDown</Code><Message>not \x1b[31mnow</Message></Error>";
    server.fault(&["PUT", "partNumber=2"], 403, words, 99);
    let refused = server.export(&["-o", "s3://captures"]).args(events).output().unwrap();
    let why = errors(&refused);
    assert!(
        refused.status.code() == Some(1) && why.contains("part 2: 403 forbidden slowdown: not \\u{1b}[31mnow"),
        "{why}"
    );
    assert_eq!(server.ask(&json!({ "uploads": 1 })), 0, "its parts are still there");
    // One that says so only once all is sent.
    server.fault(&["POST", "uploadId="], 200, words, 99);
    let refused = server.export(&["-o", "s3://captures"]).args(events).output().unwrap();
    assert!(refused.status.code() == Some(1) && errors(&refused).contains("tried 5 times"), "{}", errors(&refused));
    // An export that is killed.
    server.fault(&["PUT", "partNumber=2"], 0, "", 99);
    let waits = ["PUT", "partNumber=2"];
    let count = |server: &mut Server| server.ask(&json!({ "seen": waits })).as_array().unwrap().len();
    let seen = count(&mut server);
    let mut killed = server.export(&["-o", "s3://captures"]).args(events).spawn().unwrap();
    while count(&mut server) == seen {
        assert!(killed.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // What was there before is as it was.
    assert_eq!(server.ask(&json!({ "objects": 1 })), before);
    // What cannot be.
    let code = |export: &mut Command| {
        let output = export.args(events).output().unwrap();
        (output.status.code(), errors(&output))
    };
    let (status, why) = code(&mut server.export(&["-o", "s3://elsewhere/x"]));
    assert!(status == Some(1) && why.contains("nosuchbucket"), "{why}");
    let (status, why) = code(server.export(&["-o", "s3://captures/x"]).env_remove("AWS_ACCESS_KEY_ID"));
    assert!(status == Some(1) && why.contains("aws_access_key_id"), "{why}");
    let (status, why) = code(server.export(&["-o", "gs://captures/x"]).env_remove("GS_SECRET_ACCESS_KEY"));
    assert!(status == Some(1) && why.contains("gs_secret_access_key"), "{why}");
    for wrong in ["ftp://captures/x", "file://x", "http://captures/x"] {
        let (status, why) = code(&mut server.export(&["-o", wrong]));
        assert_eq!(status, Some(2), "{wrong}: {why}");
    }
}

#[test]
fn a_collector_gets_every_span_once() {
    needs!("a_collector_gets_every_span_once", cannot_record(), not_root(), no_python());
    let dir = tempfile::tempdir().unwrap();
    let file = recorded(dir.path(), REQUEST);
    let mut server = Server::start();
    let url = format!("{}/v1/traces", server.url);
    let export = ["--format", "otlp", "-o", &url, file.to_str().unwrap()];
    // One that is too busy is asked again.
    server.fault(&["POST /v1/traces"], 429, "", 1);
    run(server.export(&export).env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret, other=1"));
    let requests = server.ask(&json!({ "requests": 1 }));
    let requests = requests.as_array().unwrap();
    let resources = requests.iter().flat_map(|request| request["resources"].as_array().unwrap());
    let mut spans: Vec<_> = resources.flat_map(|resource| resource["spans"].as_array().unwrap()).collect();
    assert!(requests.len() > 1 && requests.iter().all(|request| request["key"] == "secret"), "{}", requests.len());
    let shown = report(&file);
    let containers = shown["containers"].as_array().unwrap();
    let wanted: u64 = containers.iter().map(|container| container["processes"].as_u64().unwrap() + 1).sum();
    assert!(wanted > REQUEST.into() && spans.len() as u64 == wanted, "{} of {wanted}", spans.len());
    spans.sort_by_key(|id| id.as_str());
    spans.dedup();
    assert_eq!(spans.len() as u64, wanted);
    // One that takes not all of them.
    let partial = r#"{"partialSuccess":{"rejectedSpans":"7","errorMessage":"too old"}}"#;
    let refusals = [
        (200, partial, "it refused 7 spans: too old"),
        (400, "what?", "400 bad request what?"),
        (307, "over there", "307 temporary redirect over there"),
    ];
    for (status, body, said) in refusals {
        server.fault(&["POST /v1/traces"], status, body, 99);
        let refused = server.export(&export).output().unwrap();
        let why = errors(&refused);
        assert!(refused.status.code() == Some(1) && why.contains(said), "{why}");
    }
    let nobody =
        server.export(&["--format", "otlp", "-o", "http://127.0.0.1:1/", file.to_str().unwrap()]).output().unwrap();
    assert!(nobody.status.code() == Some(1) && errors(&nobody).contains("refused"), "{}", errors(&nobody));
}
