//! Events that a recorder synthesizes, as tracepoints of the system `nsscope`. Not here: where a recorder takes the
//! facts from.
//!
//! The kernel's records do not say which cgroup a task was in when the recording began, which pids it has in its pid
//! namespaces, nor what a container is called. So the recorder looks it up and writes a SAMPLE of a tracepoint whose
//! format is in the file's `TRACING_DATA`: every reader of perf.data can print it, and one that does not know it skips
//! it.
//!
//! Raw bytes, in the byte order of the file:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 2 | `common_type`: the event's id |
//! | 2 | 6 | other common fields: 0 |
//! | 8 | 4 each | the event's own fields: numbers; of a text its offset in the low, its length in the high 16 bits |
//! | | | the texts, each with its NUL |

use alloc::vec::Vec;

/// The events' group.
pub const SYSTEM: &str = "nsscope";

/// An event.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// `attr.config`. The kernel numbers its own from 1 on and stays far below.
    pub id: u64,
    /// Its full name.
    pub name: &'static str,
    /// Its format, in the form of tracefs.
    pub format: &'static str,
}

/// Longer texts are cut, bytes.
const MAX_TEXT: usize = 4095;

macro_rules! common_fields {
    () => {
        "format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"
    };
}

/// What tasks are summed under, before all other fields.
macro_rules! place_fields {
    () => {
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned int kind;\toffset:12;\tsize:4;\tsigned:0;
\tfield:u64 cgroup;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned int pidns;\toffset:24;\tsize:4;\tsigned:0;
\tfield:unsigned int mntns;\toffset:28;\tsize:4;\tsigned:0;
"
    };
}

/// A task is in a cgroup: `pid` thread id, `root` hierarchy id (0 for cgroup v2), `path`.
pub const TASK_CGROUP: Event = Event {
    id: 65_535,
    name: "nsscope:task_cgroup",
    format: concat!(
        "name: task_cgroup\nID: 65535\n",
        common_fields!(),
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:int root;\toffset:12;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] path;\toffset:16;\tsize:4;\tsigned:0;

print fmt: \"pid=%d root=%d path=%s\", REC->pid, REC->root, __get_str(path)
"
    ),
};

/// A task's pids: `pid` thread id, `nspid` the same in each pid namespace from the recorder's inwards, as the line
/// `NSpid` of `/proc/PID/status` has them.
pub const TASK_NSPID: Event = Event {
    id: 65_534,
    name: "nsscope:task_nspid",
    format: concat!(
        "name: task_nspid\nID: 65534\n",
        common_fields!(),
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] nspid;\toffset:12;\tsize:4;\tsigned:0;

print fmt: \"pid=%d nspid=%s\", REC->pid, __get_str(nspid)
"
    ),
};

/// What somebody says of a container: `pid` of its init (0: not known), `rank` of who says it (larger: knows better), `id`,
/// `name`, `image`, `runtime`, `namespace` of containerd's, `cgroup` path, `source` that said it, `labels` as lines
/// `key=value`. What is not known is empty.
pub const CONTAINER: Event = Event {
    id: 65_533,
    name: "nsscope:container",
    format: concat!(
        "name: container\nID: 65533\n",
        common_fields!(),
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned int rank;\toffset:12;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] id;\toffset:16;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:20;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] image;\toffset:24;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] runtime;\toffset:28;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] namespace;\toffset:32;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] cgroup;\toffset:36;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] source;\toffset:40;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] labels;\toffset:44;\tsize:4;\tsigned:0;

print fmt: \"id=%s name=%s image=%s runtime=%s pid=%d cgroup=%s source=%s\", __get_str(id), __get_str(name), \
__get_str(image), __get_str(runtime), REC->pid, __get_str(cgroup), __get_str(source)
"
    ),
};

/// A namespace that a mount or an open file keeps, whether or not a task is in it: `dev` and `ino` of its file in nsfs,
/// `unique` the number that the kernel never gives again (0: it has none), `type` as in `/proc/PID/ns`, `by` what keeps it.
pub const KEPT_NAMESPACE: Event = Event {
    id: 65_530,
    name: "nsscope:kept_namespace",
    format: concat!(
        "name: kept_namespace\nID: 65530\n",
        common_fields!(),
        "\tfield:unsigned int dev;\toffset:8;\tsize:4;\tsigned:0;
\tfield:unsigned int ino;\toffset:12;\tsize:4;\tsigned:0;
\tfield:u64 unique;\toffset:16;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] type;\toffset:24;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] by;\toffset:28;\tsize:4;\tsigned:0;

print fmt: \"%s:[%u] by %s\", __get_str(type), REC->ino, __get_str(by)
"
    ),
};

