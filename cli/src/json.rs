//! The JSON shapes of containers, groups, processes and namespaces, which several commands print. Not here: which
//! containers are shown.

use crate::error::Outcome;
use crate::select::{Selection, role, running, sharers, title};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::{Container, CpuStat, Group, KeptNamespace, Key, NsSet, Process, Timeline};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

/// Standard output. By itself it hands over each line as it ends, by a system call.
pub(crate) fn buffered() -> impl Write {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Prints a document.
pub(crate) fn print_json(document: &impl Serialize) -> Outcome<()> {
    let mut out = buffered();
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// A namespace that something but a task keeps, for a program.
pub(crate) fn kept_json(kept: &KeptNamespace) -> Value {
    let KeptNamespace { kind, id, unique, by } = kept;
    json!({ "type": kind.name(), "ino": id.ino, "unique": (*unique != 0).then_some(unique), "by": by })
}

/// A container for a program, without its processes.
pub(crate) fn container_json(timeline: &Timeline, container: &Container) -> Value {
    let evidence = match &container.key {
        Key::Runtime(runtime) => json!({
            "cgroup": container.cgroup,
            "group": runtime.group.as_ref().map(|group| json!({ "kind": group.kind, "id": group.id })),
        }),
        Key::Namespaces(namespaces) => {
            let fields = namespaces.iter().map(|(kind, ns)| (format!("{}_namespace", kind.name()), json!(ns.ino)));
            Value::Object(fields.collect())
        }
    };
    let labels = container.named.iter().flat_map(|named| &named.labels);
    let labels = labels.map(|(key, value)| (key.clone(), json!(value)));
    let unique = container.unique.iter().map(|(kind, number)| (kind.name().to_owned(), json!(number)));
    json!({
        "id": container.id(),
        "name": container.named.as_ref().map(|named| &named.name),
        "title": title(container),
        "image": container.named.as_ref().map(|named| &named.image),
        "labels": labels.collect::<serde_json::Map<_, _>>(),
        "created_by": container.created.as_ref().map(|created| &created.by),
        "created_ns": container.created.as_ref().map(|created| created.ns),
        "root_pid": container.root_pid,
        "namespaces_unique": unique.collect::<serde_json::Map<_, _>>(),
        "execs": container.execs,
        "health_checks": container.health_checks,
        "helpers": container.helpers,
        "runtime": container.runtime(),
        "kind": container.kind(),
        "evidence": evidence,
        "why": container.why,
        "cgroup": container.cgroup,
        "namespaces": namespaces_json(&container.namespaces),
        "own": kind_names(&container.differs),
        "processes": container.processes,
        "peak_processes": container.peak_processes,
        "running_processes": running(timeline, container),
        "threads": container.threads,
        "cgroup_inferred": container.inferred,
        "samples": container.samples,
        "cpu_ns": container.cpu,
        "first": container.start,
        "first_exact": container.start_exact,
        "last": container.end,
        "commands": container.commands,
    })
}

/// The groups of a selection for a program.
pub(crate) fn groups_json(selection: &Selection) -> Vec<Value> {
    let group = |group: &Group| {
        let containers = group.containers.iter().map(|&at| selection.containers[at].id());
        json!({
            "kind": group.kind, "id": group.id, "name": group.name, "why": group.why,
            "containers": containers.collect::<Vec<_>>(),
        })
    };
    selection.groups.iter().map(group).collect()
}

/// Processes of a container for a program.
pub(crate) fn members_json(timeline: &Timeline, container: &Container, members: &[Process]) -> Value {
    let member = |process: &Process| {
        let mut value = process_json(timeline, process);
        value["role"] = json!(role(container, process));
        value
    };
    members.iter().map(member).collect()
}

/// Which of its namespaces a container shares, and with whom: ids by type.
pub(crate) fn shares(containers: &[Container], container: &Container) -> Value {
    let shared = NsKind::ALL.into_iter().filter_map(|kind| {
        let with: Vec<String> = sharers(containers, container, kind).map(Container::id).collect();
        (!with.is_empty()).then(|| (kind.name().to_string(), json!(with)))
    });
    Value::Object(shared.collect())
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
    let leader = timeline.task_at(process.leader);
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

/// What a limit of CPU time did, for a program.
pub(crate) fn limit_json(limit: CpuStat) -> Value {
    let CpuStat { usage: used, throttled, periods, throttled_periods } = limit;
    json!({
        "used_ns": used, "throttled_ns": throttled, "periods": periods, "throttled_periods": throttled_periods,
    })
}
