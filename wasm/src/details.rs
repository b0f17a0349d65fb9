//! All that is known of one row. Not here: what rows there are.

use crate::js::{object, seconds};
use crate::model::{Kind, text};
use crate::trace::Trace;
use js_sys::Array;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::select::title;
use nsscope_timeline::{Container, Limit, NsSet, Since};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Trace {
    /// What is known of what a row stands for.
    #[wasm_bindgen(unchecked_return_type = "Details | undefined")]
    pub fn details(&self, row: u32) -> JsValue {
        let timeline = &self.known().timeline;
        let Some(row) = self.model.rows.get(row as usize) else { return JsValue::UNDEFINED };
        let selection = &self.model.selection;
        match row.kind {
            Kind::Host => {
                let host = timeline.host();
                let lines = NsKind::ALL.iter().filter(|kind| host.get(**kind).ino != 0);
                let lines = lines.map(|&kind| (kind.name().to_string(), host.label(kind))).collect();
                self.lines("the host", lines, (self.span().0, None), "container=host".into())
            }
            Kind::Group => {
                let group = &selection.groups[row.of as usize];
                let containers = || group.containers.iter().map(|&at| &selection.containers[at]);
                let mut lines = vec![("why".to_string(), group.why.clone())];
                lines.extend(containers().map(|container| ("container".into(), title(container))));
                let first = containers().map(|container| container.start).min();
                let last = containers().map(|container| container.end).collect::<Option<Vec<_>>>();
                let last = last.and_then(|ends| ends.into_iter().max());
                let filter = format!("{}={}", group.kind, group.id);
                self.lines(&group.title(), lines, (first.unwrap_or(0), last), filter)
            }
            Kind::Container => {
                let container = &selection.containers[row.of as usize];
                let span = (container.start, container.end);
                let mut lines = container_lines(container);
                if let Some(Limit { stat, .. }) = timeline.limit(&container.key) {
                    let periods = format!("{} of {} periods", stat.throttled_periods, stat.periods);
                    lines.push((
                        "throttled".into(),
                        format!("{} by its limit, in {periods}", seconds(stat.throttled, 3)),
                    ));
                }
                self.lines(&title(container), lines, span, format!("container={}", container.id()))
            }
            Kind::Process => {
                let process = &self.model.processes[row.of as usize];
                let lines = self.task_lines(process.leader, process.ppid);
                let span = (process.start, process.end);
                self.lines(&format!("process {}", process.pid), lines, span, format!("pid={}", process.pid))
            }
            Kind::Thread => {
                let thread = timeline.task_at(row.of as usize);
                let lines = self.task_lines(row.of as usize, Some(thread.pid));
                let span = (thread.start, thread.end);
                self.lines(&format!("thread {}", thread.tid), lines, span, format!("pid={}", thread.pid))
            }
        }
    }
}

impl Trace {
    fn task_lines(&self, index: usize, ppid: Option<u32>) -> Vec<(String, String)> {
        let timeline = &self.known().timeline;
        let task = timeline.task_at(index);
        let mut lines = vec![("pid".to_string(), task.tid.to_string())];
        if task.nspids.len() > 1 {
            let pids: Vec<_> = task.nspids.iter().map(u32::to_string).collect();
            lines.push(("pids inwards".into(), pids.join(" ")));
        }
        lines.extend(ppid.map(|ppid| (if task.leads() { "parent" } else { "process" }.into(), ppid.to_string())));
        let at = |time: u64| seconds(time.saturating_sub(self.span().0), 6);
        for Since { time, value, .. } in &task.names {
            lines.push(("name".into(), format!("{} from {}", text(timeline.names().get(*value)), at(*time))));
        }
        let host = timeline.host();
        let mut before: Option<NsSet> = None;
        for Since { time, value, source } in &task.namespaces {
            let set = *timeline.ns_sets().get(*value);
            let differs: Vec<_> = set.differences(&before.unwrap_or(host)).map(|kind| set.label(kind)).collect();
            let exact = if source.is_exact() { "" } else { ", inherited" };
            let what = match (differs.is_empty(), before) {
                (true, None) => "the host's".into(),
                (true, Some(_)) => "as before".into(),
                (false, _) => differs.join(" "),
            };
            lines.push(("namespaces".into(), format!("{what} from {}{exact}", at(*time))));
            before = Some(set);
        }
        for Since { time, value, source } in &task.cgroups {
            let paths: Vec<_> = timeline.cgroup_paths(*value).into_iter().map(|(_, path)| path).collect();
            let exact = if source.is_exact() { "" } else { ", inferred" };
            lines.push(("cgroup".into(), format!("{} from {}{exact}", paths.join(" "), at(*time))));
        }
        lines
    }

    fn lines(&self, title: &str, lines: Vec<(String, String)>, span: (u64, Option<u64>), filter: String) -> JsValue {
        let lines = lines.into_iter().map(|(name, value)| Array::of2(&name.into(), &value.into()));
        object([
            ("title", title.into()),
            ("lines", lines.collect::<Array>().into()),
            ("from", self.since(span.0).into()),
            ("to", span.1.map(|to| self.since(to)).into()),
            ("filter", filter.into()),
        ])
    }
}

fn container_lines(container: &Container) -> Vec<(String, String)> {
    let mut lines = vec![("id".to_string(), container.id()), ("kind".into(), container.kind())];
    if let Some(named) = &container.named {
        lines.push(("name".into(), named.name.clone()));
        lines.push(("image".into(), named.image.clone()));
        lines.extend(named.labels.iter().cloned());
    }
    if let Some(created) = &container.created {
        lines.push(("created by".into(), format!("{} in {}", created.by, seconds(created.ns, 4))));
    }
    if container.execs > 0 {
        lines.push(("execs".into(), format!("{}, {} of them health checks", container.execs, container.health_checks)));
    }
    lines.extend(container.why.iter().map(|why| ("why".into(), why.clone())));
    lines.extend(container.cgroup.clone().map(|path| ("cgroup".into(), path)));
    lines.extend(container.own_namespaces().map(|ns| ("own".into(), ns)));
    lines.push(("processes".into(), format!("{}, {} at a time", container.processes, container.peak_processes)));
    lines.push(("threads".into(), container.threads.to_string()));
    if container.cpu > 0 {
        lines.push(("CPU".into(), seconds(container.cpu, 3)));
    }
    lines.push(("commands".into(), container.commands.join(", ")));
    lines
}
