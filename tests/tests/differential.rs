//! The same records as perf and linux-perf-data, where both read a file without complaint.

use linux_perf_data::{PerfFileReader, PerfFileRecord};
use nsscope_codec::perf_data::{FileHeader, Reader, Session, Visitor};
use nsscope_codec::{Error, LittleEndian, Order, RawRecord, Records};
use nsscope_tests::{
    actor, cannot_record, errors, json_of, needs, no_bpf, no_perf, not_root, nsscope, perf_counts, perf_script, record,
    run, text,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::process::{Command, Stdio};
use zerocopy::FromBytes;

/// Records by type and size of the body.
type Counts = BTreeMap<(u32, usize), u32>;

#[derive(Default)]
struct Ours {
    counts: Counts,
    faults: u32,
}

impl Visitor for Ours {
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        if !record.kind().is_user() {
            *self.counts.entry((record.kind().0, record.body().len())).or_insert(0) += 1;
        }
    }

    fn fault(&mut self, _: Error) {
        self.faults += 1;
    }
}

fn ours(bytes: &[u8]) -> Option<Counts> {
    let (mut reader, mut ours) = (Reader::new(), Ours::default());
    while let Some(offset) = reader.wanted() {
        let rest = bytes.get(usize::try_from(offset).ok()?..).unwrap_or(&[]);
        reader.push(&rest[..rest.len().min(4096)], &mut ours).ok()?;
    }
    (ours.faults == 0).then_some(ours.counts)
}

/// What the peer reads; `None` where it complains or panics.
fn theirs(bytes: &[u8]) -> Option<Counts> {
    std::panic::catch_unwind(|| {
        let PerfFileReader { mut perf_file, mut record_iter } = PerfFileReader::parse_file(Cursor::new(bytes)).ok()?;
        let mut counts = Counts::new();
        while let Some(record) = record_iter.next_record(&mut perf_file).ok()? {
            if let PerfFileRecord::EventRecord { record, .. } = record {
                *counts.entry((record.record_type.0, record.data.len())).or_insert(0) += 1;
            }
        }
        Some(counts)
    })
    .ok()?
}

#[test]
fn whole_and_damaged_files_give_what_linux_perf_data_reads() {
    needs!("whole_and_damaged_files_give_what_linux_perf_data_reads", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &[actor().to_str().unwrap(), "storm", "50", "2"]);
    let good = std::fs::read(&file).unwrap();
    let whole = ours(&good).expect("our own file");
    assert_eq!(Some(&whole), theirs(&good).as_ref());
    assert!(whole.values().sum::<u32>() > 200);

    // Damage in the bodies alone: sizes in headers and metadata are what the peer allocates by.
    let (header, _) = FileHeader::<LittleEndian>::ref_from_prefix(&good).unwrap();
    let (at, size) = (header.data.offset.get() as usize, header.data.size.get() as usize);
    let mut bodies = Vec::new();
    for record in Records::<LittleEndian>::new(&good[at..at + size], at as u64) {
        let record = record.unwrap();
        let start = record.offset() as usize;
        bodies.extend(if record.kind().is_user() { 0..0 } else { start + 8..start + record.bytes().len() });
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (mut both, mut alone, mut differ) = (0, 0, Vec::new());
    for _ in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=next(3) {
            bytes[bodies[next(bodies.len())]] = next(256) as u8;
        }
        match (ours(&bytes), theirs(&bytes)) {
            (Some(ours), Some(theirs)) if ours == theirs => both += 1,
            (Some(ours), Some(theirs)) => differ.push((ours, theirs)),
            // One of the two complains of what the other passes over.
            _ => alone += 1,
        }
    }
    std::panic::set_hook(hook);
    println!("of 500 damaged files both read {both}, one alone or none {alone}");
    assert!(both > 300, "{both}");
    assert!(differ.is_empty(), "{} differ, the first: {:?}", differ.len(), differ[0]);
}

/// How many random recordings are compared, if the environment does not say.
const RECORDINGS: u64 = 20;

/// Numbers that look random, the same for the same seed.
struct Random(fastrand::Rng);

