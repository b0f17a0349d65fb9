//! Records for what already runs, from /proc.
//!
//! Each record is stamped with a time taken *before* its facts were read. If the task changes while it is read,
//! the kernel's own record of the change is later and wins; if it had changed before, saying so twice does no harm.

use super::events::told_id;
use super::kept::{Candidates, Inhabited, Kept};
use super::mounts;
use super::names::Answer;
use crate::{sys, time};
use nsscope_codec::Native;
use nsscope_codec::encode::{Cgroup, Comm, Encode, Exit, Fork, Lost, Mmap, Namespaces, TaskIds};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, MISC_KERNEL, RecordType};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout};
use nsscope_codec::wire::task_namespaces::{MAX_LEVELS, Reason, TaskNamespaces};
use nsscope_codec::synthetic;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, statat};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use zerocopy::IntoBytes;
use zerocopy::byteorder::{U16, U32, U64};

/// What /proc says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) comm: Vec<u8>,
    pub(crate) ppid: u32,
    /// When it began, in clock ticks since boot: with the pid, what tells one process from another.
    pub(crate) start: u64,
    /// `None`: they may not be read.
    pub(crate) namespaces: Option<[NsId; 7]>,
    /// Inodes of those that are in no record of the kernel.
    others: Others,
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
        let (comm, ppid, start) = stat(&read(&dir, "stat")?)?;
        let (namespaces, others) = match namespaces(&dir) {
            Ok((links, others)) => (Some(links), others),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (None, Others::default()),
            Err(error) => return Err(error),
        };
        let text = |name| read(&dir, name).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let cgroups = text("cgroup");
        Ok(Self { comm, ppid, start, namespaces, others, cgroups, nspids: nspids(&text("status")).map(String::from) })
    }

    /// Whether any of its namespaces is another one.
    pub(crate) fn moved(&self, before: &Self) -> bool {
        (self.namespaces, self.others) != (before.namespaces, before.others)
    }
}

/// Inodes of the time namespace, and of the time and pid namespaces for children; 0 where the kernel has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Others {
    time: u32,
    time_for_children: u32,
    pid_for_children: u32,
}

/// A kind of fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    Birth,
    Name,
    Namespaces,
    Cgroup,
}

/// Makes records of running tasks into a buffer.
#[derive(Debug)]
pub(crate) struct Synthesizer {
    layout: SampleIdLayout,
    id: u64,
    /// Facts that the recording has, by thread: they are left out.
    pub(crate) known: BTreeSet<(u32, Fact)>,
    /// Whether what NAMESPACES leaves out is told, too: where that is told of every change.
    pub(crate) whole: bool,
    /// What the records are dated, ns, where not to the moment their facts are read.
    pub(crate) dated: Option<u64>,
    /// Whole records, to be taken away by the caller.
    pub(crate) records: Vec<u8>,
    /// Tasks described.
    pub(crate) tasks: u64,
    /// Tasks whose namespaces may not be read.
    pub(crate) hidden: u64,
    /// Namespaces that tasks are in or have for their children.
    inhabited: Inhabited,
    /// What may keep others.
    candidates: Candidates,
}

impl Synthesizer {
    /// `id` is that of an event of the recording.
    pub(crate) fn new(layout: SampleIdLayout, id: u64) -> Self {
        Self {
            layout,
            id,
            known: BTreeSet::new(),
            whole: false,
            dated: None,
            records: Vec::new(),
            tasks: 0,
            hidden: 0,
            inhabited: Inhabited::new(),
            candidates: Candidates::default(),
        }
    }

    /// A map of the kernel: perf warns of samples it cannot resolve where there is none, and, as the kernel's tracepoints
    /// are in there, where it does not tell the address of a symbol. None of ours asks to be resolved.
    pub(crate) fn kernel_map(&mut self) {
        let (name, addr) = kernel_start().unwrap_or_else(|| ("_text".into(), 0));
        let filename = format!("[kernel.kallsyms]{name}");
        let map =
            Mmap { pid: u32::MAX, tid: 0, addr, len: u64::MAX - addr, pgoff: addr, filename: filename.as_bytes() };
        self.put(&map, MISC_KERNEL, self.dated.unwrap_or_else(time::now));
    }

