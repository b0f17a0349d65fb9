//! The perf events of a recording: which, on which CPUs, and their rings.

use super::mounts;
use super::tracefs::{self, Tracepoint};
use crate::error::{Failure, Outcome, note, reason};
use crate::sys::{self, Event, Ring};
use crate::time::CLOCK;
use nsscope_codec::Native;
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_CPU_CLOCK, CONFIG_DUMMY, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_codec::synthetic;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// What is recorded.
#[derive(Debug)]
pub(crate) enum Target {
    /// Every process.
    System,
    /// These threads and their future children.
    Tasks {
        /// Their ids.
        tids: Vec<u32>,
        /// Whether recording begins when they exec.
        on_exec: bool,
    },
    /// A container.
    Container {
        /// Its cgroup's path, where it is known by one: all that will come into it is in there, too.
        cgroup: Option<String>,
        /// A namespace of its own, which perf cannot record by.
        namespace: Option<(NsKind, NsId)>,
        /// Its threads now.
        tids: Vec<u32>,
    },
}

impl Target {
    /// The threads that are recorded, with their future children, where that is all.
    pub(crate) fn tids(&self) -> Option<&[u32]> {
        match self {
            Self::System | Self::Container { cgroup: Some(_), .. } => None,
            Self::Tasks { tids, .. } | Self::Container { tids, .. } => Some(tids),
        }
    }

    /// The threads that are recorded now, where it is not all.
    pub(crate) fn members(&self) -> Option<&[u32]> {
        match self {
            Self::System => None,
            Self::Tasks { tids, .. } | Self::Container { tids, .. } => Some(tids),
        }
    }
}

/// An event as the file describes it.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) attr: Attr<Native>,
    pub(crate) name: String,
    pub(crate) ids: Vec<u64>,
}

/// Open events, ready to be enabled.
#[derive(Debug)]
pub(crate) struct Events {
    /// For the file: the side-band event, the kernel's cgroup tracepoints, those of our own.
    pub(crate) described: Vec<Described>,
    /// Formats for the file.
    pub(crate) tracepoints: Vec<Tracepoint>,
    /// The rings, one a CPU, with the event to wait on.
    pub(crate) rings: Vec<(usize, Ring)>,
    /// All open events; the first of each CPU owns its ring.
    pub(crate) open: Vec<Event>,
    /// Those to enable by hand: not the ones that exec enables.
    manual: Vec<usize>,
    /// Whether the rings are overwritten, to be read when asked for.
    overwrite: bool,
}

/// What every event of ours puts into its records' trailers.
const SAMPLE_TYPE: SampleType =
    SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0);

/// Id of the records of an event of our own. The kernel counts its ids up from small numbers.
pub(crate) fn told_id(event: synthetic::Event) -> u64 {
    u64::MAX - (1 << 16) + event.id
}

/// Ring sizes to try, largest first, where the user names none: 2 MiB a CPU hold about 13,000 records.
const RING_SIZES: [usize; 4] = [2 << 20, 512 << 10, 128 << 10, 32 << 10];

/// The side-band event as a file describes it.
pub(crate) fn side_band(attr: Attr<Native>, ids: Vec<u64>) -> Described {
    Described { attr, name: "dummy:u".into(), ids }
}

/// The side-band event: counts nothing, carries the records.
pub(crate) fn side_band_attr() -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.sample_type.set(SAMPLE_TYPE.0);
    attr.set_flags(
        AttrFlags::DISABLED
            | AttrFlags::INHERIT
            | AttrFlags::COMM
            | AttrFlags::COMM_EXEC
            | AttrFlags::TASK
            | AttrFlags::SAMPLE_ID_ALL
            | AttrFlags::NAMESPACES
            | AttrFlags::CGROUP
            | AttrFlags::EXCLUDE_KERNEL
            | AttrFlags::EXCLUDE_HV
            | AttrFlags::USE_CLOCKID,
    );
    attr.clockid.set(CLOCK as i32);
    attr
}

/// A sample of what runs, so often a second.
fn clock_attr(frequency: u32) -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_CPU_CLOCK);
    attr.sample_type.set((SAMPLE_TYPE | SampleType::IP | SampleType::PERIOD | SampleType::CGROUP).0);
    attr.sample_period.set(u64::from(frequency));
    attr.set_flags(
        AttrFlags::DISABLED | AttrFlags::INHERIT | AttrFlags::FREQ | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID,
    );
    attr.clockid.set(CLOCK as i32);
    attr
}

pub(crate) fn tracepoint_attr(id: u64) -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_TRACEPOINT, id);
    attr.sample_type.set((SAMPLE_TYPE | SampleType::RAW).0);
    attr.sample_period.set(1);
    attr.set_flags(AttrFlags::DISABLED | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID);
    attr.clockid.set(CLOCK as i32);
    attr
}

/// The events of our own.
pub(crate) fn told_events() -> impl Iterator<Item = Described> {
    synthetic::EVENTS.into_iter().map(|event| Described {
        attr: tracepoint_attr(event.id),
        name: event.name.into(),
        ids: vec![told_id(event)],
    })
}

