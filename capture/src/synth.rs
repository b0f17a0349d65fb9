//! Records for what already runs, from /proc. Not here: how a task's facts are read.
//!
//! Each record is stamped with a time taken *before* its facts were read. If the task changes while it is read,
//! the kernel's own record of the change is later and wins; if it had changed before, saying so twice does no harm.

use crate::events::{EventDesc, first_id, layout, synthetic_id};
use crate::kept::{Candidates, Inhabited, Kept};
use crate::limits::{CpuStat, Limits};
use crate::names::Answer;
use crate::task::{self, Facts, Others, threads};
use crate::{clock, machine, mounts, sys};
use nsscope_codec::encode::{Cgroup, Comm, Encode, Exit, Fork, Mmap, Namespaces, TaskIds};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, MISC_KERNEL, RecordType};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout};
use nsscope_codec::wire::task_namespaces::{MAX_LEVELS, Reason, TaskNamespaces};
use nsscope_codec::{Native, synthetic};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use zerocopy::IntoBytes;
use zerocopy::byteorder::{U16, U32, U64};

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
pub struct Synthesizer {
    layout: SampleIdLayout,
    id: u64,
    /// Facts that the recording has, by thread: they are left out.
    pub(crate) known: BTreeSet<(u32, Fact)>,
    /// Whether what NAMESPACES leaves out is told, too: where that is told of every change.
    whole: bool,
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
    /// Whether each namespace is told with its number, and not pid namespaces alone.
    numbers: bool,
    /// Inodes of the namespaces whose number was asked for, each behind that of the pid namespace of who is in both.
    numbered: BTreeSet<(u64, u64)>,
}

impl Synthesizer {
    /// For a recording of these events. `whole`: see [`Self::whole`].
    pub(crate) fn of(described: &[EventDesc], whole: bool) -> Self {
        Self {
            layout: layout(described),
            id: first_id(described),
            known: BTreeSet::new(),
            whole,
            dated: None,
            records: Vec::new(),
            tasks: 0,
            hidden: 0,
            inhabited: Inhabited::new(),
            candidates: Candidates::default(),
            numbers: false,
            numbered: BTreeSet::new(),
        }
    }

    /// The same, which tells each namespace with its number.
    pub(crate) fn with_numbers(self) -> Self {
        Self { numbers: true, ..self }
    }

    /// A map of the kernel: perf warns of samples it cannot resolve where there is none, and, as the kernel's tracepoints
    /// are in there, where it does not tell the address of a symbol. None of ours asks to be resolved.
    pub(crate) fn kernel_map(&mut self) {
        let (name, addr) = kernel_start().unwrap_or_else(|| ("_text".into(), 0));
        let filename = format!("[kernel.kallsyms]{name}");
        let map =
            Mmap { pid: u32::MAX, tid: 0, addr, len: u64::MAX - addr, pgoff: addr, filename: filename.as_bytes() };
        self.put(&map, MISC_KERNEL, self.dated.unwrap_or_else(clock::now));
    }