    /// The paths of the cgroups of the unified hierarchy (v2), by id.
    pub(crate) fn cgroups(&mut self) {
        let Some(root) = mounts::cgroup2_mount() else { return };
        let mut waiting = vec![std::path::PathBuf::from(&root)];
        while let Some(dir) = waiting.pop() {
            let time = self.dated.unwrap_or_else(time::now);
            let Ok(metadata) = fs::metadata(&dir) else { continue };
            let path = dir.strip_prefix(&root).map_or(&[][..], |path| path.as_os_str().as_bytes());
            let path = [b"/", path].concat();
            self.put(&Cgroup { id: metadata.ino(), path: &path }, 0, time);
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
    }

    /// A process with all its threads; those that have gone are passed over. Returns the facts of the first thread.
    pub(crate) fn process(&mut self, pid: u32) -> Option<Facts> {
        let mut first = None;
        for tid in threads(pid) {
            let time = self.dated.unwrap_or_else(time::now);
            let Ok(facts) = Facts::of(pid, tid) else { continue };
            // One that began in the recording is there with all that happened to it.
            if !self.known.contains(&(tid, Fact::Birth)) {
                self.facts(pid, tid, &facts, time);
            }
            if tid == pid {
                self.candidates.look(pid, facts.namespaces.map_or(0, |all| all[NsKind::Mnt.index()].ino));
                first = Some(facts);
            }
        }
        first
    }

    /// Adds what another has found.
    pub(crate) fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.tasks += other.tasks;
        self.hidden += other.hidden;
        self.inhabited.extend(other.inhabited);
        self.candidates.add(other.candidates);
    }

    /// All of a task's facts.
    pub(crate) fn facts(&mut self, pid: u32, tid: u32, facts: &Facts, time: u64) {
        // A thread's parent is its process, as perf has it.
        let (ppid, ptid) = if tid == pid { (facts.ppid, facts.ppid) } else { (pid, pid) };
        self.put(&Fork(TaskIds { pid, ppid, tid, ptid, time }), MISC_FORK_EXEC, time);
        for fact in [Fact::Namespaces, Fact::Name, Fact::Cgroup] {
            if !self.known.contains(&(tid, fact)) {
                self.fact(pid, tid, facts, fact, time);
            }
        }
        if let Some(pids) = &facts.nspids {
            self.sample(synthetic::TASK_NSPID, &synthetic::task_nspid(tid, pids.as_bytes()), time);
        }
        self.hidden += u64::from(facts.namespaces.is_none());
        self.tasks += 1;
        let Others { time, time_for_children, pid_for_children } = facts.others;
        let recorded = NsKind::RECORDED.into_iter().zip(facts.namespaces.into_iter().flatten());
        let others =
            [(NsKind::Time, time), (NsKind::Time, time_for_children), (NsKind::Pid, pid_for_children)].into_iter();
        let all = recorded.map(|(kind, id)| (kind, id.ino)).chain(others.map(|(kind, ino)| (kind, u64::from(ino))));
        self.inhabited.extend(all);
    }

    /// One of a task's facts, but its birth.
    pub(crate) fn fact(&mut self, pid: u32, tid: u32, facts: &Facts, fact: Fact, time: u64) {
        match (fact, &facts.namespaces) {
            (Fact::Birth, _) | (Fact::Namespaces, None) => {}
            (Fact::Namespaces, Some(links)) => {
                self.put(&Namespaces { pid, tid, links }, 0, time);
                if self.whole {
                    let Others { time: own, time_for_children, pid_for_children } = facts.others;
                    let told = TaskNamespaces::<Native> {
                        common_type: U16::new(synthetic::TASK_NAMESPACES.id as u16),
                        common: [0; 6],
                        tid: U32::new(tid),
                        reason: U32::new(Reason::FOUND.0),
                        cgroup: U64::new(0),
                        time: U32::new(own),
                        time_for_children: U32::new(time_for_children),
                        pid_for_children: U32::new(pid_for_children),
                        levels: U32::new(0),
                        pids: [U32::new(0); MAX_LEVELS],
                    };
                    self.sample(synthetic::TASK_NAMESPACES, told.as_bytes(), time);
                }
            }
            (Fact::Name, _) => self.put(&Comm { pid, tid, comm: &facts.comm }, 0, time),
            (Fact::Cgroup, _) => self.cgroup_of(tid, &facts.cgroups, time),
        }
    }

    /// The end of a process.
    pub(crate) fn exit(&mut self, pid: u32, ppid: u32, time: u64) {
        self.put(&Exit(TaskIds { pid, ppid, tid: pid, ptid: ppid, time }), 0, time);
    }

    /// So many records had no room.
    pub(crate) fn lost(&mut self, lost: u64) {
        self.put(&Lost { id: self.id, lost }, 0, time::now());
    }

    /// Which cgroups a process is in now; nothing where it has ended.
    pub(crate) fn cgroup_now(&mut self, pid: u32) {
        let time = time::now();
        if let Ok(lines) = fs::read_to_string(format!("/proc/{pid}/cgroup")) {
            self.cgroup_of(pid, &lines, time);
        }
    }

