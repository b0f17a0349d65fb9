// SPDX-License-Identifier: GPL-2.0

//! A driver without a line of C: behind each `unshare(2)` and `setns(2)` it writes a NAMESPACES record into the ring of
//! each reader of `/dev/nsscope`, who maps it as that of a perf event (`perf_event_open(2)`, "MMAP layout").
//!
//! Who wants a record, what goes into it and how it gets into the ring is `nsscope_codec`'s.

use core::ffi::{c_int, c_void};
use core::mem::{self, offset_of};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::SpinLock;
use kernel::types::Opaque;
use kernel::{bindings, c_str, new_spinlock};
use nsscope_codec::emit::{self, NamespaceEvents, RingEvent};
use nsscope_codec::ring::{Mapping, Producer};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::namespaces::{new_encode_dev, NsId, NsKind};
use nsscope_codec::wire::sample_id::SampleType;

module! {
    type: Driver,
    name: "nsscope_rust",
    author: "The nsscope authors",
    description: "PERF_RECORD_NAMESPACES in rings of its own",
    license: "GPL",
}

/// Bytes of a reader's data; a page with the control fields is before them.
const RING: usize = 1 << 20;
const PAGE: usize = kernel::page::PAGE_SIZE;
/// `CLOCK_MONOTONIC`, the one clock that records have here.
const CLOCK: c_int = 1;
/// How many bits of a `dev_t` are the minor number (`MINORBITS`).
const MINOR_BITS: u32 = 20;

/// How many readers there are: with none, unshare pays for one load and a branch.
static EVENTS: NamespaceEvents = NamespaceEvents::new();
/// The device of nsfs, as records have it.
static NSFS: AtomicU32 = AtomicU32::new(0);
/// The id of the next reader.
static NEXT: AtomicU64 = AtomicU64::new(1);
/// What the driver shares with its callbacks; null while it is not there.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// Fails to compile where `bindgen` has a field elsewhere than C: see bindings.h.
macro_rules! as_in_c {
    ($($structure:ident.$field:ident = $offset:ident,)*) => {
        $(const _: () = assert!(offset_of!(bindings::$structure, $field) == bindings::$offset);)*
    };
}

as_in_c! {
    task_struct.real_cred = OFFSET_task_struct_real_cred,
    task_struct.nsproxy = OFFSET_task_struct_nsproxy,
    task_struct.alloc_lock = OFFSET_task_struct_alloc_lock,
    cred.user_ns = OFFSET_cred_user_ns,
    net.ns = OFFSET_net_ns,
    uts_namespace.ns = OFFSET_uts_namespace_ns,
    ipc_namespace.ns = OFFSET_ipc_namespace_ns,
    pid_namespace.ns = OFFSET_pid_namespace_ns,
    user_namespace.ns = OFFSET_user_namespace_ns,
    cgroup_namespace.ns = OFFSET_cgroup_namespace_ns,
    time_namespace.ns = OFFSET_time_namespace_ns,
    vm_area_struct.vm_pgoff = OFFSET_vm_area_struct_vm_pgoff,
    file.private_data = OFFSET_file_private_data,
    pt_regs.ax = OFFSET_pt_regs_ax,
}

/// What lockdep knows the queue by.
struct Key(Opaque<bindings::lock_class_key>);
// SAFETY: Only lockdep uses what is in it.
unsafe impl Sync for Key {}
static KEY: Key = Key(Opaque::uninit());

/// A reader of the device.
struct Reader {
    event: RingEvent<PidNs, Mapping>,
    memory: Pages,
}

// SAFETY: The ring and the pid namespace belong to the reader alone, on whatever CPU.
unsafe impl Send for Reader {}

#[pin_data]
struct Shared {
    #[pin]
    readers: SpinLock<KVec<KBox<Reader>>>,
    #[pin]
    written: Opaque<bindings::wait_queue_head_t>,
}

/// Memory that may be mapped by a process.
struct Pages(NonNull<c_void>);

impl Pages {
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: May sleep, which every caller may.
        NonNull::new(unsafe { bindings::vmalloc_user_noprof(bytes as _) }).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: It was allocated by `vmalloc_user()`; mappings of it hold their pages themselves.
        unsafe { bindings::vfree(self.0.as_ptr()) };
    }
}

/// A counted reference to a pid namespace.
struct PidNs(NonNull<bindings::pid_namespace>);

