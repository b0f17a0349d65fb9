//! Records from the kernel's perf events: which are opened, on which CPUs, and their rings. Not here: what the records
//! say, and where they go.

use crate::error::{Error, Result, reason};
use crate::events::{EventDesc, clock_attr, side_band, side_band_attr, synthetic_events, tracepoint_attr};
use crate::hotplug::{Aliases, Cpus};
use crate::source::{Chunk, Source};
use crate::sys::{Event, Ring};
use crate::target::Target;
use crate::tracefs::{self, Tracepoint};
use crate::{machine, mounts};
use nsscope_codec::wire::attr::{Attr, AttrFlags};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_codec::{Native, RawRecord, Records};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

/// Which records are wanted, and how many fit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Bytes for each CPU.
    pub(crate) ring_size: Option<usize>,
    /// Samples a second on each CPU.
    pub(crate) frequency: Option<u32>,
    /// Whether context switches are recorded, and wake-ups.
    pub(crate) switches: bool,
    pub(crate) wakeups: bool,
    /// How often what ran and waited is summed, in place of each switch.
    pub(crate) sums: Option<Duration>,
    /// Whether the latest records are kept, not all.
    pub(crate) flight_recorder: bool,
}

/// Open events, ready to be enabled.
#[derive(Debug)]
pub(crate) struct Perf {
    /// For the file: the side-band event, the kernel's cgroup tracepoints, those of our own.
    described: Vec<EventDesc>,
    /// Formats for the file.
    tracepoints: Vec<Tracepoint>,
    /// The rings, one a CPU, with the event to wait on.
    rings: Vec<(usize, Ring)>,
    /// For each ring, events that were opened since in place of others.
    aliases: Vec<Aliases>,
    /// All open events; the first of each CPU owns its ring.
    open: Vec<Event>,
    /// Those to enable by hand: not the ones that exec enables.
    manual: Vec<usize>,
    /// Whether the rings are overwritten, to be read when asked for.
    overwrite: bool,
    /// Those of CPUs, which go with them; those of tasks stay.
    of_cpus: Vec<OfCpu>,
    /// The cgroup that they are for, where not for all tasks.
    cgroup: Option<File>,
    cpus: Cpus,
}

/// An event of a CPU.
#[derive(Debug)]
struct OfCpu {
    cpu: u32,
    /// Which of the described it is, and its id there.
    described: usize,
    id: u64,
    /// Whether it is for the cgroup alone, where there is one.
    in_cgroup: bool,
    /// Its ring, and where it is among the open ones.
    ring: usize,
    event: usize,
}

/// Ring sizes to try, largest first, where the user names none: 2 MiB a CPU hold about 13,000 records.
const RING_SIZES: [usize; 4] = [2 << 20, 512 << 10, 128 << 10, 32 << 10];

impl Perf {
    /// Opens everything for `target`, with rings of `ring_size` bytes (rounded up) or as large as allowed.
    /// Rings that may be overwritten keep the latest records instead of losing them.
    pub(crate) fn open(target: &Target, wanted: &Wanted) -> Result<Self> {
        let Wanted { ring_size, frequency, flight_recorder: overwrite, switches, wakeups, .. } = *wanted;
        raise_descriptor_limit();
        let cpus = machine::online_cpus()?;
        let mut events = Self {
            described: vec![],
            tracepoints: vec![],
            rings: vec![],
            open: vec![],
            manual: vec![],
            overwrite,
            aliases: vec![],
            of_cpus: vec![],
            cgroup: None,
            cpus: Cpus::new(&cpus),
        };
        let (side_band_ids, side_band_attr) = events.open_on_all(side_band_attr(switches), target, &cpus)?;
        events.described.push(side_band(side_band_attr, side_band_ids));
        events.map_rings(ring_size, cpus.len())?;
        log::debug!("{} perf events on CPUs {cpus:?}, {} rings", events.open.len(), events.rings.len());
        if let Some(frequency) = frequency {
            let own = events.open.len();
            let (ids, attr) = events.open_on_all(clock_attr(frequency), target, &cpus)?;
            for event in own..events.open.len() {
                events.open[event].redirect(&events.open[(event - own) % events.rings.len()])?;
            }
            events.described.push(EventDesc { attr, name: "cpu-clock".into(), ids });
        }
        match tracefs::cgroup_tracepoints() {
            Ok(found) => {
                for tracepoint in found {
                    events.open_tracepoint(tracepoint, &cpus);
                }
            }
            Err(why) => log::warn!("moves between cgroups are not recorded: {why}"),
        }
        if wakeups {
            let found = tracefs::wakeup_tracepoints();
            let found = found.map_err(|why| Error::other(format!("wake-ups cannot be recorded: {why}")))?;
            for tracepoint in found {
                events.open_tracepoint(tracepoint, &cpus);
            }
        }
        events.described.extend(synthetic_events());
        Ok(events)
    }

