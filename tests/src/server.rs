//! An object store and a collector of spans, for what is exported over a network. Not here: what is tested of it.

use crate::{nsscope, python};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// S3 as moto has it, with the bucket `captures`, and a collector, whose requests it keeps, at one address. What may go
/// wrong on the way is asked for, line by line: an answer in place of the right one, so often; or none at all.
const SERVER: &str = r#"
import base64, boto3, hashlib, json, sys, threading
from google.protobuf import json_format
from moto.server import DomainDispatcherApplication, create_backend_app
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from werkzeug.serving import WSGIRequestHandler, make_server
store, faults, seen = DomainDispatcherApplication(create_backend_app), [], []
bodies, requests, traces, spans = [], [], set(), set()
def answer(environ, start):
    what = "%s %s?%s" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
    seen.append(what)
    is_trace = environ["PATH_INFO"] == "/v1/traces"
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) if is_trace else b""
    for fault in faults:
        if fault["times"] > 0 and all(part in what for part in fault["of"]):
            fault["times"] -= 1
            if fault["status"] == 0:
                threading.Event().wait()
            start("%d Fault" % fault["status"], [("retry-after", "0"), ("location", url), ("content-type", "application/json")])
            return [fault["body"].encode()]
    if not is_trace:
        return store(environ, start)
    assert environ["CONTENT_TYPE"] == "application/json"
    bodies.append(body.decode())
    request = json.loads(body)
    # Ids are hex in OTLP/JSON where protobuf's JSON has base64. Unknown fields are refused.
    for resource in request["resourceSpans"]:
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in span:
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    resources = []
    for resource in json_format.ParseDict(request, ExportTraceServiceRequest()).resource_spans:
        attributes = {a.key: a.value.string_value or a.value.int_value for a in resource.resource.attributes}
        here = [span for scope in resource.scope_spans for span in scope.spans]
        for span in here:
            assert len(span.trace_id) == 16 and len(span.span_id) == 8 and span.span_id not in spans
            assert span.start_time_unix_nano <= span.end_time_unix_nano
            # The first of a trace is the root.
            assert (span.parent_span_id == b"") == (span.trace_id not in traces)
            assert span.parent_span_id == b"" or span.parent_span_id in spans
            spans.add(span.span_id)
            traces.add(span.trace_id)
        resources.append({"attributes": attributes, "title": here[0].name, "spans": [span.span_id.hex() for span in here]})
    requests.append({"key": environ.get("HTTP_API_KEY"), "resources": resources})
    start("200 OK", [("content-type", "application/json")])
    return [b"{}"]
class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log(self, *args):
        pass
server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d" % server.server_port
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
s3.create_bucket(Bucket="captures")
def objects():
    all = s3.list_objects_v2(Bucket="captures").get("Contents", [])
    whole = lambda key: s3.get_object(Bucket="captures", Key=key)["Body"].read()
    return {each["Key"]: hashlib.sha256(whole(each["Key"])).hexdigest() for each in all}
def rows(table):
    import pyarrow.fs, pyarrow.parquet
    there = pyarrow.fs.S3FileSystem(access_key="k", secret_key="s", endpoint_override=url, region="us-east-1")
    return pyarrow.parquet.read_table(table, filesystem=there).num_rows
print(json.dumps(url), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    said = None
    if "fault" in asked:
        faults[:] = [asked["fault"]]
    elif "objects" in asked:
        said = objects()
    elif "uploads" in asked:
        said = len(s3.list_multipart_uploads(Bucket="captures").get("Uploads", []))
    elif "rows" in asked:
        said = rows(asked["rows"])
    elif "seen" in asked:
        said = [what for what in seen if all(part in what for part in asked["seen"])]
    elif "bodies" in asked:
        said = [json.loads(body) for body in bodies]
    elif "requests" in asked:
        said = requests
    print(json.dumps(said), flush=True)
"#;

/// That server. It ends with this.
pub struct Server {
    child: Child,
    said: BufReader<ChildStdout>,
    /// `http://ADDRESS:PORT`.
    pub url: String,
}

impl Server {
    /// Starts it.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start() -> Self {
        let mut python = Command::new(python().unwrap());
        let mut child = python.args(["-c", SERVER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, said, url: String::new() };
        server.url = server.answer().as_str().unwrap().to_string();
        server
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What it says of `objects`, `uploads`, `rows`, `seen`, `bodies` or `requests`.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn ask(&mut self, what: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        self.answer()
    }

    /// Has it answer requests with these parts wrongly, so often: 0 is no answer at all.
    pub fn fault(&mut self, of: &[&str], status: u32, body: &str, times: u32) {
        self.ask(&json!({ "fault": { "of": of, "status": status, "body": body, "times": times } }));
    }

    /// The names of the objects that are there.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn objects(&mut self) -> Vec<String> {
        self.ask(&json!({ "objects": 1 })).as_object().unwrap().keys().cloned().collect()
    }

    /// `nsscope export` with what it has to know of the store.
    pub fn export(&self, args: &[&str]) -> Command {
        let mut export = nsscope();
        export.arg("export").args(args).env_remove("AWS_SESSION_TOKEN");
        export.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s").env("AWS_ENDPOINT_URL", &self.url);
        export.env("GS_ACCESS_KEY_ID", "k").env("GS_SECRET_ACCESS_KEY", "s").env("STORAGE_EMULATOR_HOST", &self.url);
        export
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