impl Events {
    /// Opens everything for `target`, with rings of `ring_size` bytes (rounded up) or as large as allowed.
    /// Rings that may be overwritten keep the latest records instead of losing them.
    pub(crate) fn open(
        target: &Target,
        ring_size: Option<usize>,
        frequency: Option<u32>,
        overwrite: bool,
    ) -> Outcome<Self> {
        raise_descriptor_limit();
        let cpus = sys::online_cpus()?;
        let mut events =
            Self { described: vec![], tracepoints: vec![], rings: vec![], open: vec![], manual: vec![], overwrite };
        let (side_band_ids, side_band_attr) = events.open_on_all(side_band_attr(), target, &cpus)?;
        events.described.push(side_band(side_band_attr, side_band_ids));
        events.map_rings(ring_size, cpus.len())?;
        if let Some(frequency) = frequency {
            let own = events.open.len();
            let (ids, attr) = events.open_on_all(clock_attr(frequency), target, &cpus)?;
            for event in own..events.open.len() {
                events.open[event].redirect(&events.open[(event - own) % events.rings.len()])?;
            }
            events.described.push(Described { attr, name: "cpu-clock".into(), ids });
        }
        match tracefs::cgroup_tracepoints() {
            Ok(found) => {
                for tracepoint in found {
                    events.open_tracepoint(tracepoint, &cpus);
                }
            }
            Err(why) => note(format_args!("moves between cgroups are not recorded: {why}")),
        }
        events.described.extend(told_events());
        Ok(events)
    }

    /// Opens an event for all of the target on every CPU, those of a target's task after another. Returns the ids, and
    /// the attr with what this kernel knows of it.
    fn open_on_all(
        &mut self,
        mut attr: Attr<Native>,
        target: &Target,
        cpus: &[u32],
    ) -> Outcome<(Vec<u64>, Attr<Native>)> {
        let on_exec = matches!(target, Target::Tasks { on_exec: true, .. });
        let pids: Vec<i32> = target.tids().map_or(vec![-1], |tids| tids.iter().map(|&tid| tid as i32).collect());
        // The kernel counts for a cgroup alone.
        let cgroup = match target {
            Target::Container { cgroup: Some(path), .. } => {
                let dir = perf_cgroup(path).ok_or_else(|| Failure::new(format!("the cgroup {path} is gone")))?;
                Some(File::open(&dir).map_err(|error| Failure::file("open", &dir, &error))?)
            }
            Target::Container { .. } | Target::System | Target::Tasks { .. } => None,
        };
        let open = |attr: &Attr<Native>, pid: i32, cpu: u32| match &cgroup {
            Some(cgroup) => Event::open_for_cgroup(attr, cgroup.as_fd(), cpu as i32),
            None => Event::open(attr, pid, cpu as i32),
        };
        self.write_order(&mut attr);
        if on_exec {
            attr.set_flags(attr.flags() | AttrFlags::ENABLE_ON_EXEC);
        }
        let mut ids = Vec::new();
        for &pid in &pids {
            let mut of_pid = Vec::new();
            for &cpu in cpus {
                let opened = match open(&attr, pid, cpu) {
                    // Kernels before 5.7 know neither cgroup records nor a sample's cgroup.
                    Err(error) if is(&error, libc::EINVAL) => {
                        attr.set_flags(AttrFlags(attr.flags().0 & !AttrFlags::CGROUP.0));
                        attr.sample_type.set(attr.sample_type.get() & !SampleType::CGROUP.0);
                        open(&attr, pid, cpu)
                    }
                    other => other,
                };
                match opened {
                    Ok(event) => of_pid.push(event),
                    // The CPU went offline, or the task ended.
                    Err(error) if is(&error, libc::ENODEV) => {}
                    Err(error) if is(&error, libc::ESRCH) && pids.len() > 1 => break,
                    Err(error) => return Err(cannot_open(&error, pid)),
                }
            }
            for event in of_pid {
                ids.push(event.id()?);
                if !on_exec {
                    self.manual.push(self.open.len());
                }
                self.open.push(event);
            }
        }
        if self.open.is_empty() {
            return Err(Failure::new("none of the processes exists any more"));
        }
        Ok((ids, attr))
    }

    /// A ring that is overwritten is written from its end backward, so that its beginning is that of a record.
    fn write_order(&self, attr: &mut Attr<Native>) {
        if self.overwrite {
            attr.set_flags(attr.flags() | AttrFlags::WRITE_BACKWARD);
        }
    }

