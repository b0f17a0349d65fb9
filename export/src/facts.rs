//! The tables that are known once a capture is over: containers, processes, namespaces, waits. Not here: its records.

use crate::table::{Rows, Value};
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::select::title;
use nsscope_timeline::{Container, CpuUsage, Definition, Group, Runner, Timeline};
use std::collections::HashMap;
use std::io;

/// What a row says of those that are in no container.
const HOST: &str = "host";

/// Writes one of the tables `containers`, `processes`, `namespaces` and `waits` of a timeline that is finished.
///
/// # Errors
/// Where a row cannot be written. A table of another name has no rows.
pub fn write_facts(
    table: &str,
    host: &str,
    session: &Session,
    timeline: &Timeline,
    definition: &Definition,
    mut rows: Box<dyn Rows + '_>,
) -> io::Result<u64> {
    let facts = Facts { host, session, timeline, containers: timeline.containers(definition), definition };
    let written = match table {
        "containers" => facts.containers(&mut *rows)?,
        "processes" => facts.processes(&mut *rows)?,
        "namespaces" => facts.namespaces(&mut *rows)?,
        "waits" => facts.waits(&mut *rows)?,
        _ => 0,
    };
    rows.finish()?;
    Ok(written)
}

struct Facts<'t> {
    host: &'t str,
    session: &'t Session,
    timeline: &'t Timeline,
    containers: Vec<Container>,
    definition: &'t Definition,
}

impl Facts<'_> {
    fn wall(&self, time: u64) -> Value<'static> {
        self.session.wall_clock(time).map_or(Value::Null, Value::Time)
    }

    fn uses(&self) -> Vec<CpuUsage> {
        let end = self.timeline.span().map_or(0, |(_, end)| end);
        self.timeline.cpu_usage(self.definition, end)
    }

    fn containers(&self, rows: &mut dyn Rows) -> io::Result<u64> {
        let groups = self.timeline.groups(&self.containers);
        let group_of = Group::of_each(&groups, self.containers.len());
        let uses = self.uses();
        for (container, group) in self.containers.iter().zip(group_of) {
            let group = group.map(|number| &groups[number]);
            let its = |one: &&CpuUsage| matches!(&one.runner, Runner::Container(key) if *key == container.key);
            let uses = uses.iter().find(its);
            let named = container.named.as_ref();
            let labels: serde_json::Map<_, _> = named
                .iter()
                .flat_map(|named| &named.labels)
                .map(|(key, value)| (key.clone(), value.clone().into()))
                .collect();
            let labels = serde_json::Value::Object(labels).to_string();
            let (id, title, kind) = (container.id(), title(container), container.kind());
            let mut row: Vec<Value<'_>> = vec![
                self.host.into(),
                id.as_str().into(),
                named.map(|named| named.name.as_str()).into(),
                title.as_str().into(),
                kind.as_str().into(),
                named.map(|named| named.image.as_str()).filter(|image| !image.is_empty()).into(),
                group.map(|group| group.kind).into(),
                group.map(|group| group.name.as_str()).into(),
                labels.as_str().into(),
                container.start.into(),
                self.wall(container.start),
                container.start_exact.into(),
                container.end.into(),
                container.end.map_or(Value::Null, |last| self.wall(last)),
                container.processes.into(),
                container.peak_processes.into(),
                container.threads.into(),
                container.execs.into(),
                container.health_checks.into(),
                container.created.as_ref().map(|created| created.by.as_str()).into(),
                container.created.as_ref().map(|created| created.ns).into(),
                container.root_pid.into(),
                container.cpu.into(),
                uses.map(|uses| uses.waited).into(),
                uses.map(|uses| uses.waits).into(),
                uses.and_then(|uses| Some(uses.limit.as_ref()?.throttled)).into(),
            ];
            row.extend(NsKind::ALL.map(|kind| match container.namespaces.get(kind).ino {
                0 => Value::Null,
                ino => ino.into(),
            }));
            row.push(container.cgroup.as_deref().into());
            rows.row(&row)?;
        }
        Ok(self.containers.len() as u64)
    }

    fn processes(&self, rows: &mut dyn Rows) -> io::Result<u64> {
        let mut container_of: HashMap<usize, String> = HashMap::new();
        for container in &self.containers {
            let id = container.id();
            container_of.extend(container.tasks.iter().map(|&task| (task, id.clone())));
        }
        let processes = self.timeline.processes(self.timeline.tasks().map(|(index, _)| index));
        for process in &processes {
            let leader = self.timeline.task_at(process.leader);
            let comm = self.timeline.last_name(leader);
            rows.row(&[
                self.host.into(),
                process.pid.into(),
                process.start.into(),
                self.wall(process.start),
                process.start_exact.into(),
                process.end.into(),
                process.ppid.into(),
                leader.inner_pid().into(),
                comm.as_deref().into(),
                process.threads.len().into(),
                container_of.get(&process.leader).map(String::as_str).into(),
            ])?;
        }
        Ok(processes.len() as u64)
    }

    fn namespaces(&self, rows: &mut dyn Rows) -> io::Result<u64> {
        let mut written = 0;
        for container in &self.containers {
            let id = container.id();
            for &kind in &container.differs {
                let ino = container.namespaces.get(kind).ino;
                rows.row(&[self.host.into(), kind.name().into(), ino.into(), id.as_str().into(), Value::Null])?;
                written += 1;
            }
        }
        for kept in self.timeline.kept() {
            let by = kept.by.as_str();
            rows.row(&[self.host.into(), kept.kind.name().into(), kept.id.ino.into(), Value::Null, by.into()])?;
            written += 1;
        }
        Ok(written)
    }

    fn waits(&self, rows: &mut dyn Rows) -> io::Result<u64> {
        let mut written = 0;
        for uses in self.uses() {
            let waiter = runner(&uses.runner);
            for meanwhile in &uses.ran_instead {
                let ran = runner(&meanwhile.runner);
                for &(cpu, ns) in &meanwhile.cpus {
                    rows.row(&[self.host.into(), waiter.as_str().into(), ran.as_str().into(), cpu.into(), ns.into()])?;
                    written += 1;
                }
            }
        }
        Ok(written)
    }
}

fn runner(runner: &Runner) -> String {
    match runner {
        Runner::Container(key) => key.id(),
        Runner::Host => HOST.into(),
        Runner::Kernel => "kernel".into(),
        Runner::Idle => "idle".into(),
        Runner::Unknown => "unknown".into(),
    }
}
