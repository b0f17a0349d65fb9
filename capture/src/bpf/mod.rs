//! Records from eBPF programs, with what the kernel's own leave out. Not here: what the programs do in the kernel,
//! which is in `capture/bpf`.
//!
//! The programs (`capture/bpf`) put whole records into BPF rings; what is taken out of them goes into the file as it is.

mod btf;
mod chain;
mod offsets;
mod rings;
mod shared;
mod sums;

use crate::error::{Error, Result};
use crate::events::{EventDesc, side_band, side_band_attr, synthetic_events, synthetic_id, tracepoint_attr};
use crate::perf::Wanted;
use crate::source::{Chunk, Source};
use crate::synth::Synthesizer;
use crate::sys::Event;
use crate::target::Target;
use crate::{machine, mounts, tracefs};
use aya::maps::{HashMap, MapData, PerCpuArray};
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use chain::{chain, failed, map};
use nsscope_codec::synthetic;
use nsscope_codec::wire::namespaces::new_encode_dev;
use rings::Rings;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fs::{major, minor, stat};
use shared::{PLACES, Settings, WATCH_ALL, WATCH_CGROUP, WATCH_NAMESPACE, WATCH_TASKS};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sums::Sums;
use zerocopy::IntoBytes;

/// The compiled programs; empty where `cargo xtask bpf` has not made them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NSSCOPE_BPF_OBJECT"));

/// Id that the records' trailers carry.
const ID: u64 = 1;

/// The reader is woken when a ring is full to this part.
const WAKE_AT: u64 = 4;

/// How many processes are watched at once, where not everything is.
const MAX_WATCHED: u32 = 1 << 16;

/// What is seen, and which programs can see it: the first that the kernel takes.
const PROGRAMS: [Watched; 8] = [
    ("forks", &[Attach::Tracepoint("task_newtask")]),
    ("names", &[Attach::Tracepoint("task_rename")]),
    ("execs", &[Attach::Tracepoint("sched_process_exec")]),
    ("exits", &[Attach::Tracepoint("sched_process_exit")]),
    ("unshare", &[Attach::Return("unshare", "ksys_unshare"), Attach::Syscall("sys_exit_unshare")]),
    ("setns", &[Attach::Return("setns", SETNS), Attach::Syscall("sys_exit_setns")]),
    ("moves between cgroups", &[Attach::Tracepoint("cgroup_attach_task")]),
    ("new cgroups", &[Attach::Tracepoint("cgroup_mkdir")]),
];

/// The same where context switches are recorded.
const SWITCHES: Watched = ("context switches", &[Attach::Tracepoint("sched_switch")]);

/// The same where wake-ups are.
const WAKEUPS: [Watched; 2] = [
    ("wake-ups", &[Attach::Tracepoint("sched_wakeup")]),
    ("first wake-ups", &[Attach::Tracepoint("sched_wakeup_new")]),
];

type Watched = (&'static str, &'static [Attach]);

#[cfg(target_arch = "x86_64")]
const SETNS: &str = "__x64_sys_setns";
#[cfg(target_arch = "aarch64")]
const SETNS: &str = "__arm64_sys_setns";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SETNS: &str = "sys_setns";

