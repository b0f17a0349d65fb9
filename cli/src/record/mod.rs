//! `nsscope record` and `nsscope snapshot`: from the kernel's rings, or /proc, into a perf.data file.

#[cfg(feature = "bpf")]
mod bpf;
#[cfg(not(feature = "bpf"))]
#[path = "no_bpf.rs"]
mod bpf;
mod dump;
mod events;
mod features;
mod import;
mod kept;
mod names;
mod output;
mod pack;
mod poll;
mod synth;
mod tally;
mod tracefs;
mod workload;

pub(crate) use bpf::ways as bpf_ways;
pub(crate) use events::side_band_attr;
pub(crate) use import::run as import;
pub(crate) use synth::cgroup2_mount;
pub(crate) use tracefs::cgroup_tracepoints;

use crate::args::{self, Backend, Names};
use crate::capture::Capture;
use crate::error::{Failure, Outcome, note};
use crate::select::{select, title};
use crate::{sys, time};
use bpf::Bpf;
use events::{Described, Events, Target};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use names::{Answer, Follower};
use nsscope_codec::perf_data::Feature;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use nsscope_codec::{Native, Records};
use nsscope_timeline::Key;
use output::{Older, Sink};
use pack::Packer;
use poll::Poller;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use synth::Synthesizer;
use tally::Tally;
use workload::Workload;

/// How long the kernel may keep records to itself when there are few.
const TICK: Duration = Duration::from_millis(100);

/// So many bytes are worth a write of their own.
const BATCH: usize = 4 << 20;

/// How far apart rounds end at least. Readers sort what two rounds hold, so this is how late a record may come into its
/// ring: one takes its time first, and the CPU may be taken away from its writer in between.
const ROUND: Duration = Duration::from_millis(10);

/// How long the answer about names is waited for when a recording ends.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How many processes are read from /proc before the rings are looked at again.
const SYNTH_BATCH: usize = 64;

/// `nsscope record`.
pub(crate) fn run(args: &args::Record) -> Outcome {
    let signals = sys::count_signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let dumps = if args.snapshot { Some(sys::count_signals(&[SIGUSR2])?) } else { None };
    if args.output == Path::new("-") && (args.snapshot || args.max_size.is_some()) {
        return Err(Failure::Usage("standard output is one stream: --snapshot and --max-size need a file (-o)".into()));
    }
    let chosen = args.container.as_deref().map(container).transpose()?;
    let held = if args.command.is_empty() { None } else { Some(workload::hold(&args.command)?) };
    let target = match (&held, args.pid.as_slice(), chosen) {
        (_, _, Some(chosen)) => chosen,
        (Some(held), [], _) if !args.all => Target::Tasks { tids: vec![held.pid], on_exec: true },
        (_, [], _) => Target::System,
        (_, pids, _) => Target::Tasks { tids: threads_of(pids)?, on_exec: false },
    };
    let source = Source::open(&target, args)?;
    let older = if args.snapshot || args.max_size.is_some() { Older::Numbered(args.max_files) } else { Older::One };
    let plan = Plan {
        path: args.output.clone(),
        older,
        max_size: args.max_size,
        compress: args.compress,
        synthesize: !args.no_synth,
        names: args.names,
    };
    let mut recorder = Recorder::new(source, target, plan);
    if !args.snapshot {
        recorder.begin_file()?;
    }
    recorder.enable()?;
    if !args.snapshot {
        recorder.synthesize()?;
    }
    let mut workload = match held.map(workload::Held::go) {
        None => None,
        Some(Ok(workload)) => Some(workload),
        Some(Err(failure)) => {
            recorder.sink.abandon();
            return Err(failure);
        }
    };

    let result = recorder.follow(&signals, dumps.as_deref(), args.duration, workload.as_mut());
    if matches!(result, Err(Failure::ClosedPipe)) {
        // Whoever read has gone; the command need not.
        while workload.as_mut().is_some_and(|workload| !workload.ended()) {
            std::thread::sleep(TICK);
        }
    } else {
        result?;
        recorder.finish(args.snapshot)?;
    }
    Ok(ExitCode::from(workload.map_or(0, |workload| workload.exit_code())))
}

