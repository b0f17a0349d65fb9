//! A file that is being read, and the rows made of it. Not here: what the records mean.

use crate::blocks::{Block, Placed};
use crate::draw::View;
use crate::facts::{Facts, What};
use crate::js::{in_words, inodes, object};
use crate::model::{Kind, Model};
use js_sys::Array;
use nsscope_codec::perf_data::{Feature, Ordered, Reader};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::Definition;
use nsscope_timeline::select::title;
use wasm_bindgen::prelude::*;

/// How much is held for sorting, in bytes.
const SORT_LIMIT: usize = 64 << 20;
/// How many of the tasks that have ended get rows, where the page does not say; the others are counted.
const ENDED: usize = 150_000;
/// Most rows that a search tells.
const FOUND: usize = 10_000;

/// A perf.data file that is being read.
#[wasm_bindgen]
pub struct Trace {
    pub(crate) reader: Reader,
    pub(crate) placed: Option<Placed>,
    pub(crate) facts: Facts,
    /// Where the switches are in the file, once all is read.
    pub(crate) blocks: Vec<Block>,
    pub(crate) definition: Definition,
    pub(crate) model: Model,
    pub(crate) spans: Vec<i32>,
    /// What the page took last of the CPUs: times, and three words for each.
    pub(crate) taken: (Vec<f64>, Vec<u32>),
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
            placed: Some(Placed::new(Ordered::new(Facts::keeping(ended), SORT_LIMIT))),
            facts: Facts::default(),
            blocks: Vec::new(),
            definition: Definition::auto(),
            model: Model::default(),
            spans: Vec::new(),
            taken: Default::default(),
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
        let Some(placed) = &mut self.placed else { return Ok(()) };
        self.reader.push(chunk, placed).map_err(|error| JsError::new(&in_words(&error)))
    }

    /// Nothing more will be pushed: what was read is all there is. Reading to the end does the same.
    pub fn finish(&mut self) {
        if let Some(Placed { ordered, blocks, .. }) = self.placed.take() {
            self.blocks = blocks;
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
            ("notShown", (timeline.threads_not_kept() as f64).into()),
            ("events", (facts.events.len() as f64).into()),
            ("unlisted", (facts.unlisted as f64).into()),
            ("lost", lost.collect::<Array>().into()),
            ("outside", (timeline.outside_pid_namespace() as f64).into()),
            ("faults", facts.faults.clone().into()),
            ("faultCount", ((facts.faulty + timeline.malformed()) as f64).into()),
            ("hasNamespaces", (!timeline.ns_sets().values().is_empty()).into()),
            ("backend", recorder.map(|recorder| recorder.backend.clone()).into()),
            ("interval", recorder.map_or(0, |recorder| recorder.interval).into()),
            ("insideOf", recorder.map(|recorder| recorder.own_namespaces.clone()).unwrap_or_default().into()),
            ("namespaceTypes", NsKind::ALL.map(|kind| String::from(kind.name())).to_vec().into()),
            ("eventKinds", What::KINDS.map(String::from).to_vec().into()),
            ("host", inodes(&timeline.host()).into()),
            ("hostSet", timeline.ns_sets().number(&timeline.host()).map_or(0, |number| number + 1).into()),
        ])
    }

    /// Makes rows of what is known, by a definition of containers (`auto`, `runtime`, `perf`, `by:NS,...`) and a filter
    /// (`container=web comm~nginx`). Returns how many there are.
    ///
    /// `group` puts containers together that have one `kind` or one `image`, or `none`; without it pods and projects are.
    /// `ranks` has a number for each container, in the order of `containers`: their rows are in the order of these.
    ///
    /// # Errors
    /// Throws where one of the two cannot be understood.
    pub fn layout(
        &mut self,
        definition: &str,
        filter: &str,
        group: Option<String>,
        ranks: Option<Vec<u32>>,
    ) -> Result<usize, JsError> {
        self.definition = definition.parse().map_err(|error: String| JsError::new(&error))?;
        let filter = filter.parse().map_err(|error: String| JsError::new(&error))?;
        self.model =
            Model::new(self.known(), &self.definition, &filter, &group.unwrap_or_default(), &ranks.unwrap_or_default());
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
}

impl Trace {
    pub(crate) fn known(&self) -> &Facts {
        self.placed.as_ref().map_or(&self.facts, |placed| placed.ordered.visitor())
    }

    pub(crate) fn span(&self) -> (u64, u64) {
        self.known().timeline.span().unwrap_or_default()
    }

    /// ns since the recording's beginning.
    pub(crate) fn since(&self, time: u64) -> f64 {
        time.saturating_sub(self.span().0) as f64
    }

    pub(crate) fn rows_of(&self, kind: Kind) -> impl Iterator<Item = (usize, u32)> {
        let rows = self.model.rows.iter().enumerate().filter(move |(_, row)| row.kind == kind);
        rows.map(|(number, row)| (row.of as usize, number as u32))
    }

    fn row(&self, number: u32) -> JsValue {
        let timeline = &self.known().timeline;
        let row = &self.model.rows[number as usize];
        let (label, note) = match row.kind {
            Kind::Host => ("host".into(), "in no container".into()),
            Kind::Group => {
                let group = &self.model.selection.groups[row.of as usize];
                (group.title(), group.containers.len().to_string())
            }
            Kind::Container => {
                let container = &self.model.selection.containers[row.of as usize];
                (title(container), container.kind())
            }
            Kind::Process => {
                let process = &self.model.processes[row.of as usize];
                let leader = timeline.task_at(process.leader);
                let inside = leader.inner_pid().map_or(String::new(), |pid| format!(" (inside {pid})"));
                (timeline.last_name(leader).unwrap_or_default(), format!("{}{inside}", process.pid))
            }
            Kind::Thread => {
                let thread = timeline.task_at(row.of as usize);
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
}
