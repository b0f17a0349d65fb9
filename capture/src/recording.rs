//! What to record, and where to: set up step by step, then started. Not here: how it is carried out.

use crate::backend::{self, Backend};
use crate::command;
use crate::error::{Error, Result};
use crate::file::Older;
use crate::handle::Handle;
use crate::live::Live;
use crate::perf::Wanted;
use crate::plan::{Output, Plan};
use crate::recorder::Recorder;
use crate::source::Source;
use crate::target::Target;
use nsscope_codec::perf_data::Visitor;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// A recording to be: the whole machine by the best backend there is, unless something else is asked for.
///
/// ```no_run
/// use nsscope_capture::{Backend, Recording};
/// use std::time::Duration;
///
/// let mut recorder = Recording::new().backend(Backend::Perf).compress(1).to_file("web.data")?;
/// recorder.run(Some(Duration::from_secs(10)), |_| {})?;
/// println!("{} records were lost", recorder.finish()?.lost);
/// # Ok::<(), nsscope_capture::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct Recording {
    target: Option<Target>,
    command: Vec<OsString>,
    source: Option<Box<dyn Source>>,
    handle: Option<Handle>,
    backend: Backend,
    wanted: Wanted,
    max_size: Option<usize>,
    stamped: bool,
    max_files: Option<u32>,
    compress: Option<i32>,
    without_synthesis: bool,
    without_names: bool,
    opened: Option<Opened>,
}

/// What is called once all is open.
type Opened = Box<dyn FnOnce(&'static str) -> Result<()> + Send>;

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("target", &self.target)
            .field("command", &self.command)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// The whole machine, by whichever backend works.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is recorded. By default the command, or the whole machine where there is none.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// A command to run: it starts once everything is set up, and the recording ends with it.
    pub fn command(mut self, command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    /// Where records come from.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// A source of your own instead of a backend.
    pub fn source(mut self, source: Box<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// A handle that was made before, so that a signal which comes early is not lost.
    pub fn handle(mut self, handle: Handle) -> Self {
        self.handle = Some(handle);
        self
    }

    /// Called with the name of the backend once all is open that needs privileges, and before any thread is started: to
    /// give up what is not needed any more. Whoever reads other users' processes, asks runtimes for names and begins new
    /// files needs `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH`, and where it may write.
    pub fn on_open(mut self, opened: impl FnOnce(&'static str) -> Result<()> + Send + 'static) -> Self {
        self.opened = Some(Box::new(opened));
        self
    }

    /// Size of the ring for each CPU, in bytes. By default as large as this user may have, up to 2 MiB.
    pub fn ring_size(mut self, bytes: usize) -> Self {
        self.wanted.ring_size = Some(bytes);
        self
    }

    /// Also samples what runs on each CPU, so often a second: CPU time by container. Needs perf.
    pub fn frequency(mut self, hertz: u32) -> Self {
        self.wanted.frequency = Some(hertz);
        self
    }

    /// Also records each context switch: exact CPU time, and who waited for whom. Needs perf or eBPF.
    pub fn switch_events(mut self) -> Self {
        self.wanted.switches = true;
        self
    }

    /// Also records, for each interval, how long the tasks of each container ran and waited, and how often: summed in the
    /// kernel, in place of each context switch. Who ran meanwhile is not said. Needs eBPF.
    pub fn summary(mut self, interval: Duration) -> Self {
        self.wanted.sums = Some(interval);
        self
    }

    /// Also records each wake-up, with the context switches: how long a task that slept waited for a CPU.
    pub fn wakeups(mut self) -> Self {
        (self.wanted.switches, self.wanted.wakeups) = (true, true);
        self
    }

    /// Compresses with zstd at this level, 1 to 22.
    pub fn compress(mut self, level: i32) -> Self {
        self.compress = Some(level);
        self
    }

    /// Begins a new file when this one has so many bytes, and keeps so many files, all by default: `FILE.1` is the one
    /// before, `FILE.2` the one before that.
    pub fn rotate(mut self, max_size: usize, max_files: Option<u32>) -> Self {
        (self.max_size, self.max_files) = (Some(max_size), max_files);
        self
    }

    /// The same, and a file that is complete is `FILE.TIME` from then on, the last one too, for whoever takes it away. The
    /// time is that of its end, ns since 1970 in 19 digits.
    pub fn rotate_with_timestamps(mut self, max_size: usize) -> Self {
        (self.max_size, self.stamped) = (Some(max_size), true);
        self
    }

    /// Keeps only the latest records, in memory, and writes them to the file when
    /// [asked to](crate::Handle::snapshot) and at the end. Needs perf.
    pub fn flight_recorder(mut self, max_files: Option<u32>) -> Self {
        (self.wanted.flight_recorder, self.max_files) = (true, max_files);
        self
    }

    /// Leaves out what runs already.
    pub fn without_synthesis(mut self) -> Self {
        self.without_synthesis = true;
        self
    }

    /// Does not ask runtimes what their containers are called.
    pub fn without_names(mut self) -> Self {
        self.without_names = true;
        self
    }

    /// Begins to record into a file. One that has its name becomes `FILE.old`.
    ///
    /// # Errors
    /// Where the kernel does not let us, the options do not go together, or the file cannot be created.
    pub fn to_file(self, path: impl Into<PathBuf>) -> Result<Recorder> {
        let numbered = self.wanted.flight_recorder || self.max_size.is_some();
        let older = match numbered {
            true if self.stamped => Older::Stamped,
            true => Older::Numbered(self.max_files),
            false => Older::One,
        };
        self.start(Output::File(path.into(), older))
    }

    /// Begins to record into a stream, in perf's pipe mode.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file); and a stream cannot be rotated or be a flight recorder's.
    pub fn to_pipe(self, out: impl Write + Send + 'static) -> Result<Recorder> {
        if self.wanted.flight_recorder || self.max_size.is_some() {
            return Err(Error::NeedsFile);
        }
        self.start(Output::Pipe(Some(Box::new(out))))
    }

    /// Begins to record without a file: `visitor` gets each record, in the order of their times.
    ///
    /// # Errors
    /// As [`to_file`](Self::to_file).
    pub fn live<V: Visitor>(self, visitor: V) -> Result<Live<V>> {
        Ok(Live::new(self.start(Output::Memory)?, visitor))
    }

    fn start(self, output: Output) -> Result<Recorder> {
        let held = if self.command.is_empty() { None } else { Some(command::hold(&self.command)?) };
        let target = match (&held, self.target) {
            (_, Some(target)) => target,
            (Some(held), None) => Target::Tasks { tids: vec![held.pid], on_exec: true },
            (None, None) => Target::System,
        };
        let source = match self.source {
            Some(source) => source,
            None => backend::open(&target, self.backend, &self.wanted)?,
        };
        let plan = Plan {
            max_size: self.max_size,
            compress: self.compress,
            synthesize: !self.without_synthesis,
            names: !self.without_names,
            flight_recorder: self.wanted.flight_recorder,
            limits: self.wanted.switches || self.wanted.sums.is_some(),
        };
        let handle = self.handle.map_or_else(Handle::new, Ok)?;
        let mut recorder = Recorder::open(source, target, plan, output, handle)?;
        if let Some(opened) = self.opened {
            opened(recorder.backend())?;
        }
        recorder.begin(held)?;
        Ok(recorder)
    }
}
