//! What the eBPF programs are told when they are loaded, and what they tell. Compiled into them as well
//! (`capture/bpf`), so: no std. Not here: how they are loaded.

/// Where the running kernel has its fields, in bytes: from its BTF. [`GONE`]: it has no such field.
#[repr(C)]
#[derive(Clone, Copy, Debug, zerocopy::IntoBytes, zerocopy::Immutable)]
pub(crate) struct Offsets {
    /// `task_struct`
    pub(crate) pid: u32,
    pub(crate) tgid: u32,
    pub(crate) real_parent: u32,
    pub(crate) group_leader: u32,
    pub(crate) thread_pid: u32,
    pub(crate) real_cred: u32,
    pub(crate) nsproxy: u32,
    pub(crate) signal: u32,
    pub(crate) cgroups: u32,
    pub(crate) comm: u32,
    pub(crate) on_rq: u32,
    /// `se.sched_delayed`, a byte (since Linux 6.12)
    pub(crate) sched_delayed: u32,
    /// `thread_info.cpu`, or `cpu` (before Linux 5.16)
    pub(crate) cpu: u32,
    pub(crate) flags: u32,
    /// The bit field `in_execve`: the bit's number in the structure.
    pub(crate) in_execve_bit: u32,
    /// `signal_struct.live`
    pub(crate) live: u32,
    /// `cred.user_ns`
    pub(crate) cred_user_ns: u32,
    /// `nsproxy`
    pub(crate) uts_ns: u32,
    pub(crate) ipc_ns: u32,
    pub(crate) mnt_ns: u32,
    pub(crate) pid_ns_for_children: u32,
    pub(crate) net_ns: u32,
    pub(crate) cgroup_ns: u32,
    pub(crate) time_ns: u32,
    pub(crate) time_ns_for_children: u32,
    /// `ns.inum` in each type of namespace
    pub(crate) net_inum: u32,
    pub(crate) uts_inum: u32,
    pub(crate) ipc_inum: u32,
    pub(crate) pid_inum: u32,
    pub(crate) user_inum: u32,
    pub(crate) mnt_inum: u32,
    pub(crate) cgroup_inum: u32,
    pub(crate) time_inum: u32,
    /// `pid`, `upid`
    pub(crate) pid_level: u32,
    pub(crate) pid_numbers: u32,
    pub(crate) upid_size: u32,
    pub(crate) upid_nr: u32,
    pub(crate) upid_ns: u32,
    /// `css_set.dfl_cgrp`
    pub(crate) dfl_cgrp: u32,
    /// `cgroup`
    pub(crate) cgroup_kn: u32,
    pub(crate) cgroup_level: u32,
    pub(crate) cgroup_root: u32,
    /// An array of pointers to cgroups (since Linux 6.1), or of ids
    pub(crate) ancestors: u32,
    pub(crate) ancestor_ids: u32,
    /// `kernfs_node.id`, `cgroup_root.hierarchy_id`
    pub(crate) kn_id: u32,
    pub(crate) hierarchy_id: u32,
}

/// No such field in this kernel.
pub(crate) const GONE: u32 = u32::MAX;

/// What to record, and for whom.
#[repr(C)]
#[derive(Clone, Copy, Debug, zerocopy::IntoBytes, zerocopy::Immutable)]
pub(crate) struct Settings {
    /// Id that the records' trailers carry.
    pub(crate) id: u64,
    /// Ids of the events `nsscope:task_namespaces`, `nsscope:task_cgroup` and `nsscope:wakeup`.
    pub(crate) task_namespaces_id: u64,
    pub(crate) task_cgroup_id: u64,
    pub(crate) wakeup_id: u64,
    /// Id of the cgroup to watch, and how deep it is, for [`WATCH_CGROUP`].
    pub(crate) cgroup: u64,
    pub(crate) cgroup_level: u32,
    /// Inode of the namespace to watch, and the index of its type, for [`WATCH_NAMESPACE`].
    pub(crate) namespace: u32,
    pub(crate) namespace_kind: u32,
    /// Inode of the recorder's pid namespace: pids are told as seen from there.
    pub(crate) pid_ns: u32,
    /// Device of nsfs, in the kernel's `new_encode_dev()` form.
    pub(crate) dev: u32,
    /// One of `WATCH_*`.
    pub(crate) watch: u32,
    /// The reader is woken when so many bytes wait for it.
    pub(crate) wake_at: u64,
    /// `common_type` of the events of our own.
    pub(crate) task_namespaces_type: u32,
    pub(crate) task_cgroup_type: u32,
    pub(crate) wakeup_type: u32,
    pub(crate) zero: u32,
    /// Length of an interval of sums, ns; 0 where each switch is recorded.
    pub(crate) interval: u64,
}

