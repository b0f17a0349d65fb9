//! `nsscope tree`: a process with its ancestors, its descendants and the container of each. Not here: how the system is
//! looked at.

use crate::args;
use crate::error::{Failure, Outcome};
use crate::json::{buffered, print_json, process_json};
use crate::loaded::Capture;
use crate::safe::safe;
use crate::select::{container_of, title};
use crate::table::Style;
use crate::time::seconds;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::{Container, Process};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

pub(crate) fn run(args: &args::Tree) -> Outcome {
    let capture = match &args.input {
        Some(file) => Capture::read(file)?,
        None => Capture::now()?,
    };
    let timeline = &capture.timeline;
    let processes = timeline.processes(timeline.tasks().map(|(index, _)| index));
    let containers = timeline.containers(&args.definition);
    let inside = |process: &&Process| timeline.task_at(process.leader).nspids.contains(&args.pid);
    let mut wanted: Vec<&Process> = processes.iter().filter(|process| process.pid == args.pid).collect();
    if wanted.is_empty() {
        wanted = processes.iter().filter(inside).collect();
    }
    if wanted.is_empty() {
        let place = args.input.as_ref().map_or("runs now".into(), |file| format!("is in {}", file.display()));
        return Err(Failure::new(format!(
            "no process {} {place}, by the host's pid or by one inside a container\n  \
             nsscope ps --processes all lists them",
            args.pid
        )));
    }
    let line = lineage(&processes, &wanted);
    let of = |process: &Process| container_of(timeline, &args.definition, &containers, process.leader);
    if args.json {
        let list = line.iter().map(|&(depth, process, chosen)| {
            let mut value = process_json(timeline, process);
            value["depth"] = json!(depth);
            value["chosen"] = json!(chosen);
            value["container"] = json!(of(process).map(Container::id));
            value
        });
        print_json(&list.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = buffered();
    let style = Style::of_stdout();
    let (first, _) = timeline.span().unwrap_or_default();
    for (index, &(depth, process, chosen)) in line.iter().enumerate() {
        let leader = timeline.task_at(process.leader);
        let comm = safe(timeline.last_name(leader).unwrap_or_default().as_bytes());
        let inner = leader.inner_pid().map_or(String::new(), |pid| format!(", inside {pid}"));
        let container = of(process).map_or("host".into(), |container| safe(title(container).as_bytes()));
        let branch = style.branches(line[index + 1..].iter().map(|&(depth, ..)| depth), depth);
        let life = match (&args.input, process.end) {
            (None, _) => String::new(),
            (Some(_), end) => format!(
                "  {}{} to {}",
                if process.start_exact { "" } else { "before " },
                seconds(process.start.saturating_sub(first)),
                end.map_or("the end".into(), |end| seconds(end.saturating_sub(first)))
            ),
        };
        let mark = if chosen { " <-" } else { "" };
        writeln!(out, "{branch}{} {comm}{inner}  [{container}]{life}{mark}", process.pid)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The wanted processes with all above and below them: depth, process, whether it is one of the wanted.
fn lineage<'p>(processes: &'p [Process], wanted: &[&Process]) -> Vec<(usize, &'p Process, bool)> {
    let tree: Vec<_> = in_tree_order(processes).into_iter().map(|(depth, at)| (depth, &processes[at])).collect();
    let chosen = |process: &Process| wanted.iter().any(|w| (w.pid, w.start) == (process.pid, process.start));
    let mut keep = BTreeSet::new();
    let mut above: Vec<usize> = Vec::new();
    let mut below = None;
    for (index, &(depth, process)) in tree.iter().enumerate() {
        above.truncate(depth);
        above.push(index);
        if below.is_some_and(|top| depth <= top) {
            below = None;
        }
        if chosen(process) {
            keep.extend(&above);
            below = below.or(Some(depth));
        }
        if below.is_some() {
            keep.insert(index);
        }
    }
    keep.into_iter().map(|index| (tree[index].0, tree[index].1, chosen(tree[index].1))).collect()
}