impl Random {
    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.0.usize(..of.len())]
    }

    /// Adds options, so many times of a hundred.
    fn may(&mut self, percent: u32, options: &[&str], to: &mut Vec<String>) {
        if self.0.u32(..100) < percent {
            to.extend(options.iter().map(ToString::to_string));
        }
    }

    /// A few things that tasks do.
    fn workload(&mut self) -> String {
        let actor = actor();
        let actions = [
            "ACTOR fork",
            "ACTOR clone net",
            "ACTOR clone user",
            "ACTOR unshare uts",
            "ACTOR setns ipc",
            "ACTOR threads 3",
            "ACTOR nested 2",
            "ACTOR storm 40 2",
            "ACTOR churn 30",
            "unshare -m -p -f true",
            "for i in 1 2 3; do sleep 0.01; done",
        ];
        let all: Vec<&str> = (0..self.0.usize(1..5)).map(|_| *self.one(&actions)).collect();
        all.join("; ").replace("ACTOR", &actor.display().to_string())
    }

    /// perf record with options that are likely to matter to a reader.
    fn perf(&mut self) -> Vec<String> {
        let mut options: Vec<String> = vec!["record".into(), "-q".into()];
        let events = [
            "dummy:u",
            "cpu-clock",
            "task-clock:u",
            "context-switches",
            "sched:sched_process_fork,sched:sched_process_exit",
            "page-faults",
            "cpu-clock,task-clock",
            "{cpu-clock,page-faults}",
        ];
        let event = *self.one(&events);
        self.may(90, &["-e", event], &mut options);
        for (percent, options_of) in [
            (80, &["--namespaces"][..]),
            (50, &["--all-cgroups"]),
            (40, &["--switch-events"]),
            (25, &["-z"]),
            (30, &["-T"]),
            (20, &["-d"]),
            (30, &["-P"]),
            (20, &["-s"]),
            (20, &["-g"]),
            (20, &["-i"]),
            (20, &["-n"]),
            (30, &["-B", "-N"]),
            (20, &["--tail-synthesize"]),
            (20, &["--sample-cpu"]),
            (15, &["--no-bpf-event"]),
            (10, &["--synth=no"]),
            (10, &["-W"]),
        ] {
            self.may(percent, options_of, &mut options);
        }
        let (frequency, pages) = (*self.one(&["100", "999", "4000"]), *self.one(&["1", "16", "256"]));
        self.may(30, &["-F", frequency], &mut options);
        self.may(30, &["-m", pages], &mut options);
        // Tracepoints of the kernel take no other clock that stops or jumps.
        let clock = *self.one(&["monotonic", "monotonic_raw"]);
        self.may(30, &["-k", clock], &mut options);
        let whose = *self.one(&["-a", "--per-thread", "--inherit"]);
        self.may(66, &[whose], &mut options);
        options
    }

    fn nsscope(&mut self) -> Vec<String> {
        let mut options: Vec<String> = vec!["record".into(), "-q".into()];
        if self.0.bool() {
            options.extend(["--backend", "bpf"].map(String::from));
        } else {
            options.extend(["--backend", "perf"].map(String::from));
            self.may(40, &["-F", "999"], &mut options);
        }
        for (percent, options_of) in
            [(40, &["-a"][..]), (40, &["--switch-events"]), (30, &["--wakeups"]), (30, &["-z"]), (20, &["--no-synth"])]
        {
            self.may(percent, options_of, &mut options);
        }
        options
    }
}

/// The lines of records that are no samples.
fn side_band(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| line.contains("PERF_RECORD_")).collect()
}

/// perf and nsscope, each with random options, over random work; read by both, and by linux-perf-data.
/// `NSSCOPE_RECORDINGS` says how many, `NSSCOPE_SEED` which one is the first: a failure says its own.
#[test]
fn random_recordings_are_read_as_perf_reads_them() {
    needs!("random_recordings", cannot_record(), no_perf(), no_bpf(), not_root());
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let first = number("NSSCOPE_SEED").unwrap_or(0);
    let recordings = number("NSSCOPE_RECORDINGS").unwrap_or(RECORDINGS);
    let mut compared = 0;
    for seed in first..first + recordings {
        let mut random = Random(fastrand::Rng::with_seed(seed));
        let by_perf = random.0.u32(..4) > 0;
        let options = if by_perf { random.perf() } else { random.nsscope() };
        let has = |option: &str| options.iter().any(|other| other == option);
        // perf 6.1 cannot read its own stream of these: what describes it comes last, or is compressed with stacks.
        let pipe = random.0.u32(..4) == 0 && !has("--tail-synthesize") && !(has("-z") && has("-g"));
        let work = random.workload();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.data");
        let mut recorder = if by_perf { Command::new("perf") } else { nsscope() };
        recorder.args(&options).arg("-o");
        if pipe {
            recorder.arg("-").stdout(File::create(&file).unwrap());
        } else {
            recorder.arg(&file).stdout(Stdio::null());
        }
        let output = recorder.args(["--", "sh", "-c", &work]).stderr(Stdio::piped()).output().unwrap();
        let what = format!("NSSCOPE_SEED={seed}: {recorder:?}");
        assert!(output.status.success() || by_perf, "{what}: {}", errors(&output));
        if !output.status.success() {
            // perf does not take all options together.
            continue;
        }
        let theirs_printed = perf_script(&file).output().unwrap();
        assert!(theirs_printed.status.success() || by_perf, "{what}: {}", errors(&theirs_printed));
        if !theirs_printed.status.success() {
            // Nor does it read all that it records.
            println!("{what}: {}: {}", theirs_printed.status, errors(&theirs_printed));
            continue;
        }
        let ours_printed = run(nsscope().args(["script", "--format", "perf"]).arg(&file));
        let (theirs_printed, ours_printed) = (text(&theirs_printed), text(&ours_printed));
        let (perfs, printed) = (side_band(&theirs_printed), side_band(&ours_printed));
        if let Some((perfs, printed)) = perfs.iter().zip(&printed).find(|(perfs, printed)| perfs != printed) {
            panic!("{what}\nperf prints {perfs}\nwe print    {printed}");
        }
        assert_eq!(perfs.len(), printed.len(), "{what}");
        if !pipe {
            // perf counts nothing of a stream.
            let mut counted = Command::new("perf");
            counted.args(["report", "--stats", "-i"]).arg(&file).stderr(Stdio::null());
            let perfs = perf_counts(&text(&run(&mut counted)));
            let stat = json_of(nsscope().args(["stat", "--json"]).arg(&file));
            for kind in ["namespaces", "comm", "fork", "exit", "cgroup", "sample", "mmap", "mmap2", "switch", "lost"] {
                let count = stat["kinds"][kind]["count"].as_u64().unwrap_or(0);
                assert_eq!(perfs.get(kind).copied().unwrap_or(0), count, "{what}: {kind}");
            }
            let bytes = fs::read(&file).unwrap();
            if let (Some(ours), Some(theirs), false) = (ours(&bytes), theirs(&bytes), has("-z")) {
                assert_eq!(ours, theirs, "{what}");
            }
        }
        compared += 1;
    }
    assert!(2 * compared > recordings, "perf took and read {compared} of {recordings}");
}
