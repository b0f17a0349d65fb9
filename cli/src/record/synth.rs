//! Records for what already runs, from /proc.
//!
//! Each record is stamped with a time taken *before* its facts were read. If the task changes while it is read,
//! the kernel's own record of the change is later and wins; if it had changed before, saying so twice does no harm.

use super::events::told_id;
use super::names;
use crate::time;
use nsscope_codec::Native;
use nsscope_codec::encode::{Cgroup, Comm, Encode, Fork, Mmap, Namespaces, TaskIds};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, MISC_KERNEL, RecordType};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout};
use nsscope_timeline::told;
use rustix::fs::{AtFlags, Mode, OFlags, statat};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Makes records of running tasks into a buffer.
#[derive(Debug)]
pub(crate) struct Synthesizer {
    layout: SampleIdLayout,
    id: u64,
    /// Whole records, to be taken away by the caller.
    pub(crate) records: Vec<u8>,
    /// Tasks described.
    pub(crate) tasks: u64,
    /// Tasks whose namespaces may not be read.
    pub(crate) hidden: u64,
}

impl Synthesizer {
    /// `id` is that of an event of the recording.
    pub(crate) fn new(layout: SampleIdLayout, id: u64) -> Self {
        Self { layout, id, records: Vec::new(), tasks: 0, hidden: 0 }
    }

    /// A map of the kernel without addresses: perf warns of samples it cannot resolve where there is none, and
    /// none of ours asks to be resolved.
    pub(crate) fn kernel_map(&mut self) {
        let filename = b"[kernel.kallsyms]_text";
        let map = Mmap { pid: u32::MAX, tid: 0, addr: 0, len: u64::MAX, pgoff: 0, filename };
        self.put(&map, MISC_KERNEL, time::now());
    }

    /// The paths of the cgroups of the unified hierarchy (v2), by id.
    pub(crate) fn cgroups(&mut self) {
        let Some(root) = cgroup2_mount() else { return };
        let mut waiting = vec![std::path::PathBuf::from(&root)];
        while let Some(dir) = waiting.pop() {
            let time = time::now();
            let Ok(metadata) = fs::metadata(&dir) else { continue };
            let path = dir.strip_prefix(&root).map_or(&[][..], |path| path.as_os_str().as_bytes());
            let path = [b"/", path].concat();
            self.put(&Cgroup { id: metadata.ino(), path: &path }, 0, time);
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
    }

    /// A process with all its threads; one that has gone is passed over.
    pub(crate) fn process(&mut self, pid: u32) {
        for tid in numbers(Path::new(&format!("/proc/{pid}/task"))) {
            let _ = self.task(pid, tid);
        }
    }

    fn task(&mut self, pid: u32, tid: u32) -> io::Result<()> {
        let dir = format!("/proc/{pid}/task/{tid}");
        let time = time::now();
        let (comm, ppid) = stat(&dir)?;
        let namespaces = namespaces(&dir);
        let cgroups = fs::read_to_string(format!("{dir}/cgroup")).unwrap_or_default();
        let status = fs::read_to_string(format!("{dir}/status")).unwrap_or_default();
        // A thread's parent is its process, as perf has it.
        let (ppid, ptid) = if tid == pid { (ppid, ppid) } else { (pid, pid) };
        self.put(&Fork(TaskIds { pid, ppid, tid, ptid, time }), MISC_FORK_EXEC, time);
        match namespaces {
            Ok(links) => self.put(&Namespaces { pid, tid, links: &links }, 0, time),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.hidden += 1,
            Err(error) => return Err(error),
        }
        self.put(&Comm { pid, tid, comm: &comm }, 0, time);
        self.cgroup_of(tid, &cgroups, time);
        if let Some(pids) = nspids(&status) {
            self.sample(told::TASK_NSPID, &told::task_nspid(tid, pids.as_bytes()), time);
        }
        self.tasks += 1;
        Ok(())
    }

    /// Lines `id:controllers:path` of `/proc/PID/task/TID/cgroup`. The root of a v1 hierarchy, where everything
    /// is that nobody has moved, is left out.
    fn cgroup_of(&mut self, tid: u32, lines: &str, time: u64) {
        for line in lines.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(root), Some(_), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let Ok(root) = root.parse::<u32>() else { continue };
            if root != 0 && path == "/" {
                continue;
            }
            self.sample(told::TASK_CGROUP, &told::task_cgroup(tid, root, path.as_bytes()), time);
        }
    }

