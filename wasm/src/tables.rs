//! The tables beside the picture: containers, processes and events. Not here: how a table is shown.

use crate::facts::{Event, Facts, What};
use crate::js::{inodes, object};
use crate::model::{Kind, names, text};
use crate::trace::Trace;
use js_sys::Array;
use nsscope_timeline::Keys;
use nsscope_timeline::order::distinct;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::select::title;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Trace {
    /// All containers, in order of appearance.
    #[wasm_bindgen(unchecked_return_type = "Container[]")]
    pub fn containers(&self) -> Array {
        let rows: Vec<(usize, u32)> = self.rows_of(Kind::Container).collect();
        let row = |index: usize| rows.iter().find(|&&(of, _)| of == index).map(|&(_, row)| row);
        let all = self.model.selection.containers.iter().zip(&self.model.selection.members).enumerate();
        all.map(|(index, (container, members))| {
            let pids = distinct(members.iter().map(|process| (u64::from(process.pid), 0)));
            let named = container.named.as_ref();
            object([
                ("id", container.id().into()),
                ("title", title(container).into()),
                ("name", named.map(|named| named.name.clone()).into()),
                ("image", named.map(|named| named.image.clone()).into()),
                ("kind", container.kind().into()),
                ("runtime", container.runtime().into()),
                ("cgroup", container.cgroup.clone().into()),
                ("why", container.why.clone().into()),
                ("ownNamespaces", container.own_namespaces().collect::<Vec<_>>().into()),
                ("namespaces", inodes(&container.namespaces).into()),
                ("processes", container.processes.into()),
                ("peakProcesses", container.peak_processes.into()),
                ("threads", container.threads.into()),
                ("cpu", (container.cpu as f64).into()),
                ("samples", (container.samples as f64).into()),
                ("first", self.since(container.start).into()),
                ("firstExact", container.start_exact.into()),
                ("last", container.end.map(|last| self.since(last)).into()),
                ("commands", container.commands.clone().into()),
                ("pids", pids.into_iter().map(|(pid, _)| JsValue::from(pid as u32)).collect::<Array>().into()),
                ("row", row(index).into()),
            ])
        })
        .collect()
    }

    /// How many containers there are.
    #[wasm_bindgen(js_name = containerCount)]
    pub fn container_count(&self) -> usize {
        self.model.selection.containers.len()
    }

    /// How many processes have rows.
    #[wasm_bindgen(js_name = processCount)]
    pub fn process_count(&self) -> usize {
        self.model.processes.len()
    }

    /// Some of the processes, children behind their parents. The order is made anew at each call, so ask for many.
    #[wasm_bindgen(unchecked_return_type = "Process[]")]
    pub fn processes(&self, from: usize, count: usize) -> Array {
        let timeline = &self.known().timeline;
        let rows: Vec<(usize, u32)> = self.rows_of(Kind::Process).collect();
        in_tree_order(&self.model.processes)
            .into_iter()
            .skip(from)
            .take(count)
            .map(|(depth, index)| {
                let process = &self.model.processes[index];
                let leader = timeline.task_at(process.leader);
                let container = self.model.container_of[index].map(|at| &self.model.selection.containers[at as usize]);
                object([
                    ("row", rows[index].1.into()),
                    ("pid", process.pid.into()),
                    ("ppid", process.ppid.into()),
                    ("inside", leader.inner_pid().into()),
                    ("depth", depth.into()),
                    ("commands", names(timeline, leader).into()),
                    ("container", container.map(title).into()),
                    ("threads", process.threads.len().into()),
                    ("start", self.since(process.start).into()),
                    ("startExact", process.start_exact.into()),
                    ("end", process.end.map(|end| self.since(end)).into()),
                ])
            })
            .collect()
    }

    /// Lists only the events that pass a filter and are of some kinds, a bit for each of `FileFacts.eventKinds`. Returns how many
    /// there are.
    ///
    /// # Errors
    /// Throws where the filter cannot be understood.
    #[wasm_bindgen(js_name = filterEvents)]
    pub fn filter_events(&mut self, filter: &str, kinds: u32) -> Result<usize, JsError> {
        let filter = filter.parse().map_err(|error: String| JsError::new(&error))?;
        let mut model = std::mem::take(&mut self.model);
        model.filter_events(self.known(), &self.definition, &filter, kinds);
        self.model = model;
        Ok(self.model.event_count(self.known()))
    }

    /// Some of the events that are listed, in time order.
    #[wasm_bindgen(unchecked_return_type = "TraceEvent[]")]
    pub fn events(&self, from: usize, count: usize) -> Array {
        let facts = self.known();
        let mut keys = facts.timeline.keys(&self.definition);
        self.model.events(facts, from, count).map(|event| self.event(facts, event, &mut keys)).collect()
    }

    /// The place in the list of the first event at this time or later.
    #[wasm_bindgen(js_name = eventAt)]
    pub fn event_at(&self, time: f64) -> usize {
        self.model.event_at(self.known(), (time.max(0.0) as u64).saturating_add(self.span().0))
    }
}

impl Trace {
    fn event(&self, facts: &Facts, event: &Event, keys: &mut Keys<'_>) -> JsValue {
        let timeline = &facts.timeline;
        let key = event.membership.map(|membership| keys.of_membership(membership).map(|number| keys.key(number)));
        let container = match key {
            None => String::new(),
            Some(None) => "host".into(),
            Some(Some(key)) => match timeline.named(key).filter(|named| !named.name.is_empty()) {
                Some(named) => named.name,
                None => timeline.title_of(key),
            },
        };
        let host = timeline.host();
        let name = |name: u32| text(timeline.names().get(name));
        let detail = match event.what {
            What::Namespaces(set) => {
                let set = timeline.ns_sets().get(set);
                let own: Vec<_> = set.differences(&host).map(|kind| set.label(kind)).collect();
                if own.is_empty() { "the host's".into() } else { own.join(" ") }
            }
            What::Name(of) | What::Exec(of) => name(of),
            What::Fork(parent) => format!("from {parent}"),
            What::Exit => String::new(),
            What::Cgroup(set) => {
                let paths = timeline.cgroup_paths(set).into_iter();
                paths
                    .map(|(root, path)| if root == 0 { path } else { format!("{root}:{path}") })
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            What::Lost(count) => format!("{count} records"),
        };
        object([
            ("time", self.since(event.time).into()),
            ("kind", What::KINDS[event.what.kind()].into()),
            ("pid", event.pid.into()),
            ("tid", event.tid.into()),
            ("comm", event.name.map(name).unwrap_or_default().into()),
            ("container", container.into()),
            ("detail", detail.into()),
        ])
    }
}