impl PidNs {
    /// The current task's.
    fn current() -> Result<Self> {
        // SAFETY: The current task is in a pid namespace for as long as it runs, so the count is not 0.
        unsafe {
            let ns = NonNull::new(bindings::task_active_pid_ns(bindings::get_current())).ok_or(ESRCH)?;
            // The first is not counted, as get_pid_ns() has it.
            if ns.as_ptr() != ptr::addr_of_mut!(bindings::init_pid_ns) {
                bindings::refcount_inc(&mut (*ns.as_ptr()).ns.count);
            }
            Ok(Self(ns))
        }
    }
}

impl Drop for PidNs {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::put_pid_ns(self.0.as_ptr()) };
    }
}

/// The task that runs.
struct Current(*mut bindings::task_struct);

impl Current {
    fn new() -> Self {
        // SAFETY: Always allowed.
        Self(unsafe { bindings::get_current() })
    }
}

impl emit::Task for Current {
    type PidNs = PidNs;
    type Namespace = Held;

    fn ids(&self, from: &PidNs) -> (u32, u32) {
        // SAFETY: The task runs; the namespace is held.
        let id = |kind| unsafe { bindings::__task_pid_nr_ns(self.0, kind, from.0.as_ptr()) as u32 };
        (id(bindings::pid_type_PIDTYPE_TGID), id(bindings::pid_type_PIDTYPE_PID))
    }

    /// A task's namespaces are its own to change and do not go away under its lock.
    fn namespace(&self, kind: NsKind) -> Option<Held> {
        let mut held = Held::lock(self.0);
        // SAFETY: The task runs, and its lock is held.
        held.inode = unsafe {
            let proxy = (*self.0).nsproxy.as_ref()?;
            match kind {
                NsKind::Net => (*proxy.net_ns).ns.inum,
                NsKind::Uts => (*proxy.uts_ns).ns.inum,
                NsKind::Ipc => (*proxy.ipc_ns).ns.inum,
                NsKind::Pid => bindings::task_active_pid_ns(self.0).as_ref()?.ns.inum,
                NsKind::User => (*(*(*self.0).real_cred).user_ns).ns.inum,
                // Its first member, in a header that drivers do not have (fs/mount.h).
                NsKind::Mnt => (*proxy.mnt_ns.cast::<bindings::ns_common>()).inum,
                NsKind::Cgroup => (*proxy.cgroup_ns).ns.inum,
                NsKind::Time => (*proxy.time_ns).ns.inum,
            }
        };
        Some(held)
    }
}

/// A namespace of a task that cannot leave it: the task's lock is held.
struct Held {
    task: NonNull<bindings::task_struct>,
    inode: u32,
}

impl Held {
    fn lock(task: *mut bindings::task_struct) -> Self {
        // SAFETY: `task_lock()`: the task runs. Nothing that is called with the lock held takes another.
        unsafe {
            bindings::spin_lock(&mut (*task).alloc_lock);
            Self { task: NonNull::new_unchecked(task), inode: 0 }
        }
    }
}

impl emit::Namespace for Held {
    fn id(&self) -> NsId {
        NsId { dev: NSFS.load(Ordering::Relaxed).into(), ino: self.inode.into() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `lock()` has taken it.
        unsafe { bindings::spin_unlock(&mut (*self.task.as_ptr()).alloc_lock) };
    }
}

/// Where and when a record is made.
struct Here(Current);

impl emit::Context for Here {
    type Task = Current;

    fn current(&self) -> &Current {
        &self.0
    }

    fn now(&self, _: Option<i32>) -> u64 {
        // SAFETY: May be called anywhere.
        unsafe { bindings::ktime_get_mono_fast_ns() }
    }

