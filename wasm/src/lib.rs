//! The decoder and the timeline for the browser and Node.
//!
//! A caller asks for the offset that is [`wanted`](Trace::wanted), pushes the bytes that are there, and repeats until
//! nothing is wanted any more; nothing here reads files or knows about pages. At any time [`layout`](Trace::layout)
//! makes rows of what is known, which the other functions tell about. Times are ns since the recording's beginning.

mod facts;
mod model;
mod unzstd;

use facts::{Event, Facts, What};
use js_sys::{Array, Object, Reflect};
use model::{Kind, Model, View, names, text};
use nsscope_codec::perf_data::{Feature, Ordered, Reader};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::{Error, ErrorKind};
use nsscope_timeline::order::distinct;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::select::title;
use nsscope_timeline::{Container, Definition, Keys, NsSet, Since};
use wasm_bindgen::prelude::*;

/// How much is held for sorting, in bytes.
const SORT_LIMIT: usize = 64 << 20;
/// How many of the tasks that have ended get rows, where the page does not say; the others are counted.
const ENDED: usize = 150_000;
/// Most rows that a search tells.
const FOUND: usize = 10_000;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a row stands for: 0 all that is in no container, 1 a group such as a pod, 2 a container, 3 a process, 4 a thread. */
export type RowKind = 0 | 1 | 2 | 3 | 4;

/** A row of the picture. */
export interface Row {
  /** Its number, which stays until the next layout. */
  row: number;
  kind: RowKind;
  depth: number;
  label: string;
  /** What is told beside the label: a runtime, a command. */
  note: string;
  /** Whether it has rows below it. */
  expandable: boolean;
  open: boolean;
}

export interface Container {
  id: string;
  /** Its name, else its id, the long ones cut. */
  title: string;
  name: string | undefined;
  image: string | undefined;
  kind: string;
  runtime: string | undefined;
  cgroup: string | undefined;
  /** Sentences: the evidence that it is a container. */
  why: string[];
  /** The namespaces in which it differs from the host, `net:[4026532000]`. */
  ownNamespaces: string[];
  /** Inodes of its namespaces by `FileFacts.namespaceTypes`; 0 is not known. */
  namespaces: number[];
  processes: number;
  peakProcesses: number;
  threads: number;
  /** CPU time in ns that samples stand for. */
  cpu: number;
  samples: number;
  first: number;
  /** Whether `first` is its beginning; otherwise it was there before. */
  firstExact: boolean;
  /** When its last process ended; undefined while one runs. */
  last: number | undefined;
  commands: string[];
  pids: number[];
  row: number | undefined;
}

export interface Process {
  row: number;
  pid: number;
  ppid: number | undefined;
  /** The pid in the innermost pid namespace, where it is another. */
  inside: number | undefined;
  /** How deep it is in the tree of forks. */
  depth: number;
  commands: string[];
  container: string | undefined;
  threads: number;
  start: number;
  startExact: boolean;
  end: number | undefined;
}

export interface TraceEvent {
  time: number;
  kind: string;
  pid: number;
  tid: number;
  comm: string;
  container: string;
  detail: string;
}

export interface Details {
  title: string;
  /** What is told, by name. */
  lines: [string, string][];
  /** When it is there; undefined: until the end. */
  from: number;
  to: number | undefined;
  /** A filter that selects it. */
  filter: string;
}

export interface FileFacts {
  hostname: string | undefined;
  kernel: string | undefined;
  arch: string | undefined;
  version: string | undefined;
  command: string;
  /** ms since 1970, where the file tells. */
  began: number | undefined;
  /** ns. */
  duration: number;
  records: number;
  kinds: [string, number][];
  features: string[];
  threads: number;
  /** Threads that ended and have no row. */
  notShown: number;
  events: number;
  /** Events that are not listed. */
  unlisted: number;
  lost: { time: number; count: number }[];
  outside: number;
  faults: string[];
  faultCount: number;
  hasNamespaces: boolean;
  /** `perf`, `proc` or `snapshot`, where nsscope recorded. */
  backend: string | undefined;
  /** Between two looks at /proc, ns; 0 where the kernel told by itself. */
  interval: number;
  /** Types of the recorder's own namespaces, where it ran in a container. */
  insideOf: string[];
  /** The types of namespace, in the order of all lists of inodes. */
  namespaceTypes: string[];
  /** The kinds of events, by their bit in a mask. */
  eventKinds: string[];
  /** Inodes of the host's namespaces. */
  host: number[];
  /** The number that spans give the host's namespaces. */
  hostSet: number;
}
"#;