/// Where a program runs.
#[derive(Clone, Copy, Debug)]
enum Attach {
    /// At a tracepoint, by its types: it has the program's name.
    Tracepoint(&'static str),
    /// When a function of the kernel returns: the program's name, and the function's.
    Return(&'static str, &'static str),
    /// At a tracepoint of system calls, which all system calls pay for: it has the program's name.
    Syscall(&'static str),
}

impl Attach {
    fn program(self) -> &'static str {
        match self {
            Self::Tracepoint(name) | Self::Return(name, _) | Self::Syscall(name) => name,
        }
    }

    /// The place, as bpf(2) users name it.
    fn place(self) -> String {
        match self {
            Self::Tracepoint(name) => format!("tp_btf/{name}"),
            Self::Return(_, function) => format!("fexit/{function}"),
            Self::Syscall(name) => format!("tracepoint/syscalls/{name}"),
        }
    }
}

/// Programs that run, and their rings.
pub(crate) struct Bpf {
    pub(crate) described: Vec<EventDesc>,
    records: Rings,
    lost: PerCpuArray<MapData, u64>,
    told_lost: u64,
    watched: HashMap<MapData, u32, u8>,
    /// Whether the map says who is recorded; otherwise all are.
    watches: bool,
    /// Readable when the programs have woken us. A ring itself is whenever there is anything in it, which in a storm
    /// is always.
    woken: OwnedFd,
    /// What the programs have summed, where that is wanted in place of each switch.
    sums: Option<Sums>,
    /// What is seen.
    watch: Vec<Watched>,
    /// Where each program runs, or why it does not.
    attached: Vec<(&'static str, Result<String, String>)>,
    /// The programs, and the tracepoints of those that run at a system call. They run for as long as this is there.
    programs: Option<(Ebpf, Btf, Vec<Event>)>,
}

impl Bpf {
    /// Has the kernel check the programs for `target`; nothing is recorded yet.
    pub(crate) fn open(target: &Target, wanted: &Wanted) -> Result<Self> {
        if OBJECT.is_empty() {
            return Err(missing());
        }
        let offsets = offsets::read()?;
        let ring_size = rings::size(wanted.ring_size);
        let mut settings = settings(target, ring_size)?;
        let mut watch = PROGRAMS.to_vec();
        settings.interval = wanted.sums.map_or(0, sums::nanoseconds);
        let is_summed = wanted.sums.is_some();
        if wanted.switches || is_summed {
            watch.push(SWITCHES);
        }
        if wanted.wakeups || is_summed {
            watch.extend(WAKEUPS);
        }
        let btf =
            Btf::from_sys_fs().map_err(|error| offsets::unsupported(format!("{}: {}", offsets::BTF, chain(&error))))?;
        let mut programs = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("OFFSETS", offsets.as_bytes(), true)
            .override_global("SETTINGS", settings.as_bytes(), true)
            .map_max_entries("RECORDS", machine::possible_cpus()?)
            .map_max_entries("WATCHED", if settings.watch == WATCH_ALL { 1 } else { MAX_WATCHED })
            .map_max_entries("GROUPS", if is_summed { sums::MAX_GROUPS } else { 1 })
            .map_max_entries("FREE", if is_summed { sums::MAX_GROUPS } else { 1 })
            .map_max_entries("SUMS", if is_summed { sums::MAX_GROUPS } else { 1 })
            .map_max_entries("MOVED", if is_summed { sums::MAX_MOVED } else { 1 })
            .map_max_entries("MEANWHILE", if is_summed { sums::MAX_PAIRS } else { 1 })
            .map_max_entries("WAITING", if is_summed { PLACES } else { 1 })
            .map_max_entries("DISPLACED", if is_summed { sums::MAX_DISPLACED } else { 1 })
            .load(OBJECT)
            .map_err(|error| refused(&chain(&error)))?;
        let sums = wanted.sums.map(|interval| Sums::new(&mut programs, interval)).transpose()?;
        let records = Rings::new(&mut programs, ring_size)?;
        let lost = map(&mut programs, "LOST")?;
        let watched = map(&mut programs, "WATCHED")?;
        let woken = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for fd in records.fds().chain(sums.as_ref().map(Sums::timer)) {
            epoll::add(&woken, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        let side_band = side_band(side_band_attr(wanted.switches), vec![ID]);
        let described = std::iter::once(side_band).chain(synthetic_events()).collect();
        let mut bpf = Self {
            described,
            records,
            lost,
            told_lost: 0,
            watched,
            watches: settings.watch != WATCH_ALL,
            woken,
            sums,
            watch,
            attached: Vec::new(),
            programs: None,
        };
        bpf.watch(target)?;
        // Those that the kernel does not take are told when they are to run; here only if it takes none.
        let (mut any, mut why) = (false, String::new());
        for &(_, ways) in &bpf.watch {
            any |= ways.iter().any(|way| way.load(&mut programs, &btf).map_err(|error| why = error).is_ok());
        }
        if !any {
            return Err(refused(&why));
        }
        bpf.programs = Some((programs, btf, Vec::new()));
        Ok(bpf)
    }

    fn watch(&mut self, target: &Target) -> Result<()> {
        let tids = match target {
            Target::System => &[][..],
            Target::Tasks { tids, .. } | Target::Container { tids, .. } => tids,
        };
        for pid in tids.iter().filter_map(|&tid| process_of(tid)) {
            self.watched
                .insert(pid, 0, 0)
                .map_err(|error| Error::other(format!("process {pid}: {}", chain(&error))))?;
        }
        Ok(())
    }

    fn attach(&mut self) -> Result<()> {
        let Some((programs, btf, calls)) = &mut self.programs else { return Ok(()) };
        for &(what, ways) in &self.watch {
            let mut why = Vec::new();
            let taken = ways.iter().find(|way| match way.attach(programs, btf, calls) {
                Ok(()) => true,
                Err(error) => {
                    why.push(format!("{}: {error}", way.place()));
                    false
                }
            });
            self.attached.push((what, taken.map(|way| way.place()).ok_or_else(|| why.join("; "))));
        }
        match self.attached.iter().find_map(|(_, way)| way.as_ref().err()) {
            Some(why) if self.attached.iter().all(|(_, way)| way.is_err()) => Err(refused(why)),
            _ => Ok(()),
        }
    }

    /// How many records had no room since this was asked last.
    fn lost(&mut self) -> Result<u64> {
        let lost: u64 = self.lost.get(&0, 0).map_err(failed)?.iter().sum();
        let news = lost - self.told_lost;
        self.told_lost = lost;
        Ok(news)
    }
}

impl Source for Bpf {
    fn name(&self) -> &'static str {
        "bpf"
    }

    fn events(&self) -> &[EventDesc] {
        &self.described
    }

    /// Begins to record. What no program can see on this kernel is left out, and said.
    fn enable(&mut self) -> Result<()> {
        self.attach()?;
        if let Some(sums) = &mut self.sums {
            sums.begin()?;
        }
        for (what, way) in &self.attached {
            if let Err(why) = way {
                log::warn!("this kernel does not let eBPF programs see {what}: {why}");
            }
        }
        Ok(())
    }

    /// Stops the programs; what is in the rings stays.
    fn disable(&mut self) {
        self.programs = None;
    }

    fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        // What comes from now on wakes again: each ring, and the timer.
        let mut woken = Vec::with_capacity(self.records.fds().count() + 1);
        epoll::wait(&self.woken, spare_capacity(&mut woken), Some(&Timespec::default()))?;
        let mut synth = Synthesizer::of(&self.described, true);
        match self.lost()? {
            0 => {}
            lost => synth.lost(lost),
        }
        if let Some(sums) = &mut self.sums {
            let over = self.programs.is_none();
            sums.read(over, &mut synth)?;
            if over {
                self.sums = None;
            }
        }
        let any = self.records.drain(take)?;
        take(&[[&synth.records, &[]]])?;
        Ok(any)
    }

