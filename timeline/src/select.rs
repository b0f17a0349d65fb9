//! The containers and processes that somebody asked for. Not here: the grammar of filters.

use crate::container::Container;
use crate::container::Namespaced;
use crate::definition::Definition;
use crate::filter::{Field, Filter};
use crate::group::Group;
use crate::keys::Key;
use crate::membership::NsSet;
use crate::process::Process;
use crate::runtime;
use crate::task::Task;
use crate::timeline::Timeline;
use crate::why::title_of;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::NsKind;

/// What is selected of a timeline.
#[derive(Debug, Default)]
pub struct Selection {
    /// The containers.
    pub containers: Vec<Container>,
    /// Of each container, in the same order, the processes that pass.
    pub members: Vec<Vec<Process>>,
    /// The groups that are left; their numbers are those of `containers`.
    pub groups: Vec<Group>,
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
        containers.retain(|container| overlaps(window, container.start, container.end));
        sort(&mut containers);
        let mut groups = timeline.groups(&containers);
        let group_of = Group::of_each(&groups, containers.len());
        let mut kept = Vec::new();
        let mut members = Vec::new();
        for (index, container) in containers.iter().enumerate() {
            let mut processes = timeline.processes(container.tasks.iter().copied());
            processes.retain(|process| overlaps(window, process.start, process.end));
            let group = group_of[index].map(|number| &groups[number]);
            if !filter.is_empty() {
                processes.retain(|process| passes(filter, timeline, Some(container), group, Some(process)));
                let whole = processes.is_empty() && passes(filter, timeline, Some(container), group, None);
                if processes.is_empty() && !whole {
                    continue;
                }
            }
            kept.push(index);
            members.push(processes);
        }
        for group in &mut groups {
            group.containers = group.containers.iter().filter_map(|at| kept.binary_search(at).ok()).collect();
        }
        groups.retain(|group| !group.containers.is_empty());
        let mut position = 0;
        containers.retain(|_| {
            position += 1;
            kept.binary_search(&(position - 1)).is_ok()
        });
        Self { containers, members, groups }
    }
}

/// The tasks in no container that have namespaces of their own, with what of them passes and was there in the window.
pub fn namespaced(timeline: &Timeline, definition: &Definition, filter: &Filter, window: Window) -> Vec<Namespaced> {
    let mut namespaced = timeline.namespaced(definition);
    namespaced.retain(|other| {
        let task = timeline.task_at(other.task);
        let alone = || timeline.processes([other.task]);
        overlaps(window, task.start, task.end)
            && (filter.is_empty() || passes(filter, timeline, None, None, alone().first()))
    });
    namespaced
}

/// Whether a process, or a container as a whole, passes.
pub fn passes(
    filter: &Filter,
    timeline: &Timeline,
    container: Option<&Container>,
    group: Option<&Group>,
    process: Option<&Process>,
) -> bool {
    let names = |process: &Process| -> Vec<String> {
        let tasks = process.threads.iter().map(|&at| timeline.task_at(at));
        let names = tasks.flat_map(|task| &task.names);
        names.map(|since| String::from_utf8_lossy(timeline.names().get(since.value)).into_owned()).collect()
    };
    filter.passes(|field| match field {
        Field::Container => match container {
            Some(container) => {
                let name = container.named.iter().map(|named| named.name.clone());
                name.chain([container.id(), title(container)]).collect()
            }
            None => vec!["host".into()],
        },
        Field::Kind => container.map(Container::kind).into_iter().collect(),
        Field::Image => container.and_then(|c| c.named.as_ref()).map(|named| named.image.clone()).into_iter().collect(),
        Field::Group(kind) => {
            let group = group.filter(|group| group.kind == kind);
            let group = group.into_iter().flat_map(|group| [group.name.clone(), group.id.clone()]);
            group.chain(container.and_then(|container| container.label(kind)).map(Into::into)).collect()
        }
        Field::Label(label) => {
            container.and_then(|container| container.label(label)).map(Into::into).into_iter().collect()
        }
        Field::Cgroup => match process {
            Some(process) => of_task(timeline, timeline.task_at(process.leader), field),
            None => container.and_then(|container| container.cgroup.clone()).into_iter().collect(),
        },
        Field::Comm => match (process, container) {
            (Some(process), _) => names(process),
            (None, Some(container)) => container.commands.clone(),
            (None, None) => Vec::new(),
        },
        Field::Pid => {
            process.map_or_else(Vec::new, |process| of_task(timeline, timeline.task_at(process.leader), field))
        }
        Field::Namespace => match process {
            Some(process) => of_task(timeline, timeline.task_at(process.leader), field),
            None => namespaces(container.map(|container| container.namespaces)),
        },
    })
}

/// What a container has in the fields of a filter that are its own, by what tells it; `None` is the host. What it is
/// called is said as far as it is known now.
pub fn of_key(timeline: &Timeline, key: Option<&Key>, field: Field) -> Vec<String> {
    let Some(key) = key else {
        return if field == Field::Container { vec!["host".into()] } else { Vec::new() };
    };
    let named = timeline.named(key);
    let runtime = match key {
        Key::Runtime(runtime) => Some(runtime),
        Key::Namespaces(_) => None,
    };
    let label = |wanted: &str| named.as_ref().and_then(|named| named.label(wanted)).map(String::from);
    match field {
        Field::Container => {
            let name = named.iter().map(|named| named.name.clone());
            name.chain([key.id(), timeline.title_of(key)]).collect()
        }
        Field::Kind => {
            let by_runtime = named.as_ref().map(|named| named.runtime).filter(|&name| name != runtime::UNKNOWN);
            vec![by_runtime.or(runtime.map(|runtime| runtime.name)).unwrap_or("namespaces").into()]
        }
        Field::Image => named.iter().map(|named| named.image.clone()).collect(),
        Field::Group(kind) => {
            let group = runtime.and_then(|runtime| runtime.group.as_ref()).filter(|group| group.kind == kind);
            group.map(|group| group.id.clone()).into_iter().chain(label(kind)).collect()
        }
        Field::Label(wanted) => label(wanted).into_iter().collect(),
        Field::Cgroup | Field::Comm | Field::Pid | Field::Namespace => Vec::new(),
    }
}

/// What a task has in those fields of a filter that are its own, now or at its end.
pub fn of_task(timeline: &Timeline, task: &Task, field: Field) -> Vec<String> {
    match field {
        Field::Comm => timeline.last_name(task).into_iter().collect(),
        Field::Cgroup => timeline.last_cgroups(task).into_iter().map(|(_, path)| path).collect(),
        Field::Pid => task.nspids.iter().chain([&task.pid]).map(ToString::to_string).collect(),
        Field::Namespace => namespaces(timeline.last_namespaces(task)),
        Field::Container | Field::Kind | Field::Image | Field::Group(_) | Field::Label(_) => Vec::new(),
    }
}

fn namespaces(set: Option<NsSet>) -> Vec<String> {
    let set = set.unwrap_or_default();
    NsKind::ALL.into_iter().map(|kind| set.label(kind)).collect()
}

pub use crate::why::short;

/// What a container is called: its name, else its id, the long ones cut as runtimes do; where it has neither, the first
/// program in it and the pid of its root, as `sh:4242`.
pub fn title(container: &Container) -> String {
    let root = container.root_pid.map(|pid| (pid, container.command.as_str()));
    title_of(&container.key, container.named.as_ref(), root)
}