    /// How the recording is made. `interval`: ns between two looks at /proc, 0 for none.
    pub(crate) fn recorder(&mut self, backend: &str, interval: u32) {
        let own = sys::own_namespaces().join(" ");
        let raw = synthetic::recorder(interval, backend.as_bytes(), own.as_bytes());
        self.sample(synthetic::RECORDER, &raw, self.dated.unwrap_or_else(time::now));
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
            self.sample(synthetic::TASK_CGROUP, &synthetic::task_cgroup(tid, root, path.as_bytes()), time);
        }
    }

    /// What the runtimes on this machine say of their containers.
    pub(crate) fn names(&mut self, answers: &[Answer]) {
        let time = self.dated.unwrap_or_else(time::now);
        for answer in answers {
            self.sample(synthetic::CONTAINER, &answer.raw(), time);
        }
    }

    /// Namespaces that none of the tasks which were described is in, and that something else keeps. All that run have to
    /// be among those.
    pub(crate) fn kept(&mut self) {
        let time = self.dated.unwrap_or_else(time::now);
        for Kept { kind, id, unique, by } in std::mem::take(&mut self.candidates).kept(&self.inhabited) {
            let raw = synthetic::kept_namespace(id.dev as u32, id.ino as u32, unique, kind.name().as_bytes(), by.as_bytes());
            self.sample(synthetic::KEPT_NAMESPACE, &raw, time);
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
    fn sample(&mut self, event: synthetic::Event, raw: &[u8], time: u64) {
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
    while let Ok((_, parent, _)) = fs::read(format!("/proc/{at}/task/{at}/stat")).and_then(|stat| self::stat(&stat)) {
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

/// Name, parent and start from a `stat` file: `pid (comm) state ppid ...`, the start being field 22 (proc_pid_stat(5)).
/// The name may hold anything, `)` too.
///
/// # Errors
/// Where it has ended.
fn stat(stat: &[u8]) -> io::Result<(Vec<u8>, u32, u64)> {
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
    let start = fields.nth(17).and_then(|start| start.parse().ok()).ok_or_else(bad)?;
    Ok((stat[open + 1..close].to_vec(), ppid, start))
}

/// The line `NSpid` of a `status` file, where there is more than one pid to tell.
fn nspids(status: &str) -> Option<&str> {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.trim();
    pids.contains(char::is_whitespace).then_some(pids)
}

/// Device and inode of each namespace of a task. Types the kernel lacks stay zero.
fn namespaces(dir: &OwnedFd) -> io::Result<([NsId; 7], Others)> {
    let ns = rustix::fs::openat(dir, "ns", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let (major, minor) = nsfs();
    // The link tells the inode, for less than the file behind it does; all are of the one nsfs there is.
    let mut buffer = [MaybeUninit::uninit(); 64];
    let mut inode = |name: &str| -> io::Result<u64> {
        match rustix::fs::readlinkat_raw(&ns, name, &mut buffer) {
            Ok((link, _)) => inode_of(link).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            // Not in this kernel.
            Err(rustix::io::Errno::NOENT) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    };
    let mut links = [NsId::default(); 7];
    for kind in NsKind::RECORDED {
        let ino = inode(kind.name())?;
        if ino != 0 {
            links[kind.index()] = NsId::new(major, minor, ino);
        }
    }
    let mut other = |name| inode(name).map_or(0, |ino| ino as u32);
    let others = Others {
        time: other("time"),
        time_for_children: other("time_for_children"),
        pid_for_children: other("pid_for_children"),
    };
    // A task that ended while we read has lost its namespaces one by one.
    Ok(statat(dir, "stat", AtFlags::empty()).map(|_| (links, others))?)
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

/// The symbol that the kernel's code begins with, which is among the first, and its address, where we may know it.
fn kernel_start() -> Option<(String, u64)> {
    let symbols = io::BufReader::new(fs::File::open("/proc/kallsyms").ok()?).lines();
    let symbols = symbols.map_while(Result::ok).take(64).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let addr = u64::from_str_radix(fields.next()?, 16).ok()?;
        Some((fields.nth(1)?.to_string(), addr))
    });
    let symbols: Vec<(String, u64)> = symbols.collect();
    let find = |name: &str| symbols.iter().find(|(known, addr)| known == name && *addr != 0).cloned();
    find("_text").or_else(|| find("_stext"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_newlines() {
        let line = b"12 (a) b (\n) S 7 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 8";
        let (comm, ppid, start) = stat(line).expect("read");
        assert_eq!((comm.as_slice(), ppid, start), (&b"a) b (\n"[..], 7, 4711));
    }

    #[test]
    fn a_task_that_ends_half_way_is_passed_over() {
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("it ends");
        let mut synth = Synthesizer::new(SampleIdLayout::NONE, 1);
        assert_eq!(synth.process(pid), None);
        assert!(synth.records.is_empty());
    }
}