    /// The first events, one a CPU, get a ring; later ones of the same CPU write to it too.
    fn map_rings(&mut self, ring_size: Option<usize>, cpus: usize) -> Outcome<()> {
        let page = sys::page_size();
        let asked = ring_size.map(|size| size.max(page).next_power_of_two());
        let sizes = asked.map_or(RING_SIZES.to_vec(), |size| vec![size]);
        let owners = self.open.len().min(cpus);
        'sizes: for (index, &size) in sizes.iter().enumerate() {
            self.rings.clear();
            for owner in 0..owners {
                match Ring::map(&self.open[owner], size.max(page), self.overwrite) {
                    Ok(ring) => self.rings.push((owner, ring)),
                    Err(error) if is(&error, libc::EPERM) && index + 1 < sizes.len() => continue 'sizes,
                    Err(error) => return Err(cannot_map(&error, size)),
                }
            }
            break;
        }
        for later in owners..self.open.len() {
            self.open[later].redirect(&self.open[later % owners])?;
        }
        Ok(())
    }

    /// Tracepoints are recorded for the whole machine: a task is moved by others, often by none of the target's.
    fn open_tracepoint(&mut self, tracepoint: Tracepoint, cpus: &[u32]) {
        let mut attr = tracepoint_attr(tracepoint.format.id);
        self.write_order(&mut attr);
        let mut ids = Vec::new();
        for (owner, &cpu) in cpus.iter().enumerate().take(self.rings.len()) {
            let opened = Event::open(&attr, -1, cpu as i32).and_then(|event| {
                event.redirect(&self.open[owner])?;
                Ok((event.id()?, event))
            });
            match opened {
                Ok((id, event)) => {
                    ids.push(id);
                    self.manual.push(self.open.len());
                    self.open.push(event);
                }
                Err(error) => {
                    let name = &tracepoint.format.name;
                    return note(format_args!("cgroup:{name} is not recorded: {}", reason(&error)));
                }
            }
        }
        let name = format!("cgroup:{}", tracepoint.format.name);
        self.described.push(Described { attr, name, ids });
        self.tracepoints.push(tracepoint);
    }

    /// Begins to record, but for what begins at an exec.
    pub(crate) fn enable(&self) -> io::Result<()> {
        self.manual.iter().try_for_each(|&index| self.open[index].enable())
    }

    /// Stops recording; what is in the rings stays.
    pub(crate) fn disable(&self) {
        for event in &self.open {
            // An event whose task has ended is off already.
            let _ = event.disable();
        }
    }
}

/// Where the cgroup `path` is in the hierarchy that perf events go by: the v1 controller where it is mounted, else v2.
pub(crate) fn perf_cgroup(path: &str) -> Option<PathBuf> {
    let v1 = mounts::mount(|kind, options| kind == "cgroup" && options.split(',').any(|o| o == "perf_event"));
    let mount = v1.or_else(mounts::cgroup2_mount)?;
    let dir = PathBuf::from(mount).join(path.trim_start_matches('/'));
    dir.is_dir().then_some(dir)
}

fn is(error: &io::Error, errno: i32) -> bool {
    error.raw_os_error() == Some(errno)
}

/// Every CPU takes a few descriptors, and so does every thread of a target.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn cannot_open(error: &io::Error, pid: i32) -> Failure {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            let paranoid = sys::paranoid().map_or("unknown".into(), |level| level.to_string());
            Failure::Refused(format!(
                "the kernel refuses perf_event_open: {}\n  \
                 Namespace records need CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), whatever \
                 kernel.perf_event_paranoid is (here: {paranoid}).\n  \
                 as root:             sudo nsscope record ...\n  \
                 once for this file:  sudo setcap cap_perfmon,cap_sys_ptrace,cap_ipc_lock=ep \"$(command -v nsscope)\"\n  \
                 without privileges:  nsscope record --backend proc ...   (looks at /proc many times a second)\n  \
                                      nsscope snapshot   (what runs now, from /proc, in the same format)",
                reason(error)
            ))
        }
        Some(libc::ENOSYS | libc::ENOENT) => Failure::Refused(format!(
            "this kernel has no perf events ({}): it was built without CONFIG_PERF_EVENTS\n  \
             nsscope record --backend proc looks at /proc instead",
            reason(error)
        )),
        Some(libc::EINVAL) => Failure::Refused(
            "this kernel does not know namespace records: they need Linux 4.12 or newer with CONFIG_NAMESPACES\n  \
             nsscope record --backend proc looks at /proc instead"
                .into(),
        ),
        Some(libc::ESRCH) => Failure::new(format!("there is no process {pid}")),
        Some(libc::EMFILE) => Failure::new(
            "too many open files: each CPU and each thread of the target takes a descriptor\n  raise the limit: ulimit -n 65536",
        ),
        _ => Failure::new(format!(
            "perf_event_open failed: {}\n  nsscope doctor says what this kernel offers",
            reason(error)
        )),
    }
}

fn cannot_map(error: &io::Error, size: usize) -> Failure {
    let why = reason(error);
    match error.raw_os_error() {
        Some(libc::EPERM) => Failure::new(format!(
            "a ring of {} KiB per CPU is more than this user may lock: {why}\n  \
             ask for less (-m 128K), or raise kernel.perf_event_mlock_kb, or use CAP_IPC_LOCK",
            size >> 10
        )),
        _ => Failure::new(format!(
            "a ring of {} KiB per CPU cannot be mapped: {why}\n  ask for less: -m 512K",
            size >> 10
        )),
    }
}
