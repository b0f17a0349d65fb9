//! What a recorder that is killed leaves, and what damaged captures do to whoever reads and exports them.
//!
//! `cargo bench -p nsscope-tests --bench reliability`

use nsscope_codec::perf_data::{Decoder, Ordered, Session, Visitor};
use nsscope_codec::{Error, Order, RawRecord};
use nsscope_export::{Csv, Events, Firefox, Folded, Follow, Jsonl, Perfetto, TABLES, table, write_facts, write_otlp};
use nsscope_tests::mutants::{Numbers, mutate};
use nsscope_tests::{actor, cannot_record, has_records, json_of, no_perf, not_root, nsscope, run, text};
use nsscope_timeline::{Definition, Timeline};
use std::fs;
use std::io::{self, Sink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: usize = 200;
const MUTANTS: u64 = 1_000_000;
/// One mutant in so many is exported, too, which takes longer than all else.
const EXPORTED: u64 = 5;

/// Ways to record that end up in files.
const MODES: [(&str, &[&str]); 4] = [
    ("plain", &[]),
    ("-z", &["-z"]),
    ("--max-size 256K", &["--max-size", "256K"]),
    ("--switch-events", &["--switch-events"]),
];

/// Kills recorders at random moments while a storm goes on. Returns how many files were left, and how many of them perf and
/// nsscope read alike.
fn kills(dir: &Path, mode: &[&str], times: usize, numbers: &mut Numbers) -> (usize, usize) {
    let (mut left, mut alike) = (0, 0);
    for number in 0..times {
        let sub = dir.join(number.to_string());
        fs::create_dir(&sub).unwrap();
        let mut recorder = nsscope();
        recorder.args(["record", "-q", "-a", "--backend", "perf", "-o"]).arg(sub.join("a.data")).args(mode);
        let mut recorder = recorder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut storm = Command::new(actor()).args(["storm", "3000", "2"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + numbers.next() % 280));
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        storm.wait().unwrap();
        let files: Vec<PathBuf> = fs::read_dir(&sub).unwrap().map(|entry| entry.unwrap().path()).collect();
        for file in files.iter().filter(|file| has_records(file)) {
            left += 1;
            let stat = json_of(nsscope().args(["stat", "--json"]).arg(file));
            let perf = Command::new("perf").args(["report", "--stats", "--stdio", "-i"]).arg(file).output().unwrap();
            let perf = text(&perf);
            let count = |kind: &str| {
                let line = perf.lines().find(|line| line.trim_start().starts_with(&format!("{kind} events:")));
                line.map_or(0, |line| line.split_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0))
            };
            let ours = |kind: &str| stat["kinds"][kind]["count"].as_u64().unwrap_or(0);
            let pairs = [("FORK", "fork"), ("EXIT", "exit"), ("NAMESPACES", "namespaces"), ("COMM", "comm")];
            alike += usize::from(pairs.iter().all(|(theirs, kind)| count(theirs) == ours(kind)));
        }
        fs::remove_dir_all(sub).unwrap();
    }
    (left, alike)
}

struct Reading(Timeline);

impl Visitor for Reading {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.0.push(session, &record);
    }

    fn fault(&mut self, _: Error) {}
}

/// Everything that takes records one by one and writes something of them, in every format that is not packed.
struct Exporting {
    csv: Events<'static>,
    jsonl: Events<'static>,
    perfetto: Perfetto<Sink>,
    firefox: Firefox,
    folded: Folded,
}

impl Exporting {
    fn new() -> Self {
        let follow = || Follow::new(Definition::auto(), "host");
        let events = table("events").unwrap();
        Self {
            csv: Events::new(follow(), Box::new(Csv::new(events, io::sink()).unwrap())),
            jsonl: Events::new(follow(), Box::new(Jsonl::new(events, io::sink()))),
            perfetto: Perfetto::new(follow(), io::sink()),
            firefox: Firefox::new(follow()),
            folded: Folded::new(follow()),
        }
    }

