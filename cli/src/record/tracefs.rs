//! Formats of the kernel's cgroup tracepoints, from tracefs.
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
pub(crate) struct Tracepoint {
    /// Text of its `format` file.
    pub(crate) text: String,
    /// The same, read.
    pub(crate) format: Format,
}

/// The cgroup tracepoints of this kernel.
///
/// # Errors
/// Why there are none.
pub(crate) fn cgroup_tracepoints() -> Result<Vec<Tracepoint>, String> {
    let root = open().map_err(|errno| match errno {
        Errno::NODEV => "this kernel has no tracefs".to_string(),
        Errno::PERM | Errno::ACCESS => "tracefs may not be read".to_string(),
        other => format!("tracefs cannot be opened: {other}"),
    })?;
    let read = |name: &str| {
        let path = format!("events/cgroup/{name}/format");
        let fd = rustix::fs::openat(&root, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).ok()?;
        let format = Format::parse("cgroup", &text)?;
        Some(Tracepoint { text, format })
    };
    let found: Vec<_> = CGROUP_EVENTS.into_iter().filter_map(read).collect();
    if found.is_empty() {
        Err("the kernel has no cgroup tracepoints, or they may not be read".into())
    } else {
        Ok(found)
    }
}

fn open() -> Result<OwnedFd, Errno> {
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
