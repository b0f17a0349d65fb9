//! `nsscope record`: what to record, of whom, and where to. Not here: how it is recorded, which is capture's.

use crate::args::{self, Backend, Names};
use crate::confine;
use crate::error::{Failure, Outcome, note};
use crate::loaded::Capture;
use crate::select::{select, title};
use crate::ship::Shipper;
use crate::signals;
use crate::text::blind_spots;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nsscope_capture::{Handle, Recording, Statistics, Summary, Target};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::Key;
use signal_hook::consts::SIGUSR2;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// `nsscope record`.
pub(crate) fn run(args: &args::Record) -> Outcome {
    let mut recording = Recording::new().command(&args.command).backend(match args.backend {
        Backend::Auto => nsscope_capture::Backend::Auto,
        Backend::Perf => nsscope_capture::Backend::Perf,
        Backend::Bpf => nsscope_capture::Backend::Bpf,
        Backend::Proc => nsscope_capture::Backend::Proc,
    });
    if let Some(name) = &args.container {
        recording = recording.target(container(name)?);
    } else if !args.pid.is_empty() {
        recording = recording.target(Target::processes(&args.pid)?);
    } else if args.all {
        recording = recording.target(Target::System);
    }
    if let Some(size) = args.mmap_size {
        recording = recording.ring_size(size);
    }
    if let Some(frequency) = args.frequency {
        recording = recording.frequency(frequency);
    }
    if args.switch_events {
        recording = recording.switch_events();
    }
    if args.wakeups {
        recording = recording.wakeups();
    }
    if let Some(interval) = args.summary {
        recording = recording.summary(interval);
    }
    if let Some(level) = args.compress {
        recording = recording.compress(level);
    }
    if let Some(size) = args.max_size {
        recording = match args.on_file {
            Some(_) => recording.rotate_with_timestamps(size),
            None => recording.rotate(size, args.max_files),
        };
    }
    if args.snapshot {
        recording = recording.flight_recorder(args.max_files);
    }
    if args.no_synth {
        recording = recording.without_synthesis();
    }
    if args.names == Names::Off {
        recording = recording.without_names();
    }
    let handle = Handle::new()?;
    let ended = signals::noted(&signals::END)?;
    let (stop, write, snapshot) = (handle.clone(), handle.clone(), args.snapshot);
    recording = recording.handle(handle.clone()).on_open(move |backend| {
        confine::to_recording(backend);
        let stops = stop.clone();
        signals::on(&signals::END, move || stops.stop())?;
        if ended.load(Ordering::Relaxed) {
            stop.stop();
        }
        if snapshot {
            signals::on(&[SIGUSR2], move || write.snapshot())?;
        }
        Ok(())
    });
    let mut recorder = if args.output == Path::new("-") {
        recording.to_pipe(standard_output()?)?
    } else {
        recording.to_file(&args.output)?
    };
    let shipper = args.on_file.as_ref().map(|command| Shipper::start(&args.output, command)).transpose()?;
    let progress = Progress::new(args.command.is_empty());
    match recorder.run(args.duration, |statistics| {
        progress.show(statistics);
        if let Some(summary) = handle.written() {
            summarize(&summary, args);
        }
    }) {
        Err(nsscope_capture::Error::ClosedPipe) => return Ok(ExitCode::from(recorder.exit_code())),
        other => other?,
    }
    drop(progress);
    let code = recorder.exit_code();
    summarize(&recorder.finish()?, args);
    shipper.map_or(Ok(()), Shipper::finish)?;
    Ok(ExitCode::from(code))
}

/// Standard output, where it is no terminal.
pub(super) fn standard_output() -> Outcome<BufWriter<File>> {
    if io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "a recording is binary and standard output is a terminal\n  pipe it (| nsscope script -), or name a file with -o"
                .into(),
        ));
    }
    // What goes there next is the stream alone: what the recorded command prints goes to standard error, as with perf record.
    let stream = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(BufWriter::new(File::from(stream)))
}

/// Whether the terminal is this program's, not a shell's that has it in the background.
fn is_foreground() -> bool {
    rustix::termios::tcgetpgrp(io::stderr()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// A line on a terminal that says how much there is; gone when it is over.
struct Progress(ProgressBar);

impl Progress {
    fn new(shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style =
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self(ProgressBar::with_draw_target(None, target).with_style(style))
    }

    /// Behind a shell's prompt, or while a command writes to the terminal, it would be in the way.
    fn show(&self, statistics: &Statistics) {
        if self.0.is_hidden() || !is_foreground() {
            return;
        }
        self.0.set_message(format!(
            "recording {:.1} s  {} records  {} lost  {}  (Ctrl-C ends)",
            statistics.elapsed.as_secs_f64(),
            HumanCount(statistics.records),
            HumanCount(statistics.lost),
            HumanBytes(statistics.bytes)
        ));
        self.0.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn summarize(summary: &Summary, args: &args::Record) {
    let kinds = summary.counts.counts().map(|(kind, count)| format!("{} {kind}", HumanCount(count)));
    let files = if args.max_size.is_some() { format!(" ({} files)", summary.files) } else { String::new() };
    note(format_args!(
        "{} records ({}), {} lost, {} to {}{files}",
        HumanCount(summary.counts.total()),
        kinds.collect::<Vec<_>>().join(", "),
        HumanCount(summary.lost),
        HumanBytes(summary.bytes),
        summary.output
    ));
    if summary.lost > 0 {
        note("records were lost because the rings were full: give them more room with -m 8M");
    }
    let own = &summary.own_namespaces;
    if !own.is_empty() {
        note(format_args!(
            "recorded from inside a container (its own namespaces: {}): {}",
            own.join(", "),
            blind_spots(own)
        ));
    }
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
            let cgroup = container.cgroup.clone().filter(|path| nsscope_capture::perf_cgroup(path).is_some());
            (cgroup, own(NsKind::Pid).or(own(NsKind::Mnt)))
        }
        Key::Namespaces(all) => (None, own(NsKind::Pid).or(all.first().copied())),
    };
    let tids = container.tasks.iter().map(|&task| timeline.task_at(task).tid).collect();
    Ok(Target::Container { cgroup, namespace, tids })
}
