//! `nsscope snapshot`: what runs now, in the format of a recording.

use super::events::{self, Described, side_band_attr};
use super::features;
use super::names;
use super::output::{self, Older, Sink};
use super::synth::{self, Synthesizer};
use super::tally::Tally;
use crate::args::{self, Names};
use crate::error::{Outcome, note};
use indicatif::{HumanBytes, HumanCount};
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// How long the answer of runtimes is waited for when a recording ends.
pub(super) const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How many processes are read from /proc before the rings are looked at again.
pub(super) const SYNTH_BATCH: usize = 64;

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

/// Hands out a stream in pipe mode of what runs now.
pub(crate) fn describe(mut push: impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
    let described = snapshot_events();
    push(&output::pipe_metadata(&described, &features::sections(&described, &[])))?;
    let synth = all_that_runs(&described, Names::Auto);
    push(&synth.records)?;
    hidden(&synth);
    Ok(())
}

pub(super) fn snapshot_events() -> Vec<Described> {
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
pub(super) fn id(described: &[Described]) -> u64 {
    described.first().and_then(|event| event.ids.first()).copied().unwrap_or(0)
}

pub(super) fn layout(described: &[Described]) -> SampleIdLayout {
    SampleIdLayout::new(SampleType(described.first().map_or(0, |event| event.attr.sample_type.get())))
}

pub(super) fn hidden(synth: &Synthesizer) {
    if synth.hidden > 0 {
        note(format_args!(
            "the namespaces of {} of {} threads may not be read (other users' need CAP_SYS_PTRACE); they are left out",
            HumanCount(synth.hidden),
            HumanCount(synth.tasks)
        ));
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