/// A perf.data file that is being read.
#[wasm_bindgen]
pub struct Trace {
    reader: Reader,
    ordered: Option<Ordered<Facts>>,
    facts: Facts,
    definition: Definition,
    model: Model,
    spans: Vec<i32>,
}

#[wasm_bindgen]
impl Trace {
    /// A capture of which nothing is read yet. `ended`: how many of the threads that have ended get rows, 150,000 by
    /// default; the others are counted.
    #[wasm_bindgen(constructor)]
    pub fn new(ended: Option<u32>) -> Self {
        let ended = ended.map_or(ENDED, |ended| ended as usize);
        Self {
            reader: Reader::new(),
            ordered: Some(Ordered::new(Facts::keeping(ended), SORT_LIMIT)),
            facts: Facts::default(),
            definition: Definition::auto(),
            model: Model::default(),
            spans: Vec::new(),
        }
    }

    /// Offset in the file, in bytes, of the chunk to push next; undefined once all is read.
    pub fn wanted(&mut self) -> Option<f64> {
        let wanted = self.reader.wanted();
        if wanted.is_none() {
            self.finish();
        }
        wanted.map(|offset| offset as f64)
    }

    /// Takes the bytes at the wanted offset, any number of them; none at the file's end.
    ///
    /// # Errors
    /// Throws where the file is not perf.data at all, or its header cannot be used.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), JsError> {
        let Some(ordered) = &mut self.ordered else { return Ok(()) };
        self.reader.push(chunk, ordered).map_err(|error| JsError::new(&in_words(&error)))
    }

    /// Nothing more will be pushed: what was read is all there is. Reading to the end does the same.
    pub fn finish(&mut self) {
        if let Some(ordered) = self.ordered.take() {
            self.facts = ordered.finish(self.reader.session());
            self.facts.timeline.finish(self.reader.session());
        }
    }

    /// Records of the kernel read.
    pub fn records(&self) -> f64 {
        self.known().records as f64
    }

    /// Length of the recording in ns.
    pub fn duration(&self) -> f64 {
        let (first, last) = self.span();
        last.saturating_sub(first) as f64
    }

    /// When the recording began, in ms since 1970, where the file tells.
    pub fn began(&self) -> Option<f64> {
        self.reader.session().wall_clock(self.span().0).map(|ns| ns as f64 / 1e6)
    }

    /// What is known of the file as a whole.
    #[wasm_bindgen(unchecked_return_type = "FileFacts")]
    pub fn facts(&self) -> JsValue {
        let (facts, session) = (self.known(), self.reader.session());
        let timeline = &facts.timeline;
        let lost = timeline
            .lost()
            .iter()
            .map(|lost| object([("time", self.since(lost.time).into()), ("count", (lost.count as f64).into())]));
        let kinds = facts.kinds.counts().map(|(name, count)| Array::of2(&name.into(), &(count as f64).into()));
        let features = (0..=u16::from(u8::MAX)).map(Feature).filter(|&feature| session.feature(feature).is_some());
        let recorder = timeline.recorder();
        object([
            ("hostname", session.text(Feature::HOSTNAME).into()),
            ("kernel", session.text(Feature::OSRELEASE).into()),
            ("arch", session.text(Feature::ARCH).into()),
            ("version", session.text(Feature::VERSION).into()),
            ("command", session.texts(Feature::CMDLINE).join(" ").into()),
            ("began", self.began().into()),
            ("duration", self.duration().into()),
            ("records", (facts.records as f64).into()),
            ("kinds", kinds.collect::<Array>().into()),
            (
                "features",
                features
                    .map(|feature| JsValue::from(feature.name().map_or_else(|| feature.0.to_string(), String::from)))
                    .collect::<Array>()
                    .into(),
            ),
            ("threads", (timeline.threads_seen() as f64).into()),
            ("notShown", (timeline.threads_gone() as f64).into()),
            ("events", (facts.events.len() as f64).into()),
            ("unlisted", (facts.unlisted as f64).into()),
            ("lost", lost.collect::<Array>().into()),
            ("outside", (timeline.outside() as f64).into()),
            ("faults", facts.faults.clone().into()),
            ("faultCount", ((facts.faulty + timeline.faulty()) as f64).into()),
            ("hasNamespaces", (!timeline.ns_sets().values().is_empty()).into()),
            ("backend", recorder.map(|recorder| recorder.backend.clone()).into()),
            ("interval", recorder.map_or(0, |recorder| recorder.interval).into()),
            ("insideOf", recorder.map(|recorder| recorder.own.clone()).unwrap_or_default().into()),
            ("namespaceTypes", NsKind::ALL.map(|kind| String::from(kind.name())).to_vec().into()),
            ("eventKinds", What::KINDS.map(String::from).to_vec().into()),
            ("host", inodes(&timeline.host()).into()),
            ("hostSet", timeline.ns_sets().number(&timeline.host()).map_or(0, |number| number + 1).into()),
        ])
    }

    /// Makes rows of what is known, by a definition of containers (`auto`, `runtime`, `perf`, `by:NS,...`) and a filter
    /// (`container=web comm~nginx`). Returns how many there are.
    ///
    /// # Errors
    /// Throws where one of the two cannot be understood.
    pub fn layout(&mut self, definition: &str, filter: &str) -> Result<usize, JsError> {
        self.definition = definition.parse().map_err(|error: String| JsError::new(&error))?;
        let filter = filter.parse().map_err(|error: String| JsError::new(&error))?;
        self.model = Model::new(self.known(), &self.definition, &filter);
        Ok(self.model.rows.len())
    }

    /// How many rows are not folded away.
    #[wasm_bindgen(js_name = visibleRows)]
    pub fn visible_rows(&self) -> usize {
        self.model.visible.len()
    }

    /// Some of the rows that are not folded away.
    #[wasm_bindgen(unchecked_return_type = "Row[]")]
    pub fn rows(&self, from: usize, count: usize) -> Array {
        self.model.visible.iter().skip(from).take(count).map(|&row| self.row(row)).collect()
    }

    /// Folds a row, or unfolds it.
    pub fn toggle(&mut self, row: u32) {
        self.model.toggle(row);
    }

    /// Folds or unfolds all.
    #[wasm_bindgen(js_name = toggleAll)]
    pub fn toggle_all(&mut self, open: bool) {
        self.model.toggle_all(open);
    }

    /// Unfolds all that a row belongs to. Returns where it then is among the visible rows.
    pub fn reveal(&mut self, row: u32) -> Option<u32> {
        self.model.reveal(row)
    }

    /// Rows in which a text is found: commands, pids, ids, names, cgroups, `net:[4026532000]`. At most 10,000.
    pub fn search(&self, text: &str) -> Vec<u32> {
        self.model.search(&self.known().timeline, text, FOUND)
    }

    /// What is to be drawn of `count` visible rows from row `first` on, between two times, on so many pixels. Returns
    /// how many words there are at [`spansAt`](Self::spans_at), five a span: the row's place among the visible, left and
    /// right in 1/16 pixel, shape and flags, value.
    ///
    /// Shapes: 0 a life with namespace set `value`, 1 an exec, 2 a change to namespace set `value`, 3 so many processes,
    /// 4 so many samples, of 255. Flags: 256 it was there before, 512 it goes on.
    pub fn spans(&mut self, first: usize, count: usize, from: f64, to: f64, pixels: f64) -> usize {
        let begin = self.span().0 as f64;
        let view = View { from: from + begin, to: to + begin, pixels: pixels.clamp(0.0, 20_000.0) };
        let mut spans = std::mem::take(&mut self.spans);
        self.model.spans(&self.known().timeline, first, count, view, &mut spans);
        self.spans = spans;
        self.spans.len()
    }

    /// Where in the module's memory the words are, in bytes: `new Int32Array(memory.buffer, spansAt(), length)`. Valid
    /// until the next call of anything here.
    #[wasm_bindgen(js_name = spansAt)]
    pub fn spans_at(&self) -> usize {
        self.spans.as_ptr() as usize
    }

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
                ("first", self.since(container.first).into()),
                ("firstExact", container.first_exact.into()),
                ("last", container.last.map(|last| self.since(last)).into()),
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
                let leader = timeline.at(process.leader);
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
                self.told("the host", lines, (self.span().0, None), "container=host".into())
            }
            Kind::Group => {
                let group = &selection.groups[row.of as usize];
                let containers = || group.containers.iter().map(|&at| &selection.containers[at]);
                let mut lines = vec![("why".to_string(), group.why.clone())];
                lines.extend(containers().map(|container| ("container".into(), title(container))));
                let first = containers().map(|container| container.first).min();
                let last = containers().map(|container| container.last).collect::<Option<Vec<_>>>();
                let last = last.and_then(|ends| ends.into_iter().max());
                let filter = format!("{}={}", group.kind, group.id);
                self.told(&group.title(), lines, (first.unwrap_or(0), last), filter)
            }
            Kind::Container => {
                let container = &selection.containers[row.of as usize];
                let span = (container.first, container.last);
                self.told(&title(container), container_lines(container), span, format!("container={}", container.id()))
            }
            Kind::Process => {
                let process = &self.model.processes[row.of as usize];
                let lines = self.task_lines(process.leader, process.ppid);
                let span = (process.start, process.end);
                self.told(&format!("process {}", process.pid), lines, span, format!("pid={}", process.pid))
            }
            Kind::Thread => {
                let thread = timeline.at(row.of as usize);
                let lines = self.task_lines(row.of as usize, Some(thread.pid));
                let span = (thread.start, thread.end);
                self.told(&format!("thread {}", thread.tid), lines, span, format!("pid={}", thread.pid))
            }
        }
    }

    /// What passes the layout's filter, as JSON: containers with their processes, and the events of the list.
    ///
    /// # Errors
    /// Throws where that is more than a text can hold.
    pub fn export(&self) -> Result<String, JsError> {
        let value = object([
            ("facts", self.facts()),
            ("containers", self.containers().into()),
            ("processes", self.processes(0, usize::MAX).into()),
            ("events", self.events(0, usize::MAX).into()),
        ]);
        let text = js_sys::JSON::stringify_with_replacer_and_space(&value, &JsValue::NULL, &2.into());
        text.map(String::from).map_err(|_| JsError::new("this cannot be told as JSON"))
    }
}

