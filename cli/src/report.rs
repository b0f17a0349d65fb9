//! `nsscope report`: which containers a capture reveals.

use crate::args;
use crate::error::{Failure, Outcome, note};
use crate::input::{self, Consumer};
use crate::time::{rfc3339, seconds};
use comfy_table::{ContentArrangement, Table, presets};
use nsscope_codec::perf_data::{Feature, Session};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::{Container, Evidence, NsSet, Timeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: &args::Report) -> Outcome {
    print(&args.file, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a capture and prints its containers.
pub(crate) fn print(path: &Path, json: bool) -> Outcome<()> {
    let mut reader = Reader::default();
    let session = input::read(path, &mut reader)?;
    let mut timeline = reader.timeline;
    timeline.finish();
    if timeline.ns_sets().values().is_empty() {
        return Err(Failure::new(format!(
            "{} has no namespace records, so it tells nothing about containers\n  \
             nsscope record gives them; so does perf record --namespaces --all-cgroups",
            path.display()
        )));
    }
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &as_json(&session, &timeline))?;
        writeln!(out)?;
    } else {
        out.write_all(as_text(&session, &timeline).as_bytes())?;
    }
    out.flush()?;
    if timeline.faulty() > 0 {
        note(format_args!("{} records could not be read and are left out", timeline.faulty()));
    }
    Ok(())
}

#[derive(Default)]
struct Reader {
    timeline: Timeline,
}

impl Consumer for Reader {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.timeline.push(session, record);
        Ok(())
    }
}

fn as_text(session: &Session, timeline: &Timeline) -> String {
    let mut out = String::new();
    let (first, last) = timeline.span().unwrap_or_default();
    let host = session.text(Feature::HOSTNAME).unwrap_or_else(|| "unknown host".into());
    let kernel = session.text(Feature::OSRELEASE).map_or(String::new(), |release| format!(", Linux {release}"));
    let began = session.wall_clock(first).map_or(String::new(), |wall| format!(", from {}", rfc3339(wall)));
    let _ = writeln!(out, "{host}{kernel}{began}, {} s", seconds(last - first));
    let lost: u64 = timeline.lost().iter().map(|lost| lost.count).sum();
    if lost > 0 {
        let _ = writeln!(out, "{lost} records were lost: what follows may be incomplete");
    }

    let containers = timeline.containers();
    let namespaced = timeline.namespaced();
    if containers.is_empty() {
        out += if namespaced.is_empty() {
            "no container: every process shares the host's namespaces\n"
        } else {
            "no container: no process has both a pid and a mount namespace of its own, or a runtime's cgroup\n"
        };
    } else {
        out.push('\n');
        out += &table(&containers, timeline.host(), first);
        out.push('\n');
    }
    if !namespaced.is_empty() {
        out += "\nin no container, but with namespaces of their own:\n";
        let mut groups: BTreeMap<Vec<NsKind>, Vec<usize>> = BTreeMap::new();
        for other in namespaced {
            groups.entry(other.differs).or_default().push(other.task);
        }
        for (kinds, tasks) in groups {
            let kinds: Vec<_> = kinds.into_iter().map(NsKind::name).collect();
            let mut names: Vec<_> =
                tasks.iter().filter_map(|&task| timeline.last_name(&timeline.tasks()[task])).collect();
            names.sort();
            names.dedup();
            let _ = writeln!(
                out,
                "  {:<24} {:>4} {}: {}",
                kinds.join(" "),
                tasks.len(),
                plural("thread", tasks.len()),
                list(&names, 6)
            );
        }
    }
    out
}

fn table(containers: &[Container], host: NsSet, start: u64) -> String {
    let mut table = Table::new();
    // Box drawing where it is looked at; plain text where it is processed.
    let unicode =
        io::stdout().is_terminal() && std::env::var("LANG").is_ok_and(|lang| lang.to_uppercase().contains("UTF"));
    table.load_preset(if unicode { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING });
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(160);
    }
    table.set_header([
        "CONTAINER",
        "RUNTIME",
        "OWN NAMESPACES",
        "PROCS",
        "PEAK",
        "THREADS",
        "FIRST",
        "LAST",
        "COMMANDS",
    ]);
    for container in containers {
        let id = container.id();
        let own: Vec<_> = container.own_namespaces().collect();
        let own = match own.len() {
            0 if container.namespaces == NsSet::default() => "not known".into(),
            0 if container.namespaces == host => "none".into(),
            _ => own.join("\n"),
        };
        let first =
            format!("{}{}", if container.first_exact { "" } else { "before " }, seconds(container.first - start));
        let last = container.last.map_or("running".into(), |last| seconds(last - start));
        table.add_row([
            id.get(..12).filter(|_| id.len() == 64).unwrap_or(&id).to_string(),
            container.runtime().unwrap_or("-").into(),
            own,
            container.processes.to_string(),
            container.peak_processes.to_string(),
            container.tasks.len().to_string(),
            first,
            last,
            list(&container.commands, 6),
        ]);
    }
    table.trim_fmt()
}

fn as_json(session: &Session, timeline: &Timeline) -> Value {
    let namespaces = |set: &NsSet| -> Value {
        NsKind::ALL
            .into_iter()
            .map(|kind| (kind.name().to_string(), json!(set.get(kind).ino)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let names = |kinds: &[NsKind]| kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>();
    let wall = |time: u64| session.wall_clock(time).map(rfc3339);
    let containers: Vec<Value> = timeline
        .containers()
        .iter()
        .map(|container| {
            let evidence = match &container.evidence {
                Evidence::Cgroup(runtime) => json!({ "cgroup": container.cgroup, "pod": runtime.pod }),
                Evidence::PidAndMnt(ns) => json!({ "pid_namespace": ns.ino }),
            };
            let tasks = container.tasks.iter().map(|&task| &timeline.tasks()[task]);
            let mut pids: Vec<u32> = tasks.map(|task| task.pid).collect();
            pids.sort_unstable();
            pids.dedup();
            json!({
                "id": container.id(),
                "runtime": container.runtime(),
                "evidence": evidence,
                "namespaces": namespaces(&container.namespaces),
                "own": names(&container.differs),
                "processes": container.processes,
                "peak_processes": container.peak_processes,
                "threads": container.tasks.len(),
                "pids": pids,
                "first": container.first,
                "first_wall": wall(container.first),
                "first_exact": container.first_exact,
                "last": container.last,
                "last_wall": container.last.and_then(wall),
                "commands": container.commands,
            })
        })
        .collect();
    let namespaced: Vec<Value> = timeline
        .namespaced()
        .iter()
        .map(|other| {
            let task = &timeline.tasks()[other.task];
            json!({ "pid": task.pid, "tid": task.tid, "comm": timeline.last_name(task), "own": names(&other.differs) })
        })
        .collect();
    let (first, last) = timeline.span().unwrap_or_default();
    json!({
        "hostname": session.text(Feature::HOSTNAME),
        "kernel": session.text(Feature::OSRELEASE),
        "command": session.texts(Feature::CMDLINE),
        "first": first,
        "first_wall": wall(first),
        "last": last,
        "threads": timeline.tasks().len(),
        "lost": timeline.lost().iter().map(|lost| lost.count).sum::<u64>(),
        "unreadable_records": timeline.faulty(),
        "host": namespaces(&timeline.host()),
        "containers": containers,
        "namespaced": namespaced,
    })
}

fn plural(noun: &str, count: usize) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

/// The first few, and how many more. Names are hostile: control characters are shown, not sent.
fn list(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| crate::script::safe(name.as_bytes())).collect();
    let more = names.len().saturating_sub(most);
    if more > 0 { format!("{}, and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
