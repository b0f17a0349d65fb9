//! `nsscope record` and `nsscope snapshot`: from the kernel's rings, or /proc, into a perf.data file.

mod events;
mod features;
mod import;
mod names;
mod output;
mod pack;
mod synth;
mod tally;
mod tracefs;
mod workload;

pub(crate) use events::side_band_attr;
pub(crate) use import::run as import;
pub(crate) use synth::cgroup2_mount;
pub(crate) use tracefs::cgroup_tracepoints;

use crate::args::{self, Names};
use crate::error::{Failure, Outcome, note};
use crate::{sys, time};
use events::{Described, Events, Target};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use nsscope_codec::perf_data::Feature;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use output::Sink;
use pack::Packer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use synth::Synthesizer;
use tally::Tally;
use workload::Workload;

/// How long the kernel may keep records to itself when there are few.
const TICK: Duration = Duration::from_millis(100);

/// How many processes are read from /proc before the rings are looked at again.
const SYNTH_BATCH: usize = 64;

/// `nsscope record`.
pub(crate) fn run(args: &args::Record) -> Outcome {
    let signals = sys::count_signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let held = if args.command.is_empty() { None } else { Some(workload::hold(&args.command)?) };
    let target = match (&held, args.pid.as_slice()) {
        (Some(held), []) if !args.all => Target::Tasks { tids: vec![held.pid], on_exec: true },
        (_, []) => Target::System,
        (_, pids) => Target::Tasks { tids: threads_of(pids)?, on_exec: false },
    };
    let events = Events::open(&target, args.mmap_size, args.frequency)?;
    let mut sections = events.sections();
    let packer = match args.compress {
        Some(level) => {
            sections.push((Feature::COMPRESSED, pack::section(level)));
            sections.sort_by_key(|(feature, _)| *feature);
            Some(Packer::new(level)?)
        }
        None => None,
    };
    let sink = Sink::create(&args.output, &events.described, &sections)?;
    let mut recorder = Recorder::new(events, sink, packer);

    recorder.events.enable()?;
    if !args.no_synth {
        let processes = match (&target, &held) {
            (Target::System, _) => synth::processes(),
            (Target::Tasks { .. }, Some(held)) => synth::ancestry(held.pid),
            (Target::Tasks { .. }, None) => {
                let mut all: Vec<u32> = args.pid.iter().flat_map(|&pid| synth::ancestry(pid)).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        };
        recorder.synthesize(&processes, args.names)?;
    }
    let mut workload = match held.map(workload::Held::go) {
        None => None,
        Some(Ok(workload)) => Some(workload),
        Some(Err(failure)) => {
            recorder.sink.abandon();
            return Err(failure);
        }
    };

    let result = recorder.follow(&signals, args.duration, workload.as_mut(), matches!(target, Target::System));
    if matches!(result, Err(Failure::ClosedPipe)) {
        // Whoever read has gone; the command need not.
        while workload.as_mut().is_some_and(|workload| !workload.ended()) {
            std::thread::sleep(TICK);
        }
    } else {
        result?;
        recorder.finish()?;
    }
    Ok(ExitCode::from(workload.map_or(0, |workload| workload.exit_code())))
}

/// `nsscope snapshot`: what runs now, in the format of a recording.
pub(crate) fn snapshot(args: &args::Snapshot) -> Outcome {
    let described = snapshot_events();
    let mut sink = Sink::create(&args.output, &described, &features::sections(&described, &[]))?;
    let synth = all_that_runs(&described, args.names);
    let mut tally = Tally::new(layout(&described));
    tally.add(&synth.records, &[]);
    sink.append([synth.records.as_slice()])?;
    sink.finished_round()?;
    sink.span(tally.span)?;
    hidden(&synth);
    eprintln!(
        "nsscope: snapshot of {} threads, {} records, {} to {}",
        HumanCount(synth.tasks),
        HumanCount(tally.total()),
        HumanBytes(sink.bytes()),
        sink.name()
    );
    Ok(ExitCode::SUCCESS)
}

/// Hands out the system's records as they come, a stream in pipe mode. `go_on` is asked after each piece, at least
/// every [`TICK`], with what is over of it.
pub(crate) fn live(
    mut take: impl FnMut(&[u8]) -> Outcome<()>,
    mut go_on: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    let events = Events::open(&Target::System, None, None)?;
    take(&output::pipe_metadata(&events.described, &events.sections()))?;
    let mut recorder = Recorder::new(events, Sink::Memory(Vec::new()), None);
    recorder.events.enable()?;
    recorder.synthesize(&synth::processes(), Names::Auto)?;
    loop {
        // Without a record, too: a round that has ended lets those before it out.
        recorder.sink.finished_round()?;
        if let Sink::Memory(held) = &mut recorder.sink {
            take(held)?;
            held.clear();
        }
        if !go_on()? {
            return Ok(());
        }
        recorder.wait(None, None)?;
        recorder.drain()?;
    }
}

/// Hands out a stream in pipe mode of what runs now.
pub(crate) fn describe(mut push: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
    let described = snapshot_events();
    push(&output::pipe_metadata(&described, &features::sections(&described, &[])))?;
    let synth = all_that_runs(&described, Names::Auto);
    push(&synth.records)?;
    hidden(&synth);
    Ok(())
}

fn snapshot_events() -> Vec<Described> {
    let side_band = events::side_band(side_band_attr(), vec![1]);
    std::iter::once(side_band).chain(events::told_events()).collect()
}

fn all_that_runs(described: &[Described], names: Names) -> Synthesizer {
    let mut synth = Synthesizer::new(layout(described), 1);
    synth.kernel_map();
    synth.cgroups();
    if names == Names::Auto {
        synth.names();
    }
    for pid in synth::processes() {
        synth.process(pid);
    }
    synth
}

fn layout(described: &[Described]) -> SampleIdLayout {
    SampleIdLayout::new(SampleType(described.first().map_or(0, |event| event.attr.sample_type.get())))
}

/// All threads of the processes that the user named.
fn threads_of(pids: &[u32]) -> Outcome<Vec<u32>> {
    let mut tids = Vec::new();
    for &pid in pids {
        let threads = synth::threads(pid);
        if threads.is_empty() {
            return Err(Failure::new(format!("there is no process {pid}")));
        }
        tids.extend(threads);
    }
    Ok(tids)
}

fn hidden(synth: &Synthesizer) {
    if synth.hidden > 0 {
        note(format_args!(
            "the namespaces of {} of {} threads may not be read (other users' need CAP_SYS_PTRACE); they are left out",
            HumanCount(synth.hidden),
            HumanCount(synth.tasks)
        ));
    }
}

/// Whole records go to where the recording goes, compressed if so asked.
fn put<'a>(sink: &mut Sink, packer: &mut Option<Packer>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome<()> {
    match packer {
        Some(packer) => sink.append([packer.pack(pieces)?.as_slice()]),
        None => sink.append(pieces),
    }
}