    /// The paths of the cgroups of the unified hierarchy (v2), by id.
    pub(crate) fn cgroups(&mut self) {
        let Some(root) = mounts::cgroup2_mount() else { return };
        let mut waiting = vec![std::path::PathBuf::from(&root)];
        while let Some(dir) = waiting.pop() {
            let time = self.dated.unwrap_or_else(clock::now);
            let Ok(metadata) = fs::metadata(&dir) else { continue };
            let path = dir.strip_prefix(&root).map_or(&[][..], |path| path.as_os_str().as_bytes());
            let path = [b"/", path].concat();
            self.put(&Cgroup { id: metadata.ino(), path: &path }, 0, time);
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
    }

    /// Describes a process with all its threads; those that have ended are passed over.
    pub fn process(&mut self, pid: u32) {
        self.describe(pid);
    }

    /// The same. Returns the facts of the first thread.
    pub(crate) fn describe(&mut self, pid: u32) -> Option<Facts> {
        let mut first = None;
        for tid in threads(pid) {
            let time = self.dated.unwrap_or_else(clock::now);
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
        let Others { time: own, time_for_children, pid_for_children } = facts.others;
        let recorded = NsKind::RECORDED.into_iter().zip(facts.namespaces.into_iter().flatten());
        let others =
            [(NsKind::Time, own), (NsKind::Time, time_for_children), (NsKind::Pid, pid_for_children)].into_iter();
        let all = recorded.map(|(kind, id)| (kind, id.ino)).chain(others.map(|(kind, ino)| (kind, u64::from(ino))));
        if tid == pid && sys::has_namespace_ids() {
            let space = facts.namespaces.map_or(0, |all| all[NsKind::Pid.index()].ino);
            let wanted = |kind| self.numbers || kind == NsKind::Pid;
            let news = all
                .clone()
                .take(NsKind::ALL.len())
                .filter(|&(kind, ino)| wanted(kind) && self.numbered.insert((space, ino)));
            let news: Vec<_> = news.collect();
            self.numbers_of(pid, &news, time, |_| true);
        }
        self.inhabited.extend(all);
    }

    /// The numbers of a process's namespaces that the kernel never gives again, where it has them: of those that are not
    /// the first process's, and where `is_news` says so of a number.
    fn numbers_of(&mut self, pid: u32, all: &[(NsKind, u64)], time: u64, mut is_news: impl FnMut(u64) -> bool) {
        static HOST: OnceLock<Vec<(NsKind, u64)>> = OnceLock::new();
        let host = HOST.get_or_init(|| task::inodes(1));
        for &(kind, ino) in all.iter().filter(|one| one.1 != 0 && !host.contains(one)) {
            if let Some(unique) = sys::namespace_id(pid, kind, ino).filter(|&unique| is_news(unique)) {
                let sample = synthetic::namespace(pid, ino as u32, unique, kind.name().as_bytes());
                self.sample(synthetic::NAMESPACE, &sample, time);
            }
        }
    }

    /// The same of one that has started a program, but for what is `known`: an inode of a pid namespace, and the number of
    /// a namespace that somebody in it has.
    pub(crate) fn numbers_now(&mut self, pid: u32, known: &mut BTreeSet<(u64, u64)>) {
        if sys::has_namespace_ids() {
            let time = clock::now();
            let all = task::inodes(pid);
            let space = all.iter().find(|one| one.0 == NsKind::Pid).map_or(0, |one| one.1);
            self.numbers_of(pid, &all, time, |unique| known.insert((space, unique)));
        }
    }

    /// One of a task's facts, but its birth.
    pub(crate) fn fact(&mut self, pid: u32, tid: u32, facts: &Facts, fact: Fact, time: u64) {
        match (fact, &facts.namespaces) {
            (Fact::Birth, _) | (Fact::Namespaces, None) => {}
            (Fact::Namespaces, Some(links)) => {
                self.put(&Namespaces { pid, tid, links }, 0, time);
                if self.whole {
                    let Others { time: own, time_for_children, pid_for_children } = facts.others;
                    let more = TaskNamespaces::<Native> {
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
                    self.sample(synthetic::TASK_NAMESPACES, more.as_bytes(), time);
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

    /// So many records had no room, which only eBPF programs leave to their reader to say.
    #[cfg(feature = "bpf")]
    pub(crate) fn lost(&mut self, lost: u64) {
        self.put(&nsscope_codec::encode::Lost { id: self.id, lost }, 0, clock::now());
    }

    /// What the eBPF programs have summed.
    #[cfg(feature = "bpf")]
    pub(crate) fn cpu_sum(&mut self, sum: &synthetic::CpuSum) {
        self.sample(synthetic::CPU_SUM, &synthetic::cpu_sum(sum), clock::now());
    }

    /// And for whom who waited.
    #[cfg(feature = "bpf")]
    pub(crate) fn cpu_wait(&mut self, wait: &synthetic::CpuWait) {
        self.sample(synthetic::CPU_WAIT, &synthetic::cpu_wait(wait), clock::now());
    }

    /// Which cgroups a process is in now; nothing where it has ended. Where `moves` are recorded, what they do not tell is
    /// the cgroup that it was born into, which the unified hierarchy alone has.
    pub(crate) fn cgroup_now(&mut self, pid: u32, moves: bool) {
        let time = clock::now();
        let Ok(lines) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return };
        let unified = lines.lines().find(|line| moves && line.starts_with("0::"));
        self.cgroup_of(pid, unified.unwrap_or(&lines), time);
    }

    /// How the recording is made. `interval`: ns between two looks at /proc, 0 for none.
    pub(crate) fn recorder(&mut self, backend: &str, interval: u32) {
        let own = machine::own_namespaces().join(" ");
        let raw = synthetic::recorder(interval, backend.as_bytes(), own.as_bytes());
        self.sample(synthetic::RECORDER, &raw, self.dated.unwrap_or_else(clock::now));
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

    /// What limits of CPU time have done to the cgroups that ran.
    pub(crate) fn limits(&mut self, limits: &mut Limits) {
        let time = self.dated.unwrap_or_else(clock::now);
        limits.read(|path, CpuStat { times, periods }| {
            self.sample(synthetic::CGROUP_CPU, &synthetic::cgroup_cpu(path, times, periods), time);
        });
    }

    /// What the runtimes on this machine say of their containers.
    pub(crate) fn names(&mut self, answers: &[Answer]) {
        let time = self.dated.unwrap_or_else(clock::now);
        for answer in answers {
            self.sample(synthetic::CONTAINER, &answer.raw(), time);
        }
    }

    /// Namespaces that none of the tasks which were described is in, and that something else keeps. All that run have to
    /// be among those.
    pub(crate) fn kept(&mut self) {
        let time = self.dated.unwrap_or_else(clock::now);
        for Kept { kind, id, unique, by } in std::mem::take(&mut self.candidates).kept(&self.inhabited) {
            let raw =
                synthetic::kept_namespace(id.dev as u32, id.ino as u32, unique, kind.name().as_bytes(), by.as_bytes());
            self.sample(synthetic::KEPT_NAMESPACE, &raw, time);
        }
    }

    /// Says how much may not be read, if anything.
    pub(crate) fn warn_of_hidden(&self) {
        if self.hidden > 0 {
            let why = if machine::has_capability(machine::CAP_SYS_PTRACE) {
                "their processes have capabilities that this one has not"
            } else {
                "other users' need CAP_SYS_PTRACE"
            };
            log::warn!(
                "the namespaces of {} of {} threads may not be read ({why}); they are left out",
                self.hidden,
                self.tasks
            );
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
        out.extend(synthetic_id(event).to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend(time.to_ne_bytes());
        out.extend(0u64.to_ne_bytes());
        out.extend((padded as u32).to_ne_bytes());
        out.extend(raw);
        out.resize(out.len() + padded - raw.len(), 0);
    }
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
    fn a_task_that_ends_half_way_is_passed_over() {
        let mut child = std::process::Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        child.wait().expect("it ends");
        let mut synth = Synthesizer::of(&[], false);
        assert_eq!(synth.describe(pid), None);
        assert!(synth.records.is_empty());
    }
}
