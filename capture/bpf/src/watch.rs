//! Who is recorded. Where not everything is, a map holds the processes that are: one look-up an event. Not here: what
//! is recorded of them.

use crate::kernel::{Cgroup, Task, set};
use crate::shared::{WATCH_ALL, WATCH_CGROUP, WATCH_NAMESPACE};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

/// Process ids, as seen from the recorder. Made larger where it is used.
#[map]
static WATCHED: HashMap<u32, u8> = HashMap::with_max_entries(1, 0);

#[inline(always)]
fn all() -> bool {
    set!(SETTINGS.watch) == WATCH_ALL
}

#[inline(always)]
fn id(task: Task) -> u32 {
    task.ids().0
}

#[inline(always)]
fn holds(task: Task) -> bool {
    // SAFETY: the value is not looked at.
    unsafe { WATCHED.get(id(task)) }.is_some()
}

#[inline(always)]
pub(crate) fn watched(task: Task) -> bool {
    all() || holds(task)
}

/// Whether the task is where everything is recorded.
#[inline(always)]
fn matches(task: Task) -> bool {
    match set!(SETTINGS.watch) {
        WATCH_CGROUP => concerns(task.cgroup()),
        WATCH_NAMESPACE => {
            let kind = set!(SETTINGS.namespace_kind) as usize;
            let links = task.namespaces();
            links.get(kind).is_some_and(|link| link.ino == u64::from(set!(SETTINGS.namespace)))
        }
        _ => false,
    }
}

/// Whether a cgroup of the unified hierarchy is, or is below, the one that is watched.
#[inline(always)]
pub(crate) fn concerns(cgroup: Cgroup) -> bool {
    set!(SETTINGS.watch) != WATCH_CGROUP || cgroup.is_within(set!(SETTINGS.cgroup), set!(SETTINGS.cgroup_level))
}

#[inline(always)]
fn begin(task: Task) {
    // Where the map is full, this process is not recorded.
    let _ = WATCHED.insert(id(task), 0, 0);
}

/// A new task: it is recorded where its parent is. Returns whether it is.
#[inline(always)]
pub(crate) fn born(task: Task) -> bool {
    if all() {
        return true;
    }
    let parent = holds(Task::current());
    if !parent && !matches(task) {
        return false;
    }
    // A child of a cgroup's process that was made in another one (CLONE_INTO_CGROUP) has left it.
    if parent && set!(SETTINGS.watch) == WATCH_CGROUP && !matches(task) {
        return false;
    }
    begin(task);
    true
}

/// The last thread of a process has ended.
#[inline(always)]
pub(crate) fn ended(task: Task) {
    if !all() && task.is_last() {
        let _ = WATCHED.remove(id(task));
    }
}

/// A task is moved to a cgroup. Returns whether it was recorded before, and whether it is now.
#[inline(always)]
pub(crate) fn moved(task: Task, to: Cgroup) -> (bool, bool) {
    if all() {
        return (true, true);
    }
    let before = holds(task);
    if set!(SETTINGS.watch) != WATCH_CGROUP || to.hierarchy() != 0 {
        return (before, before);
    }
    let now = concerns(to);
    if now && !before {
        begin(task);
    } else if before && !now {
        let _ = WATCHED.remove(id(task));
    }
    (before, now)
}

/// A task has other namespaces. Returns whether it was recorded before, and whether it is now.
#[inline(always)]
pub(crate) fn joined(task: Task) -> (bool, bool) {
    if all() {
        return (true, true);
    }
    let before = holds(task);
    let now = before || (set!(SETTINGS.watch) == WATCH_NAMESPACE && matches(task));
    if now && !before {
        begin(task);
    }
    (before, now)
}