/// A recording under way.
struct Recorder {
    events: Events,
    sink: Sink,
    packer: Option<Packer>,
    tally: Tally,
    layout: SampleIdLayout,
    started: Instant,
    /// The same in the recording's clock, ns.
    began: u64,
}

impl Recorder {
    fn new(events: Events, sink: Sink, packer: Option<Packer>) -> Self {
        let layout = layout(&events.described);
        Self { events, sink, packer, tally: Tally::new(layout), layout, started: Instant::now(), began: time::now() }
    }

    /// Describes what already runs, looking after the rings in between.
    fn synthesize(&mut self, processes: &[u32], names: Names) -> Outcome<()> {
        let id = self.events.described.first().and_then(|event| event.ids.first()).copied().unwrap_or(0);
        let mut synth = Synthesizer::new(self.layout, id);
        synth.kernel_map();
        synth.cgroups();
        if names == Names::Auto {
            synth.names();
        }
        for batch in processes.chunks(SYNTH_BATCH) {
            for &pid in batch {
                synth.process(pid);
            }
            self.tally.add(&synth.records, &[]);
            put(&mut self.sink, &mut self.packer, [synth.records.as_slice()])?;
            synth.records.clear();
            self.drain()?;
        }
        hidden(&synth);
        Ok(())
    }

