//! The containers and processes that somebody asked for.

use crate::filter::{Field, Filter};
use crate::{Container, Definition, Namespaced, NsSet, Pod, Process, Task, Timeline};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use nsscope_codec::wire::namespaces::NsKind;

/// What is selected of a timeline.
#[derive(Debug, Default)]
pub struct Selection {
    /// The containers.
    pub containers: Vec<Container>,
    /// Of each container, in the same order, the processes that pass.
    pub members: Vec<Vec<Process>>,
    /// The pods that are left; their numbers are those of `containers`.
    pub pods: Vec<Pod>,
    /// Tasks in no container that have namespaces of their own.
    pub namespaced: Vec<Namespaced>,
}

/// From and to, ns; the end is open.
pub type Window = (u64, u64);

fn overlaps((since, until): Window, start: u64, end: Option<u64>) -> bool {
    start < until && end.is_none_or(|end| end >= since)
}

impl Selection {
    /// The containers by a definition, in the order that `sort` puts them in, with what of them passes and was there in
    /// the window.
    pub fn of(
        timeline: &Timeline,
        definition: &Definition,
        filter: &Filter,
        window: Window,
        sort: impl FnOnce(&mut Vec<Container>),
    ) -> Self {
        let mut containers = timeline.containers(definition);
        containers.retain(|container| overlaps(window, container.first, container.last));
        sort(&mut containers);
        let mut pods = timeline.pods(&containers);
        let pod_of = Pod::of_each(&pods, containers.len());
        let mut kept = Vec::new();
        let mut members = Vec::new();
        for (index, container) in containers.iter().enumerate() {
            let mut processes = timeline.processes(container.tasks.iter().copied());
            processes.retain(|process| overlaps(window, process.start, process.end));
            let pod = pod_of[index].map(|number| pods[number].id.as_str());
            if !filter.is_empty() {
                processes.retain(|process| passes(filter, timeline, Some(container), pod, Some(process)));
                let whole = processes.is_empty() && passes(filter, timeline, Some(container), pod, None);
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
                && (filter.is_empty() || passes(filter, timeline, None, None, alone().first()))
        });
        let mut all: Vec<Option<Container>> = containers.into_iter().map(Some).collect();
        let containers = kept.into_iter().filter_map(|index| all[index].take()).collect();
        Self { containers, members, pods, namespaced }
    }
}

/// Whether a process, or a container as a whole, passes.
pub fn passes(
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
pub fn of_task(timeline: &Timeline, task: &Task, field: Field) -> Vec<String> {
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
pub fn short(id: &str) -> &str {
    id.get(..12).filter(|_| id.len() == 64).unwrap_or(id)
}

/// What a container is called: its name, else its id, the long ones cut as runtimes do.
pub fn title(container: &Container) -> String {
    let id = container.id();
    let short = short(&id);
    match &container.named {
        Some(named) if !named.name.is_empty() => format!("{} ({short})", named.name),
        _ => short.into(),
    }
}