/// What to record of the container that has this id or name.
fn container(name: &str) -> Outcome<Target> {
    let Capture { timeline, .. } = Capture::now()?;
    let which = args::Which { container: vec![name.into()], ..args::Which::default() };
    let selection = select(&timeline, &which, (0, u64::MAX), args::Sort::First);
    let container = match selection.containers.as_slice() {
        [container] => container,
        [] => {
            return Err(Failure::new(format!(
                "no container {name} runs\n  nsscope ps lists those that do; nsscope record -a records those to come, too"
            )));
        }
        several => {
            let titles: Vec<String> = several.iter().map(title).collect();
            return Err(Failure::new(format!("{name} means several containers: {}", titles.join(", "))));
        }
    };
    let own = |kind: NsKind| container.differs.contains(&kind).then(|| (kind, container.namespaces.get(kind)));
    // The pid namespace, if it has one of its own, holds all that is started in it.
    let (cgroup, namespace) = match &container.key {
        Key::Runtime(_) => {
            let cgroup = container.cgroup.clone().filter(|path| events::perf_cgroup(path).is_some());
            (cgroup, own(NsKind::Pid).or(own(NsKind::Mnt)))
        }
        Key::Namespaces(all) => (None, own(NsKind::Pid).or(all.first().copied())),
    };
    let tids = container.tasks.iter().map(|&task| timeline.at(task).tid).collect();
    Ok(Target::Container { cgroup, namespace, tids })
}

/// `nsscope snapshot`: what runs now, in the format of a recording.
pub(crate) fn snapshot(args: &args::Snapshot) -> Outcome {
    let described = snapshot_events();
    let mut sink = Sink::create(&args.output, Older::One, &described, &features::sections(&described, &[]))?;
    let synth = all_that_runs(&described, args.names);
    let mut tally = Tally::new(layout(&described), BTreeSet::new());
    tally.add(&synth.records, &[]);
    sink.append(&[&synth.records])?;
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
    let target = Target::System;
    let events = Events::open(&target, None, None, false)?;
    take(&output::pipe_metadata(&events.described, &events.sections()))?;
    let plan = Plan {
        path: PathBuf::new(),
        older: Older::One,
        max_size: None,
        compress: None,
        synthesize: true,
        names: Names::Auto,
    };
    let mut recorder = Recorder::new(Source::Perf(events), target, plan);
    recorder.enable()?;
    recorder.synthesize()?;
    loop {
        if let Sink::Memory(held) = &mut recorder.sink {
            take(held)?;
            held.clear();
        }
        if !go_on()? {
            return Ok(());
        }
        recorder.wait(None, None)?;
        recorder.round()?;
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
    synth.whole = true;
    synth.kernel_map();
    synth.recorder("snapshot", 0);
    synth.cgroups();
    let answers = (names == Names::Auto).then(names::ask);
    let pids = synth::processes();
    // The kernel makes up what it says in /proc, which takes a while: on every CPU.
    let share = pids.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from)).max(SYNTH_BATCH);
    std::thread::scope(|scope| {
        let shares: Vec<_> = pids
            .chunks(share)
            .map(|pids| {
                let mut synth = Synthesizer::new(layout(described), 1);
                synth.whole = true;
                scope.spawn(move || {
                    for &pid in pids {
                        synth.process(pid);
                    }
                    synth
                })
            })
            .collect();
        for share in shares {
            synth.add(share.join().expect("it reads /proc and nothing more"));
        }
    });
    synth.kept();
    if let Some(answers) = answers.and_then(|answers| answers.recv_timeout(LAST_ANSWER).ok()) {
        synth.names(&answers);
    }
    synth
}

