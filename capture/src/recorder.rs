//! A recording under way: takes records from their source into a file, and adds what no record says. Not here: how a
//! source gets its records.

use crate::clock;
use crate::command::{Held, Running};
use crate::compress::{self, Compressor};
use crate::error::{Error, Result};
use crate::events::layout;
use crate::features;
use crate::file::{Older, Sink};
use crate::flight;
use crate::handle::Handle;
use crate::limits::Limits;
use crate::machine;
use crate::names::{self, Follower, LAST_ANSWER, Said};
use crate::plan::{Output, Plan};
use crate::source::{Chunk, Source};
use crate::statistics::{Counter, Statistics, Summary};
use crate::synth::Synthesizer;
use crate::target::Target;
use crate::task;
use nsscope_codec::perf_data::Feature;
use nsscope_codec::wire::sample_id::SampleIdLayout;
use nsscope_codec::{Native, Records};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long the kernel may keep records to itself when there are few.
const TICK: Duration = Duration::from_millis(100);

/// How far apart rounds end at least. Readers sort what two rounds hold, so this is how late a record may come into its
/// ring: one takes its time first, and the CPU may be taken away from its writer in between.
const ROUND: Duration = Duration::from_millis(10);

/// How far apart the CPU time of cgroups is read.
const LIMITS: Duration = Duration::from_secs(1);

/// How many processes are read from /proc before the source is looked at again.
const SYNTH_BATCH: usize = 64;

/// A recording under way. It records until it is [finished](Self::finish) or dropped; what was recorded is in the file
/// either way.
pub struct Recorder {
    source: Box<dyn Source>,
    target: Target,
    plan: Plan,
    output: Output,
    pub(crate) sink: Sink,
    compressor: Option<Compressor>,
    counter: Counter,
    layout: SampleIdLayout,
    /// The command that is recorded.
    command: Option<Running>,
    handle: Handle,
    /// The numbers of namespaces (`NS_GET_ID`) that the file has, each behind the inode of a pid namespace.
    numbered: BTreeSet<(u64, u64)>,
    /// What runtimes have said that is in the file.
    said: Said,
    /// What runtimes say as it happens; `None`: nobody is asked.
    follower: Option<Follower>,
    /// CPU time of cgroups, and when it was read.
    limits: (Limits, Instant),
    /// When the last round ended.
    round: Instant,
    /// Bytes of the file's records at which it is full.
    full_at: u64,
    files: u64,
    started: Instant,
    /// The same in the recording's clock, ns.
    began: u64,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("source", &self.source.name())
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins to record.
    pub(crate) fn open(
        source: Box<dyn Source>,
        target: Target,
        plan: Plan,
        output: Output,
        handle: Handle,
    ) -> Result<Self> {
        let layout = layout(source.events());
        let now = Instant::now();
        let mut recorder = Self {
            counter: Counter::new(layout).following(&target),
            source,
            target,
            plan,
            output,
            sink: Sink::Memory(Vec::new()),
            compressor: None,
            layout,
            command: None,
            handle,
            numbered: BTreeSet::new(),
            said: Said::default(),
            follower: None,
            limits: (Limits::default(), now),
            round: now,
            full_at: u64::MAX,
            files: 0,
            started: now,
            began: clock::now(),
        };
        if !plan.flight_recorder {
            recorder.begin_file()?;
        }
        recorder.source.enable()?;
        let events = recorder.source.events().iter().map(|event| event.name.as_str());
        let events: Vec<&str> = events.filter(|name| !name.starts_with("nsscope:")).collect();
        log::debug!("recording by {}: {}", recorder.source.name(), events.join(", "));
        Ok(recorder)
    }

    /// Describes what runs already, and lets the command go.
    pub(crate) fn begin(&mut self, command: Option<Held>) -> Result<()> {
        if !self.plan.flight_recorder {
            self.synthesize().map_err(|error| self.cut_off(error))?;
        }
        match command.map(Held::go) {
            None => {}
            Some(Ok(running)) => self.command = Some(running),
            Some(Err(error)) => {
                std::mem::replace(&mut self.sink, Sink::Memory(Vec::new())).abandon();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Which source it has.
    pub(crate) fn backend(&self) -> &'static str {
        self.source.name()
    }

    /// What stops it, asks for a snapshot, or reads its statistics, from any thread or signal handler.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How much was recorded so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            records: self.counter.total(),
            lost: self.counter.lost,
            bytes: self.sink.bytes(),
            files: self.files,
            elapsed: self.started.elapsed(),
        }
    }

