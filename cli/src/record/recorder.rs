//! A recording under way: takes records from their source into a file, and adds what no record says.

use super::events::Target;
use super::names::{self, Answer, Follower};
use super::output::{Older, Sink};
use super::pack::{self, Packer};
use super::snapshot::{LAST_ANSWER, SYNTH_BATCH, blind_spots, hidden, id, layout};
use super::source::Source;
use super::synth::{self, Synthesizer};
use super::tally::Tally;
use super::workload::Workload;
use super::{dump, poll as proc_poll};
use crate::args::Names;
use crate::error::{Failure, Outcome, note};
use crate::{sys, time};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use nsscope_codec::perf_data::Feature;
use nsscope_codec::wire::sample_id::SampleIdLayout;
use nsscope_codec::{Native, Records};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the kernel may keep records to itself when there are few.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// So many bytes are worth a write of their own.
const BATCH: usize = 4 << 20;

/// How far apart rounds end at least. Readers sort what two rounds hold, so this is how late a record may come into its
/// ring: one takes its time first, and the CPU may be taken away from its writer in between.
const ROUND: Duration = Duration::from_millis(10);

/// Where the records go, and what is told beside them.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) path: PathBuf,
    pub(super) older: Older,
    pub(super) max_size: Option<usize>,
    pub(super) compress: Option<i32>,
    /// Whether what already runs is described.
    pub(super) synthesize: bool,
    pub(super) names: Names,
}

/// A recording under way.
pub(super) struct Recorder {
    source: Source,
    target: Target,
    plan: Plan,
    pub(super) sink: Sink,
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
    pub(super) fn new(source: Source, target: Target, plan: Plan) -> Self {
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

    pub(super) fn begin_file(&mut self) -> Outcome<()> {
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

    pub(super) fn enable(&mut self) -> Outcome<()> {
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
            Source::Proc { .. } => synth.recorder("proc", proc_poll::INTERVAL.as_nanos() as u32),
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
    pub(super) fn synthesize(&mut self) -> Outcome<()> {
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
    pub(super) fn round(&mut self) -> Outcome<()> {
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
    pub(super) fn follow(
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
    pub(super) fn wait(&self, deadline: Option<Instant>, workload: Option<&Workload>) -> Outcome<bool> {
        let tick = match &self.source {
            Source::Perf(_) | Source::Bpf(_) => TICK,
            Source::Proc { .. } => proc_poll::INTERVAL,
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
    pub(super) fn finish(mut self, snapshot: bool) -> Outcome<()> {
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

/// Whole records go to where the recording goes, compressed if so asked.
fn put(sink: &mut Sink, packer: &mut Option<Packer>, pieces: &[&[u8]]) -> Outcome<()> {
    match packer {
        Some(packer) => sink.append(&[&packer.pack(pieces)?]),
        None => sink.append(pieces),
    }
}
