//! The codec against a loop of unchecked reads, and against its peers, on a real capture: ratios of one run.
//!
//! `cargo bench -p nsscope-tests`

use nsscope_codec::encode::{Cgroup, Comm, Encode, Exit, Fork, Mmap, Namespaces, TaskIds};
use nsscope_codec::perf_data::{Decoder, FileHeader};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{BigEndian, LittleEndian, Record, Records};
use nsscope_tests::{Sum, actor, cannot_record, no_perf, nsscope, perf_script, pointer_loop, run};
use perf_event_data::endian::Little;
use perf_event_data::parse::{ParseConfig, Parser};
use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use zerocopy::{FromBytes, IntoBytes};

const RUNS: u32 = 15;

/// The shortest of some runs, in seconds: what disturbs a run only makes it longer.
fn time<T>(runs: u32, mut work: impl FnMut() -> T) -> f64 {
    let times = (0..runs).map(|_| {
        let begun = Instant::now();
        black_box(work());
        begun.elapsed().as_secs_f64()
    });
    times.fold(f64::MAX, f64::min)
}

fn row(what: &str, speed: &str, ratio: f64, of: &str, target: &str) {
    println!("{what:<58} {speed:>12} {ratio:>8.2} x {of:<32} {target}");
}

/// Lets perf-event-data see only what is asked for.
struct PeerSum<'s>(&'s mut u64);

impl<'p> perf_event_data::Visitor<'p> for PeerSum<'_> {
    type Output = ();

    fn visit_unimplemented(self, _: perf_event_data::RecordMetadata) {}

    fn visit_namespaces(self, record: perf_event_data::Namespaces<'p>, _: perf_event_data::RecordMetadata) {
        *self.0 = record.namespaces.iter().fold(*self.0, |sum, entry| sum.wrapping_add(entry.inode));
    }
}

fn perf_event_data(data: &[u8], records: usize) -> u64 {
    let mut sum = 0;
    let mut parser = Parser::new(data, ParseConfig::<Little>::default());
    for _ in 0..records {
        // Records that it cannot read (samples, without their attr) it leaves behind.
        let _ = parser.parse_record(PeerSum(&mut sum));
    }
    sum
}

/// What perf-event-open has for bytes: a parser that trusts them and wants each record aligned. It does not know the
/// recorder's own records, nor how long a record is.
fn perf_event_open(data: &[u64], layout: SampleIdLayout) -> u64 {
    use perf_event_open::sample::record::{Record, UnsafeParser};
    let parser = UnsafeParser {
        sample_id_all: true,
        sample_type: layout.fields().0,
        read_format: 0,
        user_regs: 0,
        intr_regs: 0,
        branch_sample_type: 0,
    };
    let mut sum = 0u64;
    for record in Records::<LittleEndian>::new(data.as_bytes(), 0) {
        let record = record.unwrap();
        if record.kind().is_user() || record.kind() == RecordType::SAMPLE {
            continue;
        }
        // SAFETY: a record of our own recorder, with the trailer that is stated, at a multiple of 8 bytes.
        if let (_, Record::Namespaces(ns)) = unsafe { parser.parse(record.bytes()) } {
            let links = [&ns.ns_uts, &ns.ns_pid, &ns.ns_ipc, &ns.ns_mnt, &ns.ns_net, &ns.ns_user, &ns.ns_cgroup];
            sum = links.iter().fold(sum, |sum, link| sum.wrapping_add(link.inode));
        }
    }
    sum
}

fn linux_perf_data(file: &[u8]) -> u64 {
    use linux_perf_data::{PerfFileReader, PerfFileRecord};
    let PerfFileReader { mut perf_file, mut record_iter } = PerfFileReader::parse_file(Cursor::new(file)).unwrap();
    let mut sum = 0u64;
    while let Ok(Some(record)) = record_iter.next_record(&mut perf_file) {
        let PerfFileRecord::EventRecord { record, .. } = record else { continue };
        if record.record_type.0 == 16 {
            // It leaves the record's body to its caller.
            let body = record.data.as_slice();
            sum = body[16..]
                .chunks_exact(16)
                .take(7)
                .fold(sum, |sum, link| sum.wrapping_add(u64::from_le_bytes(link[8..].try_into().unwrap())));
        }
    }
    sum
}