    /// Opens an event for all of the target on every CPU, those of a target's task after another. Returns the ids, and
    /// the attr with what this kernel knows of it.
    fn open_on_all(
        &mut self,
        mut attr: Attr<Native>,
        target: &Target,
        cpus: &[u32],
    ) -> Result<(Vec<u64>, Attr<Native>)> {
        let on_exec = matches!(target, Target::Tasks { on_exec: true, .. });
        let pids: Vec<i32> = target.tids().map_or(vec![-1], |tids| tids.iter().map(|&tid| tid as i32).collect());
        // The kernel counts for a cgroup alone.
        let cgroup = match target {
            Target::Container { cgroup: Some(path), .. } => {
                let dir = perf_cgroup(path).ok_or_else(|| Error::NotFound(format!("the cgroup {path} is gone")))?;
                Some(File::open(&dir).map_err(|error| Error::file("open", &dir, error))?)
            }
            Target::Container { .. } | Target::System | Target::Tasks { .. } => None,
        };
        let is_of_cpu = target.tids().is_none() || cgroup.is_some();
        self.cgroup = cgroup;
        self.write_order(&mut attr);
        if on_exec {
            attr.set_flags(attr.flags() | AttrFlags::ENABLE_ON_EXEC);
        }
        let mut ids = Vec::new();
        for &pid in &pids {
            let mut of_pid = Vec::new();
            for &cpu in cpus {
                let opened = match open(&attr, pid, cpu, self.cgroup.as_ref()) {
                    // Kernels before 5.7 know neither cgroup records nor a sample's cgroup.
                    Err(error) if is(&error, libc::EINVAL) => {
                        attr.set_flags(AttrFlags(attr.flags().0 & !AttrFlags::CGROUP.0));
                        attr.sample_type.set(attr.sample_type.get() & !SampleType::CGROUP.0);
                        open(&attr, pid, cpu, self.cgroup.as_ref())
                    }
                    other => other,
                };
                match opened {
                    Ok(event) => of_pid.push((cpu, event)),
                    // The CPU went offline, or the task ended.
                    Err(error) if is(&error, libc::ENODEV) => {}
                    Err(error) if is(&error, libc::ESRCH) && pids.len() > 1 => break,
                    Err(error) => return Err(cannot_open(&error, pid)),
                }
            }
            for (ring, (cpu, event)) in of_pid.into_iter().enumerate() {
                let id = event.id()?;
                ids.push(id);
                if !on_exec {
                    self.manual.push(self.open.len());
                }
                if is_of_cpu {
                    let (described, event) = (self.described.len(), self.open.len());
                    self.of_cpus.push(OfCpu { cpu, described, id, in_cgroup: true, ring, event });
                }
                self.open.push(event);
            }
        }
        if self.open.is_empty() {
            return Err(Error::NotFound("none of the processes exists any more".into()));
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
    fn map_rings(&mut self, ring_size: Option<usize>, cpus: usize) -> Result<()> {
        let page = machine::page_size();
        let asked = ring_size.map(|size| size.max(page).next_power_of_two());
        let sizes = asked.map_or(RING_SIZES.to_vec(), |size| vec![size]);
        let owners = self.open.len().min(cpus);
        'sizes: for (index, &size) in sizes.iter().enumerate() {
            self.rings.clear();
            for owner in 0..owners {
                match Ring::map(&self.open[owner], size.max(page), self.overwrite) {
                    Ok(ring) => self.rings.push((owner, ring)),
                    // Locked memory is limited: a smaller one may do.
                    Err(error) if is(&error, libc::EPERM) && index + 1 < sizes.len() => continue 'sizes,
                    Err(error) => return Err(Error::Ring { size, source: error }),
                }
            }
            break;
        }
        self.aliases.resize_with(self.rings.len(), Aliases::default);
        for later in owners..self.open.len() {
            self.open[later].redirect(&self.open[later % owners])?;
        }
        Ok(())
    }

    /// Opens the events again of CPUs that were away, and says so.
    fn look_at_cpus(&mut self) {
        let back = self.cpus.back().unwrap_or_default();
        let mut opened = Vec::new();
        for &cpu in &back {
            match self.reopen(cpu) {
                Ok(()) => opened.push(cpu.to_string()),
                // Debian's kernels ask for CAP_SYS_ADMIN at level 3, which a recorder does not keep.
                Err(error) => log::warn!(
                    "CPU {cpu} was offline, and what runs there is not recorded: {}\n  begin a new recording; with \
                     kernel.perf_event_paranoid at 2 or lower, or by --backend bpf, it goes on by itself",
                    reason(&error)
                ),
            }
        }
        if !opened.is_empty() {
            log::warn!("CPU {} recorded again; what ran there just before may be missing", opened.join(", "));
        }
    }

    /// Opens a CPU's events once more. They write to the ring of the first ones.
    fn reopen(&mut self, cpu: u32) -> io::Result<()> {
        for of in self.of_cpus.iter_mut().filter(|of| of.cpu == cpu) {
            let Some((&(owner, _), aliases)) = self.rings.get(of.ring).zip(self.aliases.get_mut(of.ring)) else {
                continue;
            };
            let cgroup = self.cgroup.as_ref().filter(|_| of.in_cgroup);
            let later = open(&self.described[of.described].attr, -1, cpu, cgroup)?;
            later.redirect(&self.open[owner])?;
            aliases.add(later.id()?, of.id);
            // First the one, then the other: a record that comes between is there twice, and none is missing.
            later.enable()?;
            if of.event == owner {
                let _ = self.open[owner].disable();
                of.event = self.open.len();
                self.open.push(later);
            } else {
                self.open[of.event] = later;
            }
        }
        Ok(())
    }

    /// Tracepoints are recorded for the whole machine: a task is moved by others, often by none of the target's.
    fn open_tracepoint(&mut self, tracepoint: Tracepoint, cpus: &[u32]) {
        let mut attr = tracepoint_attr(tracepoint.format.id);
        self.write_order(&mut attr);
        let mut ids = Vec::new();
        for (ring, &cpu) in cpus.iter().enumerate().take(self.rings.len()) {
            let owner = self.rings[ring].0;
            let opened = Event::open(&attr, -1, cpu as i32).and_then(|event| {
                event.redirect(&self.open[owner])?;
                Ok((event.id()?, event))
            });
            match opened {
                Ok((id, event)) => {
                    ids.push(id);
                    let (described, at) = (self.described.len(), self.open.len());
                    self.of_cpus.push(OfCpu { cpu, described, id, in_cgroup: false, ring, event: at });
                    self.manual.push(at);
                    self.open.push(event);
                }
                Err(error) => {
                    let (system, name) = (&tracepoint.format.system, &tracepoint.format.name);
                    return log::warn!("{system}:{name} is not recorded: {}", reason(&error));
                }
            }
        }
        let name = format!("{}:{}", tracepoint.format.system, tracepoint.format.name);
        self.described.push(EventDesc { attr, name, ids });
        self.tracepoints.push(tracepoint);
    }
}

impl Source for Perf {
    fn name(&self) -> &'static str {
        "perf"
    }

