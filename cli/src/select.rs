//! The containers and processes that a command was asked for. Not here: the grammar of filters.

use crate::args::{Moment, Sort, Which};
use crate::loaded::Capture;
use nsscope_codec::wire::namespaces::NsKind;
pub(crate) use nsscope_timeline::select::{Selection, Window, namespaced, of_key, of_task, passes, title};
use nsscope_timeline::{Container, Definition, Process, Timeline};
use std::cmp::Reverse;

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

/// What a process is to its container: its `root`, a `member`, an `exec` or a `health check`.
pub(crate) fn role(container: &Container, process: &Process) -> &'static str {
    if container.inits.contains(&process.leader) {
        "root"
    } else if container.checks.contains(&process.leader) {
        "health check"
    } else if container.entered.contains(&process.leader) {
        "exec"
    } else {
        "member"
    }
}

/// Whether two containers were there at the same time.
fn together(a: &Container, b: &Container) -> bool {
    a.start <= b.end.unwrap_or(u64::MAX) && b.start <= a.end.unwrap_or(u64::MAX)
}

/// The others that have a namespace of a container, which is not the host's, too.
pub(crate) fn sharers<'c>(
    containers: &'c [Container],
    container: &'c Container,
    kind: NsKind,
) -> impl Iterator<Item = &'c Container> {
    let own = container.differs.contains(&kind);
    let same = move |other: &&Container| {
        own && !std::ptr::eq(*other, container)
            && other.namespaces.get(kind) == container.namespaces.get(kind)
            && together(other, container)
    };
    containers.iter().filter(same)
}

/// How many of its processes live.
pub(crate) fn running(timeline: &Timeline, container: &Container) -> usize {
    let tasks = container.tasks.iter().map(|&task| timeline.task_at(task));
    tasks.filter(|task| task.leads() && task.end.is_none()).count()
}
