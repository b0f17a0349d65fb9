//! `nsscope ps`: the containers that run now, as a matrix of who shares which namespaces with the host.

use crate::args::{self, Sort};
use crate::capture::Capture;
use crate::error::Outcome;
use crate::report::{container_json, running};
use crate::script::safe;
use crate::select::{Selection, namespaces_json, process_json, select, title};
use crate::view::{Style, list};
use comfy_table::{Cell, Color};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::{NsSet, Timeline};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &args::Ps) -> Outcome {
    let Capture { timeline, .. } = Capture::now()?;
    let selection = select(&timeline, &args.which, (0, u64::MAX), Sort::First);
    let mut out = io::stdout().lock();
    if args.json {
        let containers = selection.containers.iter().zip(&selection.members).map(|(container, members)| {
            let mut value = container_json(&timeline, container);
            value["members"] = members.iter().map(|process| process_json(&timeline, process)).collect();
            value
        });
        let document = json!({
            "definition": args.which.definition.to_string(),
            "host": namespaces_json(&timeline.host()),
            "containers": containers.collect::<Vec<_>>(),
            "namespaces": census(&timeline),
        });
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", as_text(&timeline, &selection, args))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Every namespace there is, with how many processes and the lowest pid in it, as lsns counts them.
fn census(timeline: &Timeline) -> Vec<serde_json::Value> {
    let mut found: BTreeMap<(NsKind, u64), Vec<u32>> = BTreeMap::new();
    for (_, task) in timeline.tasks().filter(|(_, task)| task.leads()) {
        let Some(set) = timeline.last_namespaces(task) else { continue };
        for kind in NsKind::ALL {
            found.entry((kind, set.get(kind).ino)).or_default().push(task.pid);
        }
    }
    found.retain(|&(_, ino), _| ino != 0);
    let host = timeline.host();
    let entries = found.iter().map(|(&(kind, ino), pids)| {
        json!({
            "type": kind.name(), "ino": ino, "processes": pids.len(), "pid": pids.iter().min(),
            "host": host.get(kind).ino == ino,
        })
    });
    entries.collect()
}

fn as_text(timeline: &Timeline, selection: &Selection, args: &args::Ps) -> String {
    let style = Style::of_stdout();
    let host = timeline.host();
    let mut header = vec!["CONTAINER", "KIND", "PROCS"];
    header.extend(NsKind::ALL.map(NsKind::name));
    header.push("COMMANDS");
    let mut table = style.table(&header);
    let outside = timeline.tasks().filter(|(_, task)| task.leads()).count();
    let inside: usize = selection.containers.iter().map(|container| running(timeline, container)).sum();
    let marks = |set: &NsSet| -> Vec<Cell> {
        let cell = |kind: NsKind| match set.get(kind).ino {
            0 => style.cell("?", None, false),
            ino if ino == host.get(kind).ino => style.cell("host", Some(Color::Yellow), false),
            ino => style.cell(&ino.to_string(), Some(Color::Green), false),
        };
        NsKind::ALL.map(cell).into_iter().collect()
    };
    // The host's line tells its inodes; below, `host` is the same one.
    let mut row = vec![
        style.cell("host", Some(Color::Yellow), true),
        style.cell("", None, false),
        style.cell(&outside.saturating_sub(inside).to_string(), None, false),
    ];
    row.extend(NsKind::ALL.map(|kind| style.cell(&host.get(kind).ino.to_string(), None, false)));
    table.add_row(row);
    for (container, members) in selection.containers.iter().zip(&selection.members) {
        let mut row = vec![
            style.cell(&safe(title(container).as_bytes()), Some(Color::Cyan), true),
            style.cell(&safe(container.kind().as_bytes()), None, false),
            style.cell(&running(timeline, container).to_string(), None, false),
        ];
        row.extend(marks(&container.namespaces));
        row.push(style.cell(&list(&container.commands, 4), None, false));
        table.add_row(row);
        let mut shown: Vec<_> = in_tree_order(members).into_iter().map(|(depth, at)| (depth, &members[at])).collect();
        shown.truncate(args.processes.0);
        for (position, &(depth, process)) in shown.iter().enumerate() {
            let leader = timeline.at(process.leader);
            let inside = leader.inner_pid().map_or(String::new(), |pid| format!(" (inside {pid})"));
            let branches = style.branches(shown[position + 1..].iter().map(|&(depth, _)| depth + 1), depth + 1);
            let name = format!("{branches}{}{inside}", process.pid);
            let mut row =
                vec![style.cell(&name, None, false), style.cell("", None, false), style.cell("", None, false)];
            row.extend(marks(&timeline.last_namespaces(leader).unwrap_or_default()));
            let comm = timeline.last_name(leader).unwrap_or_default();
            row.push(style.cell(&safe(comm.as_bytes()), None, false));
            table.add_row(row);
        }
    }
    let mut out = table.trim_fmt();
    if selection.containers.is_empty() {
        out += "\n\nno container runs by this definition";
    }
    out
}
