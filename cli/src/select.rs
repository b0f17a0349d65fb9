//! The containers and processes that a command was asked for.

use crate::args::{Moment, Sort, Which};
use crate::capture::Capture;
use nsscope_codec::wire::namespaces::NsKind;
pub(crate) use nsscope_timeline::select::{Selection, Window, namespaced, of_key, of_task, passes, title};
use nsscope_timeline::{Container, Definition, NsSet, Process, Timeline};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The times that a user named, in the capture's clock.
pub(crate) fn window(capture: &Capture, since: Option<Moment>, until: Option<Moment>) -> Window {
    let (first, _) = capture.timeline.span().unwrap_or_default();
    // How far the wall clock is ahead of the capture's.
    let ahead = capture.session.wall_clock(first).map_or(0, |wall| wall.wrapping_sub(first));
    let time = |moment: Moment| match moment {
        Moment::After(after) => first.saturating_add(after.as_nanos() as u64),
        Moment::Wall(wall) => wall.saturating_sub(ahead),
    };
    (since.map_or(0, time), until.map_or(u64::MAX, time))
}

/// What a command was asked for.
pub(crate) fn select(timeline: &Timeline, which: &Which, window: Window, sort: Sort) -> Selection {
    Selection::of(timeline, &which.definition, &which.filter(), window, |containers| match sort {
        Sort::First => {}
        Sort::Root => containers.sort_by_key(|container| container.root_pid),
        Sort::Processes => containers.sort_by_key(|container| Reverse(container.processes)),
        Sort::Cpu => containers.sort_by_key(|container| Reverse((container.cpu, container.samples))),
        Sort::Name => containers.sort_by_key(title),
    })
}

/// Namespaces by type, as inodes.
pub(crate) fn namespaces_json(set: &NsSet) -> Value {
    let entries = NsKind::ALL.into_iter().map(|kind| (kind.name().to_string(), json!(set.get(kind).ino)));
    Value::Object(entries.collect())
}

/// Names of some types of namespace.
pub(crate) fn kind_names(kinds: &[NsKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.name()).collect()
}

/// A process for a program.
pub(crate) fn process_json(timeline: &Timeline, process: &Process) -> Value {
    let leader = timeline.at(process.leader);
    let names: Vec<Value> = leader
        .names
        .iter()
        .map(|since| json!({ "time": since.time, "comm": String::from_utf8_lossy(timeline.names().get(since.value)) }))
        .collect();
    let cgroup_exact = leader.cgroups.last().map(|since| since.source.is_exact());
    let cgroups: BTreeSet<_> = timeline.last_cgroups(leader).into_iter().collect();
    json!({
        "pid": process.pid,
        "ppid": process.ppid,
        "nspids": leader.nspids,
        "comm": timeline.last_name(leader),
        "names": names,
        "threads": process.threads.len(),
        "start": process.start,
        "start_exact": process.start_exact,
        "end": process.end,
        "namespaces": timeline.last_namespaces(leader).map(|set| namespaces_json(&set)),
        "cgroups": cgroups.into_iter().map(|(root, path)| json!({ "hierarchy": root, "path": path })).collect::<Vec<_>>(),
        "cgroup_exact": cgroup_exact,
    })
}

/// The container that a task is in now or was in last, among some.
pub(crate) fn container_of<'c>(
    timeline: &Timeline,
    definition: &Definition,
    containers: &'c [Container],
    task: usize,
) -> Option<&'c Container> {
    let key = timeline.container_of(task, definition)?;
    // The kernel uses numbers again: the latest of this key.
    containers.iter().rfind(|container| container.key == key)
}
