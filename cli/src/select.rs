//! The containers and processes that a command was asked for.

use crate::args::{Moment, Sort, Which};
use crate::capture::Capture;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::filter::{Field, Filter};
use nsscope_timeline::{Container, Definition, Namespaced, NsSet, Pod, Process, Task, Timeline};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is selected of a capture.
pub(crate) struct Selection {
    pub(crate) containers: Vec<Container>,
    /// Of each container, in the same order, the processes that pass.
    pub(crate) members: Vec<Vec<Process>>,
    pub(crate) pods: Vec<Pod>,
    /// Tasks in no container that have namespaces of their own.
    pub(crate) namespaced: Vec<Namespaced>,
}

/// From and to, ns; the end is open.
pub(crate) type Window = (u64, u64);

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

fn overlaps((since, until): Window, start: u64, end: Option<u64>) -> bool {
    start < until && end.is_none_or(|end| end >= since)
}

impl Selection {
    pub(crate) fn of(timeline: &Timeline, which: &Which, window: Window, sort: Sort) -> Self {
        let (definition, filter) = (&which.definition, which.filter());
        let mut containers = timeline.containers(definition);
        containers.retain(|container| overlaps(window, container.first, container.last));
        match sort {
            Sort::First => {}
            Sort::Processes => containers.sort_by_key(|container| std::cmp::Reverse(container.processes)),
            Sort::Cpu => containers.sort_by_key(|container| std::cmp::Reverse((container.cpu, container.samples))),
            Sort::Name => containers.sort_by_key(title),
        }
        let mut pods = timeline.pods(&containers);
        let pod_of: BTreeMap<usize, String> =
            pods.iter().flat_map(|pod| pod.containers.iter().map(|&index| (index, pod.id.clone()))).collect();
        let mut kept = Vec::new();
        let mut members = Vec::new();
        for (index, container) in containers.iter().enumerate() {
            let mut processes = timeline.processes(container.tasks.iter().copied());
            processes.retain(|process| overlaps(window, process.start, process.end));
            let pod = pod_of.get(&index).map(String::as_str);
            if !filter.is_empty() {
                processes.retain(|process| passes(&filter, timeline, Some(container), pod, Some(process)));
                let whole = processes.is_empty() && passes(&filter, timeline, Some(container), pod, None);
                if processes.is_empty() && !whole {
                    continue;
                }
            }
            kept.push(index);
            members.push(processes);
        }
        for pod in &mut pods {
            pod.containers = pod.containers.iter().filter_map(|at| kept.binary_search(at).ok()).collect();
        }
        pods.retain(|pod| !pod.containers.is_empty());
        let mut namespaced = timeline.namespaced(definition);
        namespaced.retain(|other| {
            let task = timeline.at(other.task);
            let alone = || timeline.processes([other.task]);
            overlaps(window, task.start, task.end)
                && (filter.is_empty() || passes(&filter, timeline, None, None, alone().first()))
        });
        let mut all: Vec<Option<Container>> = containers.into_iter().map(Some).collect();
        let containers = kept.into_iter().filter_map(|index| all[index].take()).collect();
        Self { containers, members, pods, namespaced }
    }
}

/// Whether a process, or a container as a whole, passes.
pub(crate) fn passes(
    filter: &Filter,
    timeline: &Timeline,
    container: Option<&Container>,
    pod: Option<&str>,
    process: Option<&Process>,
) -> bool {
    let names = |process: &Process| -> Vec<String> {
        let tasks = process.threads.iter().map(|&at| timeline.at(at));
        let names = tasks.flat_map(|task| &task.names);
        names.map(|since| String::from_utf8_lossy(timeline.names().get(since.value)).into_owned()).collect()
    };
    filter.passes(|field| match field {
        Field::Container => match container {
            Some(container) => {
                let name = container.named.iter().map(|named| named.name.clone());
                name.chain([container.id()]).collect()
            }
            None => vec!["host".into()],
        },
        Field::Kind => container.map(Container::kind).into_iter().collect(),
        Field::Pod => pod.map(Into::into).into_iter().collect(),
        Field::Cgroup => match process {
            Some(process) => of_task(timeline, timeline.at(process.leader), field),
            None => container.and_then(|container| container.cgroup.clone()).into_iter().collect(),
        },
        Field::Comm => match (process, container) {
            (Some(process), _) => names(process),
            (None, Some(container)) => container.commands.clone(),
            (None, None) => Vec::new(),
        },
        Field::Pid => process.map_or_else(Vec::new, |process| of_task(timeline, timeline.at(process.leader), field)),
        Field::Namespace => match process {
            Some(process) => of_task(timeline, timeline.at(process.leader), field),
            None => namespaces(container.map(|container| container.namespaces)),
        },
    })
}

/// What a task has in those fields of a filter that are its own, now or at its end.
pub(crate) fn of_task(timeline: &Timeline, task: &Task, field: Field) -> Vec<String> {
    match field {
        Field::Comm => timeline.last_name(task).into_iter().collect(),
        Field::Cgroup => timeline.last_cgroups(task).into_iter().map(|(_, path)| path).collect(),
        Field::Pid => task.nspids.iter().chain([&task.pid]).map(ToString::to_string).collect(),
        Field::Namespace => namespaces(timeline.last_namespaces(task)),
        Field::Container | Field::Kind | Field::Pod => Vec::new(),
    }
}

fn namespaces(set: Option<NsSet>) -> Vec<String> {
    let set = set.unwrap_or_default();
    NsKind::ALL.into_iter().map(|kind| set.label(kind)).collect()
}

/// An id, those of 64 digits cut as runtimes do.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).filter(|_| id.len() == 64).unwrap_or(id)
}

/// What a container is called: its name, else its id, the long ones cut as runtimes do.
pub(crate) fn title(container: &Container) -> String {
    let id = container.id();
    let short = short(&id);
    match &container.named {
        Some(named) if !named.name.is_empty() => format!("{} ({short})", named.name),
        _ => short.into(),
    }
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
