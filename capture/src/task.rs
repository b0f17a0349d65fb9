//! What /proc says of a task (proc_pid_stat(5), proc_pid_ns(5), proc_pid_cgroup(5)). Not here: records.

use nsscope_codec::wire::namespaces::{NsId, NsKind};
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, statat};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// What /proc says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) comm: Vec<u8>,
    pub(crate) ppid: u32,
    /// When it began, in clock ticks since boot: with the pid, what tells one process from another.
    pub(crate) start: u64,
    /// Whether it has started a program of its own since it was forked (not `PF_FORKNOEXEC` of include/linux/sched.h).
    pub(crate) has_exec: bool,
    /// `None`: they may not be read.
    pub(crate) namespaces: Option<[NsId; 7]>,
    /// Inodes of those that are in no record of the kernel.
    pub(crate) others: Others,
    /// Lines `id:controllers:path`.
    pub(crate) cgroups: String,
    /// Its pids from the recorder's pid namespace inwards, where there is more than one.
    pub(crate) nspids: Option<String>,
}

impl Facts {
    /// Reads them of a thread.
    ///
    /// # Errors
    /// Where it has ended.
    pub(crate) fn of(pid: u32, tid: u32) -> io::Result<Self> {
        let dir = rustix::fs::open(format!("/proc/{pid}/task/{tid}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let Stat { comm, ppid, start, has_exec } = stat(&read(&dir, "stat")?)?;
        let (namespaces, others) = match namespaces(&dir) {
            Ok((links, others)) => (Some(links), others),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (None, Others::default()),
            Err(error) => return Err(error),
        };
        let text = |name| read(&dir, name).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let cgroups = text("cgroup");
        Ok(Self {
            comm,
            ppid,
            start,
            has_exec,
            namespaces,
            others,
            cgroups,
            nspids: nspids(&text("status")).map(String::from),
        })
    }

    /// Whether it is ending and has left its namespaces: every kernel that has any has those of mounts.
    pub(crate) fn is_leaving(&self) -> bool {
        self.namespaces.is_some_and(|all| all[NsKind::Mnt.index()].ino == 0)
    }

    /// Whether any of its namespaces is another one.
    pub(crate) fn moved(&self, before: &Self) -> bool {
        (self.namespaces, self.others) != (before.namespaces, before.others)
    }
}

/// Inodes of the time namespace, and of the time and pid namespaces for children; 0 where the kernel has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) time: u32,
    pub(crate) time_for_children: u32,
    pub(crate) pid_for_children: u32,
}

/// All processes.
pub(crate) fn processes() -> Vec<u32> {
    numbers(Path::new("/proc"))
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> Vec<u32> {
    numbers(Path::new(&format!("/proc/{pid}/task")))
}

/// The process, those it descends from, and the kernel's own thread 2: they tell what the host's namespaces are.
pub(crate) fn ancestry(pid: u32) -> Vec<u32> {
    let mut line = vec![pid];
    let mut at = pid;
    while let Ok(Stat { ppid: parent, .. }) =
        fs::read(format!("/proc/{at}/task/{at}/stat")).and_then(|stat| self::stat(&stat))
    {
        if parent == 0 || line.contains(&parent) {
            break;
        }
        line.push(parent);
        at = parent;
    }
    line.extend([1, 2]);
    line.sort_unstable();
    line.dedup();
    line
}

/// The entries of a directory that are numbers, in ascending order.
fn numbers(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// A file of /proc, in as few reads as it takes: each makes the kernel write it anew up to there.
fn read(dir: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let fd = rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(4096);
    while rustix::io::read(&fd, spare_capacity(&mut text))? > 0 {
        text.reserve(4096);
    }
    Ok(text)
}

/// What a `stat` file says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: Vec<u8>,
    ppid: u32,
    start: u64,
    has_exec: bool,
}

/// Reads a `stat` file: `pid (comm) state ppid ...`, the flags being field 9 and the start field 22 (proc_pid_stat(5)).
/// The name may hold anything, `)` too.
///
/// # Errors
/// Where it has ended.
fn stat(stat: &[u8]) -> io::Result<Stat> {
    const PF_FORKNOEXEC: u64 = 0x40;
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let open = stat.iter().position(|&b| b == b'(').ok_or_else(bad)?;
    let close = stat.iter().rposition(|&b| b == b')').filter(|&close| close > open).ok_or_else(bad)?;
    let rest = String::from_utf8_lossy(&stat[close + 1..]);
    let mut fields = rest.split_ascii_whitespace();
    // A zombie has ended; only its parent does not know yet.
    if matches!(fields.next(), Some("Z" | "X")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let ppid = fields.next().and_then(|ppid| ppid.parse().ok()).ok_or_else(bad)?;
    let mut number = |skipped: usize| fields.nth(skipped).and_then(|number| number.parse::<u64>().ok()).ok_or_else(bad);
    let (flags, start) = (number(4)?, number(12)?);
    Ok(Stat { comm: stat[open + 1..close].to_vec(), ppid, start, has_exec: flags & PF_FORKNOEXEC == 0 })
}

/// The line `NSpid` of a `status` file, where there is more than one pid to tell.
fn nspids(status: &str) -> Option<&str> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.trim();
    pids.contains(char::is_whitespace).then_some(pids)
}

/// The inode of one of the namespaces in a directory `ns`; 0 where this kernel has none of the name. The link has it, for
/// less than the file behind it costs.
fn inode(ns: &OwnedFd, name: &str) -> io::Result<u64> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    match rustix::fs::readlinkat_raw(ns, name, &mut buffer) {
        Ok((link, _)) => inode_of(link).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(rustix::io::Errno::NOENT) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Device and inode of each namespace of a task. Types the kernel lacks stay zero.
fn namespaces(dir: &OwnedFd) -> io::Result<([NsId; 7], Others)> {
    let ns = rustix::fs::openat(dir, "ns", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // All are of the one nsfs there is.
    let (major, minor) = nsfs();
    let inode = |name| inode(&ns, name);
    let mut links = [NsId::default(); 7];
    for kind in NsKind::RECORDED {
        let ino = inode(kind.name())?;
        if ino != 0 {
            links[kind.index()] = NsId::new(major, minor, ino);
        }
    }
    let other = |name| inode(name).map_or(0, |ino| ino as u32);
    let others = Others {
        time: other("time"),
        time_for_children: other("time_for_children"),
        pid_for_children: other("pid_for_children"),
    };
    // A task that ended while we read has lost its namespaces one by one.
    Ok(statat(dir, "stat", AtFlags::empty()).map(|_| (links, others))?)
}

/// Type and inode of each of a process's namespaces; none where they may not be read.
pub(crate) fn inodes(pid: u32) -> Vec<(NsKind, u64)> {
    let Ok(ns) = rustix::fs::open(format!("/proc/{pid}/ns"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Vec::new();
    };
    NsKind::ALL.into_iter().filter_map(|kind| Some((kind, inode(&ns, kind.name()).ok()?))).collect()
}

/// Major and minor number of the file system that namespaces are in.
fn nsfs() -> (u32, u32) {
    static NSFS: OnceLock<(u32, u32)> = OnceLock::new();
    *NSFS.get_or_init(|| {
        let dev = fs::metadata("/proc/self/ns/mnt").map_or(0, |metadata| metadata.dev());
        (rustix::fs::major(dev), rustix::fs::minor(dev))
    })
}

/// The inode in `net:[4026531840]`.
fn inode_of(link: &[u8]) -> Option<u64> {
    let (_, rest) = core::str::from_utf8(link).ok()?.split_once(":[")?;
    rest.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_newlines() {
        let line = b"12 (a) b (\n) S 7 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 8";
        let expected = Stat { comm: b"a) b (\n".to_vec(), ppid: 7, start: 4711, has_exec: true };
        assert_eq!(stat(line).expect("read"), expected);
        let forked = String::from_utf8_lossy(line).replace("4194304", "4194368");
        assert!(!stat(forked.as_bytes()).expect("read").has_exec);
    }
}