/// The event that records of our own are said to be of.
fn id(described: &[Described]) -> u64 {
    described.first().and_then(|event| event.ids.first()).copied().unwrap_or(0)
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

/// Where records come from.
enum Source {
    Perf(Events),
    Bpf(Box<Bpf>),
    Proc { described: Vec<Described>, poller: Poller },
}

impl Source {
    fn open(target: &Target, args: &args::Record) -> Outcome<Self> {
        let wants_perf = args.snapshot || args.frequency.is_some();
        if wants_perf && matches!(args.backend, Backend::Bpf | Backend::Proc) {
            return Err(Failure::Usage(
                "-F and --snapshot need --backend perf: only perf has samples and rings".into(),
            ));
        }
        let perf = || Events::open(target, args.mmap_size, args.frequency, args.snapshot).map(Self::Perf);
        let bpf = || Bpf::open(target, args.mmap_size).map(|bpf| Self::Bpf(Box::new(bpf)));
        match args.backend {
            Backend::Perf => perf(),
            Backend::Bpf => bpf(),
            Backend::Proc => Ok(Self::proc(target)),
            Backend::Auto if wants_perf => perf(),
            Backend::Auto => perf().or_else(|failure| {
                let Failure::Refused(why) = failure else { return Err(failure) };
                let first = |why: &str| String::from(why.lines().next().unwrap_or_default());
                match bpf() {
                    Ok(source) => {
                        note(format_args!("recording by eBPF programs instead: {}", first(&why)));
                        Ok(source)
                    }
                    Err(Failure::Refused(too)) => {
                        note(format_args!(
                            "looking at /proc every {} ms instead, which misses what is over in between: {}; {}\n  \
                             nsscope doctor says what to do about it",
                            poll::INTERVAL.as_millis(),
                            first(&why),
                            first(&too)
                        ));
                        Ok(Self::proc(target))
                    }
                    Err(failure) => Err(failure),
                }
            }),
        }
    }

    fn proc(target: &Target) -> Self {
        Self::Proc { described: snapshot_events(), poller: Poller::new(target) }
    }

    fn described(&self) -> &[Described] {
        match self {
            Self::Perf(events) => &events.described,
            Self::Bpf(bpf) => &bpf.described,
            Self::Proc { described, .. } => described,
        }
    }

    /// Ids of the events that tell of cgroups which are made or entered.
    fn of_cgroups(&self) -> BTreeSet<u64> {
        let of_cgroups = self.described().iter().filter(|event| event.name.starts_with("cgroup:"));
        of_cgroups.flat_map(|event| &event.ids).copied().collect()
    }

    fn sections(&self) -> Vec<(Feature, Vec<u8>)> {
        match self {
            Self::Perf(events) => events.sections(),
            Self::Bpf(_) | Self::Proc { .. } => features::sections(self.described(), &[]),
        }
    }
}

/// Where the records go, and what is told beside them.
#[derive(Debug)]
struct Plan {
    path: PathBuf,
    older: Older,
    max_size: Option<usize>,
    compress: Option<i32>,
    /// Whether what already runs is described.
    synthesize: bool,
    names: Names,
}

/// A recording under way.
struct Recorder {
    source: Source,
    target: Target,
    plan: Plan,
    sink: Sink,
    packer: Option<Packer>,
    tally: Tally,
    layout: SampleIdLayout,
    /// What runtimes have said that is in the file, by source and container.
    named: BTreeMap<(String, String), Answer>,
    /// What runtimes say as it happens; `None`: nobody is asked.
    follower: Option<Follower>,
    /// When the last round ended.
    round: Instant,
    /// Bytes of the file's records at which it is full.
    full_at: u64,
    files: u64,
    started: Instant,
    /// The same in the recording's clock, ns.
    began: u64,
}

impl Recorder {
    fn new(source: Source, target: Target, plan: Plan) -> Self {
        let layout = layout(source.described());
        let now = Instant::now();
        Self {
            tally: Tally::new(layout, source.of_cgroups()).following(&target),
            source,
            target,
            plan,
            sink: Sink::Memory(Vec::new()),
            packer: None,
            layout,
            named: BTreeMap::new(),
            follower: None,
            round: now,
            full_at: u64::MAX,
            files: 0,
            started: now,
            began: time::now(),
        }
    }

    fn begin_file(&mut self) -> Outcome<()> {
        self.named.clear();
        let mut sections = self.source.sections();
        self.packer = None;
        if let Some(level) = self.plan.compress {
            sections.push((Feature::COMPRESSED, pack::section(level)));
            sections.sort_by_key(|(feature, _)| *feature);
            self.packer = Some(Packer::new(level)?);
        }
        self.sink = Sink::create(&self.plan.path, self.plan.older, self.source.described(), &sections)?;
        self.files += 1;
        Ok(())
    }

    fn enable(&mut self) -> Outcome<()> {
        match &mut self.source {
            Source::Perf(events) => Ok(events.enable()?),
            Source::Bpf(bpf) => bpf.enable(),
            Source::Proc { .. } => Ok(()),
        }
    }

    fn synthesizer(&self) -> Synthesizer {
        let mut synth = Synthesizer::new(self.layout, id(self.source.described()));
        synth.whole = !matches!(self.source, Source::Perf(_));
        synth
    }

    /// What a recording begins with.
    fn preamble(&mut self, synth: &mut Synthesizer) {
        synth.kernel_map();
        match &self.source {
            Source::Perf(_) => synth.recorder("perf", 0),
            Source::Bpf(_) => synth.recorder("bpf", 0),
            Source::Proc { .. } => synth.recorder("proc", poll::INTERVAL.as_nanos() as u32),
        }
        synth.cgroups();
    }

    /// The processes to describe: all, or those recorded and those they descend from.
    fn running(&self) -> Vec<u32> {
        match self.target.members() {
            None => synth::processes(),
            Some(tids) => {
                let live = self.tally.live.iter().flatten().chain(tids).copied();
                let mut all: Vec<u32> =
                    live.filter(|&pid| !synth::threads(pid).is_empty()).flat_map(synth::ancestry).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Describes what already runs, looking after the rings in between.
    fn synthesize(&mut self) -> Outcome<()> {
        if !self.plan.synthesize {
            return Ok(());
        }
        if self.plan.names == Names::Auto {
            // A new file is told all of it again.
            self.follower = Some(Follower::start());
        }
        let mut synth = self.synthesizer();
        self.preamble(&mut synth);
        for batch in self.running().chunks(SYNTH_BATCH) {
            for &pid in batch {
                match &mut self.source {
                    Source::Perf(_) | Source::Bpf(_) => drop(synth.process(pid)),
                    Source::Proc { poller, .. } => poller.begin(pid, &mut synth),
                }
            }
            self.take(&mut synth)?;
            self.round()?;
        }
        synth.kept();
        self.take(&mut synth)?;
        hidden(&synth);
        if let Some(max) = self.plan.max_size {
            // What is there at the beginning of each file is not what fills it.
            self.full_at = (max as u64).max(2 * self.sink.bytes());
        }
        Ok(())
    }

    fn take(&mut self, synth: &mut Synthesizer) -> Outcome<()> {
        self.tally.add(&synth.records, &[]);
        put(&mut self.sink, &mut self.packer, &[&synth.records])?;
        synth.records.clear();
        Ok(())
    }

    /// Takes what is there, asks for what no record tells, and ends the round if that may be.
    fn round(&mut self) -> Outcome<()> {
        self.drain()?;
        self.ask()?;
        if self.round.elapsed() >= ROUND {
            self.round = Instant::now();
            self.sink.finished_round()?;
        }
        Ok(())
    }

    /// Takes what is in the rings. Returns whether there was anything.
    fn drain(&mut self) -> Outcome<bool> {
        let mut any = false;
        match &mut self.source {
            Source::Perf(events) => {
                let mut rings = &mut events.rings[..];
                while !rings.is_empty() {
                    // As many as are worth a large write, no more: what is taken has to be given back.
                    let (mut pieces, mut lens) = (Vec::new(), Vec::new());
                    for (_, ring) in &mut *rings {
                        let available = ring.available();
                        lens.push(available.len());
                        pieces.extend([available.first, available.second]);
                        if lens.iter().sum::<usize>() >= BATCH {
                            break;
                        }
                    }
                    any |= lens.iter().any(|&len| len > 0);
                    put(&mut self.sink, &mut self.packer, &pieces)?;
                    pieces.chunks_exact(2).for_each(|ring| self.tally.add(ring[0], ring[1]));
                    let (taken, others) = rings.split_at_mut(lens.len());
                    taken.iter_mut().zip(lens).for_each(|((_, ring), len)| ring.release(len));
                    rings = others;
                }
            }
            Source::Bpf(bpf) => {
                let lost = bpf.lost()?;
                let records = bpf.take()?;
                any = !records.is_empty();
                put(&mut self.sink, &mut self.packer, &[records])?;
                self.tally.add(records, &[]);
                if lost > 0 {
                    let mut synth = Synthesizer::new(self.layout, id(&bpf.described));
                    synth.lost(lost);
                    self.take(&mut synth)?;
                }
            }
            Source::Proc { poller, described } => {
                let mut synth = Synthesizer::new(self.layout, id(described));
                synth.whole = true;
                poller.look(&mut synth);
                self.take(&mut synth)?;
            }
        }
        Ok(any)
    }

    /// Asks for what no record tells: the cgroup of a process that was born into it (clone3 with `CLONE_INTO_CGROUP`),
    /// and what runtimes have said.
    fn ask(&mut self) -> Outcome<()> {
        let execs = std::mem::take(&mut self.tally.execs);
        let mut synth = self.synthesizer();
        if let Source::Perf(_) = self.source {
            for pid in execs {
                synth.cgroup_now(pid);
            }
        }
        let answers: Vec<Answer> = self.follower.iter().flat_map(Follower::answers).collect();
        self.tell(&mut synth, answers);
        self.take(&mut synth)
    }

    /// Writes what runtimes say, where it is news.
    fn tell(&mut self, synth: &mut Synthesizer, answers: Vec<Answer>) {
        for mut answer in answers {
            let known = self.named.entry((answer.source.clone(), answer.id.clone())).or_default();
            // An event does not say all that a list does.
            answer.add(known);
            if answer != *known {
                synth.names(std::slice::from_ref(&answer));
                *known = answer;
            }
        }
    }

    /// Ends this file and begins the next, which tells all that runs, too.
    fn rotate(&mut self) -> Outcome<()> {
        let span = self.tally.span.take();
        self.sink.span(span)?;
        self.begin_file()?;
        self.synthesize()
    }

    /// Records until a signal, the end of the command or of the time. Without a command, the end of all targets.
    fn follow(
        &mut self,
        signals: &AtomicUsize,
        dumps: Option<&AtomicUsize>,
        duration: Option<Duration>,
        mut workload: Option<&mut Workload>,
    ) -> Outcome<()> {
        let deadline = duration.map(|duration| Instant::now() + duration);
        let live = ProgressBar::new_spinner();
        live.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        let shown = !live.is_hidden();
        let (mut asked, mut dumped) = (0, 0);
        loop {
            let hung_up = self.wait(deadline, workload.as_deref())?;
            match dumps.map(|dumps| dumps.load(Ordering::Relaxed)) {
                None => {
                    self.round()?;
                    if self.sink.bytes() >= self.full_at {
                        self.rotate()?;
                    }
                }
                Some(wanted) if wanted > dumped => {
                    dumped = wanted;
                    self.dump()?;
                    self.summary();
                }
                Some(_) => {}
            }
            if shown {
                self.show(&live);
            }
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
            if hung_up && workload.is_none() && self.target.tids().is_some() {
                break;
            }
        }
        live.finish_and_clear();
        Ok(())
    }

    /// Waits for records, for the command's end or a tick. Returns whether all targets have ended.
    fn wait(&self, deadline: Option<Instant>, workload: Option<&Workload>) -> Outcome<bool> {
        let tick = match &self.source {
            Source::Perf(_) | Source::Bpf(_) => TICK,
            Source::Proc { .. } => poll::INTERVAL,
        };
        let mut fds: Vec<_> = match &self.source {
            Source::Perf(events) => {
                let owner =
                    |&(owner, _): &(usize, sys::Ring)| PollFd::from_borrowed_fd(events.open[owner].fd(), PollFlags::IN);
                events.rings.iter().map(owner).collect()
            }
            Source::Bpf(bpf) => vec![PollFd::from_borrowed_fd(bpf.fd(), PollFlags::IN)],
            Source::Proc { poller, .. } => poller.fds().collect(),
        };
        let watched = fds.len();
        fds.extend(workload.and_then(Workload::fd).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let left = deadline.map_or(tick, |deadline| deadline.saturating_duration_since(Instant::now()).min(tick));
        let timeout = Timespec::try_from(left).map_err(|_| Failure::new("the time is too long"))?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match &self.source {
            Source::Proc { poller, .. } => return Ok(poller.over()),
            Source::Bpf(bpf) => return Ok(bpf.over()),
            Source::Perf(_) => {}
        }
        let hung_up = fds[..watched].iter().all(|fd| fd.revents().contains(PollFlags::HUP));
        if hung_up {
            // An event whose task has ended is always ready: do not spin on it.
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
        Ok(hung_up)
    }

    fn show(&self, live: &ProgressBar) {
        live.set_message(format!(
            "recording {:.1} s  {} records  {} lost  {}  (Ctrl-C ends)",
            self.started.elapsed().as_secs_f64(),
            HumanCount(self.tally.total()),
            HumanCount(self.tally.lost),
            HumanBytes(self.sink.bytes())
        ));
        live.tick();
    }

    /// Writes a file of what is in rings that are overwritten, and of what runs.
    fn dump(&mut self) -> Outcome<()> {
        let Source::Perf(events) = &mut self.source else {
            return Err(Failure::new("only perf has a ring that is overwritten"));
        };
        let now = time::now();
        let records = events.latest()?;
        let known = dump::told(events, &records);
        self.tally = Tally::new(self.layout, BTreeSet::new()).following(&self.target);
        // Of several rings, each from its newest record on.
        for record in Records::<Native>::new(&records, 0).map_while(Result::ok) {
            self.tally.add(record.bytes(), &[]);
        }
        self.begin_file()?;
        if self.plan.synthesize {
            // What no record tells was so when the oldest was written.
            let mut synth = self.synthesizer();
            synth.dated = Some(self.tally.span.map_or(now, |(first, _)| first));
            synth.known = known;
            self.preamble(&mut synth);
            for pid in self.running() {
                synth.process(pid);
            }
            if self.plan.names == Names::Auto {
                synth.names(&names::all());
            }
            self.take(&mut synth)?;
        }
        put(&mut self.sink, &mut self.packer, &[&records])?;
        self.sink.finished_round()?;
        let span = self.tally.span.map(|(first, _)| (first, time::now()));
        self.sink.span(span)
    }

    /// Takes the last records and says what there is.
    fn finish(mut self, snapshot: bool) -> Outcome<()> {
        match &mut self.source {
            Source::Perf(events) => events.disable(),
            Source::Bpf(bpf) => bpf.disable(),
            Source::Proc { .. } => {}
        }
        if snapshot {
            self.dump()?;
        } else {
            while self.drain()? {}
            self.ask()?;
            if self.follower.take().is_some() {
                // Who was only just made or renamed, and whoever cannot be followed.
                let answers = names::ask().recv_timeout(LAST_ANSWER).unwrap_or_default();
                let mut synth = self.synthesizer();
                self.tell(&mut synth, answers);
                self.take(&mut synth)?;
            }
            // The recording's own span, which is more than that of its records where nothing happened.
            let began = if self.files > 1 { u64::MAX } else { self.began };
            let span = self.tally.span.map(|(first, last)| (first.min(began), last.max(time::now())));
            self.sink.span(span)?;
        }
        self.summary();
        Ok(())
    }

    fn summary(&self) {
        let kinds = self.tally.kinds.counts().map(|(kind, count)| format!("{} {kind}", HumanCount(count)));
        let files = if self.plan.max_size.is_some() { format!(" ({} files)", self.files) } else { String::new() };
        eprintln!(
            "nsscope: {} records ({}), {} lost, {} to {}{files}",
            HumanCount(self.tally.total()),
            kinds.collect::<Vec<_>>().join(", "),
            HumanCount(self.tally.lost),
            HumanBytes(self.sink.bytes()),
            self.sink.name()
        );
        if self.tally.lost > 0 {
            note("records were lost because the rings were full: give them more room with -m 8M");
        }
        let own = sys::own_namespaces();
        if !own.is_empty() {
            note(format_args!(
                "recorded from inside a container (its own namespaces: {}): {}",
                own.join(", "),
                blind_spots(&own)
            ));
        }
    }
}

/// What a recorder in a container does not see, by its own namespaces.
pub(crate) fn blind_spots<S: AsRef<str>>(own: &[S]) -> String {
    let spot = |kind: &S| match kind.as_ref() {
        "pid" => "processes outside its pid namespace are not shown",
        "cgroup" => "cgroup paths are relative to its own, so what contains it cannot be named",
        "user" => "namespaces of other users' processes may be hidden",
        _ => "some facts may be hidden",
    };
    own.iter().map(spot).collect::<Vec<_>>().join("; ")
}

/// Whole records go to where the recording goes, compressed if so asked.
fn put(sink: &mut Sink, packer: &mut Option<Packer>, pieces: &[&[u8]]) -> Outcome<()> {
    match packer {
        Some(packer) => sink.append(&[&packer.pack(pieces)?]),
        None => sink.append(pieces),
    }
}
