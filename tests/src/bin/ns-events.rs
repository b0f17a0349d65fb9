//! Opens events of its own for NAMESPACES records and holds each record to what it must be: for kernels whose records
//! are written by other code than Linux's.
//!
//! ```text
//! ns-events check COUNT [time]   four loops of COUNT turns; with `time`, of a kernel whose records can have the time
//!                                namespace
//! ns-events time FILE            writes a perf.data file of records with the time namespace
//! ns-events cost COUNT           ns for an entry into a namespace and for a thread, with 0, 1 and 10 listeners
//! ```

use nsscope_codec::perf_data::{AttrIds, FileWriter};
use nsscope_codec::ring::{Consumer, Mapping};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::namespaces::{NsId, NsKind, new_encode_dev};
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use nsscope_codec::{Native, Record, Records};
use nsscope_tests::Bytes;
use serde_json::json;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Instant;
use zerocopy::IntoBytes;

const PAGE: usize = 4096;
const ALL: SampleType = SampleType::TRAILER;
/// Linux hands no side-band record to an event for the sake of NAMESPACES alone (`is_sb_event()`): COMM brings no record
/// here, and makes it one of those.
const PLAIN: AttrFlags = AttrFlags(AttrFlags::NAMESPACES.0 | AttrFlags::COMM.0);
const ON: AttrFlags = AttrFlags(PLAIN.0 | AttrFlags::SAMPLE_ID_ALL.0);

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    // Events are of this thread, and of the CPU that it stays on.
    stay_on(0)?;
    match args[..] {
        ["check", count] => check(number(count)?, false),
        ["check", count, "time"] => check(number(count)?, true),
        ["time", file] => time(file),
        ["cost", count] => cost(number(count)?),
        _ => Err(io::Error::other("see the top of ns-events.rs")),
    }
}

fn failed<T>(what: impl std::fmt::Display) -> io::Result<T> {
    Err(io::Error::other(what.to_string()))
}