    fn events(&self) -> &[EventDesc] {
        &self.described
    }

    fn tracepoints(&self) -> &[Tracepoint] {
        &self.tracepoints
    }

    fn is_complete(&self) -> bool {
        false
    }

    /// Begins to record, but for what begins at an exec.
    fn enable(&mut self) -> Result<()> {
        Ok(self.manual.iter().try_for_each(|&index| self.open[index].enable())?)
    }

    fn disable(&mut self) {
        for event in &self.open {
            // An event whose task has ended is off already.
            let _ = event.disable();
        }
    }

    fn tick(&mut self) {
        self.look_at_cpus();
    }

    fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        let mut any = false;
        let (mut rings, mut aliases) = (&mut self.rings[..], &self.aliases[..]);
        while !rings.is_empty() {
            // As many as are worth a large write, no more: what is taken has to be given back.
            let (mut found, mut lens) = (Vec::new(), Vec::new());
            for ((_, ring), aliases) in rings.iter_mut().zip(aliases) {
                let available = ring.available();
                lens.push(available.len());
                let whole = [available.first, available.second];
                // A record may be in both halves.
                found.push((whole, (!aliases.is_empty()).then(|| renamed(aliases, whole))));
                if lens.iter().sum::<usize>() >= BATCH {
                    break;
                }
            }
            any |= lens.iter().any(|&len| len > 0);
            let chunks: Vec<Chunk<'_>> = found
                .iter()
                .map(|(whole, renamed)| renamed.as_ref().map_or(*whole, |renamed| [renamed, &[]]))
                .collect();
            take(&chunks)?;
            let (taken, others) = rings.split_at_mut(lens.len());
            taken.iter_mut().zip(&lens).for_each(|((_, ring), &len)| ring.release(len));
            (rings, aliases) = (others, &aliases[lens.len()..]);
        }
        Ok(any)
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.rings.iter().map(|(owner, _)| self.open[*owner].fd()).collect()
    }

    fn ended(&self, hung_up: bool) -> bool {
        hung_up
    }

    /// The records in all rings, of each the oldest first.
    fn latest(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for ((owner, ring), aliases) in self.rings.iter_mut().zip(&self.aliases) {
            let event = &self.open[*owner];
            event.pause_output(true)?;
            let available = ring.backward();
            let mut newest_first = [available.first, available.second].concat();
            newest_first.truncate(available.whole());
            aliases.apply(&mut newest_first);
            event.pause_output(false)?;
            let records: Vec<RawRecord<'_, Native>> = Records::new(&newest_first, 0).map_while(Result::ok).collect();
            records.iter().rev().for_each(|record| out.extend_from_slice(record.bytes()));
        }
        Ok(out)
    }
}