    /// Readable when there is much in a ring.
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.woken.as_fd()]
    }

    /// Whether none of those that are watched lives.
    fn ended(&self, _: bool) -> bool {
        self.watches && self.watched.keys().next().is_none()
    }
}

impl Attach {
    /// Has the kernel check the program, if it has not.
    fn load(self, programs: &mut Ebpf, btf: &Btf) -> Result<(), String> {
        let program = programs.program_mut(self.program()).ok_or("the program is missing")?;
        let loaded = match (program, self) {
            (Program::BtfTracePoint(program), Self::Tracepoint(name)) => program.load(name, btf),
            (Program::FExit(program), Self::Return(_, function)) => program.load(function, btf),
            (Program::TracePoint(program), Self::Syscall(_)) => program.load(),
            _ => return Err("the program is of another kind".into()),
        };
        match loaded {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }

    fn attach(self, programs: &mut Ebpf, btf: &Btf, calls: &mut Vec<Event>) -> Result<(), String> {
        self.load(programs, btf)?;
        let program = programs.program_mut(self.program()).ok_or("the program is missing")?;
        let attached = match (program, self) {
            (Program::BtfTracePoint(program), _) => program.attach().map(drop),
            (Program::FExit(program), _) => program.attach().map(drop),
            (Program::TracePoint(program), Self::Syscall(name)) => {
                let id = tracefs::id("syscalls", name)?;
                let program = program.fd().map_err(|error| chain(&error))?;
                // The program runs on every CPU, whichever the event is of.
                let cpu = machine::online_cpus().ok().and_then(|cpus| cpus.first().copied()).unwrap_or(0);
                let event = Event::open(&tracepoint_attr(id), -1, cpu as i32);
                let event = event.and_then(|event| event.run(program.as_fd()).map(|()| event));
                calls.push(event.map_err(|error| error.to_string())?);
                return Ok(());
            }
            _ => return Err("the program is of another kind".into()),
        };
        attached.map_err(|error| chain(&error))
    }
}

/// What `nsscope doctor` says of the programs: what each sees, and where it runs or why it does not.
pub(crate) fn ways() -> Result<Vec<(&'static str, Result<String, String>)>> {
    let wanted = Wanted { ring_size: Some(machine::page_size()), switches: true, wakeups: true, ..Wanted::default() };
    let mut bpf = Bpf::open(&Target::System, &wanted)?;
    bpf.attach()?;
    Ok(bpf.attached)
}

/// The process of a thread.
fn process_of(tid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn settings(target: &Target, ring: u32) -> Result<Settings> {
    let own = stat("/proc/self/ns/pid")?;
    let mut settings = Settings {
        id: ID,
        task_namespaces_id: synthetic_id(synthetic::TASK_NAMESPACES),
        task_cgroup_id: synthetic_id(synthetic::TASK_CGROUP),
        wakeup_id: synthetic_id(synthetic::WAKEUP),
        cgroup: 0,
        cgroup_level: 0,
        namespace: 0,
        namespace_kind: 0,
        pid_ns: own.st_ino as u32,
        dev: new_encode_dev(major(own.st_dev), minor(own.st_dev)),
        watch: WATCH_TASKS,
        wake_at: u64::from(ring) / WAKE_AT,
        task_namespaces_type: synthetic::TASK_NAMESPACES.id as u32,
        task_cgroup_type: synthetic::TASK_CGROUP.id as u32,
        wakeup_type: synthetic::WAKEUP.id as u32,
        zero: 0,
        interval: 0,
    };
    match target {
        Target::System => settings.watch = WATCH_ALL,
        Target::Tasks { .. } => {}
        Target::Container { cgroup, namespace, .. } => {
            // The programs see the unified hierarchy. Where its cgroup is in none but the old ones, its namespace is what
            // tells it, and where it has none of its own, its processes and their children.
            let dir = cgroup.as_ref().zip(mounts::cgroup2_mount());
            let dir = dir.map(|(path, mount)| Path::new(&mount).join(path.trim_start_matches('/')));
            if let (Some(path), Some(found)) = (cgroup, dir.and_then(|dir| stat(&dir).ok())) {
                settings.watch = WATCH_CGROUP;
                settings.cgroup = found.st_ino;
                settings.cgroup_level = path.split('/').filter(|part| !part.is_empty()).count() as u32;
            } else if let Some((kind, id)) = namespace {
                settings.watch = WATCH_NAMESPACE;
                settings.namespace = id.ino as u32;
                settings.namespace_kind = kind.index() as u32;
            }
        }
    }
    Ok(settings)
}

fn missing() -> Error {
    Error::Unsupported {
        what: "this program was built before its eBPF programs were".into(),
        help: "to build them in: cargo xtask bpf && cargo install --path cli --features bpf".into(),
    }
}

fn refused(why: &str) -> Error {
    Error::NotPermitted {
        what: format!("the kernel does not take the eBPF programs: {why}"),
        help: "They need CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), and Linux 5.11 or newer.".into(),
    }
}