    /// Writes what is known once all records were read. Returns how many rows, packets and samples were written.
    fn finish(self, session: &Session, timeline: &Timeline) -> u64 {
        let definition = Definition::auto();
        let facts = TABLES.iter().filter(|table| table.name != "events").map(|table| {
            let rows = Box::new(Jsonl::new(table, io::sink()));
            write_facts(table.name, "host", session, timeline, &definition, rows).unwrap()
        });
        let streams = [
            self.csv.finish().unwrap(),
            self.jsonl.finish().unwrap(),
            self.perfetto.finish(timeline, &definition).unwrap(),
            self.firefox.finish(session, timeline, &definition, io::sink()).unwrap(),
            self.folded.finish(io::sink()).unwrap(),
            write_otlp("host", session, timeline, &definition, io::sink()).unwrap(),
        ];
        facts.chain(streams).sum()
    }
}

impl Visitor for Exporting {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.csv.record(session, &record).unwrap();
        self.jsonl.record(session, &record).unwrap();
        self.perfetto.record(session, &record).unwrap();
        self.firefox.record(session, &record);
        self.folded.record(session, &record);
    }

    fn fault(&mut self, _: Error) {}
}

/// Reads a file as the commands do, in the order of times. Returns its visitor, what it says of itself, and whether it could
/// be read at all.
fn pushed<V: Visitor>(bytes: &[u8], visitor: V) -> (V, Decoder, bool) {
    let mut ordered = Ordered::new(visitor, 1 << 20);
    let mut decoder = Decoder::new();
    let pushed = decoder.push(bytes, &mut ordered).and_then(|()| decoder.finish(&mut ordered));
    (ordered.finish(decoder.session()), decoder, pushed.is_ok())
}

/// All that a report does with a file, but for printing it; and all that an export does, if asked for.
fn read(bytes: &[u8], exports: bool) -> u64 {
    let (Reading(mut timeline), decoder, could) = pushed(bytes, Reading(Timeline::for_stream()));
    timeline.finish(decoder.session());
    let containers = timeline.containers(&Definition::auto());
    let used = timeline.cpu_usage(&Definition::auto(), timeline.span().map_or(0, |(_, end)| end));
    let written = if exports {
        let (exporting, decoder, _) = pushed(bytes, Exporting::new());
        exporting.finish(decoder.session(), &timeline)
    } else {
        0
    };
    (used.len() + containers.len()) as u64 + u64::from(could) + written
}

fn main() {
    if let Some(why) = cannot_record().or_else(no_perf).or_else(not_root) {
        println!("SKIPPED: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    println!("recorders killed by SIGKILL at a random moment of a storm; files that perf and nsscope count alike");
    for (name, mode) in MODES {
        let times = KILLS / MODES.len();
        let (left, alike) = kills(dir.path(), mode, times, &mut numbers);
        println!("  {name:<18} {times:>4} killed {left:>5} files with records {alike:>5} alike");
        assert_eq!(left, alike, "{name}");
    }

    let mut captures = Vec::new();
    for (name, args) in [("plain", &["-F", "99"][..]), ("packed", &["-z"]), ("switches", &["--wakeups"])] {
        let file = dir.path().join(name);
        let work = "unshare -m -p -f sh -c 'true; unshare -u true'; true";
        run(nsscope().args(["record", "-q", "-o"]).arg(&file).args(args).args(["--", "sh", "-c", work]));
        captures.push(fs::read(&file).unwrap());
    }
    let begun = Instant::now();
    let (mut slowest, mut found) = (Duration::ZERO, 0);
    for number in 0..MUTANTS {
        let mut mutant = captures[number as usize % captures.len()].clone();
        mutate(&mut mutant, &mut numbers);
        let begun = Instant::now();
        found += read(&mutant, number % EXPORTED == 0);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // SAFETY: the structure is plain numbers, and the kernel writes it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    println!(
        "mutants of {} real captures, read and reported on in one process, one in {EXPORTED} exported",
        captures.len()
    );
    println!(
        "  {MUTANTS} mutants in {:.0} s, 0 panics, the slowest {:.1} ms",
        begun.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3
    );
    println!(
        "  peak memory {:.1} MB, the largest capture {:.0} kB",
        usage.ru_maxrss as f64 / 1e3,
        captures.iter().map(Vec::len).max().unwrap_or(0) as f64 / 1e3
    );
    assert!(found > 0);
}