fn stay_on(cpu: usize) -> io::Result<()> {
    // SAFETY: the set is ours.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An event with a ring of its own.
struct Event {
    layout: SampleIdLayout,
    flags: AttrFlags,
    ring: Consumer<Mapping>,
    base: *mut libc::c_void,
    len: usize,
    _descriptor: OwnedFd,
}

impl Event {
    /// Of all tasks on CPU 0, with `pages` pages of ring.
    fn open(flags: AttrFlags, fields: SampleType, pages: usize) -> io::Result<Self> {
        let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
        attr.set_flags(flags);
        attr.sample_type.set(fields.0);
        attr.size.set(136);
        // SAFETY: the attr is ours, and as long as it says, at least.
        let descriptor = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_bytes().as_ptr(), -1, 0, -1, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: new, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let len = (1 + pages) * PAGE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, descriptor.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is taken back when the event is dropped, and this is its only reader.
        let ring = unsafe { Mapping::new(base.cast(), len) }.ok_or(io::Error::other("no ring"))?;
        let layout =
            if flags.has(AttrFlags::SAMPLE_ID_ALL) { SampleIdLayout::new(fields) } else { SampleIdLayout::NONE };
        Ok(Self { layout, flags, ring: Consumer::new(ring), base, len, _descriptor: descriptor })
    }

    /// Takes what is there. Returns how many NAMESPACES records of this thread it is, and how many are said to be lost;
    /// fails where a record is not what it must be. The kernel may start a thread of its own at any time, which is another's.
    fn read(&mut self, pid: u32, links: &[NsId]) -> io::Result<(u64, u64)> {
        let available = self.ring.available();
        let bytes = [available.first, available.second].concat();
        self.ring.release(bytes.len());
        let expected = if self.flags.has(AttrFlags::NAMESPACES_TIME) { links } else { &links[..7] };
        let (mut records, mut lost) = (0, 0);
        for record in Records::<Native>::new(&bytes, 0) {
            let record = record.map_err(io::Error::other)?;
            match record.parse().map_err(io::Error::other)? {
                Record::Namespaces(namespaces) if namespaces.tid() != pid => {}
                Record::Namespaces(namespaces) => {
                    let found: Vec<NsId> = namespaces.links.iter().map(|&link| link.into()).collect();
                    let size = 24 + 16 * expected.len() + self.layout.size();
                    if (&*found, record.bytes().len()) != (expected, size) {
                        return failed(format_args!("{record:?}: not {expected:?} in {size} bytes"));
                    }
                    let id = record.sample_id(self.layout).map_err(io::Error::other)?;
                    if self.layout.fields().has(SampleType::TID) && id.tid != Some(pid) {
                        return failed(format_args!("{id:?}: not of {pid}"));
                    }
                    records += 1;
                }
                Record::Lost(count) => lost += count.lost.get(),
                _ => {}
            }
        }
        Ok((records, lost))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nobody reads it any more.
        unsafe { libc::munmap(self.base, self.len) };
    }
}

/// What a record of this thread must have; zeros for a type that the kernel does not have.
fn links() -> Vec<NsId> {
    let one = |kind: &NsKind| {
        let stat = fs::metadata(format!("/proc/thread-self/ns/{}", kind.name())).ok()?;
        let dev = new_encode_dev(libc::major(stat.dev()), libc::minor(stat.dev()));
        Some(NsId { dev: dev.into(), ino: stat.ino() })
    };
    NsKind::ALL.iter().map(|kind| one(kind).unwrap_or_default()).collect()
}

/// Enters the namespace that we are in: nothing changes, and a record says so.
fn enter(own: &File) -> io::Result<()> {
    // SAFETY: takes a descriptor by value.
    if unsafe { libc::setns(own.as_raw_fd(), 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A namespace of ours of any type but mnt and user, which a process with threads may not enter.
fn own() -> io::Result<File> {
    let mut types = ["uts", "ipc", "net", "cgroup"].iter();
    let found = types.find_map(|name| File::open(format!("/proc/thread-self/ns/{name}")).ok());
    found.ok_or_else(|| io::Error::other("no namespace to enter"))
}

fn check(count: u64, time: bool) -> io::Result<()> {
    let pid = std::process::id();
    let (own, links) = (own()?, links());
    let begun = Instant::now();

    // Several events in one emission: no size, no pid and no trailer is another's.
    let mut kinds = vec![(ON, ALL), (ON, SampleType::TID), (PLAIN, ALL), (ON, SampleType(0))];
    if time {
        kinds.extend([(ON | AttrFlags::NAMESPACES_TIME, ALL), (ON, SampleType::TIME)]);
    } else if Event::open(ON | AttrFlags::NAMESPACES_TIME, ALL, 1).is_ok() {
        return failed("this kernel takes a flag that Linux does not have");
    }
    let events: io::Result<Vec<Event>> =
        kinds.into_iter().map(|(flags, fields)| Event::open(flags, fields, 1)).collect();
    let mut events = events?;
    for turn in 0..count {
        progress("several events", turn, begun);
        enter(&own)?;
        for event in &mut events {
            let found = event.read(pid, &links)?;
            if found != (1, 0) {
                return failed(format_args!("turn {turn}: {found:?} records and lost ones"));
            }
        }
    }
    drop(events);

    // A ring that is full: what is not in it is counted.
    let mut event = Event::open(ON, ALL, 1)?;
    let (mut records, mut lost) = (0, 0);
    for turn in 0..count {
        progress("a full ring", turn, begun);
        enter(&own)?;
        if turn % 64 == 63 {
            let (some, gone) = event.read(pid, &links)?;
            (records, lost) = (records + some, lost + gone);
        }
    }
    // The last loss is told with the next record.
    event
        .read(pid, &links)
        .and_then(|(some, gone)| enter(&own).map(|()| (records, lost) = (records + some, lost + gone)))?;
    let (some, gone) = event.read(pid, &links)?;
    (records, lost) = (records + some, lost + gone);
    // A few of the lost may be of the kernel's threads.
    if !(count + 1..count + 10).contains(&(records + lost)) || lost == 0 {
        return failed(format_args!("{count} and one more are not {records} records and {lost} lost"));
    }
    drop(event);

    // Events that come and go while records are made: of tasks that end meanwhile, too.
    let mut event = Event::open(ON, ALL, 64)?;
    let mut stacks = vec![[0u128; 256]; 16];
    let mut ended = 0;
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            stay_on(1)?;
            for turn in 0..count {
                progress("events that come and go", turn, begun);
                drop(Event::open(ON, ALL, 1)?);
            }
            Ok::<_, io::Error>(())
        });
        while ended < count || !opener.is_finished() {
            progress("tasks that end", ended, begun);
            enter(&own)?;
            let children: Vec<io::Result<i32>> = stacks.iter_mut().map(|stack| lodger(stack)).collect();
            children.iter().flatten().for_each(|&child| wait(child));
            children.into_iter().collect::<io::Result<Vec<i32>>>()?;
            ended += stacks.len() as u64;
            let ring = &mut event.ring;
            let available = ring.available().len();
            ring.release(available);
        }
        opener.join().expect("does not panic")
    })?;
    println!("{}", json!({ "turns": count, "lost": lost, "seconds": begun.elapsed().as_secs() }));
    Ok(())
}