/// The capture's records in the other byte order.
fn to_big_endian(data: &[u8], layout: SampleIdLayout) -> Vec<u8> {
    let mut big = vec![0; data.len()];
    let mut at = 0;
    for record in Records::<LittleEndian>::new(data, 0) {
        let record = record.unwrap();
        let (misc, id, to) = (record.misc(), record.sample_id(layout).unwrap_or_default(), &mut big[at..]);
        let written = match record.parse().unwrap() {
            Record::Namespaces(ns) => {
                let links: Vec<NsId> = ns.links.iter().map(|&link| link.into()).collect();
                Namespaces { pid: ns.pid(), tid: ns.tid(), links: &links }.encode::<BigEndian>(misc, layout, &id, to)
            }
            Record::Fork(task) => Fork(TaskIds::from(task)).encode::<BigEndian>(misc, layout, &id, to),
            Record::Exit(task) => Exit(TaskIds::from(task)).encode::<BigEndian>(misc, layout, &id, to),
            Record::Comm(comm) => Comm { pid: comm.fixed.pid.get(), tid: comm.fixed.tid.get(), comm: comm.comm }
                .encode::<BigEndian>(misc, layout, &id, to),
            Record::Cgroup(cgroup) => {
                Cgroup { id: cgroup.fixed.id.get(), path: cgroup.path }.encode::<BigEndian>(misc, layout, &id, to)
            }
            Record::Mmap(mmap) => Mmap {
                pid: mmap.fixed.pid.get(),
                tid: mmap.fixed.tid.get(),
                addr: mmap.fixed.addr.get(),
                len: mmap.fixed.len.get(),
                pgoff: mmap.fixed.pgoff.get(),
                filename: mmap.filename,
            }
            .encode::<BigEndian>(misc, layout, &id, to),
            // Samples of tracepoints and perf's own marks: a handful.
            _ => continue,
        };
        at += written.unwrap();
    }
    big.truncate(at);
    big
}

/// Seconds and peak memory in KiB of a whole process.
#[expect(clippy::zombie_processes, reason = "wait4 waits, and tells the peak memory")]
fn process(command: &mut Command) -> (f64, i64) {
    let begun = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut status = 0;
    // SAFETY: plain numbers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: our own child, waited for nowhere else.
    assert!(unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) } > 0 && status == 0);
    (begun.elapsed().as_secs_f64(), usage.ru_maxrss)
}

