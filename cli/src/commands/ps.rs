//! `nsscope ps`: the containers that run now, as a matrix of who shares which namespaces with the host. Not here: how
//! the system is looked at.

use crate::args::{self, Sort};
use crate::error::Outcome;
use crate::json::{container_json, groups_json, kept_json, members_json, namespaces_json, print_json, shares};
use crate::loaded::Capture;
use crate::safe::safe;
use crate::select::{Selection, running, select, sharers, title};
use crate::table::{Style, list};
use crate::text::kept_text;
use comfy_table::{Cell, Color};
use nsscope_capture::namespace_id;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::{Container, Group, NsSet, Timeline};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &args::Ps) -> Outcome {
    let Capture { timeline, .. } = Capture::now()?;
    let selection = select(&timeline, &args.which, (0, u64::MAX), Sort::Root);
    if args.json {
        let containers = selection.containers.iter().zip(&selection.members).map(|(container, members)| {
            let mut value = container_json(&timeline, container);
            value["shares"] = shares(&selection.containers, container);
            value["members"] = members_json(&timeline, container, members);
            value
        });
        let document = json!({
            "definition": args.which.definition.to_string(),
            "host": namespaces_json(&timeline.host()),
            "groups": groups_json(&selection),
            "containers": containers.collect::<Vec<_>>(),
            "namespaces": census(&timeline),
            "kept": timeline.kept().iter().map(kept_json).collect::<Vec<_>>(),
        });
        print_json(&document)?;
    } else {
        let mut out = io::stdout().lock();
        out.write_all(as_text(&timeline, &selection, args).as_bytes())?;
        out.flush()?;
    }
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
        let first = pids.iter().min().copied().unwrap_or(0);
        json!({
            "type": kind.name(), "ino": ino, "unique": namespace_id(first, kind, ino), "processes": pids.len(), "pid": first,
            "host": host.get(kind).ino == ino,
        })
    });
    entries.collect()
}

fn as_text(timeline: &Timeline, selection: &Selection, args: &args::Ps) -> String {
    let style = Style::of_stdout();
    let host = timeline.host();
    let groups = Group::of_each(&selection.groups, selection.containers.len());
    let mut header = vec!["CONTAINER", "KIND", "PROCS"];
    if !selection.groups.is_empty() {
        header.insert(1, "GROUP");
    }
    header.extend(NsKind::ALL.map(NsKind::name));
    header.push("COMMANDS");
    let mut table = style.table(&header);
    let outside = timeline.tasks().filter(|(_, task)| task.leads()).count();
    let inside: usize = selection.containers.iter().map(|container| running(timeline, container)).sum();
    // What a container shares with one that stands before it has that one's name.
    let marks = |set: &NsSet, of: Option<&Container>| -> Vec<Cell> {
        let before = |kind: NsKind| {
            let container = of?;
            let with = sharers(&selection.containers, container, kind).next()?;
            (std::ptr::from_ref(with) < std::ptr::from_ref(container)).then(|| format!("={}", short_title(with)))
        };
        let cell = |kind: NsKind| match set.get(kind).ino {
            0 => style.cell("?", None, false),
            ino if ino == host.get(kind).ino => style.cell("host", Some(Color::Yellow), false),
            ino => {
                let own = if args.inodes { ino.to_string() } else { "own".into() };
                style.cell(&safe(before(kind).unwrap_or(own).as_bytes()), Some(Color::Green), false)
            }
        };
        NsKind::ALL.map(cell).into_iter().collect()
    };
    // Below the host's line, `host` is the same one.
    let mut row = vec![
        style.cell("host", Some(Color::Yellow), true),
        style.cell("", None, false),
        style.cell(&outside.saturating_sub(inside).to_string(), None, false),
    ];
    let own = |kind: NsKind| if args.inodes { host.get(kind).ino.to_string() } else { String::new() };
    row.extend(NsKind::ALL.map(|kind| style.cell(&own(kind), None, false)));
    let mut add = |mut row: Vec<Cell>, group: Option<usize>| {
        if !selection.groups.is_empty() {
            let title = group.map_or(String::new(), |number| selection.groups[number].title());
            row.insert(1, style.cell(&safe(title.as_bytes()), Some(Color::Magenta), false));
        }
        table.add_row(row);
    };
    add(row, None);
    let all = selection.containers.iter().zip(&selection.members).zip(groups);
    for ((container, members), group) in all {
        let mut row = vec![
            style.cell(&safe(title(container).as_bytes()), Some(Color::Cyan), true),
            style.cell(&safe(container.kind().as_bytes()), None, false),
            style.cell(&running(timeline, container).to_string(), None, false),
        ];
        row.extend(marks(&container.namespaces, Some(container)));
        row.push(style.cell(&list(&container.commands, 4), None, false));
        add(row, group);
        let mut shown: Vec<_> = in_tree_order(members).into_iter().map(|(depth, at)| (depth, &members[at])).collect();
        shown.truncate(args.processes.0);
        for (position, &(depth, process)) in shown.iter().enumerate() {
            let leader = timeline.task_at(process.leader);
            let inside = leader.inner_pid().map_or(String::new(), |pid| format!(" (inside {pid})"));
            let branches = style.branches(shown[position + 1..].iter().map(|&(depth, _)| depth + 1), depth + 1);
            let name = format!("{branches}{}{inside}", process.pid);
            let mut row =
                vec![style.cell(&name, None, false), style.cell("", None, false), style.cell("", None, false)];
            row.extend(marks(&timeline.last_namespaces(leader).unwrap_or_default(), None));
            let comm = timeline.last_name(leader).unwrap_or_default();
            row.push(style.cell(&safe(comm.as_bytes()), None, false));
            add(row, None);
        }
    }
    let mut out = style.fitted(&mut table);
    if selection.containers.is_empty() {
        out += "\n\nno container runs by this definition";
    }
    out.push('\n');
    out += &kept_text(timeline);
    out
}

/// A container's name, where it has one.
fn short_title(container: &Container) -> String {
    let name = container.named.as_ref().map(|named| named.name.clone()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| title(container))
}