/// Says how far a loop is: with a kernel that looks for faults and an emulated CPU it takes minutes.
fn progress(what: &str, turn: u64, begun: Instant) {
    if turn.is_multiple_of(10_000) {
        eprintln!("{what}: turn {turn}, {} s", begun.elapsed().as_secs());
    }
}

/// A child that ends at once.
fn child() -> io::Result<i32> {
    // SAFETY: the child runs nothing of its parent's.
    match unsafe { libc::fork() } {
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        child if child < 0 => Err(io::Error::last_os_error()),
        child => Ok(child),
    }
}

/// A child that ends at once and has our memory: copying that is most of a fork, and no part of what is asked.
fn lodger(stack: &mut [u128]) -> io::Result<i32> {
    extern "C" fn end(_: *mut libc::c_void) -> i32 {
        0
    }
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the stack is the child's until it has ended, and it touches nothing else.
    match unsafe { libc::clone(end, top, libc::CLONE_VM | libc::SIGCHLD, std::ptr::null_mut()) } {
        child if child < 0 => Err(io::Error::last_os_error()),
        child => Ok(child),
    }
}

fn wait(child: i32) {
    // SAFETY: asks for no status.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

fn time(file: &str) -> io::Result<()> {
    let flags = ON | AttrFlags::NAMESPACES_TIME;
    let event = Event::open(flags, ALL, 8)?;
    enter(&own()?)?;
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(flags);
    attr.sample_type.set(ALL.0);
    let mut bytes = Bytes::default();
    let mut writer = FileWriter::begin(&mut bytes, &[AttrIds { attr: &attr, ids: &[1] }], &[])
        .map_err(|()| io::Error::other("no room"))?;
    let available = event.ring.available();
    writer.append(&[available.first, available.second]).map_err(|()| io::Error::other("no room"))?;
    println!("{}", json!({ "pid": std::process::id(), "time": links()[NsKind::Time.index()].ino }));
    fs::write(file, &bytes.0)
}

fn cost(count: u64) -> io::Result<()> {
    let own = own()?;
    let mut costs = serde_json::Map::new();
    for listeners in [0, 1, 10] {
        let events: io::Result<Vec<Event>> = (0..listeners).map(|_| Event::open(ON, ALL, 1)).collect();
        let mut events = events?;
        let mut turn = |what: &dyn Fn() -> io::Result<()>| {
            let mut all = 0;
            for turn in 0..=count {
                for event in &mut events {
                    let ring = &mut event.ring;
                    let available = ring.available().len();
                    ring.release(available);
                }
                let begun = Instant::now();
                what()?;
                // The first finds nothing in the caches.
                if turn > 0 {
                    all += begun.elapsed().as_nanos() as u64;
                }
            }
            Ok::<_, io::Error>(all / count)
        };
        let entry = turn(&|| enter(&own))?;
        costs.insert(format!("setns, {listeners} listeners"), entry.into());
        let fork = turn(&|| child().map(wait))?;
        costs.insert(format!("fork, {listeners} listeners"), fork.into());
    }
    println!("{}", serde_json::Value::Object(costs));
    Ok(())
}
