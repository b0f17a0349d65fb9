//! `nsscope record`: what to record, of whom, and where to; and the same live, without a file.

use super::events::{Events, Target};
use super::output::{self, Older, Sink};
use super::recorder::{Plan, Recorder, TICK};
use super::source::Source;
use super::{events, synth, workload};
use crate::args::{self, Names};
use crate::capture::Capture;
use crate::error::{Failure, Outcome};
use crate::select::{select, title};
use crate::sys;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::Key;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