    /// What the runtimes on this machine call their containers.
    pub(crate) fn names(&mut self) {
        let time = time::now();
        for name in names::of(Path::new("/")) {
            let (id, name, image) = (name.id.as_bytes(), name.name.as_bytes(), name.image.as_bytes());
            self.sample(told::CONTAINER_NAME, &told::container_name(id, name, image), time);
        }
    }

    fn put(&mut self, record: &impl Encode, misc: u16, time: u64) {
        let id = SampleId { time: Some(time), id: Some(self.id), ..SampleId::default() };
        let start = self.records.len();
        self.records.resize(start + record.size(self.layout), 0);
        // Only a path of more than 65,000 bytes does not fit, and /proc has none.
        if record.encode::<Native>(misc, self.layout, &id, &mut self.records[start..]).is_err() {
            self.records.truncate(start);
        }
    }

    /// A SAMPLE of IDENTIFIER, TID, TIME, CPU and RAW.
    fn sample(&mut self, event: told::Event, raw: &[u8], time: u64) {
        // `u32 size` and the raw bytes together fill whole words.
        let padded = (4 + raw.len()).next_multiple_of(8) - 4;
        let size = 8 + 8 + 8 + 8 + 8 + 4 + padded;
        let out = &mut self.records;
        out.extend(RecordType::SAMPLE.0.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        out.extend((size as u16).to_ne_bytes());
        out.extend(told_id(event).to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend(time.to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend((padded as u32).to_ne_bytes());
        out.extend(raw);
        out.resize(out.len() + padded - raw.len(), 0);
    }
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
    while let Ok((_, parent)) = stat(&format!("/proc/{at}/task/{at}")) {
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

/// Name and parent from a `stat` file: `pid (comm) state ppid ...`. The name may hold anything, `)` too.
fn stat(dir: &str) -> io::Result<(Vec<u8>, u32)> {
    let stat = fs::read(format!("{dir}/stat"))?;
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let open = stat.iter().position(|&b| b == b'(').ok_or_else(bad)?;
    let close = stat.iter().rposition(|&b| b == b')').filter(|&close| close > open).ok_or_else(bad)?;
    let rest = String::from_utf8_lossy(&stat[close + 1..]);
    let ppid = rest.split_ascii_whitespace().nth(1).and_then(|ppid| ppid.parse().ok()).ok_or_else(bad)?;
    Ok((stat[open + 1..close].to_vec(), ppid))
}

/// The line `NSpid` of a `status` file, where there is more than one pid to tell.
fn nspids(status: &str) -> Option<&str> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.trim();
    pids.contains(char::is_whitespace).then_some(pids)
}

/// Device and inode of each namespace of a task. Types the kernel lacks stay zero.
fn namespaces(dir: &str) -> io::Result<[NsId; 7]> {
    let ns = rustix::fs::open(format!("{dir}/ns"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mut links = [NsId::default(); 7];
    for kind in NsKind::ALL {
        match statat(&ns, kind.name(), AtFlags::empty()) {
            Ok(stat) => {
                let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
                links[kind.index()] = NsId::new(major, minor, stat.st_ino);
            }
            // Not in this kernel.
            Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // A task that ended while we read has lost its namespaces one by one.
    fs::metadata(format!("{dir}/stat")).map(|_| links)
}

/// Where the unified hierarchy is mounted, from `/proc/self/mountinfo`.
pub(crate) fn cgroup2_mount() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2").then(|| before.split(' ').nth(4).map(String::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_newlines() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("stat"), b"12 (a) b (\n) S 7 1 1 0").expect("written");
        let (comm, ppid) = stat(dir.path().to_str().expect("utf-8")).expect("read");
        assert_eq!((comm.as_slice(), ppid), (&b"a) b (\n"[..], 7));
    }

    #[test]
    fn a_task_that_ends_half_way_is_passed_over() {
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("it ends");
        let mut synth = Synthesizer::new(SampleIdLayout::NONE, 1);
        synth.process(pid);
        assert!(synth.records.is_empty());
        assert!(namespaces(&format!("/proc/{pid}/task/{pid}")).is_err());
    }
}
