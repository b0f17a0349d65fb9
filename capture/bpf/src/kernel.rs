//! The kernel's structures, read at the offsets of the kernel that runs. Not here: what is made of the fields.
//!
//! The offsets are constants to the verifier, which knows the types: it lets the programs load fields as the kernel
//! itself does, and a pointer that leads nowhere gives 0. Only where an offset depends on what was read before
//! (`pid.numbers[level]`) a helper reads.

use crate::shared::{GONE, Offsets, Settings};
use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::task_namespaces::MAX_LEVELS;

/// Set before the programs are loaded: constants to the verifier.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

/// Likewise.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = unsafe { core::mem::zeroed() };

/// A field of [`OFFSETS`] or [`SETTINGS`]: never what the compiler sees there.
macro_rules! set {
    ($from:ident . $field:ident) => {
        // SAFETY: a static that was initialised.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::$from.$field) }
    };
}
pub(crate) use set;

/// A structure in the kernel.
#[derive(Clone, Copy)]
pub(crate) struct At(*const u8);

impl At {
    #[inline(always)]
    fn read<T: Copy>(self, offset: u32) -> T {
        // SAFETY: the verifier knows the structure, and that there is such a field at this offset.
        unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) }
    }

    #[inline(always)]
    fn u32(self, offset: u32) -> u32 {
        self.read(offset)
    }

    /// What a pointer points to.
    #[inline(always)]
    fn to(self, offset: u32) -> Self {
        Self(self.read(offset))
    }

    /// A namespace's inode, where this has a pointer to one.
    #[inline(always)]
    fn namespace(self, pointer: u32, inum: u32) -> u32 {
        // A kernel without this type.
        if pointer == GONE || inum == GONE { 0 } else { self.to(pointer).u32(inum) }
    }

    /// Reads where the verifier knows no type.
    #[inline(always)]
    fn probe<T: Copy + Default>(self, offset: u32) -> T {
        // SAFETY: the helper checks what it reads.
        unsafe { bpf_probe_read_kernel(self.0.wrapping_add(offset as usize).cast()) }.unwrap_or_default()
    }
}

/// A `task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(At);

impl From<*const u8> for Task {
    #[inline(always)]
    fn from(task: *const u8) -> Self {
        Self(At(task))
    }
}

/// Identity of a pid in the first pid namespace.
const INIT_PID_NS: u32 = 0xefff_fffc;
/// The first time namespace (`PROC_TIME_INIT_INO`).
const INIT_TIME_NS: u32 = 0xefff_fffa;

