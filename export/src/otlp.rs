//! Containers and their processes as spans of OpenTelemetry (OTLP/JSON: `ExportTraceServiceRequest`), each container a
//! resource by the semantic conventions. Not here: sending it.

use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::select::title;
use nsscope_timeline::{Container, Definition, Timeline};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Labels that have a name of their own in the conventions.
const LABELS: [(&str, &str); 4] = [
    ("pod", "k8s.pod.name"),
    ("pod_id", "k8s.pod.uid"),
    ("namespace", "k8s.namespace.name"),
    ("container", "k8s.container.name"),
];

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u32 = 1;

/// Writes a timeline that is finished, as one request. Returns how many spans there are.
///
/// # Errors
/// Where they cannot be written.
pub fn write_otlp(
    host: &str,
    session: &Session,
    timeline: &Timeline,
    definition: &Definition,
    mut out: impl Write,
) -> io::Result<u64> {
    let mut before = BEGIN;
    let spans = resources(host, session, timeline, definition, usize::MAX, |resource, _| {
        write!(out, "{before}")?;
        before = ",";
        Ok(serde_json::to_writer(&mut out, &resource)?)
    })?;
    writeln!(out, "{}{END}", if spans == 0 { BEGIN } else { "" })?;
    out.flush()?;
    Ok(spans)
}

/// The same as requests of fewer than twice `most` spans each. Returns how many spans there are.
///
/// # Errors
/// Where one is not taken.
pub fn spans_of(
    host: &str,
    session: &Session,
    timeline: &Timeline,
    definition: &Definition,
    most: usize,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut request, mut held) = (Vec::new(), 0);
    let mut end = |request: &mut Vec<u8>| {
        request.extend_from_slice(END.as_bytes());
        take(request)?;
        request.clear();
        io::Result::Ok(())
    };
    let spans = resources(host, session, timeline, definition, most, |resource, spans| {
        request.extend_from_slice(if held == 0 { BEGIN } else { "," }.as_bytes());
        serde_json::to_writer(&mut request, &resource)?;
        held += spans;
        if held >= most {
            held = 0;
            end(&mut request)?;
        }
        Ok(())
    })?;
    if held > 0 {
        end(&mut request)?;
    }
    Ok(spans)
}

/// What is around the resources of a request.
const BEGIN: &str = "{\"resourceSpans\":[";
const END: &str = "]}";

/// Hands on the containers of a timeline that is finished, each as resources of at most `most` spans, and how many those
/// are. A span that has not ended when the recording does ends with it.
fn resources(
    host: &str,
    session: &Session,
    timeline: &Timeline,
    definition: &Definition,
    most: usize,
    mut take: impl FnMut(Value, usize) -> io::Result<()>,
) -> io::Result<u64> {
    let (begin, end) = timeline.span().unwrap_or_default();
    let wall = |time: u64| session.wall_clock(time).unwrap_or(time);
    let mut spans = 0;
    for (number, container) in timeline.containers(definition).iter().enumerate() {
        // The same for the same capture: what is sent twice is there once.
        let trace = format!("{:016x}{:016x}", wall(begin), number + 1);
        let mut span = |parent: &str, name: &str, (from, to): (u64, Option<u64>), attributes: Vec<Value>| {
            spans += 1;
            let id = format!("{spans:016x}");
            let mut span = json!({
                "traceId": trace, "spanId": id, "name": name, "kind": INTERNAL,
                "startTimeUnixNano": wall(from).to_string(),
                "endTimeUnixNano": wall(to.unwrap_or(end).max(from)).to_string(),
                "attributes": attributes,
            });
            if !parent.is_empty() {
                span["parentSpanId"] = parent.into();
            }
            (id, span)
        };
        let life = (container.start, container.end);
        let counts = vec![number_of("processes", container.processes as u64), number_of("cpu.time", container.cpu)];
        let (root, whole) = span("", &title(container), life, counts);
        let mut all = vec![whole];
        for process in timeline.processes(container.tasks.iter().copied()) {
            let comm = timeline.last_name(timeline.task_at(process.leader)).unwrap_or_default();
            let mut attributes = vec![number_of("process.pid", process.pid), text("process.executable.name", &comm)];
            attributes.extend(process.ppid.map(|ppid| number_of("process.parent_pid", ppid)));
            all.push(span(&root, &comm, (process.start, process.end), attributes).1);
        }
        let attributes = resource(host, container);
        for some in all.chunks(most.max(1)) {
            let one = json!({
                "resource": { "attributes": attributes },
                "scopeSpans": [{ "scope": { "name": "nsscope", "version": env!("CARGO_PKG_VERSION") }, "spans": some }],
            });
            take(one, some.len())?;
        }
    }
    Ok(spans)
}

/// What the conventions call what we know of a container.
fn resource(host: &str, container: &Container) -> Vec<Value> {
    let mut all = vec![
        text("host.name", host),
        text("os.type", "linux"),
        text("container.id", &container.id()),
        text("container.runtime.name", &container.kind()),
    ];
    if let Some(named) = &container.named {
        all.push(text("container.name", &named.name));
        if !named.image.is_empty() {
            all.push(text("container.image.name", &named.image));
        }
        for (key, value) in &named.labels {
            let known = LABELS.iter().find(|(label, _)| label == key);
            all.push(text(&known.map_or_else(|| format!("container.label.{key}"), |(_, name)| (*name).into()), value));
        }
    }
    // The conventions have no names for these.
    all.extend(NsKind::ALL.iter().filter_map(|&kind| {
        let ino = container.namespaces.get(kind).ino;
        (ino > 0).then(|| number_of(&format!("linux.namespace.{}", kind.name()), ino))
    }));
    all
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are text in OTLP/JSON.
fn number_of(key: &str, value: impl Into<u64>) -> Value {
    json!({ "key": key, "value": { "intValue": value.into().to_string() } })
}