impl Trace {
    fn known(&self) -> &Facts {
        self.ordered.as_ref().map_or(&self.facts, Ordered::visitor)
    }

    fn span(&self) -> (u64, u64) {
        self.known().timeline.span().unwrap_or_default()
    }

    /// ns since the recording's beginning.
    fn since(&self, time: u64) -> f64 {
        time.saturating_sub(self.span().0) as f64
    }

    fn rows_of(&self, kind: Kind) -> impl Iterator<Item = (usize, u32)> {
        let rows = self.model.rows.iter().enumerate().filter(move |(_, row)| row.kind == kind);
        rows.map(|(number, row)| (row.of as usize, number as u32))
    }

    fn row(&self, number: u32) -> JsValue {
        let timeline = &self.known().timeline;
        let row = &self.model.rows[number as usize];
        let (label, note) = match row.kind {
            Kind::Host => ("host".into(), "in no container".into()),
            Kind::Group => (self.model.selection.groups[row.of as usize].title(), String::new()),
            Kind::Container => {
                let container = &self.model.selection.containers[row.of as usize];
                (title(container), container.kind())
            }
            Kind::Process => {
                let process = &self.model.processes[row.of as usize];
                let leader = timeline.at(process.leader);
                let inside = leader.inner_pid().map_or(String::new(), |pid| format!(" (inside {pid})"));
                (timeline.last_name(leader).unwrap_or_default(), format!("{}{inside}", process.pid))
            }
            Kind::Thread => {
                let thread = timeline.at(row.of as usize);
                (timeline.last_name(thread).unwrap_or_default(), format!("thread {}", thread.tid))
            }
        };
        object([
            ("row", number.into()),
            ("kind", (row.kind as u8).into()),
            ("depth", row.depth.into()),
            ("label", label.into()),
            ("note", note.into()),
            ("expandable", (row.end > number + 1).into()),
            ("open", row.open.into()),
        ])
    }