impl Task {
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: takes nothing.
        Self(At(unsafe { bpf_get_current_task_btf() }.cast()))
    }

    /// Process and thread id as seen from the recorder; 0 where the task is not to be seen from there.
    #[inline(always)]
    pub(crate) fn ids(self) -> (u32, u32) {
        if set!(SETTINGS.pid_ns) == INIT_PID_NS {
            return (self.process_of_host(), self.pid_of_host());
        }
        (Self(self.0.to(set!(OFFSETS.group_leader))).id_inside(), self.id_inside())
    }

    /// Thread id in the recorder's pid namespace.
    #[inline(always)]
    fn id_inside(self) -> u32 {
        let pid = self.pid();
        let level = pid.level();
        for index in 0..MAX_LEVELS as u32 {
            if index > level {
                break;
            }
            if pid.namespace(index) == set!(SETTINGS.pid_ns) {
                return pid.number(index);
            }
        }
        0
    }

    #[inline(always)]
    fn pid(self) -> Pid {
        Pid(self.0.to(set!(OFFSETS.thread_pid)))
    }

    #[inline(always)]
    pub(crate) fn real_parent(self) -> Self {
        Self(self.0.to(set!(OFFSETS.real_parent)))
    }

    /// In which of `execve(2)`'s two tracepoints of a new name this is, the other being `prctl(2)` and the like.
    #[inline(always)]
    pub(crate) fn in_execve(self) -> bool {
        let bit = set!(OFFSETS.in_execve_bit);
        bit != GONE && self.0.probe::<u8>(bit / 8) >> (bit % 8) & 1 == 1
    }

    /// Whether no thread of its process lives any more: the last one ends now.
    #[inline(always)]
    pub(crate) fn is_last(self) -> bool {
        self.0.to(set!(OFFSETS.signal)).u32(set!(OFFSETS.live)) == 0
    }

    /// Whether it would go on running if it were let: what the kernel takes for preempted when it leaves its CPU
    /// (`task_is_runnable()` in include/linux/sched.h).
    #[inline(always)]
    pub(crate) fn is_runnable(self) -> bool {
        let delayed = set!(OFFSETS.sched_delayed);
        self.0.u32(set!(OFFSETS.on_rq)) != 0 && (delayed == GONE || self.0.read::<u8>(delayed) == 0)
    }

    /// The number that the kernel knows it by, whoever records.
    #[inline(always)]
    pub(crate) fn pid_of_host(self) -> u32 {
        self.0.u32(set!(OFFSETS.pid))
    }

    /// The number that the kernel knows its process by.
    #[inline(always)]
    pub(crate) fn process_of_host(self) -> u32 {
        self.0.u32(set!(OFFSETS.tgid))
    }

    /// Whether it is what runs on a CPU where nothing else does.
    #[inline(always)]
    pub(crate) fn is_idle(self) -> bool {
        self.pid_of_host() == 0
    }

    /// `PF_KTHREAD` in include/linux/sched.h.
    #[inline(always)]
    pub(crate) fn is_kernel_thread(self) -> bool {
        self.0.u32(set!(OFFSETS.flags)) & 0x0020_0000 != 0
    }

    /// The CPU that it runs on, or is to run on (`task_cpu()`).
    #[inline(always)]
    pub(crate) fn cpu(self) -> u32 {
        self.0.u32(set!(OFFSETS.cpu))
    }

    /// The name's address.
    #[inline(always)]
    pub(crate) fn comm(self) -> *const u8 {
        self.0.0.wrapping_add(set!(OFFSETS.comm) as usize)
    }

    /// Its namespaces, in the order of the record.
    #[inline(always)]
    pub(crate) fn namespaces(self) -> [NsId; 7] {
        let proxy = self.0.to(set!(OFFSETS.nsproxy));
        let dev = u64::from(set!(SETTINGS.dev));
        let id = |ino: u32| NsId { dev: if ino == 0 { 0 } else { dev }, ino: u64::from(ino) };
        [
            id(proxy.namespace(set!(OFFSETS.net_ns), set!(OFFSETS.net_inum))),
            id(proxy.namespace(set!(OFFSETS.uts_ns), set!(OFFSETS.uts_inum))),
            id(proxy.namespace(set!(OFFSETS.ipc_ns), set!(OFFSETS.ipc_inum))),
            id(self.pid_ns()),
            id(self.user_ns()),
            id(proxy.namespace(set!(OFFSETS.mnt_ns), set!(OFFSETS.mnt_inum))),
            id(proxy.namespace(set!(OFFSETS.cgroup_ns), set!(OFFSETS.cgroup_inum))),
        ]
    }

    /// The inode of its user namespace. A kernel that clang has built says that the credentials are RCU's
    /// (`btf_type_tag`), and its verifier lets nothing be added to such a pointer before it was compared with null. Of the
    /// others here it knows that they are none (`BTF_TYPE_SAFE_RCU` in kernel/bpf/verifier.c).
    #[inline(always)]
    fn user_ns(self) -> u32 {
        let credentials = self.0.to(set!(OFFSETS.real_cred));
        if credentials.0.is_null() {
            return 0;
        }
        credentials.namespace(set!(OFFSETS.cred_user_ns), set!(OFFSETS.user_inum))
    }

    /// The pid namespace that it is in: that of the innermost of its pids (`task_active_pid_ns()`).
    #[inline(always)]
    pub(crate) fn pid_ns(self) -> u32 {
        let pid = self.pid();
        pid.namespace(pid.level())
    }

    /// The inode of its mount namespace; 0 once it has none any more, as it ends.
    #[inline(always)]
    pub(crate) fn mnt_ns(self) -> u32 {
        self.0.to(set!(OFFSETS.nsproxy)).namespace(set!(OFFSETS.mnt_ns), set!(OFFSETS.mnt_inum))
    }

    /// Inodes of the time namespace, that of its children, and the pid namespace of its children.
    #[inline(always)]
    pub(crate) fn others(self) -> (u32, u32, u32) {
        let proxy = self.0.to(set!(OFFSETS.nsproxy));
        (
            proxy.namespace(set!(OFFSETS.time_ns), set!(OFFSETS.time_inum)),
            proxy.namespace(set!(OFFSETS.time_ns_for_children), set!(OFFSETS.time_inum)),
            proxy.namespace(set!(OFFSETS.pid_ns_for_children), set!(OFFSETS.pid_inum)),
        )
    }

    /// Whether it is in another time namespace than the first.
    #[inline(always)]
    pub(crate) fn time_ns_is_own(self) -> bool {
        let (own, ..) = self.others();
        own != 0 && own != INIT_TIME_NS
    }

    /// How many pids it has, and the pids from the first pid namespace inwards.
    #[inline(always)]
    pub(crate) fn pids(self) -> (u32, [u32; MAX_LEVELS]) {
        let mut pids = [0; MAX_LEVELS];
        let pid = self.pid();
        let level = pid.level();
        for (index, to) in pids.iter_mut().enumerate() {
            if index as u32 > level {
                break;
            }
            *to = pid.number(index as u32);
        }
        (level + 1, pids)
    }

    /// Its cgroup in the unified hierarchy.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> Cgroup {
        Cgroup(self.0.to(set!(OFFSETS.cgroups)).to(set!(OFFSETS.dfl_cgrp)))
    }
}

