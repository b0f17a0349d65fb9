//! Small facts about this machine and this process: CPUs, limits, capabilities, own namespaces. Not here: other
//! processes.

use crate::error::{Error, Result};
use rustix::fs::{Gid, Uid};
use std::fs;
use std::path::Path;

/// Size of a page in bytes.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// CPUs that are online, from `/sys/devices/system/cpu/online` (`0-3,8`), or where there is no sysfs, as in a bare chroot,
/// from `/proc/stat` (a line `cpu3 ...` each).
pub(crate) fn online_cpus() -> Result<Vec<u32>> {
    let mut cpus = Vec::new();
    let Ok(text) = fs::read_to_string("/sys/devices/system/cpu/online") else {
        let path = Path::new("/proc/stat");
        let stat = fs::read_to_string(path).map_err(|error| Error::file("read", path, error))?;
        let numbers = stat.lines().filter_map(|line| line.strip_prefix("cpu")?.split(' ').next()?.parse::<u32>().ok());
        cpus.extend(numbers);
        return Ok(cpus);
    };
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last);
        }
    }
    Ok(cpus)
}

/// How many numbers of CPUs there are, offline ones and those that may be plugged in among them.
#[cfg(feature = "bpf")]
pub(crate) fn possible_cpus() -> Result<u32> {
    let path = Path::new("/sys/devices/system/cpu/possible");
    let text = fs::read_to_string(path).map_err(|error| Error::file("read", path, error))?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<u32>().ok());
    last.map(|last| last + 1).ok_or_else(|| Error::other(format!("{}: {text:?}", path.display())))
}

/// `/proc/sys/kernel/perf_event_paranoid`; `None` where the kernel has no perf events.
pub(crate) fn paranoid() -> Option<i32> {
    fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

/// Types of the namespaces of ours that are not those the machine booted with: whoever has some is in a container.
/// Only types whose first namespace has an inode by convention are told (`PROC_USER_INIT_INO` and the like in
/// include/linux/proc_ns.h).
pub fn own_namespaces() -> Vec<&'static str> {
    let first: [(&str, u64); 3] = [("pid", 0xefff_fffc), ("user", 0xefff_fffd), ("cgroup", 0xefff_fffb)];
    let own = first.into_iter().filter(|&(kind, ino)| {
        fs::metadata(format!("/proc/self/ns/{kind}")).is_ok_and(|ns| std::os::unix::fs::MetadataExt::ino(&ns) != ino)
    });
    own.map(|(kind, _)| kind).collect()
}

/// `CAP_SYS_ADMIN`, the number in the capability sets.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;
/// `CAP_IPC_LOCK`.
pub(crate) const CAP_IPC_LOCK: u32 = 14;
/// `CAP_SYS_PTRACE`.
pub(crate) const CAP_SYS_PTRACE: u32 = 19;
/// `CAP_PERFMON`, since Linux 5.8.
pub(crate) const CAP_PERFMON: u32 = 38;

/// Whether this process has a capability in its effective set.
pub(crate) fn has_capability(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = set.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    set >> capability & 1 == 1
}

/// Who asked for this by sudo(8), where this is root: what is written belongs to them, not to root.
pub(crate) fn invoking_user() -> Option<(Uid, Gid)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok().filter(|&id| id != u32::MAX);
    Some((Uid::from_raw(number("SUDO_UID")?), Gid::from_raw(number("SUDO_GID")?)))
}