    fn event(&self, facts: &Facts, event: &Event, keys: &mut Keys<'_>) -> JsValue {
        let timeline = &facts.timeline;
        let key = event.place.map(|place| keys.of_place(place).map(|number| keys.key(number)));
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

    fn task_lines(&self, index: usize, ppid: Option<u32>) -> Vec<(String, String)> {
        let timeline = &self.known().timeline;
        let task = timeline.at(index);
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

    fn told(&self, title: &str, lines: Vec<(String, String)>, span: (u64, Option<u64>), filter: String) -> JsValue {
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

/// Seconds with so many digits behind the point, from ns; without the floating point that takes 20 kilobytes of wasm.
fn seconds(nanoseconds: u64, digits: u32) -> String {
    let unit = 10u64.pow(9 - digits);
    let all = nanoseconds.saturating_add(unit / 2) / unit;
    let whole = 10u64.pow(digits);
    format!("{}.{:0width$} s", all / whole, all % whole, width = digits as usize)
}

fn inodes(set: &NsSet) -> Array {
    NsKind::ALL.iter().map(|&kind| JsValue::from(set.get(kind).ino as f64)).collect()
}

fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A plain object takes any field.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// What is wrong with a file that cannot be read at all.
fn in_words(error: &Error) -> String {
    match error.kind {
        ErrorKind::Magic => error.kind.to_string(),
        ErrorKind::Truncated { room: 0, .. } if error.offset == 0 => "the file is empty".into(),
        _ => format!("not readable as perf.data: {error}"),
    }
}