/// A `struct pid`: a number for each pid namespace that a task is in.
#[derive(Clone, Copy)]
struct Pid(At);

impl Pid {
    /// How many pid namespaces are between the first and its own (`MAX_PID_NS_LEVEL` is 32).
    #[inline(always)]
    fn level(self) -> u32 {
        self.0.u32(set!(OFFSETS.pid_level)) & 63
    }

    #[inline(always)]
    fn upid(self, level: u32) -> u32 {
        set!(OFFSETS.pid_numbers) + level * set!(OFFSETS.upid_size)
    }

    #[inline(always)]
    fn number(self, level: u32) -> u32 {
        if level == 0 {
            return self.0.u32(set!(OFFSETS.pid_numbers) + set!(OFFSETS.upid_nr));
        }
        self.0.probe(self.upid(level) + set!(OFFSETS.upid_nr))
    }

    /// Inode of the pid namespace of this level.
    #[inline(always)]
    fn namespace(self, level: u32) -> u32 {
        if level == 0 {
            return self.0.namespace(set!(OFFSETS.pid_numbers) + set!(OFFSETS.upid_ns), set!(OFFSETS.pid_inum));
        }
        let namespace: u64 = self.0.probe(self.upid(level) + set!(OFFSETS.upid_ns));
        At(namespace as *const u8).probe(set!(OFFSETS.pid_inum))
    }
}

/// A `struct cgroup`.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(At);

impl From<*const u8> for Cgroup {
    #[inline(always)]
    fn from(cgroup: *const u8) -> Self {
        Self(At(cgroup))
    }
}

impl Cgroup {
    /// Its id: the inode of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        self.0.to(set!(OFFSETS.cgroup_kn)).read(set!(OFFSETS.kn_id))
    }

    /// Of its hierarchy; 0 is the unified one (v2).
    #[inline(always)]
    pub(crate) fn hierarchy(self) -> u32 {
        self.0.to(set!(OFFSETS.cgroup_root)).u32(set!(OFFSETS.hierarchy_id))
    }

    /// Whether it is the cgroup of this id and depth, or below it.
    #[inline(always)]
    pub(crate) fn is_within(self, id: u64, level: u32) -> bool {
        if self.0.u32(set!(OFFSETS.cgroup_level)) < level {
            return false;
        }
        let at = level * 8;
        if set!(OFFSETS.ancestors) != GONE {
            let ancestor: u64 = self.0.probe(set!(OFFSETS.ancestors) + at);
            let node: u64 = At(ancestor as *const u8).probe(set!(OFFSETS.cgroup_kn));
            At(node as *const u8).probe::<u64>(set!(OFFSETS.kn_id)) == id
        } else {
            self.0.probe::<u64>(set!(OFFSETS.ancestor_ids) + at) == id
        }
    }
}
