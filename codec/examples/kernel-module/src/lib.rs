//! A kernel module that writes what perf's NAMESPACES record tells into rings of its own: the part in Rust.
//!
//! `shim.c` knows the kernel: it is called for each new task and behind `unshare(2)` and `setns(2)`, has the device
//! whose readers map a ring each, and answers what is asked here about tasks. Who wants a record, what goes into it and
//! how it gets into the ring is the codec's. Build it with `cargo xtask kernel`.

#![no_std]
#![allow(clippy::missing_safety_doc)]

use core::ffi::{c_int, c_void};
use nsscope_codec::emit::{Context, Namespace, NamespaceEvents, RingEvent, Task};
use nsscope_codec::ring::{Mapping, Producer};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::SampleType;

// What shim.c answers. Tasks and pid namespaces are the kernel's pointers, never looked into here.
#[allow(improper_ctypes)]
extern "C" {
    fn shim_current() -> *const c_void;
    fn shim_tgid(task: *const c_void, pid_ns: *const c_void) -> u32;
    fn shim_tid(task: *const c_void, pid_ns: *const c_void) -> u32;
    /// Takes the task's lock and gives a namespace's device and inode; or leaves it and gives false.
    fn shim_get(task: *const c_void, kind: u32, dev: *mut u64, ino: *mut u64) -> bool;
    /// Gives the lock back.
    fn shim_put(task: *const c_void);
    /// ns of `CLOCK_MONOTONIC`.
    fn shim_now() -> u64;
    fn shim_cpu() -> u32;
    /// The next open event behind this one, the first behind null; null behind the last.
    fn shim_next(event: *mut Event) -> *mut Event;
}

/// How many events want records: with none, a fork pays for one load and a branch.
static EVENTS: NamespaceEvents = NamespaceEvents::new();

/// `CLOCK_MONOTONIC`, the one clock that the module has.
const CLOCK: c_int = 1;

/// A reader of the device. It lies in memory of shim.c, which does not look into it.
#[repr(transparent)]
pub struct Event(RingEvent<*const c_void, Mapping>);

/// What shim.c has room for.
const EVENT_SIZE: usize = 512;
const _: () = assert!(size_of::<Event>() <= EVENT_SIZE && align_of::<Event>() <= 16);

/// A task of the kernel's.
struct KernelTask(*const c_void);

impl Task for KernelTask {
    type PidNs = *const c_void;
    type Namespace = Held;

    fn ids(&self, from: &*const c_void) -> (u32, u32) {
        // SAFETY: the task runs, or is being made, and the event holds its pid namespace.
        unsafe { (shim_tgid(self.0, *from), shim_tid(self.0, *from)) }
    }

    fn namespace(&self, kind: NsKind) -> Option<Held> {
        let mut id = NsId::default();
        // SAFETY: as above; the pointers are to our own.
        let held = unsafe { shim_get(self.0, kind as u32, &mut id.dev, &mut id.ino) };
        held.then_some(Held { task: self.0, id })
    }
}

/// A namespace of a task that cannot leave it: the task's lock is held.
struct Held {
    task: *const c_void,
    id: NsId,
}

impl Namespace for Held {
    fn id(&self) -> NsId {
        self.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `shim_get` has taken the lock of this task.
        unsafe { shim_put(self.task) }
    }
}

/// Where a record is made.
struct Here(KernelTask);

impl Context for Here {
    type Task = KernelTask;

    fn current(&self) -> &KernelTask {
        &self.0
    }

    fn now(&self, _: Option<i32>) -> u64 {
        // SAFETY: takes nothing.
        unsafe { shim_now() }
    }

    fn cpu(&self) -> u32 {
        // SAFETY: takes nothing.
        unsafe { shim_cpu() }
    }
}

/// All open events, which shim.c keeps locked meanwhile.
struct Open(*mut Event);

impl Iterator for Open {
    type Item = &'static mut RingEvent<*const c_void, Mapping>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the list is locked; each event is handed out once.
        unsafe {
            self.0 = shim_next(self.0);
            self.0.as_mut().map(|event| &mut event.0)
        }
    }
}

/// A reader has come: makes its ring in `len` zeroed bytes at `base`, a control page of `page` bytes before the data.
/// False where that is no ring.
#[no_mangle]
pub unsafe extern "C" fn nsscope_open(
    at: *mut Event,
    id: u64,
    pid_ns: *const c_void,
    base: *mut u8,
    len: usize,
    page: usize,
) -> bool {
    let mut attr = Attr::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID);
    attr.clockid.set(CLOCK);
    let fields = [SampleType::TID, SampleType::TIME, SampleType::CPU, SampleType::IDENTIFIER];
    attr.sample_type.set(fields.iter().fold(0, |all, field| all | field.0));
    // SAFETY: shim.c gives zeroed pages of this size, and keeps them for as long as the event.
    let Some(ring) = (unsafe { Mapping::create(base, len, page) }) else { return false };
    let event = RingEvent { attr, id, pid_ns, ring: Producer::new(ring) };
    EVENTS.account(event.attr.flags());
    // SAFETY: shim.c has room for it there.
    unsafe { at.write(Event(event)) };
    true
}

/// The reader has gone.
#[no_mangle]
pub unsafe extern "C" fn nsscope_close(at: *mut Event) {
    // SAFETY: `nsscope_open` has made it.
    let Event(event) = unsafe { at.read() };
    EVENTS.unaccount(event.attr.flags());
}

/// Whether anybody reads.
#[no_mangle]
pub extern "C" fn nsscope_wanted() -> bool {
    EVENTS.wanted()
}

/// The namespaces of `task` are new or changed. The caller holds the list of events locked.
#[no_mangle]
pub unsafe extern "C" fn nsscope_emit(task: *const c_void) {
    // SAFETY: takes nothing.
    let here = Here(KernelTask(unsafe { shim_current() }));
    EVENTS.emit(&KernelTask(task), &here, || Open(core::ptr::null_mut()));
}

/// There is nothing to panic at; if there were, the kernel would not load the module for want of this function.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    extern "C" {
        fn nsscope_a_panic_survives() -> !;
    }
    // SAFETY: nobody has it.
    unsafe { nsscope_a_panic_survives() }
}