fn main() {
    if let Some(why) = cannot_record() {
        println!("SKIPPED: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("storm.data");
    let storm = [actor().into_os_string(), "storm".into(), "110000".into(), "4".into()];
    run(nsscope().arg("record").arg("-o").arg(&path).arg("--").args(storm));
    // First, while this process is small: a child's peak memory begins with its parent's.
    processes(&path);
    let file = std::fs::read(&path).unwrap();
    let (header, _) = FileHeader::<LittleEndian>::ref_from_prefix(&file).unwrap();
    let data = &file[header.data.offset.get() as usize..][..header.data.size.get() as usize];
    let records = Records::<LittleEndian>::new(data, 0).count();
    let gigabytes = data.len() as f64 / 1e9;
    println!("{records} records, {:.1} MB; the shortest of {RUNS} runs\n", data.len() as f64 / 1e6);
    let speed = |seconds: f64| format!("{:.2} GB/s", gigabytes / seconds);

    let expected = pointer_loop(data);
    let reference = time(RUNS, || pointer_loop(black_box(data)));
    row("unchecked pointer loop", &speed(reference), 1.0, "itself", "");
    assert_eq!(Sum::of::<LittleEndian>(data), expected);
    let ours = time(RUNS, || Sum::of::<LittleEndian>(black_box(data)));
    row("codec, little-endian", &speed(ours), reference / ours, "the pointer loop", ">= 0.8");
    let layout = {
        let mut decoder = Decoder::new();
        decoder.push(&file, &mut Sum::default()).unwrap();
        decoder.session().events()[0].trailer
    };
    let big_data = to_big_endian(data, layout);
    assert_eq!(Sum::of::<BigEndian>(&big_data), expected);
    let big = time(RUNS, || Sum::of::<BigEndian>(black_box(&big_data)));
    row("codec, big-endian", &speed(big), reference / big, "the pointer loop", ">= 0.6");
    assert_eq!(perf_event_data(data, records), expected);
    let peer = time(RUNS, || perf_event_data(black_box(data), records));
    row("perf-event-data 0.1.8", &speed(peer), peer / ours, "slower than the codec", ">= 8");
    let mut words = vec![0u64; data.len() / 8];
    words.as_mut_bytes().copy_from_slice(data);
    assert_eq!(perf_event_open(&words, layout), expected);
    let peer = time(RUNS, || perf_event_open(black_box(&words), layout));
    row("perf-event-open 0.4, without its ring", &speed(peer), peer / ours, "slower than the codec", "> 1");
    assert_eq!(linux_perf_data(&file), expected);
    let peer = time(RUNS, || linux_perf_data(black_box(&file)));
    row("linux-perf-data 0.13, which sorts too", &speed(peer), peer / ours, "slower than the codec", ">= 15");

    let pushed = || {
        let (mut decoder, mut sum) = (Decoder::new(), Sum::default());
        for chunk in black_box(&file[..]).chunks(64 << 10) {
            decoder.push(chunk, &mut sum).unwrap();
        }
        sum.0
    };
    assert_eq!(pushed(), expected);
    let push = time(RUNS, pushed);
    row("push decoder, 64 KiB chunks", &speed(push), ours / push, "the walk on the slice", ">= 0.8");

    let links = [NsId { dev: 4, ino: 0xf000_0001 }; 7];
    let layout = SampleIdLayout::new(SampleType::TRAILER);
    let id = SampleId { pid: Some(1), tid: Some(2), time: Some(3), id: Some(4), stream_id: Some(5), cpu: Some(6) };
    let mut buf = [0u8; 256];
    let encode = time(RUNS, || {
        for n in 0..1_000_000 {
            let record = Namespaces { pid: n, tid: n, links: black_box(&links) };
            let _ = black_box(record.encode::<LittleEndian>(0, black_box(layout), black_box(&id), black_box(&mut buf)));
        }
    });
    let source = [7u8; 184];
    let copy = time(RUNS, || {
        for _ in 0..1_000_000 {
            let len = black_box(184);
            black_box(&mut buf[..len]).copy_from_slice(&black_box(&source)[..len]);
        }
    });
    let each = format!("{:.1} ns", encode * 1000.0);
    row("encode NAMESPACES with a full trailer, 184 bytes", &each, encode / copy, "the time of a memcpy", "<= 2");
}

/// Whole processes: ours and perf's.
fn processes(path: &Path) {
    if let Some(why) = no_perf() {
        println!("SKIPPED: {why}");
        return;
    }
    let script = |command: &mut Command| (0..7).map(|_| process(command)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let (ours, our_memory) = script(nsscope().args(["script", "--format", "perf"]).arg(path));
    let (perf, perf_memory) = script(perf_script(path).stdin(Stdio::null()));
    row("nsscope script --format perf", &format!("{ours:.2} s"), perf / ours, "faster than perf script", ">= 10");
    let memory = our_memory as f64 / perf_memory as f64;
    row("its peak memory", &format!("{:.1} MB", our_memory as f64 / 1e3), memory, "that of perf script", "<= 1");
}