/// A namespace that a task is in: `pid` of the task, `ino` of the namespace's file in nsfs, `unique` the number that the
/// kernel never gives again (`NS_GET_ID` of ioctl_nsfs(2), since Linux 6.18), `type` as in `/proc/PID/ns`.
pub const NAMESPACE: Event = Event {
    id: 65_528,
    name: "nsscope:namespace",
    format: concat!(
        "name: namespace\nID: 65528\n",
        common_fields!(),
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned int ino;\toffset:12;\tsize:4;\tsigned:0;
\tfield:u64 unique;\toffset:16;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] type;\toffset:24;\tsize:4;\tsigned:0;

print fmt: \"pid=%d %s:[%u] unique=%llu\", REC->pid, __get_str(type), REC->ino, REC->unique
"
    ),
};

/// A cgroup's CPU time and what its limit did to it, from its `cpu.stat` (Documentation/admin-guide/cgroup-v2.rst) and, in
/// the older hierarchy, its `cpuacct.usage`: `used` and `throttled` ns since it was made, `periods` and
/// `throttled_periods` their numbers, `path`.
pub const CGROUP_CPU: Event = Event {
    id: 65_529,
    name: "nsscope:cgroup_cpu",
    format: concat!(
        "name: cgroup_cpu\nID: 65529\n",
        common_fields!(),
        "\tfield:u64 used;\toffset:8;\tsize:8;\tsigned:0;
\tfield:u64 throttled;\toffset:16;\tsize:8;\tsigned:0;
\tfield:u64 periods;\toffset:24;\tsize:8;\tsigned:0;
\tfield:u64 throttled_periods;\toffset:32;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] path;\toffset:40;\tsize:4;\tsigned:0;

print fmt: \"path=%s used=%llu throttled=%llu periods=%llu throttled_periods=%llu\", __get_str(path), REC->used, \
REC->throttled, REC->periods, REC->throttled_periods
"
    ),
};

/// What the tasks of a group did to the CPUs in an interval that ends now, summed in the kernel: `ran` and `waited` ns,
/// from a wake-up or from being preempted until it ran, `longest` of those waits, ns, that ended in it, `waits` how many,
/// `slept` and `preempted` how often a thread gave up its CPU or lost it. The group: `cgroup` id in the unified hierarchy,
/// inodes `pidns` and `mntns`, `kind` 0 processes, 1 the kernel's threads, 2 idle; `pid` a thread of it.
pub const CPU_SUM: Event = Event {
    id: 65_527,
    name: "nsscope:cpu_sum",
    format: concat!(
        "name: cpu_sum\nID: 65527\n",
        common_fields!(),
        place_fields!(),
        "\tfield:u64 ran;\toffset:32;\tsize:8;\tsigned:0;
\tfield:u64 waited;\toffset:40;\tsize:8;\tsigned:0;
\tfield:u64 longest;\toffset:48;\tsize:8;\tsigned:0;
\tfield:unsigned int waits;\toffset:56;\tsize:4;\tsigned:0;
\tfield:unsigned int slept;\toffset:60;\tsize:4;\tsigned:0;
\tfield:unsigned int preempted;\toffset:64;\tsize:4;\tsigned:0;

print fmt: \"pid=%d ran=%llu waited=%llu longest=%llu waits=%u slept=%u preempted=%u\", REC->pid, REC->ran, REC->waited, \
REC->longest, REC->waits, REC->slept, REC->preempted
"
    ),
};

/// How long the tasks of one group waited for a CPU while those of another ran on it, `ns`, in the interval that ends now,
/// summed in the kernel. The groups as in [`CPU_SUM`]: who waited, and with `ran_` who ran.
pub const CPU_WAIT: Event = Event {
    id: 65_526,
    name: "nsscope:cpu_wait",
    format: concat!(
        "name: cpu_wait\nID: 65526\n",
        common_fields!(),
        place_fields!(),
        "\tfield:int ran_pid;\toffset:32;\tsize:4;\tsigned:1;
\tfield:unsigned int ran_kind;\toffset:36;\tsize:4;\tsigned:0;
\tfield:u64 ran_cgroup;\toffset:40;\tsize:8;\tsigned:0;
\tfield:unsigned int ran_pidns;\toffset:48;\tsize:4;\tsigned:0;
\tfield:unsigned int ran_mntns;\toffset:52;\tsize:4;\tsigned:0;
\tfield:u64 ns;\toffset:56;\tsize:8;\tsigned:0;

print fmt: \"pid=%d waited_ns=%llu ran_pid=%d\", REC->pid, REC->ns, REC->ran_pid
"
    ),
};