    fn cpu(&self) -> u32 {
        // SAFETY: The current task's own field, which says where it runs.
        unsafe { (*self.0 .0).thread_info.cpu }
    }
}

/// `unshare(2)` or `setns(2)` returns: where Linux calls `perf_event_namespaces()`, if it succeeded.
///
/// # Safety
/// Called by the probe.
unsafe extern "C" fn returns(_: *mut bindings::kretprobe_instance, regs: *mut bindings::pt_regs) -> c_int {
    // SAFETY: The probe passes the registers of the task that it has stopped.
    let failed = unsafe { (*regs).ax } != 0;
    // SAFETY: It is there until the probes are gone.
    let shared = unsafe { SHARED.load(Ordering::Acquire).as_ref() };
    if let (false, true, Some(shared)) = (failed, EVENTS.wanted(), shared) {
        let mut readers = shared.readers.lock();
        let all = &mut *readers;
        EVENTS.emit(&Current::new(), &Here(Current::new()), move || all.iter_mut().map(|reader| &mut reader.event));
        drop(readers);
        // SAFETY: The queue was initialised, and lives as long as `shared`.
        unsafe { bindings::__wake_up(shared.written.get(), bindings::TASK_INTERRUPTIBLE, 1, ptr::null_mut()) };
    }
    0
}

/// # Safety
/// Called for an open of the device.
unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    let opened = || -> Result<*mut Reader> {
        // SAFETY: Asks about the current task.
        if !unsafe { bindings::capable(bindings::CAP_PERFMON as c_int) } {
            return Err(EACCES);
        }
        let memory = Pages::new(PAGE + RING)?;
        // SAFETY: Zeroed pages of this size, which live as long as the reader.
        let ring = unsafe { Mapping::create(memory.0.as_ptr().cast(), PAGE + RING, PAGE) }.ok_or(EINVAL)?;
        let mut attr = Attr::new(TYPE_SOFTWARE, CONFIG_DUMMY);
        attr.set_flags(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID);
        attr.clockid.set(CLOCK);
        let fields = [SampleType::TID, SampleType::TIME, SampleType::CPU, SampleType::IDENTIFIER];
        attr.sample_type.set(fields.iter().fold(0, |all, field| all | field.0));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let event = RingEvent { attr, id, pid_ns: PidNs::current()?, ring: Producer::new(ring) };
        let mut reader = KBox::new(Reader { event, memory }, GFP_KERNEL)?;
        let at: *mut Reader = &mut *reader;
        // SAFETY: The file's module is held, so the driver is there.
        let shared = unsafe { SHARED.load(Ordering::Acquire).as_ref() }.ok_or(ENODEV)?;
        let mut readers = shared.readers.lock();
        readers.push(reader, GFP_ATOMIC)?;
        drop(readers);
        EVENTS.account(attr.flags());
        Ok(at)
    };
    match opened() {
        Ok(reader) => {
            // SAFETY: The file is being opened by us alone.
            unsafe { (*file).private_data = reader.cast() };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
/// Called when the last descriptor of an open is closed.
unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file's module is held, so the driver is there; `open()` has set the pointer.
    let (shared, reader) = unsafe { (SHARED.load(Ordering::Acquire).as_ref(), (*file).private_data.cast::<Reader>()) };
    let Some(shared) = shared else { return 0 };
    let mut rest = KVec::new();
    let mut readers = shared.readers.lock();
    let mut gone = None;
    for other in mem::replace(&mut *readers, KVec::new()) {
        if ptr::eq(&*other, reader) {
            EVENTS.unaccount(other.event.attr.flags());
            gone = Some(other);
        } else {
            // There was room for as many.
            let _ = rest.push(other, GFP_ATOMIC);
        }
    }
    *readers = rest;
    drop(readers);
    // Where a task may sleep.
    drop(gone);
    0
}

/// # Safety
/// Called for a mapping of an open device.
unsafe extern "C" fn mmap(file: *mut bindings::file, vma: *mut bindings::vm_area_struct) -> c_int {
    // SAFETY: `open()` has set the pointer, and the reader lives until `release()`.
    unsafe {
        let reader = &*(*file).private_data.cast::<Reader>();
        bindings::remap_vmalloc_range(vma, reader.memory.0.as_ptr(), (*vma).vm_pgoff)
    }
}

/// # Safety
/// Called for a poll of an open device.
unsafe extern "C" fn poll(file: *mut bindings::file, table: *mut bindings::poll_table_struct) -> bindings::__poll_t {
    // SAFETY: The file's module is held, so the driver is there; `open()` has set the pointer. What is read of the ring
    // are its head and its tail.
    unsafe {
        let Some(shared) = SHARED.load(Ordering::Acquire).as_ref() else { return 0 };
        // poll_wait()
        if let Some(queue) = table.as_ref().and_then(|table| table._qproc) {
            queue(file, shared.written.get(), table);
        }
        let page = (*(*file).private_data.cast::<Reader>()).memory.0.as_ptr().cast::<bindings::perf_event_mmap_page>();
        let head = (*ptr::addr_of!((*page).data_head).cast::<AtomicU64>()).load(Ordering::Acquire);
        let tail = (*ptr::addr_of!((*page).data_tail).cast::<AtomicU64>()).load(Ordering::Relaxed);
        if head == tail {
            0
        } else {
            bindings::POLLIN | bindings::POLLRDNORM
        }
    }
}

/// The device that all namespaces have, from the file of one.
fn nsfs() -> Result<u32> {
    let mut path = mem::MaybeUninit::<bindings::path>::uninit();
    let name = c_str!("/proc/self/ns/mnt");
    // SAFETY: The name ends with 0; the path is written where there is no error, and is put once.
    unsafe {
        to_result(bindings::kern_path(name.as_char_ptr(), bindings::LOOKUP_FOLLOW, path.as_mut_ptr()))?;
        let path = path.assume_init();
        let device = (*(*path.dentry).d_sb).s_dev;
        bindings::path_put(&path);
        Ok(new_encode_dev(device >> MINOR_BITS, device & ((1 << MINOR_BITS) - 1)))
    }
}

/// Something that is registered for as long as this lives, at a place that does not move.
struct Registered<T> {
    what: KBox<Opaque<T>>,
    gone: unsafe extern "C" fn(*mut T),
}

impl<T> Registered<T> {
    /// # Safety
    /// `what` is what `register` wants, and all that it points to lives as long.
    unsafe fn new(
        what: T,
        register: unsafe extern "C" fn(*mut T) -> c_int,
        gone: unsafe extern "C" fn(*mut T),
    ) -> Result<Self> {
        let what = KBox::new(Opaque::new(what), GFP_KERNEL)?;
        // SAFETY: By this function's contract.
        to_result(unsafe { register(what.get()) })?;
        Ok(Self { what, gone })
    }
}

impl<T> Drop for Registered<T> {
    fn drop(&mut self) {
        // SAFETY: It was registered.
        unsafe { (self.gone)(self.what.get()) };
    }
}

/// The driver. Its fields go in this order: probes first, then who opens, then what they use.
struct Driver {
    _probes: [Registered<bindings::kretprobe>; 2],
    _device: Registered<bindings::miscdevice>,
    _operations: KBox<bindings::file_operations>,
    _shared: Pin<KBox<Shared>>,
}

// SAFETY: Nothing but `drop()` uses the fields.
unsafe impl Send for Driver {}
// SAFETY: As above.
unsafe impl Sync for Driver {}

impl kernel::Module for Driver {
    fn init(module: &'static ThisModule) -> Result<Self> {
        NSFS.store(nsfs()?, Ordering::Relaxed);
        let shared = KBox::pin_init(
            pin_init!(Shared {
                readers <- new_spinlock!(KVec::new()),
                written <- Opaque::ffi_init(|queue| {
                    // SAFETY: The queue is not used yet, and the names are static.
                    unsafe {
                        bindings::__init_waitqueue_head(
                            queue,
                            c_str!("nsscope").as_char_ptr(),
                            KEY.0.get(),
                        );
                    }
                }),
            }),
            GFP_KERNEL,
        )?;
        SHARED.store(ptr::from_ref(&*shared).cast_mut(), Ordering::Release);
        let operations = bindings::file_operations {
            owner: module.as_ptr(),
            open: Some(open),
            release: Some(release),
            mmap: Some(mmap),
            poll: Some(poll),
            ..Default::default()
        };
        let operations = KBox::new(operations, GFP_KERNEL)?;
        let device = bindings::miscdevice {
            minor: bindings::MISC_DYNAMIC_MINOR as c_int,
            name: c_str!("nsscope").as_char_ptr(),
            fops: &*operations,
            ..Default::default()
        };
        // SAFETY: The operations and the name live longer: see the order of the fields.
        let device = unsafe { Registered::new(device, bindings::misc_register, bindings::misc_deregister)? };
        let probe = |function: &'static CStr| {
            let mut probe = bindings::kretprobe { handler: Some(returns), ..Default::default() };
            probe.kp.symbol_name = function.as_char_ptr();
            // SAFETY: The handler and the name are static.
            unsafe { Registered::new(probe, bindings::register_kretprobe, bindings::unregister_kretprobe) }
        };
        let probes = [probe(c_str!("ksys_unshare"))?, probe(c_str!("__x64_sys_setns"))?];
        Ok(Self { _probes: probes, _device: device, _operations: operations, _shared: shared })
    }
}
