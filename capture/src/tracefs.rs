//! What tracefs says of the kernel's tracepoints. Not here: what the tracepoints are used for.
//!
//! tracefs is often not mounted. Then it is mounted for this process alone, attached nowhere: nothing on the
//! machine changes.

use nsscope_codec::perf_data::tracing::Format;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::fs::File;
use std::io::Read;

/// The tracepoints that tell of cgroups.
pub(crate) const CGROUP_EVENTS: [&str; 3] = ["cgroup_attach_task", "cgroup_mkdir", "cgroup_rmdir"];

/// A tracepoint of this kernel.
#[derive(Debug)]
pub struct Tracepoint {
    /// Text of its `format` file.
    pub text: String,
    /// The same, read.
    pub format: Format,
}

/// The cgroup tracepoints of this kernel.
///
/// # Errors
/// Why there are none.
pub(crate) fn cgroup_tracepoints() -> Result<Vec<Tracepoint>, String> {
    tracepoints("cgroup", &CGROUP_EVENTS)
}

/// The tracepoints that tell who is woken up.
///
/// # Errors
/// Why there are none.
pub(crate) fn wakeup_tracepoints() -> Result<Vec<Tracepoint>, String> {
    tracepoints("sched", &["sched_wakeup", "sched_wakeup_new"])
}

fn tracepoints(system: &str, names: &[&str]) -> Result<Vec<Tracepoint>, String> {
    let root = open()?;
    let read = |name: &str| {
        let text = read(&root, &format!("events/{system}/{name}/format")).ok()?;
        let format = Format::parse(system, &text)?;
        Some(Tracepoint { text, format })
    };
    let found: Vec<_> = names.iter().filter_map(|name| read(name)).collect();
    if found.is_empty() {
        Err(format!("the kernel has no {system} tracepoints, or they may not be read"))
    } else {
        Ok(found)
    }
}

/// The number by which perf_event_open(2) knows a tracepoint.
///
/// # Errors
/// Why it is not known.
#[cfg(feature = "bpf")]
pub(crate) fn id(system: &str, name: &str) -> Result<u64, String> {
    let text = read(&open()?, &format!("events/{system}/{name}/id"))
        .map_err(|error| format!("the kernel has no tracepoint {system}:{name}, or it may not be read: {error}"))?;
    text.trim().parse().map_err(|_| format!("tracefs gives {system}:{name} the id {}", text.trim()))
}

fn read(root: &OwnedFd, path: &str) -> std::io::Result<String> {
    let fd = rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text)?;
    Ok(text)
}

fn open() -> Result<OwnedFd, String> {
    open_or_mount().map_err(|errno| match errno {
        Errno::NODEV => "this kernel has no tracefs".to_string(),
        Errno::PERM | Errno::ACCESS => "tracefs may not be read".to_string(),
        other => format!("tracefs cannot be opened: {other}"),
    })
}

fn open_or_mount() -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for mounted in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        let dir = rustix::fs::open(mounted, flags, Mode::empty());
        if let Ok(dir) = dir
            && rustix::fs::accessat(&dir, "events", rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
        {
            return Ok(dir);
        }
    }
    let context = rustix::mount::fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}