/// A thread would run from now on: `pid` its id, `target_cpu` the CPU that it is to run on. Whose sample it is woke it up. It
/// says what `sched:sched_wakeup` and `sched:sched_wakeup_new` say but for name and priority, and is as short as an event can
/// be, for there are hundreds of thousands in a second: the CPU is where other events have flags that nobody sets.
pub const WAKEUP: Event = Event {
    id: 65_525,
    name: "nsscope:wakeup",
    format: "name: wakeup\nID: 65525\nformat:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned short target_cpu;\toffset:2;\tsize:2;\tsigned:0;
\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;

print fmt: \"pid=%d target_cpu=%03d\", REC->pid, REC->target_cpu
",
};

/// How the recording was made: `interval` ns between two looks at /proc, 0 where the kernel told by itself; `backend`
/// `perf`, `proc` or `snapshot`; `own` the recorder's own namespaces where they are not the machine's first ones, as
/// `pid user`.
pub const RECORDER: Event = Event {
    id: 65_532,
    name: "nsscope:recorder",
    format: concat!(
        "name: recorder\nID: 65532\n",
        common_fields!(),
        "\tfield:unsigned int interval;\toffset:8;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] backend;\toffset:12;\tsize:4;\tsigned:0;
\tfield:__data_loc char[] own;\toffset:16;\tsize:4;\tsigned:0;

print fmt: \"interval=%u backend=%s own=%s\", REC->interval, __get_str(backend), __get_str(own)
"
    ),
};

/// What the kernel's NAMESPACES record leaves out of a task:
/// [`TaskNamespaces`](crate::wire::task_namespaces::TaskNamespaces), which says what the fields are.
pub const TASK_NAMESPACES: Event = Event {
    id: 65_531,
    name: "nsscope:task_namespaces",
    format: concat!(
        "name: task_namespaces\nID: 65531\n",
        common_fields!(),
        "\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned int reason;\toffset:12;\tsize:4;\tsigned:0;
\tfield:u64 cgroup;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned int time;\toffset:24;\tsize:4;\tsigned:0;
\tfield:unsigned int time_for_children;\toffset:28;\tsize:4;\tsigned:0;
\tfield:unsigned int pid_for_children;\toffset:32;\tsize:4;\tsigned:0;
\tfield:unsigned int levels;\toffset:36;\tsize:4;\tsigned:0;
\tfield:unsigned int pids[9];\toffset:40;\tsize:36;\tsigned:0;

print fmt: \"pid=%d reason=%s cgroup=%llu time=%u time_for_children=%u pid_for_children=%u levels=%u\", REC->pid, \
__print_symbolic(REC->reason, { 0, \"found\" }, { 1, \"fork\" }, { 2, \"unshare\" }, { 3, \"setns\" }, { 4, \"exec\" }), \
REC->cgroup, REC->time, REC->time_for_children, REC->pid_for_children, REC->levels
"
    ),
};

/// All of them.
pub const EVENTS: [Event; 11] = [
    TASK_CGROUP,
    TASK_NSPID,
    CONTAINER,
    RECORDER,
    TASK_NAMESPACES,
    KEPT_NAMESPACE,
    CGROUP_CPU,
    NAMESPACE,
    CPU_SUM,
    CPU_WAIT,
    WAKEUP,
];

/// Raw bytes of [`TASK_CGROUP`], in the byte order of this machine. A path over 4095 bytes is cut, as all texts are.
pub fn task_cgroup(tid: u32, root: u32, path: &[u8]) -> Vec<u8> {
    raw(TASK_CGROUP, &words(&[tid, root]), &[path])
}

/// Raw bytes of [`TASK_NSPID`].
pub fn task_nspid(tid: u32, pids: &[u8]) -> Vec<u8> {
    raw(TASK_NSPID, &words(&[tid]), &[pids])
}

/// The fields of [`CONTAINER`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Container<'a> {
    /// Pid of its init; 0 where it is not known.
    pub pid: u32,
    /// How well the source knows.
    pub rank: u32,
    /// The runtime's id or name of it.
    pub id: &'a [u8],
    /// What people call it.
    pub name: &'a [u8],
    /// What it was made of.
    pub image: &'a [u8],
    /// The runtime that manages it: `docker`, `podman`, `containerd`, ...
    pub runtime: &'a [u8],
    /// containerd's namespace.
    pub namespace: &'a [u8],
    /// Path of its cgroup.
    pub cgroup: &'a [u8],
    /// The file or socket that says so.
    pub source: &'a [u8],
    /// Lines `key=value`.
    pub labels: &'a [u8],
}