    /// Takes what is in the rings. Returns whether there was anything.
    fn drain(&mut self) -> Outcome<bool> {
        let mut any = false;
        for (_, ring) in &mut self.events.rings {
            let available = ring.available();
            let len = available.len();
            if len == 0 {
                continue;
            }
            put(&mut self.sink, &mut self.packer, [available.first, available.second])?;
            self.tally.add(available.first, available.second);
            ring.release(len);
            any = true;
        }
        if any {
            self.sink.finished_round()?;
        }
        Ok(any)
    }

    /// Records until a signal, the end of the command or of the time. Without a command, the end of all targets.
    fn follow(
        &mut self,
        signals: &AtomicUsize,
        duration: Option<Duration>,
        mut workload: Option<&mut Workload>,
        system: bool,
    ) -> Outcome<()> {
        let deadline = duration.map(|duration| Instant::now() + duration);
        let live = ProgressBar::new_spinner();
        live.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let mut asked = 0;
        loop {
            let hung_up = self.wait(deadline, workload.as_deref())?;
            self.drain()?;
            self.show(&live);
            if workload.as_mut().is_some_and(|workload| workload.ended()) {
                break;
            }
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let signals = signals.load(Ordering::Relaxed);
            if signals > asked || (over && asked == 0) {
                asked = signals.max(1);
                match &workload {
                    // The first time the command is asked to end, and recorded until it does.
                    Some(workload) if signals < 2 => workload.terminate(),
                    _ => break,
                }
            }
            if hung_up && workload.is_none() && !system {
                break;
            }
        }
        live.finish_and_clear();
        Ok(())
    }

    /// Waits for records, for the command's end or a tick. Returns whether all targets have ended.
    fn wait(&self, deadline: Option<Instant>, workload: Option<&Workload>) -> Outcome<bool> {
        let mut fds: Vec<_> = self
            .events
            .rings
            .iter()
            .map(|&(owner, _)| PollFd::from_borrowed_fd(self.events.open[owner].fd(), PollFlags::IN))
            .collect();
        let rings = fds.len();
        fds.extend(workload.and_then(Workload::fd).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()).min(TICK));
        let timeout = Timespec::try_from(left).map_err(|_| Failure::new("the time is too long"))?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let hung_up = fds[..rings].iter().all(|fd| fd.revents().contains(PollFlags::HUP));
        if hung_up {
            // An event whose task has ended is always ready: do not spin on it.
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
        Ok(hung_up)
    }

    fn show(&self, live: &ProgressBar) {
        if live.is_hidden() {
            return;
        }
        live.set_message(format!(
            "recording {:.1} s  {} records  {} lost  {}  (Ctrl-C ends)",
            self.started.elapsed().as_secs_f64(),
            HumanCount(self.tally.total()),
            HumanCount(self.tally.lost),
            HumanBytes(self.sink.bytes())
        ));
        live.tick();
    }

    /// Takes the last records and says what there is.
    fn finish(mut self) -> Outcome<()> {
        self.events.disable();
        while self.drain()? {}
        // The recording's own span, which is more than that of its records where nothing happened.
        let span = self.tally.span.map(|(first, last)| (first.min(self.began), last.max(time::now())));
        self.sink.span(span)?;
        let kinds =
            self.tally.kinds.iter().map(|(&kind, &count)| {
                format!("{} {}", HumanCount(count), RecordType(kind).to_string().to_lowercase())
            });
        eprintln!(
            "nsscope: {} records ({}), {} lost, {} to {}",
            HumanCount(self.tally.total()),
            kinds.collect::<Vec<_>>().join(", "),
            HumanCount(self.tally.lost),
            HumanBytes(self.sink.bytes()),
            self.sink.name()
        );
        if self.tally.lost > 0 {
            note("records were lost because the rings were full: give them more room with -m 8M");
        }
        Ok(())
    }
}