/// What the tasks are summed under that run in the same container.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskGroup {
    /// Id of the cgroup in the unified hierarchy.
    pub(crate) cgroup: u64,
    /// Inodes.
    pub(crate) pid_ns: u32,
    pub(crate) mnt_ns: u32,
    /// One of [`TASK`], [`KERNEL_THREAD`], [`IDLE`]; of the latter two there is nothing else.
    pub(crate) kind: u32,
    pub(crate) zero: u32,
}

/// A process's thread. Only the programs use these three.
#[allow(dead_code)]
pub(crate) const TASK: u32 = 0;
/// The kernel's own thread.
#[allow(dead_code)]
pub(crate) const KERNEL_THREAD: u32 = 1;
/// Nobody.
#[allow(dead_code)]
pub(crate) const IDLE: u32 = 2;

/// What is summed of a group, on one CPU, since the beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// ns.
    pub(crate) ran: u64,
    /// ns from a wake-up, or from being preempted, until it ran.
    pub(crate) waited: u64,
    /// The longest wait of the even and of the odd interval that was last, ns.
    pub(crate) longest: [u64; 2],
    /// Which intervals those are: the time by their length.
    pub(crate) intervals: [u64; 2],
    pub(crate) waits: u32,
    pub(crate) slept: u32,
    pub(crate) preempted: u32,
    /// The thread that ran last.
    pub(crate) tid: u32,
}

/// Who runs on a CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// 1 while the rest is written.
    pub(crate) changes: u32,
    /// The group's number.
    pub(crate) number: u32,
    /// Since when, ns; 0: no switch has been seen.
    pub(crate) since: u64,
    pub(crate) group: TaskGroup,
    /// How often groups had been forgotten as the number was looked up.
    pub(crate) forgot: u64,
    pub(crate) tid: u32,
    /// The numbers that the kernel knows the process and the thread by.
    pub(crate) process: u32,
    pub(crate) thread: u32,
    /// Whether it is recorded.
    pub(crate) watched: u32,
}

/// How many moves of a process are kept: it seldom runs through one of them.
pub(crate) const MAX_MOVES: usize = 8;

/// A process, or a thread of it, has gone to another group.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Move {
    /// ns.
    pub(crate) at: u64,
    /// The group's number.
    pub(crate) group: u32,
    /// Which thread; 0: all.
    pub(crate) tid: u32,
}

/// The last moves of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moves {
    /// How many there were, each at the place that its number has.
    pub(crate) count: u64,
    pub(crate) last: [Move; MAX_MOVES],
}

impl Moves {
    /// Those of a thread, the oldest first.
    fn of(&self, tid: u32) -> impl Iterator<Item = &Move> {
        let places = (0..MAX_MOVES).map(|back| (self.count as usize).wrapping_add(back) % MAX_MOVES);
        places.map(|place| &self.last[place]).filter(move |moved| moved.at != 0 && (moved.tid == 0 || moved.tid == tid))
    }

    /// Cuts what a thread ran from `since` to `until`, ns, first for the group of this number, where it moved: `ended` is told
    /// each group that it left, from when and until when it ran for it. Returns since when it has run for which group.
    pub(crate) fn cut(
        &self,
        tid: u32,
        (mut since, mut group): (u64, u32),
        until: u64,
        mut ended: impl FnMut(u32, u64, u64),
    ) -> (u64, u32) {
        for moved in self.of(tid) {
            if since < moved.at && moved.at <= until {
                ended(group, since, moved.at);
                (since, group) = (moved.at, moved.group);
            }
        }
        (since, group)
    }
}

/// Places for threads that wait, by number; a power of two.
pub(crate) const PLACES: u32 = 1 << 16;

/// Of two groups with numbers below this one how long who waited for whom is in an array.
pub(crate) const NEAR: u32 = 32;

/// Who waited, and who ran on the CPU meanwhile: the groups' numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) waited: u32,
    pub(crate) ran: u32,
}

impl Pair {
    /// Its place in the array, if it has one.
    pub(crate) fn near(self) -> Option<usize> {
        (self.waited < NEAR && self.ran < NEAR).then_some((self.waited * NEAR + self.ran) as usize)
    }
}

/// Everything.
pub(crate) const WATCH_ALL: u32 = 0;
/// The processes in the map, and their children.
pub(crate) const WATCH_TASKS: u32 = 1;
/// Also what is in the cgroup, or below it.
pub(crate) const WATCH_CGROUP: u32 = 2;
/// Also what is in the namespace.
pub(crate) const WATCH_NAMESPACE: u32 = 3;
