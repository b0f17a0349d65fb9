//! `nsscope diff`: what changed between two captures. Not here: how a capture is read.

use crate::args;
use crate::error::Outcome;
use crate::json::{buffered, container_json, kind_names, namespaces_json, print_json};
use crate::loaded::Capture;
use crate::safe::safe;
use crate::select::title;
use crate::table::list;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::{Container, NsSet, Timeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// A process that is in both captures with other namespaces.
struct Moved {
    pid: u32,
    comm: String,
    kinds: Vec<NsKind>,
    from: NsSet,
    to: NsSet,
}

pub(crate) fn run(args: &args::Diff) -> Outcome {
    let (before, after) = (Capture::read(&args.before)?.timeline, Capture::read(&args.after)?.timeline);
    let (old, new) = (at_the_end(&before, &args.definition), at_the_end(&after, &args.definition));
    let missing = |of: &[Container], in_: &[Container]| -> Vec<Container> {
        of.iter()
            .filter(|container| in_.iter().all(|other| other.key.identity() != container.key.identity()))
            .cloned()
            .collect()
    };
    let (appeared, vanished) = (missing(&new, &old), missing(&old, &new));
    let moved = moved(&before, &after);
    if args.json {
        let list = |timeline: &Timeline, containers: &[Container]| -> Vec<Value> {
            containers.iter().map(|container| container_json(timeline, container)).collect()
        };
        let moved = moved.iter().map(|moved| {
            json!({
                "pid": moved.pid, "comm": moved.comm, "types": kind_names(&moved.kinds),
                "from": namespaces_json(&moved.from), "to": namespaces_json(&moved.to),
            })
        });
        let document = json!({
            "appeared": list(&after, &appeared), "vanished": list(&before, &vanished),
            "moved": moved.collect::<Vec<_>>(),
        });
        print_json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = buffered();
    for (sign, containers) in [('+', &appeared), ('-', &vanished)] {
        for container in containers {
            let own = container.own_namespaces().collect::<Vec<_>>().join(" ");
            let title = safe(title(container).as_bytes());
            let commands = list(&container.commands, 6);
            writeln!(out, "{sign} {title}  {}  {own}  {commands}", safe(container.kind().as_bytes()))?;
        }
    }
    for moved in &moved {
        let change =
            |kind: &NsKind| format!("{}:[{}] to [{}]", kind.name(), moved.from.get(*kind).ino, moved.to.get(*kind).ino);
        let changes: Vec<_> = moved.kinds.iter().map(change).collect();
        writeln!(out, "~ {} {}  {}", moved.pid, safe(moved.comm.as_bytes()), changes.join(", "))?;
    }
    if appeared.is_empty() && vanished.is_empty() && moved.is_empty() {
        writeln!(out, "the same containers, and no process moved to other namespaces")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The containers that run when a capture ends.
fn at_the_end(timeline: &Timeline, definition: &nsscope_timeline::Definition) -> Vec<Container> {
    let mut containers = timeline.containers(definition);
    containers.retain(|container| container.end.is_none());
    containers
}

/// Processes of the same id and beginning of life, as far as it is known, whose namespaces differ at the captures' ends.
fn moved(before: &Timeline, after: &Timeline) -> Vec<Moved> {
    let living = |timeline: &Timeline| -> BTreeMap<u32, (usize, NsSet)> {
        let tasks = timeline.tasks().filter(|(_, task)| task.leads() && task.end.is_none());
        tasks.filter_map(|(index, task)| Some((task.pid, (index, timeline.last_namespaces(task)?)))).collect()
    };
    let old = living(before);
    let mut moved = Vec::new();
    for (pid, (index, to)) in living(after) {
        let task = after.task_at(index);
        let Some((_, from)) = old.get(&pid) else { continue };
        // One that began after the first capture only has the same number.
        let another = task.start_exact && before.span().is_some_and(|(_, end)| task.start > end);
        let kinds: Vec<NsKind> = to.differences(from).collect();
        if !another && !kinds.is_empty() {
            moved.push(Moved { pid, comm: after.last_name(task).unwrap_or_default(), kinds, from: *from, to });
        }
    }
    moved
}
