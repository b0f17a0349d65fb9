//! What samples say: where a task ran, into which cgroup it came, and what a recorder adds. Not here: how a sample is
//! laid out.

use crate::registry::Named;
use crate::runtime::{self, Runtime};
use crate::task::{Since, Source, set_value};
#[cfg(feature = "full")]
use crate::timeline::KeptNamespace;
use crate::timeline::RecorderInfo;
use crate::timeline::Timeline;
use crate::tracepoint::{Tracepoint, Wakeup};
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::synthetic;
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_TASK_CLOCK, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::task_namespaces::{Reason, TaskNamespaces};
use nsscope_codec::{Endian, LittleEndian, Order, RawRecord};

impl Timeline {
    pub(crate) fn sample<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>, time: u64) -> Option<usize> {
        let event = session.event_of(raw)?;
        let Ok(sample) = event.sample.parse(raw) else {
            self.faulty += 1;
            return None;
        };
        if event.attr.kind.get() != TYPE_TRACEPOINT {
            let tid = sample.tid.filter(|&tid| tid != 0)?;
            let pid = sample.pid.unwrap_or(tid);
            // A thread runs for a while after its EXIT: that is no new one.
            let ends = |&index: &usize| self.tasks[index].pid == pid && self.tasks[index].end.is_some();
            let index = self.has(tid).filter(ends).unwrap_or_else(|| self.task(pid, tid, time));
            if let Some(&path) = sample.cgroup.and_then(|id| self.cgroup_ids.get(&id)) {
                self.move_to(index, 0, path, time, Source::Sample);
            }
            let usage = &mut self.usage[self.tasks[index].membership as usize];
            usage.samples += 1;
            // A clock's period is in ns; of other events it is not time.
            let clock = event.attr.kind.get() == TYPE_SOFTWARE && event.attr.config.get() <= CONFIG_TASK_CLOCK;
            if clock {
                let fixed = if event.attr.flags().has(AttrFlags::FREQ) { 0 } else { event.attr.sample_period.get() };
                usage.cpu += sample.period.unwrap_or(fixed);
            }
            return Some(index);
        }
        let (bytes, attr) = (sample.raw?, event.attr);
        self.tracepoint(session, &attr, bytes, O::ENDIAN == Endian::Big, time)
    }

    /// Takes of a record only what a runtime says of a container: for a first look at a capture, so that what happened in a
    /// container has the name that comes later.
    pub fn learn_names<O: Order>(&mut self, session: &Session, raw: &RawRecord<'_, O>) {
        if raw.kind() != RecordType::SAMPLE {
            return;
        }
        let Some(event) = session.event_of(raw) else { return };
        let Some(bytes) = event.sample.parse(raw).ok().and_then(|sample| sample.raw) else { return };
        let attr = event.attr;
        if let Some(Tracepoint::Container(said)) =
            self.tracepoints.read(session, &attr, bytes, O::ENDIAN == Endian::Big)
        {
            // Its process has not come yet, and its pid may be another's before.
            self.declare(&synthetic::Container { pid: 0, ..said });
        }
    }

    /// The wake-up, if a record has told of one since this was asked last.
    pub fn take_wakeup(&mut self) -> Option<Wakeup> {
        self.woken.take()
    }

    /// What the raw bytes of a tracepoint's sample say, in one byte order or the other.
    fn tracepoint(
        &mut self,
        session: &Session,
        attr: &Attr<LittleEndian>,
        bytes: &[u8],
        big: bool,
        time: u64,
    ) -> Option<usize> {
        match self.tracepoints.read(session, attr, bytes, big) {
            Some(Tracepoint::Attach { root, path, tid }) => self.attach(tid, root, path, time, Source::Tracepoint),
            Some(Tracepoint::TaskCgroup { root, path, tid }) => self.attach(tid, root, path, time, Source::Proc),
            Some(Tracepoint::TaskNspid { tid, pids }) => {
                let index = self.has(tid)?;
                let pids = core::str::from_utf8(pids).unwrap_or_default().split_ascii_whitespace();
                self.tasks[index].nspids = pids.map_while(|pid| pid.parse().ok()).take(MAX_PID_LEVELS).collect();
                Some(index)
            }
            Some(Tracepoint::TaskNamespaces(event)) => {
                let index = self.has(event.tid.get())?;
                self.apply(index, &event, time);
                Some(index)
            }
            Some(Tracepoint::Container(event)) => {
                self.declare(&event);
                None
            }
            #[cfg(feature = "full")]
            Some(Tracepoint::KeptNamespace { kind, id, unique, by }) => {
                let kind = NsKind::ALL.into_iter().find(|known| known.name().as_bytes() == kind)?;
                self.kept.push(KeptNamespace { kind, id, unique, by: String::from_utf8_lossy(by).into_owned() });
                None
            }
            Some(Tracepoint::Wakeup { tid, cpu }) => {
                #[cfg(feature = "full")]
                self.switches.wakeup(tid, cpu, time);
                self.woken = Some(Wakeup { time, tid, cpu });
                None
            }
            #[cfg(feature = "full")]
            Some(Tracepoint::Namespace { ino, unique }) => {
                self.uniques.entry(u64::from(ino)).or_default().push((time, unique));
                None
            }
            Some(Tracepoint::CgroupCpu { path, read }) => {
                self.read_limit(path, read, time);
                None
            }
            #[cfg(feature = "full")]
            Some(Tracepoint::CpuSum(sum)) => {
                self.summed(&sum);
                None
            }
            #[cfg(feature = "full")]
            Some(Tracepoint::CpuWait(wait)) => {
                self.summed_wait(&wait);
                None
            }
            Some(Tracepoint::Recorder { interval, backend, own }) => {
                let own = String::from_utf8_lossy(own);
                self.recorder = Some(RecorderInfo {
                    backend: String::from_utf8_lossy(backend).into_owned(),
                    interval,
                    own_namespaces: own.split_ascii_whitespace().map(String::from).collect(),
                });
                None
            }
            None => None,
        }
    }

    /// What a runtime says of a container.
    fn declare(&mut self, event: &synthetic::Container<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| text(bytes));
        let name = core::str::from_utf8(event.runtime).map_or(runtime::UNKNOWN, runtime::known_name);
        let labels = event.labels.split(|&byte| byte == b'\n');
        let labels = labels.filter_map(|label| {
            let at = label.iter().position(|&byte| byte == b'=')?;
            Some((text(&label[..at]), text(&label[at + 1..])))
        });
        let named = Named {
            name: text(event.name),
            image: text(event.image),
            runtime: name,
            source: text(event.source),
            rank: event.rank,
            labels: labels.collect(),
        };
        let runtime = Runtime { name, id: text(event.id), namespace: some(event.namespace), group: None };
        // The root is everybody's.
        let path = (event.cgroup.len() > 1 && event.cgroup.starts_with(b"/")).then(|| self.paths.intern(event.cgroup));
        let (container, news) = self.registry.declare(runtime, named, path);
        if news {
            self.paths_changed();
        }
        if event.pid == 0 {
            return;
        }
        let init = self.has(event.pid).map(|index| &self.tasks[index]);
        if init.is_some_and(|init| init.end.is_some()) {
            return;
        }
        // It may be told before its process is.
        let spaces = init.map(|init| self.usage[init.membership as usize].spaces);
        self.inits.insert(event.pid.into(), container);
        if let Some(spaces) = spaces {
            self.claim(spaces, container);
        }
    }

    /// What [`TaskNamespaces`] tells of a task.
    fn apply(&mut self, index: usize, event: &TaskNamespaces<LittleEndian>, time: u64) {
        let source = if event.reason.get() == Reason::FOUND.0 { Source::Proc } else { Source::Kernel };
        if let Some(mut set) = self.last_namespaces(&self.tasks[index]) {
            // All are of one file system.
            let dev = set.0.iter().map(|id| id.dev).max().unwrap_or(0);
            set.0[NsKind::Time.index()] = NsId { dev, ino: u64::from(event.time.get()) };
            let value = self.ns_sets.intern(&set);
            set_value(&mut self.tasks[index].namespaces, Since { time, value, source });
            self.settle(index);
        }
        let levels = event.levels.get() as usize;
        if levels > 1 {
            self.tasks[index].nspids = event.pids.iter().take(levels).map(|pid| pid.get()).collect();
        }
        if let Some(&path) = self.cgroup_ids.get(&event.cgroup.get()) {
            self.move_to(index, 0, path, time, source);
        }
    }

    /// A task is in a cgroup of a hierarchy from now on; with the first thread of a process, so are the others
    /// (`cgroup_attach_task` is traced once for a whole process).
    fn attach(&mut self, tid: u32, root: u32, path: &[u8], time: u64, source: Source) -> Option<usize> {
        let path = self.paths.intern(path);
        let index = match self.has(tid) {
            // /proc still tells of a task that has ended and that nobody has waited for.
            Some(index) if source == Source::Proc && self.tasks[index].end.is_some_and(|end| end < time) => {
                return None;
            }
            Some(index) => index,
            None => self.add(tid, tid, time),
        };
        let pid = self.tasks[index].pid;
        let whole = pid == tid && source == Source::Tracepoint;
        let siblings = if whole { self.threads_of(pid) } else { Vec::new() };
        for at in siblings.into_iter().filter(|&at| at != index).chain([index]) {
            self.move_to(at, root, path, time, source);
        }
        Some(index)
    }

    fn move_to(&mut self, index: usize, root: u32, path: u32, time: u64, source: Source) {
        let before = self.tasks[index].cgroups.last().map(|since| self.cgroup_sets.get(since.value).clone());
        let mut set = before.unwrap_or_default();
        match set.binary_search_by_key(&root, |&[root, _]| root) {
            Ok(found) => set[found][1] = path,
            Err(membership) => set.insert(membership, [root, path]),
        }
        let value = self.cgroup_sets.intern(set.as_slice());
        let paths = &self.paths;
        self.registry.look_at(value, &self.cgroup_sets, paths.values(), |path| paths.number(path));
        set_value(&mut self.tasks[index].cgroups, Since { time, value, source });
        self.settle(index);
    }
}

/// Pid namespaces are nested at most so deep (`MAX_PID_NS_LEVEL`), and one is the host's.
const MAX_PID_LEVELS: usize = 33;