    /// The exit code of the command that was recorded, as a shell has it: 128 + n where signal n ended it. 0 without one.
    pub fn exit_code(&self) -> u8 {
        self.command.as_ref().map_or(0, Running::exit_code)
    }

    /// Records until it is stopped, for `duration` at most, until the command ends, or, without one, all targets.
    ///
    /// The first stop, or the end of the time, asks the command to end (`SIGTERM`), and it is recorded until it does; a
    /// second stop does not wait for it. After each round `each` may look at the statistics.
    ///
    /// # Errors
    /// Where the file cannot be written. [`Error::ClosedPipe`] where the reader of a stream has gone: the command has
    /// ended then.
    pub fn run(&mut self, duration: Option<Duration>, mut each: impl FnMut(&Statistics)) -> Result<()> {
        let result = self.follow(duration, &mut each).map_err(|error| self.cut_off(error));
        if matches!(result, Err(Error::ClosedPipe)) {
            // Whoever read has gone; the command need not.
            while self.command.as_mut().is_some_and(|command| !command.ended()) {
                std::thread::sleep(TICK);
            }
        }
        result
    }

    /// Where the file takes no more, what is in it is said, in the file too as far as it lets us.
    fn cut_off(&mut self, error: Error) -> Error {
        let Error::File { action: "write", path, source } = error else { return error };
        if self.counter.total() == 0 {
            return Error::File { action: "write", path, source };
        }
        let span = self.counter.span;
        // The disk may be full for this as well; the records are there either way.
        let _ = self.sink.span(span);
        let covered = span.map_or(0, |(first, last)| last.saturating_sub(first));
        Error::CutOff { path, source, records: self.counter.total(), covered: Duration::from_nanos(covered) }
    }

