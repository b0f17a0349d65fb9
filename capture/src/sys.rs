//! System calls that no library wraps. All unsafe code of the crate is here. Not here: why a call is made.

use nsscope_codec::Native;
use nsscope_codec::ring::{Available, Consumer, Mapping};
use nsscope_codec::wire::attr::Attr;
use nsscope_codec::wire::namespaces::NsKind;
use rustix::mm::{MapFlags, ProtFlags};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

const PERF_FLAG_PID_CGROUP: libc::c_ulong = 4;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_DISABLE: libc::c_ulong = 0x2401;
const PERF_EVENT_IOC_SET_OUTPUT: libc::c_ulong = 0x2405;
#[cfg(feature = "bpf")]
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
const PERF_EVENT_IOC_PAUSE_OUTPUT: libc::c_ulong = 0x4004_2409;
const PERF_EVENT_IOC_ID: libc::c_ulong = 0x8008_2407;

/// An open perf event.
#[derive(Debug)]
pub(crate) struct Event {
    fd: OwnedFd,
}

impl Event {
    /// `perf_event_open(2)`. `pid` -1 is every process, `cpu` -1 every CPU.
    pub(crate) fn open(attr: &Attr<Native>, pid: i32, cpu: i32) -> io::Result<Self> {
        Self::open_with(attr, pid, cpu, PERF_FLAG_FD_CLOEXEC)
    }

    /// The same for the tasks of a cgroup while they are in it, and of those below it (`PERF_FLAG_PID_CGROUP`).
    pub(crate) fn open_for_cgroup(attr: &Attr<Native>, cgroup: BorrowedFd<'_>, cpu: i32) -> io::Result<Self> {
        Self::open_with(attr, cgroup.as_raw_fd(), cpu, PERF_FLAG_FD_CLOEXEC | PERF_FLAG_PID_CGROUP)
    }

    fn open_with(attr: &Attr<Native>, pid: i32, cpu: i32, flags: libc::c_ulong) -> io::Result<Self> {
        // SAFETY: the kernel reads `attr.size` bytes, which the type has, and keeps no pointer.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), pid, cpu, -1, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.fd)
    }

    /// The id that the event's records carry.
    pub(crate) fn id(&self) -> io::Result<u64> {
        let mut id = 0u64;
        // SAFETY: the kernel writes one u64.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_ID, &raw mut id) })?;
        Ok(id)
    }

    /// Begin to count.
    pub(crate) fn enable(&self) -> io::Result<()> {
        // SAFETY: takes no pointer.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) })
    }

    /// Stop counting.
    pub(crate) fn disable(&self) -> io::Result<()> {
        // SAFETY: takes no pointer.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_DISABLE, 0) })
    }

    /// Have an eBPF program run at each of the event, a tracepoint, for as long as it is open.
    #[cfg(feature = "bpf")]
    pub(crate) fn run(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: takes a descriptor by value.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()) })?;
        self.enable()
    }

    /// Stop writing to the event's ring, or go on.
    pub(crate) fn pause_output(&self, pause: bool) -> io::Result<()> {
        // SAFETY: takes a number by value.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_PAUSE_OUTPUT, libc::c_uint::from(pause)) })
    }

    /// Write this event's records to the ring of `other`, an event on the same CPU.
    pub(crate) fn redirect(&self, other: &Self) -> io::Result<()> {
        // SAFETY: takes a descriptor by value.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), PERF_EVENT_IOC_SET_OUTPUT, other.fd.as_raw_fd()) })
    }
}

/// The uid that owns the user namespace of a process, where that is not the machine's first one (`NS_GET_OWNER_UID` of
/// ioctl_nsfs(2)).
pub(crate) fn user_namespace_owner(pid: u32) -> Option<u32> {
    const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;
    let file = fs::File::open(format!("/proc/{pid}/ns/user")).ok()?;
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid.
    check(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) }).ok()?;
    Some(uid)
}

/// The number of a namespace that the kernel never gives again (`NS_GET_ID`, since Linux 6.18); 0 where it has none.
pub(crate) fn unique_namespace(file: &fs::File) -> u64 {
    const NS_GET_ID: libc::c_ulong = 0x8008_b70d;
    let mut id = 0u64;
    // SAFETY: the kernel writes one u64.
    match check(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_ID, &raw mut id) }) {
        Ok(()) => id,
        Err(_) => 0,
    }
}

/// Whether this kernel has such numbers.
pub(crate) fn has_namespace_ids() -> bool {
    static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS.get_or_init(|| fs::File::open("/proc/self/ns/mnt").is_ok_and(|file| unique_namespace(&file) != 0))
}

/// The same for the namespace of this inode that a process is in, where it may be opened and has such a number. `None` too
/// where the process has gone elsewhere since its inode was read, or another process has its pid.
pub fn namespace_id(pid: u32, kind: NsKind, ino: u64) -> Option<u64> {
    let file = fs::File::open(format!("/proc/{pid}/ns/{}", kind.name())).ok()?;
    let is_it = file.metadata().is_ok_and(|metadata| metadata.ino() == ino);
    Some(unique_namespace(&file)).filter(|&id| is_it && id != 0)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A perf event's ring, mapped.
#[derive(Debug)]
pub(crate) struct Ring {
    base: *mut libc::c_void,
    len: usize,
    consumer: Consumer,
}

// SAFETY: `base` is the address of a mapping, which belongs to the process and to no thread; only `drop` uses it.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps `event`'s ring with `size` bytes of data, a power of two pages. One that may be overwritten is mapped
    /// without the right to write, and so to give space back.
    pub(crate) fn map(event: &Event, size: usize, overwrite: bool) -> io::Result<Self> {
        let len = size + crate::machine::page_size();
        let prot = if overwrite { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE };
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, event.fd(), 0)? };
        // SAFETY: the mapping is `len` bytes of a perf event, unmapped only in `drop`; `available` and `release`, which
        // write the tail, are not called of one that may only be read.
        match unsafe { Mapping::new(base.cast(), len) } {
            Some(mapping) => Ok(Self { base, len, consumer: Consumer::new(mapping) }),
            None => Err(io::Error::other("the kernel's ring buffer has no data area (Linux 4.1 or newer is needed)")),
        }
    }

    /// What the kernel has written.
    pub(crate) fn available(&mut self) -> Available<'_> {
        self.consumer.available()
    }

    /// What is in a ring that may be overwritten, the newest record first; its output must be paused.
    pub(crate) fn backward(&mut self) -> Available<'_> {
        self.consumer.backward()
    }

    /// Gives `bytes` back to the kernel.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.consumer.release(bytes);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: our own mapping; `consumer` is not used any more.
        let _ = unsafe { rustix::mm::munmap(self.base, self.len) };
    }
}

/// Makes the child write its pid to one pipe and wait for a byte on the other between fork and exec.
///
/// `go_in` is our end of that pipe, which the child must not keep open: it would wait for itself.
pub(crate) fn gate(command: &mut Command, pid: OwnedFd, go: OwnedFd, go_in: BorrowedFd<'_>) {
    let go_in = go_in.as_raw_fd();
    let hook = move || {
        // SAFETY: in the child this descriptor belongs to nobody.
        unsafe { libc::close(go_in) };
        rustix::io::write(&pid, &std::process::id().to_ne_bytes())?;
        match rustix::io::read(&go, &mut [0u8; 1])? {
            1 => Ok(()),
            _ => Err(io::Error::from(rustix::io::Errno::CANCELED)),
        }
    };
    // SAFETY: between fork and exec the hook only makes system calls on descriptors it owns.
    unsafe { command.pre_exec(hook) };
}
