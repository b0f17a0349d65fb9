//! The tracepoints that tell which cgroup a task is in. Not here: what follows from a move.

use crate::limit::CpuStat;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use nsscope_codec::perf_data::tracing::{self, Field, Format};
use nsscope_codec::perf_data::{Feature, Session};
use nsscope_codec::synthetic;
use nsscope_codec::wire::attr::Attr;
#[cfg(feature = "full")]
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::task_namespaces::TaskNamespaces;
use nsscope_codec::{BigEndian, LittleEndian};

/// What a sample says.
pub(crate) enum Tracepoint<'a> {
    /// `cgroup:cgroup_attach_task`: the kernel moves a task.
    Attach { tid: u32, root: u32, path: &'a [u8] },
    /// [`synthetic::TASK_CGROUP`]: the recorder found a task there.
    TaskCgroup { tid: u32, root: u32, path: &'a [u8] },
    /// [`synthetic::TASK_NSPID`]: a task's pids from the host's inwards, decimal, with blanks between.
    TaskNspid { tid: u32, pids: &'a [u8] },
    /// [`synthetic::TASK_NAMESPACES`]: what the kernel's record leaves out.
    TaskNamespaces(TaskNamespaces<LittleEndian>),
    /// [`synthetic::CONTAINER`]: what somebody says of a container.
    Container(synthetic::Container<'a>),
    /// [`synthetic::KEPT_NAMESPACE`]: a namespace that something but a task keeps.
    #[cfg(feature = "full")]
    KeptNamespace { kind: &'a [u8], id: NsId, unique: u64, by: &'a [u8] },
    /// `sched:sched_wakeup` or [`synthetic::WAKEUP`]: a task would run on a CPU.
    Wakeup { tid: u32, cpu: u32 },
    /// [`synthetic::NAMESPACE`]: the number of one of a task's namespaces that is never given again.
    #[cfg(feature = "full")]
    Namespace { ino: u32, unique: u64 },
    /// [`synthetic::CGROUP_CPU`]: a cgroup's CPU time and what its limit did.
    CgroupCpu { path: &'a [u8], read: CpuStat },
    /// [`synthetic::CPU_SUM`]: what the tasks of a group did to the CPUs.
    #[cfg(feature = "full")]
    CpuSum(synthetic::CpuSum),
    /// [`synthetic::CPU_WAIT`]: for whom they waited.
    #[cfg(feature = "full")]
    CpuWait(synthetic::CpuWait),
    /// [`synthetic::RECORDER`]: how the recording was made.
    Recorder { interval: u32, backend: &'a [u8], own: &'a [u8] },
}

/// The formats of those that matter, read once from the session.
#[derive(Debug, Default)]
pub(crate) struct Tracepoints(Option<Known>);

#[derive(Debug, Default)]
struct Known {
    fields: Vec<Fields>,
    /// Tracepoint id to place in `fields`.
    ids: BTreeMap<u64, u32>,
}

/// Where the fields lie that matter.
#[derive(Debug)]
enum Fields {
    Cgroup {
        attach: bool,
        tid: Field,
        root: Field,
        path: Field,
    },
    Nspid {
        tid: Field,
        pids: Field,
    },
    TaskNamespaces,
    Container {
        numbers: [Field; 2],
        texts: Vec<Field>,
    },
    #[cfg(feature = "full")]
    Kept {
        numbers: [Field; 3],
        kind: Field,
        by: Field,
    },
    Wakeup {
        tid: Field,
        cpu: Field,
    },
    #[cfg(feature = "full")]
    Namespace {
        ino: Field,
        unique: Field,
    },
    CgroupCpu {
        path: Field,
        numbers: [Field; 4],
    },
    #[cfg(feature = "full")]
    CpuSum {
        group: GroupFields,
        numbers: [Field; 6],
    },
    #[cfg(feature = "full")]
    CpuWait {
        groups: [GroupFields; 2],
        ns: Field,
    },
    Recorder {
        interval: Field,
        backend: Field,
        own: Field,
    },
}

/// A task would run from now on (`sched:sched_wakeup`, [`synthetic::WAKEUP`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// When, ns.
    pub time: u64,
    /// The thread.
    pub tid: u32,
    /// The CPU that it is to run on.
    pub cpu: u32,
}

/// Where a group's fields are: thread, kind, cgroup, pid namespace and mount namespace.
#[cfg(feature = "full")]
#[derive(Debug)]
struct GroupFields([Field; 5]);

#[cfg(feature = "full")]
impl GroupFields {
    /// Those whose names begin so.
    fn of(format: &Format, prefix: &str) -> Option<Self> {
        let field = |name: &str| format.field(&alloc::format!("{prefix}{name}")).cloned();
        Some(Self([field("pid")?, field("kind")?, field("cgroup")?, field("pidns")?, field("mntns")?]))
    }

    fn read(&self, raw: &[u8], big: bool) -> Option<synthetic::TaskGroup> {
        let Self([tid, kind, cgroup, pid_ns, mnt_ns]) = self;
        let word = |field: &Field| Some(field.number(raw, big)? as u32);
        Some(synthetic::TaskGroup {
            tid: word(tid)?,
            kind: word(kind)?,
            cgroup: cgroup.number(raw, big)?,
            pid_ns: word(pid_ns)?,
            mnt_ns: word(mnt_ns)?,
        })
    }
}

impl Fields {
    fn of(format: &Format) -> Option<Self> {
        let field = |name| format.field(name).cloned();
        match (format.system.as_str(), format.name.as_str()) {
            ("cgroup", "cgroup_attach_task") => Some(Self::Cgroup {
                attach: true,
                tid: field("pid")?,
                root: field("dst_root")?,
                path: field("dst_path")?,
            }),
            (synthetic::SYSTEM, "task_cgroup") => {
                Some(Self::Cgroup { attach: false, tid: field("pid")?, root: field("root")?, path: field("path")? })
            }
            (synthetic::SYSTEM, "task_nspid") => Some(Self::Nspid { tid: field("pid")?, pids: field("nspid")? }),
            (synthetic::SYSTEM, "task_namespaces") => Some(Self::TaskNamespaces),
            (synthetic::SYSTEM, "container") => Some(Self::Container {
                numbers: [field("pid")?, field("rank")?],
                texts: ["id", "name", "image", "runtime", "namespace", "cgroup", "source", "labels"]
                    .into_iter()
                    .map(field)
                    .collect::<Option<_>>()?,
            }),
            #[cfg(feature = "full")]
            (synthetic::SYSTEM, "kept_namespace") => Some(Self::Kept {
                numbers: [field("dev")?, field("ino")?, field("unique")?],
                kind: field("type")?,
                by: field("by")?,
            }),
            ("sched", "sched_wakeup" | "sched_wakeup_new") | (synthetic::SYSTEM, "wakeup") => {
                Some(Self::Wakeup { tid: field("pid")?, cpu: field("target_cpu")? })
            }
            #[cfg(feature = "full")]
            (synthetic::SYSTEM, "namespace") => Some(Self::Namespace { ino: field("ino")?, unique: field("unique")? }),
            (synthetic::SYSTEM, "cgroup_cpu") => Some(Self::CgroupCpu {
                path: field("path")?,
                numbers: [field("used")?, field("throttled")?, field("periods")?, field("throttled_periods")?],
            }),
            #[cfg(feature = "full")]
            (synthetic::SYSTEM, "cpu_sum") => Some(Self::CpuSum {
                group: GroupFields::of(format, "")?,
                numbers: [
                    field("ran")?,
                    field("waited")?,
                    field("longest")?,
                    field("waits")?,
                    field("slept")?,
                    field("preempted")?,
                ],
            }),
            #[cfg(feature = "full")]
            (synthetic::SYSTEM, "cpu_wait") => Some(Self::CpuWait {
                groups: [GroupFields::of(format, "")?, GroupFields::of(format, "ran_")?],
                ns: field("ns")?,
            }),
            (synthetic::SYSTEM, "recorder") => {
                Some(Self::Recorder { interval: field("interval")?, backend: field("backend")?, own: field("own")? })
            }
            _ => None,
        }
    }
}

impl Tracepoints {
    pub(crate) fn read<'a>(
        &mut self,
        session: &Session,
        attr: &Attr<LittleEndian>,
        raw: &'a [u8],
        big: bool,
    ) -> Option<Tracepoint<'a>> {
        if self.0.is_none() {
            let formats = tracing::read(session.feature(Feature::TRACING_DATA)?);
            let mut known = Known::default();
            for (id, fields) in formats.iter().filter_map(|format| Some((format.id, Fields::of(format)?))) {
                known.ids.insert(id, known.fields.len() as u32);
                known.fields.push(fields);
            }
            self.0 = Some(known);
        }
        let number = |field: &Field| Some(field.number(raw, big)? as u32);
        let known = self.0.as_ref()?;
        Some(match &known.fields[*known.ids.get(&attr.config.get())? as usize] {
            Fields::Cgroup { attach, tid, root, path } => {
                let (tid, root, path) = (number(tid)?, number(root)?, path.text(raw, big)?);
                if *attach {
                    Tracepoint::Attach { tid, root, path }
                } else {
                    Tracepoint::TaskCgroup { tid, root, path }
                }
            }
            Fields::Nspid { tid, pids } => Tracepoint::TaskNspid { tid: number(tid)?, pids: pids.text(raw, big)? },
            Fields::TaskNamespaces if big => {
                Tracepoint::TaskNamespaces(TaskNamespaces::<BigEndian>::read(raw)?.in_order())
            }
            Fields::TaskNamespaces => Tracepoint::TaskNamespaces(TaskNamespaces::read(raw)?),
            Fields::Container { numbers: [pid, rank], texts } => {
                let text = |at: usize| texts[at].text(raw, big);
                Tracepoint::Container(synthetic::Container {
                    pid: number(pid)?,
                    rank: number(rank)?,
                    id: text(0)?,
                    name: text(1)?,
                    image: text(2)?,
                    runtime: text(3)?,
                    namespace: text(4)?,
                    cgroup: text(5)?,
                    source: text(6)?,
                    labels: text(7)?,
                })
            }
            #[cfg(feature = "full")]
            Fields::Kept { numbers: [dev, ino, unique], kind, by } => Tracepoint::KeptNamespace {
                kind: kind.text(raw, big)?,
                id: NsId { dev: dev.number(raw, big)?, ino: ino.number(raw, big)? },
                unique: unique.number(raw, big)?,
                by: by.text(raw, big)?,
            },
            Fields::Wakeup { tid, cpu } => Tracepoint::Wakeup { tid: number(tid)?, cpu: number(cpu)? },
            #[cfg(feature = "full")]
            Fields::Namespace { ino, unique } => {
                Tracepoint::Namespace { ino: number(ino)?, unique: unique.number(raw, big)? }
            }
            Fields::CgroupCpu { path, numbers: [used, throttled, periods, throttled_periods] } => {
                Tracepoint::CgroupCpu {
                    path: path.text(raw, big)?,
                    read: CpuStat {
                        usage: used.number(raw, big)?,
                        throttled: throttled.number(raw, big)?,
                        periods: periods.number(raw, big)?,
                        throttled_periods: throttled_periods.number(raw, big)?,
                    },
                }
            }
            #[cfg(feature = "full")]
            Fields::CpuSum { group, numbers: [ran, waited, longest, waits, slept, preempted] } => {
                Tracepoint::CpuSum(synthetic::CpuSum {
                    group: group.read(raw, big)?,
                    ran: ran.number(raw, big)?,
                    waited: waited.number(raw, big)?,
                    longest: longest.number(raw, big)?,
                    waits: number(waits)?,
                    slept: number(slept)?,
                    preempted: number(preempted)?,
                })
            }
            #[cfg(feature = "full")]
            Fields::CpuWait { groups: [waited, ran], ns } => Tracepoint::CpuWait(synthetic::CpuWait {
                waited: waited.read(raw, big)?,
                ran: ran.read(raw, big)?,
                ns: ns.number(raw, big)?,
            }),
            Fields::Recorder { interval, backend, own } => Tracepoint::Recorder {
                interval: number(interval)?,
                backend: backend.text(raw, big)?,
                own: own.text(raw, big)?,
            },
        })
    }
}