    fn follow(&mut self, duration: Option<Duration>, each: &mut dyn FnMut(&Statistics)) -> Result<()> {
        let deadline = duration.map(|duration| Instant::now() + duration);
        let (mut asked, mut written) = (0, 0);
        loop {
            let ended = self.wait(deadline)?;
            if self.plan.flight_recorder {
                self.source.tick();
                if self.handle.shared().snapshots() > written {
                    written = self.handle.shared().snapshots();
                    self.write_latest()?;
                    self.handle.shared().wrote(self.summary());
                }
            } else {
                self.round()?;
                if self.sink.bytes() >= self.full_at {
                    self.rotate()?;
                }
            }
            let statistics = self.statistics();
            self.handle.shared().set_statistics(statistics);
            each(&statistics);
            if self.command.as_mut().is_some_and(Running::ended) {
                break;
            }
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let stops = self.handle.shared().stops();
            if stops > asked || (over && asked == 0) {
                asked = stops.max(1);
                match &self.command {
                    // The first time the command is asked to end, and recorded until it does.
                    Some(command) if stops < 2 => command.terminate(),
                    _ => break,
                }
            }
            if ended && self.command.is_none() && self.target.tids().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for records, for the command's end or a tick. Returns whether all targets have ended.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        let interval = self.source.poll_interval();
        let tick = if interval.is_zero() { TICK } else { interval };
        let sources = self.source.fds();
        let command = self.command.as_ref().and_then(Running::fd);
        let all = sources.iter().copied().chain(command).chain([self.handle.shared().fd()]);
        let mut fds: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let left = deadline.map_or(tick, |deadline| deadline.saturating_duration_since(Instant::now()).min(tick));
        let timeout = Timespec::try_from(left).map_err(|_| Error::Invalid("the time is too long".into()))?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let watched = &fds[..sources.len()];
        let hung_up = !watched.is_empty() && watched.iter().all(|fd| fd.revents().contains(PollFlags::HUP));
        if hung_up {
            // An event whose task has ended is always ready: do not spin on it.
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
        Ok(self.source.ended(hung_up))
    }

    /// Takes what is there, asks for what no record tells, and ends the round if that may be.
    pub(crate) fn round(&mut self) -> Result<()> {
        self.source.tick();
        self.drain()?;
        self.ask()?;
        if self.round.elapsed() >= ROUND {
            self.round = Instant::now();
            self.sink.finished_round()?;
        }
        Ok(())
    }

    /// Takes what the source has. Returns whether there was anything.
    fn drain(&mut self) -> Result<bool> {
        let Self { source, sink, compressor, counter, .. } = self;
        source.drain(&mut |chunks: &[Chunk<'_>]| {
            put(sink, compressor, chunks.as_flattened())?;
            for [first, second] in chunks {
                counter.add(first, second);
            }
            Ok(())
        })
    }

    /// Asks for what no record tells: the cgroup of a process that was born into it (clone3 with `CLONE_INTO_CGROUP`),
    /// and what runtimes have said.
    fn ask(&mut self) -> Result<()> {
        let execs = std::mem::take(&mut self.counter.execs);
        let mut synth = self.synthesizer();
        let complete = self.source.is_complete();
        let moves = self.source.tracepoints().iter().any(|point| point.format.name == "cgroup_attach_task");
        for pid in execs {
            if !complete {
                synth.cgroup_now(pid, moves);
            }
            synth.numbers_now(pid, &mut self.numbered);
        }
        synth.names(&self.said.news(self.follower.iter().flat_map(Follower::answers)));
        if self.plan.limits && self.limits.1.elapsed() >= LIMITS {
            self.read_limits(&mut synth);
        }
        self.take(&mut synth)
    }

    fn read_limits(&mut self, synth: &mut Synthesizer) {
        synth.limits(&mut self.limits.0);
        self.limits.1 = Instant::now();
    }

    fn synthesizer(&self) -> Synthesizer {
        Synthesizer::of(self.source.events(), self.source.is_complete()).with_numbers()
    }

    /// What a recording begins with.
    fn preamble(&self, synth: &mut Synthesizer) {
        synth.kernel_map();
        synth.recorder(self.source.name(), self.source.poll_interval().as_nanos() as u32);
        synth.cgroups();
    }

    /// The processes to describe: all, or those recorded and those they descend from.
    fn running(&self) -> Vec<u32> {
        match self.target.members() {
            None => task::processes(),
            Some(tids) => {
                let live = self.counter.live.iter().flatten().chain(tids).copied();
                let mut all: Vec<u32> =
                    live.filter(|&pid| !task::threads(pid).is_empty()).flat_map(task::ancestry).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Describes what already runs, looking after the source in between.
    fn synthesize(&mut self) -> Result<()> {
        if !self.plan.synthesize {
            return self.sink.give_name();
        }
        if self.plan.names {
            // A new file is told all of it again.
            self.follower = Some(Follower::start());
        }
        let began = Instant::now();
        let mut synth = self.synthesizer();
        self.preamble(&mut synth);
        if self.plan.limits {
            // A file has all that there is at its beginning.
            self.limits.0 = Limits::default();
            self.read_limits(&mut synth);
        }
        for batch in self.running().chunks(SYNTH_BATCH) {
            for &pid in batch {
                self.source.describe_process(pid, &mut synth);
            }
            self.take(&mut synth)?;
            self.round()?;
        }
        // Whether a namespace has no process, only all processes together say.
        if self.target.members().is_none() {
            synth.kept();
            self.take(&mut synth)?;
        }
        log::debug!("{} tasks ran already: described from /proc in {:?}", synth.tasks, began.elapsed());
        synth.warn_of_hidden();
        if let Some(max) = self.plan.max_size {
            // What is there at the beginning of each file is not what fills it.
            self.full_at = (max as u64).max(2 * self.sink.bytes());
        }
        Ok(())
    }

    fn take(&mut self, synth: &mut Synthesizer) -> Result<()> {
        put(&mut self.sink, &mut self.compressor, &[&synth.records])?;
        self.counter.add(&synth.records, &[]);
        synth.records.clear();
        Ok(())
    }

    fn begin_file(&mut self) -> Result<()> {
        self.said = Said::default();
        self.numbered.clear();
        let mut sections = features::sections(self.source.events(), self.source.tracepoints());
        self.compressor = None;
        if let Some(level) = self.plan.compress {
            sections.push((Feature::COMPRESSED, compress::section(level)));
            sections.sort_by_key(|(feature, _)| *feature);
            self.compressor = Some(Compressor::new(level)?);
        }
        self.sink = match &mut self.output {
            Output::File(path, older) => Sink::create(path, *older, self.source.events(), &sections)?,
            Output::Pipe(out) => {
                let out = out.take().ok_or_else(|| Error::Invalid("a stream is one recording".into()))?;
                Sink::pipe(out, self.source.events(), &sections)?
            }
            Output::Memory => Sink::Memory(crate::file::pipe_metadata(self.source.events(), &sections)),
        };
        self.files += 1;
        Ok(())
    }

    /// Ends this file and begins the next, which tells all that runs, too.
    fn rotate(&mut self) -> Result<()> {
        let span = self.counter.span.take();
        self.sink.span(span)?;
        self.begin_file()?;
        self.synthesize()
    }

    /// Writes a file of what is in rings that are overwritten, and of what runs.
    fn write_latest(&mut self) -> Result<()> {
        let now = clock::now();
        let records = self.source.latest()?;
        let known = flight::facts_in(&*self.source, &records);
        self.counter = Counter::new(self.layout).following(&self.target);
        // Of several rings, each from its newest record on.
        for record in Records::<Native>::new(&records, 0).map_while(Result::ok) {
            self.counter.add(record.bytes(), &[]);
        }
        self.begin_file()?;
        if self.plan.synthesize {
            // What no record tells was so when the oldest was written.
            let mut synth = self.synthesizer();
            synth.dated = Some(self.counter.span.map_or(now, |(first, _)| first));
            synth.known = known;
            self.preamble(&mut synth);
            for pid in self.running() {
                synth.process(pid);
            }
            if self.plan.names {
                synth.names(&names::all());
            }
            self.take(&mut synth)?;
        }
        put(&mut self.sink, &mut self.compressor, &[&records])?;
        self.sink.finished_round()?;
        let span = self.counter.span.map(|(first, _)| (first, clock::now()));
        self.sink.span(span)
    }

    /// Takes the last records and completes the file. A flight recorder writes its file.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self) -> Result<Summary> {
        self.complete().map_err(|error| self.cut_off(error))
    }

    fn complete(&mut self) -> Result<Summary> {
        self.source.disable();
        if self.plan.flight_recorder {
            self.write_latest()?;
            return Ok(self.summary());
        }
        while self.drain()? {}
        if self.plan.limits {
            let mut synth = self.synthesizer();
            self.read_limits(&mut synth);
            self.take(&mut synth)?;
        }
        self.ask()?;
        if self.follower.take().is_some() {
            // Who was only just made or renamed, and whoever cannot be followed.
            let answers = names::ask().recv_timeout(LAST_ANSWER).unwrap_or_default();
            let mut synth = self.synthesizer();
            synth.names(&self.said.news(answers));
            self.take(&mut synth)?;
        }
        // The recording's own span, which is more than that of its records where nothing happened.
        let began = if self.files > 1 { u64::MAX } else { self.began };
        let span = self.counter.span.map(|(first, last)| (first.min(began), last.max(clock::now())));
        self.sink.span(span)?;
        if let Output::File(path, Older::Stamped) = &self.output {
            Older::Stamped.make_room(path).map_err(|error| Error::file("rename", path, error))?;
        }
        Ok(self.summary())
    }

    fn summary(&self) -> Summary {
        Summary {
            counts: self.counter.counts.clone(),
            lost: self.counter.lost,
            bytes: self.sink.bytes(),
            files: self.files,
            output: self.sink.name(),
            own_namespaces: machine::own_namespaces(),
        }
    }
}

/// Whole records go to where the recording goes, compressed if so asked.
fn put(sink: &mut Sink, compressor: &mut Option<Compressor>, pieces: &[&[u8]]) -> Result<()> {
    match compressor {
        Some(compressor) => sink.append(&[&compressor.compress(pieces)?]),
        None => sink.append(pieces),
    }
}