/// Raw bytes of [`CONTAINER`].
pub fn container(container: &Container<'_>) -> Vec<u8> {
    let Container { pid, rank, id, name, image, runtime, namespace, cgroup, source, labels } = *container;
    raw(CONTAINER, &words(&[pid, rank]), &[id, name, image, runtime, namespace, cgroup, source, labels])
}

/// Raw bytes of [`KEPT_NAMESPACE`].
pub fn kept_namespace(dev: u32, ino: u32, unique: u64, kind: &[u8], by: &[u8]) -> Vec<u8> {
    let numbers = [words(&[dev, ino]), unique.to_ne_bytes().to_vec()].concat();
    raw(KEPT_NAMESPACE, &numbers, &[kind, by])
}

/// Raw bytes of [`NAMESPACE`].
pub fn namespace(pid: u32, ino: u32, unique: u64, kind: &[u8]) -> Vec<u8> {
    let numbers = [words(&[pid, ino]), unique.to_ne_bytes().to_vec()].concat();
    raw(NAMESPACE, &numbers, &[kind])
}

/// Raw bytes of [`CGROUP_CPU`]: `[used, throttled]` in ns, `[periods, throttled]` their numbers.
pub fn cgroup_cpu(path: &[u8], times: [u64; 2], periods: [u64; 2]) -> Vec<u8> {
    let numbers: Vec<u8> = times.iter().chain(&periods).flat_map(|number| number.to_ne_bytes()).collect();
    raw(CGROUP_CPU, &numbers, &[path])
}

/// Tasks whose times are summed together: those of a cgroup that share pid and mount namespace, the threads of the kernel,
/// or the idle ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskGroup {
    /// A thread of the group.
    pub tid: u32,
    /// 0 processes, 1 the kernel's threads, 2 idle.
    pub kind: u32,
    /// Id of the cgroup.
    pub cgroup: u64,
    /// Inode of the pid namespace.
    pub pid_ns: u32,
    /// Inode of the mount namespace.
    pub mnt_ns: u32,
}

impl TaskGroup {
    fn bytes(&self) -> Vec<u8> {
        let Self { tid, kind, cgroup, pid_ns, mnt_ns } = *self;
        [words(&[tid, kind]), cgroup.to_ne_bytes().to_vec(), words(&[pid_ns, mnt_ns])].concat()
    }
}

/// The fields of [`CPU_SUM`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuSum {
    /// Whose.
    pub group: TaskGroup,
    /// ns.
    pub ran: u64,
    /// ns.
    pub waited: u64,
    /// The longest wait, ns.
    pub longest: u64,
    /// How many waits.
    pub waits: u32,
    /// How often a thread gave up its CPU.
    pub slept: u32,
    /// How often a thread lost it.
    pub preempted: u32,
}

/// Raw bytes of [`CPU_SUM`].
pub fn cpu_sum(sum: &CpuSum) -> Vec<u8> {
    let CpuSum { group, ran, waited, longest, waits, slept, preempted } = *sum;
    let times = [ran, waited, longest].map(u64::to_ne_bytes).concat();
    raw(CPU_SUM, &[group.bytes(), times, words(&[waits, slept, preempted])].concat(), &[])
}

/// The fields of [`CPU_WAIT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuWait {
    /// Who waited.
    pub waited: TaskGroup,
    /// Who ran meanwhile.
    pub ran: TaskGroup,
    /// For how long, ns.
    pub ns: u64,
}

/// Raw bytes of [`CPU_WAIT`].
pub fn cpu_wait(wait: &CpuWait) -> Vec<u8> {
    let CpuWait { waited, ran, ns } = *wait;
    raw(CPU_WAIT, &[waited.bytes(), ran.bytes(), ns.to_ne_bytes().to_vec()].concat(), &[])
}

/// Raw bytes of [`RECORDER`].
pub fn recorder(interval: u32, backend: &[u8], own: &[u8]) -> Vec<u8> {
    raw(RECORDER, &words(&[interval]), &[backend, own])
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

fn raw(event: Event, numbers: &[u8], texts: &[&[u8]]) -> Vec<u8> {
    let mut raw = Vec::new();
    raw.extend((event.id as u16).to_ne_bytes());
    raw.extend([0; 6]);
    raw.extend_from_slice(numbers);
    let texts: Vec<&[u8]> = texts.iter().map(|text| text.get(..MAX_TEXT).unwrap_or(text)).collect();
    let mut at = raw.len().saturating_add(texts.len().saturating_mul(4));
    for text in &texts {
        let len = text.len().saturating_add(1);
        raw.extend(((len as u32) << 16 | (at as u32 & 0xffff)).to_ne_bytes());
        at = at.saturating_add(len);
    }
    for text in &texts {
        raw.extend_from_slice(text);
        raw.push(0);
    }
    raw
}
