//! What a kernel calls, in a library whose panic handler cannot be linked. Not here: how it is
//! compiled.

#![no_std]

use core::panic::PanicInfo;
use nsscope_codec::emit::{Context, Event, NamespaceEvents, Namespace, Output, Requested, Task, Trailer};
use nsscope_codec::encode::{self, Encode, Sink};
use nsscope_codec::wire::attr::{Attr, AttrFlags};
use nsscope_codec::wire::namespaces::{Namespaces, NsId, NsKind};
use nsscope_codec::wire::sample::SampleFormat;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::wire::{BigEndian, LittleEndian, Native, Order};
use nsscope_codec::{Record, Records};

extern "C" {
    fn a_panic_survives() -> !;
    fn seen(what: u64);
    fn now() -> u64;
    fn ids() -> u64;
    fn link(kind: u32) -> u64;
    fn begin(size: usize) -> *mut u8;
    fn end();
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unsafe { a_panic_survives() }
}

/// The kernel's side of the boundary: bodies that the linker finds, and that the optimiser cannot see through.
mod outside {
    use core::hint::black_box;
    #[no_mangle]
    extern "C" fn seen(what: u64) {
        black_box(what);
    }
    #[no_mangle]
    extern "C" fn now() -> u64 {
        black_box(1)
    }
    #[no_mangle]
    extern "C" fn ids() -> u64 {
        black_box(1)
    }
    #[no_mangle]
    extern "C" fn link(kind: u32) -> u64 {
        black_box(u64::from(kind))
    }
    #[no_mangle]
    extern "C" fn begin(size: usize) -> *mut u8 {
        black_box(size as *mut u8)
    }
    #[no_mangle]
    extern "C" fn end() {}
}

unsafe fn slice<'a>(data: *const u8, len: usize) -> &'a [u8] {
    unsafe { core::slice::from_raw_parts(data, len) }
}

/// Shows that the proof can fail.
#[no_mangle]
pub unsafe extern "C" fn panics(data: *const u8, len: usize, at: usize) -> u8 {
    unsafe { slice(data, len)[at] }
}

fn decode<O: Order>(bytes: &[u8], sample_type: u64, read_format: u64) {
    let layout = SampleIdLayout::new(SampleType(sample_type));
    let format =
        SampleFormat { sample_type: SampleType(sample_type), read_format, branch_sample_type: 0, regs_user: 9, regs_intr: 9 };
    if let Ok(attr) = Attr::<O>::parse(bytes, 0) {
        unsafe { seen(attr.flags().0) };
    }
    for record in Records::<O>::new(bytes, 0) {
        let Ok(record) = record else { return };
        if let Ok(id) = record.sample_id(layout) {
            unsafe { seen(id.time.unwrap_or(0)) };
        }
        let what = match record.parse() {
            Ok(Record::Namespaces(ns)) => ns.get(NsKind::Net).map_or(0, |id| id.ino),
            Ok(Record::Fork(task) | Record::Exit(task)) => task.time.get(),
            Ok(Record::Comm(comm)) => comm.comm.len() as u64,
            Ok(Record::Cgroup(cgroup)) => cgroup.path.len() as u64,
            Ok(Record::Lost(lost)) => lost.lost.get(),
            Ok(Record::Mmap2(mmap)) => mmap.filename.len() as u64,
            Ok(Record::Ksymbol(symbol)) => symbol.name.len() as u64,
            Ok(Record::Sample) => format.parse(&record).map_or(0, |sample| sample.callchain.len() as u64),
            Ok(_) => 1,
            Err(error) => error.offset,
        };
        unsafe { seen(what) };
    }
}

#[no_mangle]
pub unsafe extern "C" fn decode_little(data: *const u8, len: usize, sample_type: u64, read_format: u64) {
    decode::<LittleEndian>(unsafe { slice(data, len) }, sample_type, read_format);
}

#[no_mangle]
pub unsafe extern "C" fn decode_big(data: *const u8, len: usize, sample_type: u64, read_format: u64) {
    decode::<BigEndian>(unsafe { slice(data, len) }, sample_type, read_format);
}

/// NAMESPACES alone, as a consumer that wants nothing else reads them.
#[no_mangle]
pub unsafe extern "C" fn decode_namespaces(data: *const u8, len: usize) -> u64 {
    let mut sum = 0u64;
    for record in Records::<Native>::new(unsafe { slice(data, len) }, 0) {
        let Ok(record) = record else { break };
        if record.kind() == nsscope_codec::wire::header::RecordType::NAMESPACES {
            if let Ok(namespaces) = record.as_type::<Namespaces<'_, Native>>() {
                for link in namespaces.links {
                    sum = sum.wrapping_add(link.ino.get());
                }
            }
        }
    }
    sum
}

#[no_mangle]
pub unsafe extern "C" fn encode_namespaces(
    pid: u32,
    links: &[NsId; 7],
    layout: &SampleIdLayout,
    id: &SampleId,
    buf: *mut u8,
    len: usize,
) -> usize {
    let buf = unsafe { core::slice::from_raw_parts_mut(buf, len) };
    encode::Namespaces { pid, tid: pid, links }.encode::<Native>(0, *layout, id, buf).unwrap_or(0)
}

struct Kernel;
struct KernelEvent<'a>(&'a Attr<Native>);
struct Room(*mut u8);
struct Link(u64);

impl Namespace for Link {
    fn id(&self) -> NsId {
        NsId { dev: 4, ino: self.0 }
    }
}

impl Task for Kernel {
    type PidNs = ();
    type Namespace = Link;
    fn ids(&self, (): &()) -> (u32, u32) {
        let ids = unsafe { ids() };
        ((ids >> 32) as u32, ids as u32)
    }
    fn namespace(&self, kind: NsKind) -> Option<Link> {
        match unsafe { link(kind as u32) } {
            0 => None,
            ino => Some(Link(ino)),
        }
    }
}

impl Context for Kernel {
    type Task = Kernel;
    fn current(&self) -> &Kernel {
        self
    }
    fn now(&self, _: Option<i32>) -> u64 {
        unsafe { now() }
    }
    fn cpu(&self) -> u32 {
        0
    }
}

impl Sink for Room {
    fn put(&mut self, bytes: &[u8]) {
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0, bytes.len());
            self.0 = self.0.add(bytes.len());
        }
    }
}

impl Output for Room {
    fn commit(self) {
        unsafe { end() }
    }
}

impl Event for KernelEvent<'_> {
    type PidNs = ();
    type Output<'b>
        = Room
    where
        Self: 'b;
    fn requested(&self) -> Requested {
        Requested::from(self.0)
    }
    fn id(&self) -> u64 {
        1
    }
    fn stream_id(&self) -> u64 {
        1
    }
    fn pid_ns(&self) -> &() {
        &()
    }
    fn begin(&mut self, size: usize, _: &Trailer) -> Option<Room> {
        let room = unsafe { begin(size) };
        (!room.is_null()).then_some(Room(room))
    }
}

static EVENTS: NamespaceEvents = NamespaceEvents::new();

#[no_mangle]
pub extern "C" fn account_event(flags: u64) {
    EVENTS.account(AttrFlags(flags));
}

#[no_mangle]
pub unsafe extern "C" fn emit_namespaces(attrs: *const Attr<Native>, len: usize) -> u32 {
    EVENTS.emit(&Kernel, &Kernel, || unsafe { core::slice::from_raw_parts(attrs, len) }.iter().map(KernelEvent)).written
}
