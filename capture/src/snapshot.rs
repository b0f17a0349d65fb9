//! What runs now, from /proc, in the format of a recording. Not here: what happens later.

use crate::error::Result;
use crate::events;
use crate::features;
use crate::file::{self, Older, Sink};
use crate::names::{self, LAST_ANSWER};
use crate::statistics::Counter;
use crate::synth::Synthesizer;
use crate::task;
use nsscope_codec::Native;
use std::io::Write;
use std::path::Path;

/// How many processes are read from /proc at a time.
const BATCH: usize = 64;

/// What there is to say about a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// Threads that run.
    pub threads: u64,
    /// Those of them whose namespaces may not be read: other users' need `CAP_SYS_PTRACE`.
    pub unreadable_threads: u64,
    /// Records written.
    pub records: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Writes a file of what runs now. A file of that name becomes `FILE.old`. `names`: whether runtimes are asked what their
/// containers are called.
///
/// # Errors
/// Where the file cannot be created or written.
pub fn snapshot_to_file(path: &Path, names: bool) -> Result<Snapshot> {
    write(names, |events, sections| Sink::create(path, Older::One, events, sections))
}

/// The same as a stream in pipe mode.
///
/// # Errors
/// Where it cannot be written.
pub fn snapshot_to_pipe(out: impl Write + Send + 'static, names: bool) -> Result<Snapshot> {
    write(names, |events, sections| Sink::pipe(Box::new(out), events, sections))
}

/// The same as bytes, a stream in pipe mode.
pub fn snapshot(names: bool) -> (Vec<u8>, Snapshot) {
    let described = events::without_kernel();
    let synth = all_that_runs(&described, names);
    let mut bytes = file::pipe_metadata(&described, &features::sections(&described, &[]));
    bytes.extend(&synth.records);
    let facts = facts(&synth, nsscope_codec::Records::<Native>::new(&synth.records, 0).count() as u64);
    (bytes, facts)
}

fn facts(synth: &Synthesizer, records: u64) -> Snapshot {
    synth.warn_of_hidden();
    Snapshot { threads: synth.tasks, unreadable_threads: synth.hidden, records, bytes: synth.records.len() as u64 }
}

type Sections = [(nsscope_codec::perf_data::Feature, Vec<u8>)];

fn write(names: bool, create: impl FnOnce(&[events::EventDesc], &Sections) -> Result<Sink>) -> Result<Snapshot> {
    let described = events::without_kernel();
    let mut sink = create(&described, &features::sections(&described, &[]))?;
    let synth = all_that_runs(&described, names);
    let mut counter = Counter::new(events::layout(&described));
    counter.add(&synth.records, &[]);
    sink.append(&[&synth.records])?;
    sink.finished_round()?;
    sink.span(counter.span)?;
    Ok(facts(&synth, counter.total()))
}

fn all_that_runs(described: &[events::EventDesc], names: bool) -> Synthesizer {
    let mut synth = Synthesizer::of(described, true);
    synth.kernel_map();
    synth.recorder("snapshot", 0);
    synth.cgroups();
    let answers = names.then(names::ask);
    let pids = task::processes();
    // The kernel makes up what it says in /proc, which takes a while: on every CPU.
    let share = pids.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from)).max(BATCH);
    std::thread::scope(|scope| {
        let shares: Vec<_> = pids
            .chunks(share)
            .map(|pids| {
                let mut synth = Synthesizer::of(described, true);
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