/// Opens an event of a CPU: for a task, a cgroup's, or all (`pid` -1).
fn open(attr: &Attr<Native>, pid: i32, cpu: u32, cgroup: Option<&File>) -> io::Result<Event> {
    match cgroup {
        Some(cgroup) => Event::open_for_cgroup(attr, cgroup.as_fd(), cpu as i32),
        None => Event::open(attr, pid, cpu as i32),
    }
}

/// Records of a ring, in its two halves, with the ids that files know.
fn renamed(aliases: &Aliases, halves: Chunk<'_>) -> Vec<u8> {
    let mut records = halves.concat();
    aliases.apply(&mut records);
    records
}

/// So many bytes are worth a write of their own.
const BATCH: usize = 4 << 20;

/// Whether the side-band event can be opened for the whole machine: what recording by perf needs.
///
/// # Errors
/// What perf_event_open(2) says.
pub(crate) fn can_open() -> io::Result<()> {
    let cpu = machine::online_cpus().ok().and_then(|cpus| cpus.first().copied()).unwrap_or(0);
    Event::open(&side_band_attr(false), -1, cpu as i32).map(drop)
}

/// Where the cgroup `path` is in the hierarchy that perf events go by: the v1 controller where it is mounted, else v2.
pub fn perf_cgroup(path: &str) -> Option<PathBuf> {
    let mount = mounts::controller_mount("perf_event").or_else(mounts::cgroup2_mount)?;
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

fn cannot_open(error: &io::Error, pid: i32) -> Error {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            let paranoid = machine::paranoid().map_or("unknown".into(), |level| level.to_string());
            Error::NotPermitted {
                what: format!("the kernel refuses perf_event_open: {}", reason(error)),
                help: format!(
                    "Namespace records need CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), whatever \
                     kernel.perf_event_paranoid is (here: {paranoid})."
                ),
            }
        }
        Some(libc::ENOSYS | libc::ENOENT) => Error::Unsupported {
            what: format!("this kernel has no perf events ({})", reason(error)),
            help: "They need CONFIG_PERF_EVENTS.".into(),
        },
        Some(libc::EINVAL) => Error::Unsupported {
            what: "this kernel does not know namespace records".into(),
            help: "They need Linux 4.12 or newer with CONFIG_NAMESPACES.".into(),
        },
        Some(libc::ESRCH) => Error::NotFound(format!("there is no process {pid}")),
        Some(libc::EMFILE) => Error::Limit {
            what: "too many open files: each CPU and each thread of the target takes a descriptor".into(),
            help: "raise the limit: ulimit -n 65536".into(),
        },
        _ => Error::other(format!("perf_event_open failed: {}", reason(error))),
    }
}
