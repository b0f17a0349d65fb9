//! What the timeline takes for each record and each process, however many there are.
//!
//! `cargo bench -p nsscope-tests --bench timeline`

use nsscope_codec::encode::{Comm, Encode, Exit, Fork, Namespaces, TaskIds};
use nsscope_codec::perf_data::{AttrIds, Decoder, FileWriter};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::header::MISC_COMM_EXEC;
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{Native, Records};
use nsscope_tests::{Bytes, Sum};
use nsscope_timeline::{Definition, Timeline};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes that are allocated now, and the most there were.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all is left to the system's allocator; only sizes are noted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LAYOUT: SampleIdLayout = SampleIdLayout::new(SampleType(SampleType::TID.0 | SampleType::TIME.0));

/// How many processes live at the same time.
const LIVING: u32 = 1000;
/// How many tasks that ended are kept, as the command line does.
const KEEP: usize = 100_000;
const CONTAINERS: u64 = 10;

/// The records of one process in a container: fork, namespaces, exec, and the end of an older one.
fn process(number: u32, out: &mut Vec<u8>) {
    out.clear();
    let pid = |number: u32| 100 + number % 4_000_000;
    let container = u64::from(number) % CONTAINERS;
    let links: [NsId; 7] =
        std::array::from_fn(|kind| NsId { dev: 4, ino: 4_026_532_000 + 10 * container + kind as u64 });
    let mut time = u64::from(number) * 4000;
    let mut put = |record: &dyn Fn(&mut [u8], &SampleId) -> usize| {
        time += 1000;
        let id = SampleId { pid: Some(1), tid: Some(1), time: Some(time), ..SampleId::default() };
        let from = out.len();
        out.resize(from + 256, 0);
        let size = record(&mut out[from..], &id);
        out.truncate(from + size);
    };
    let (new, old) = (pid(number), pid(number.wrapping_sub(LIVING)));
    let ids = TaskIds { pid: new, tid: new, ppid: 1, ptid: 1, time: 0 };
    put(&|to, id| Fork(ids).encode::<Native>(0, LAYOUT, id, to).unwrap());
    put(&|to, id| Namespaces { pid: new, tid: new, links: &links }.encode::<Native>(0, LAYOUT, id, to).unwrap());
    let comm = if number.is_multiple_of(2) { &b"sh"[..] } else { b"sleep" };
    put(&|to, id| Comm { pid: new, tid: new, comm }.encode::<Native>(MISC_COMM_EXEC, LAYOUT, id, to).unwrap());
    if number >= LIVING {
        let ids = TaskIds { pid: old, tid: old, ..TaskIds::default() };
        put(&|to, id| Exit(ids).encode::<Native>(0, LAYOUT, id, to).unwrap());
    }
}

fn main() {
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.sample_type.set(LAYOUT.fields().0);
    attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::NAMESPACES);
    let mut file = Bytes::default();
    FileWriter::begin(&mut file, &[AttrIds { attr: &attr, ids: &[1] }], &[]).unwrap();
    let mut decoder = Decoder::new();
    decoder.push(&file.0, &mut Sum::default()).unwrap();
    let session = decoder.session();

    println!("{:>12} {:>12} {:>14} {:>12} {:>10}", "processes", "ns/record", "bytes/process", "most, MB", "answer, ms");
    let mut first = None;
    for count in [100_000u32, 1_000_000, 10_000_000] {
        let base = HELD.load(Relaxed);
        MOST.store(base, Relaxed);
        let mut timeline = Timeline::with_ended_limit(KEEP);
        let (mut records, mut spent, mut buf) = (0u64, Duration::ZERO, Vec::new());
        let mut batch = Vec::new();
        for begin in (0..count).step_by(1000) {
            batch.clear();
            for number in begin..begin + 1000 {
                process(number, &mut buf);
                batch.extend_from_slice(&buf);
            }
            let begun = Instant::now();
            for record in Records::<Native>::new(&batch, 0) {
                timeline.push(session, &record.unwrap());
                records += 1;
            }
            spent += begun.elapsed();
        }
        let begun = Instant::now();
        let containers = timeline.containers(&Definition::by(&nsscope_codec::wire::namespaces::NsKind::ALL));
        let answer = begun.elapsed().as_secs_f64() * 1e3;
        // The first container's namespaces are taken for the host's.
        let processes: usize = containers.iter().map(|container| container.processes).sum();
        assert!(processes as u64 >= u64::from(count) * (CONTAINERS - 1) / CONTAINERS, "{processes} of {count}");
        let most = MOST.load(Relaxed) - base;
        let each = spent.as_nanos() as f64 / records as f64;
        let ratio = each / *first.get_or_insert(each);
        println!(
            "{count:>12} {each:>12.0} {:>14.1} {:>12.1} {answer:>10.1}   {ratio:.2} x the first's time",
            most as f64 / f64::from(count),
            most as f64 / 1e6
        );
    }
    println!("targets: flat; under 200 MB at 10,000,000");
}
