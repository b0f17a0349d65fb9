//! The decoder and the timeline for the browser and Node.
//!
//! A caller asks for the offset that is [`wanted`](Capture::wanted), pushes the bytes that are there, and repeats
//! until nothing is wanted any more; nothing here reads files or knows about pages.

use nsscope_codec::perf_data::{Feature, Ordered, Reader, Session, Visitor};
use nsscope_codec::{Error, ErrorKind, Order, RawRecord};
use nsscope_timeline::{Definition, Timeline};
use wasm_bindgen::prelude::*;

/// How much is held for sorting, in bytes.
const SORT_LIMIT: usize = 64 << 20;

/// A perf.data file that is being read.
#[wasm_bindgen]
pub struct Capture {
    reader: Reader,
    ordered: Option<Ordered<Facts>>,
    facts: Facts,
}

/// What is known of the records so far.
#[derive(Default)]
struct Facts {
    timeline: Timeline,
    records: u64,
    faults: Vec<String>,
    faulty: u64,
}

/// Faults that are told; the others are counted.
const FAULTS_TOLD: usize = 20;

impl Visitor for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.records += u64::from(!record.kind().is_user());
        self.timeline.push(session, &record);
    }

    fn fault(&mut self, error: Error) {
        self.faulty += 1;
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(error.to_string());
        }
    }
}

/// A container that the records reveal.
#[wasm_bindgen(getter_with_clone)]
pub struct Container {
    /// The runtime's id, or `pid:[inode]` of its pid namespace.
    pub id: String,
    /// The runtime, where the cgroup path tells it.
    pub runtime: Option<String>,
    /// The cgroup path, where that is the evidence.
    pub cgroup: Option<String>,
    /// The namespaces in which it differs from the host, `net:[4026532000]`.
    #[wasm_bindgen(js_name = ownNamespaces)]
    pub own_namespaces: Vec<String>,
    /// Processes that were in it.
    pub processes: u32,
    /// Most processes in it at one time.
    #[wasm_bindgen(js_name = peakProcesses)]
    pub peak_processes: u32,
    /// Threads that were in it.
    pub threads: u32,
    /// When it was first seen, in seconds from the capture's beginning.
    pub first: f64,
    /// Whether `first` is its beginning; otherwise it was there before.
    #[wasm_bindgen(js_name = firstExact)]
    pub first_exact: bool,
    /// When its last process ended, in seconds from the capture's beginning; undefined while one runs.
    pub last: Option<f64>,
    /// Names its processes had, in order of appearance.
    pub commands: Vec<String>,
}

#[wasm_bindgen]
impl Capture {
    /// A capture of which nothing is read yet.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::new_without_default, reason = "JavaScript has constructors")]
    pub fn new() -> Self {
        Self {
            reader: Reader::new(),
            ordered: Some(Ordered::new(Facts::default(), SORT_LIMIT)),
            facts: Facts::default(),
        }
    }

    /// Offset in the file, in bytes, of the chunk to push next; undefined once all is read.
    pub fn wanted(&mut self) -> Option<f64> {
        let wanted = self.reader.wanted();
        if wanted.is_none() {
            self.end();
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

    /// Records of the kernel read.
    pub fn records(&self) -> f64 {
        self.known().records as f64
    }

    /// Damage met on the way, in words, the first of it.
    pub fn faults(&self) -> Vec<String> {
        self.known().faults.clone()
    }

    /// How often damage was met.
    #[wasm_bindgen(js_name = faultCount)]
    pub fn fault_count(&self) -> f64 {
        let facts = self.known();
        (facts.faulty + facts.timeline.faulty()) as f64
    }

    /// Records that the kernel could not deliver.
    pub fn lost(&self) -> f64 {
        self.known().timeline.lost().iter().map(|lost| lost.count as f64).sum()
    }

    /// Threads seen.
    pub fn threads(&self) -> f64 {
        self.known().timeline.threads_seen() as f64
    }

    /// Whether any record tells a task's namespaces.
    #[wasm_bindgen(js_name = hasNamespaces)]
    pub fn has_namespaces(&self) -> bool {
        !self.known().timeline.ns_sets().values().is_empty()
    }

    /// Length of the recording in seconds.
    pub fn duration(&self) -> f64 {
        let (first, last) = self.known().timeline.span().unwrap_or_default();
        seconds(last.saturating_sub(first))
    }

    /// When the recording began, in ms since 1970, where the file tells.
    pub fn began(&self) -> Option<f64> {
        let (first, _) = self.known().timeline.span()?;
        self.reader.session().wall_clock(first).map(|ns| ns as f64 / 1e6)
    }

    /// Name of the machine.
    pub fn hostname(&self) -> Option<String> {
        self.reader.session().text(Feature::HOSTNAME)
    }

    /// Release of its kernel.
    pub fn kernel(&self) -> Option<String> {
        self.reader.session().text(Feature::OSRELEASE)
    }

    /// The containers, in order of appearance.
    pub fn containers(&self) -> Vec<Container> {
        let timeline = &self.known().timeline;
        let (start, _) = timeline.span().unwrap_or_default();
        let since = |time: u64| seconds(time.saturating_sub(start));
        let containers = timeline.containers(&Definition::auto()).into_iter();
        containers
            .map(|container| Container {
                id: container.id(),
                runtime: container.runtime().map(Into::into),
                own_namespaces: container.own_namespaces().collect(),
                processes: container.processes as u32,
                peak_processes: container.peak_processes as u32,
                threads: container.threads as u32,
                first: since(container.first),
                first_exact: container.first_exact,
                last: container.last.map(since),
                cgroup: container.cgroup,
                commands: container.commands,
            })
            .collect()
    }

    fn end(&mut self) {
        if let Some(ordered) = self.ordered.take() {
            self.facts = ordered.finish(self.reader.session());
            self.facts.timeline.finish(self.reader.session());
        }
    }

    fn known(&self) -> &Facts {
        self.ordered.as_ref().map_or(&self.facts, Ordered::visitor)
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// What is wrong with a file that cannot be read at all.
fn in_words(error: &Error) -> String {
    match error.kind {
        ErrorKind::Magic => error.kind.to_string(),
        ErrorKind::Truncated { room: 0, .. } if error.offset == 0 => "the file is empty".into(),
        _ => format!("not readable as perf.data: {error}"),
    }
}
