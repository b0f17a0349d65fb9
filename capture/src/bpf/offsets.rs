//! Where the running kernel has the fields that the eBPF programs read, by its own description of its types. Not here:
//! how the description is read.

use super::btf::Btf;
use super::shared::{GONE, Offsets};
use crate::error::{Error, Result};

/// The kernel's types.
pub(super) const BTF: &str = "/sys/kernel/btf/vmlinux";

struct Kernel<'b>(Btf<'b>);

impl Kernel<'_> {
    /// Size of a structure, in bytes.
    fn size(&self, structure: &str) -> u32 {
        self.0.size(structure).unwrap_or(GONE)
    }

    /// The offset of a member of a structure, in bytes, `a.b` being the member `b` of the member `a`.
    fn bytes(&self, structure: &str, member: &str) -> u32 {
        self.0.field(structure, member).filter(|field| field.bit % 8 == 0).map_or(GONE, |field| field.bit / 8)
    }

    /// The same in bits.
    fn bit(&self, structure: &str, member: &str) -> u32 {
        self.0.field(structure, member).map_or(GONE, |field| field.bit)
    }
}

/// There is no such kernel's type: another backend needs none.
pub(super) fn unsupported(what: String) -> Error {
    Error::Unsupported { what, help: "The backend perf needs no such thing.".into() }
}

/// Reads them.
///
/// # Errors
/// Where the kernel has no description of its types, or one without the fields that everything needs.
pub(super) fn read() -> Result<Offsets> {
    let bytes = std::fs::read(BTF).map_err(|_| {
        unsupported(format!(
            "this kernel does not describe its types ({BTF} is missing): it was built without CONFIG_DEBUG_INFO_BTF, or /sys is not mounted"
        ))
    })?;
    let btf = Btf::new(&bytes).ok_or_else(|| unsupported(format!("{BTF} describes no types")))?;
    let kernel = Kernel(btf);
    let task = |member| kernel.bytes("task_struct", member);
    let proxy = |member| kernel.bytes("nsproxy", member);
    let inum = |structure| kernel.bytes(structure, "ns.inum");
    let offsets = Offsets {
        pid: task("pid"),
        tgid: task("tgid"),
        real_parent: task("real_parent"),
        group_leader: task("group_leader"),
        thread_pid: task("thread_pid"),
        real_cred: task("real_cred"),
        nsproxy: task("nsproxy"),
        signal: task("signal"),
        cgroups: task("cgroups"),
        comm: task("comm"),
        on_rq: task("on_rq"),
        sched_delayed: task("se.sched_delayed"),
        flags: task("flags"),
        cpu: [task("thread_info.cpu"), task("cpu")].into_iter().find(|&at| at != GONE).unwrap_or(GONE),
        in_execve_bit: kernel.bit("task_struct", "in_execve"),
        live: kernel.bytes("signal_struct", "live"),
        cred_user_ns: kernel.bytes("cred", "user_ns"),
        uts_ns: proxy("uts_ns"),
        ipc_ns: proxy("ipc_ns"),
        mnt_ns: proxy("mnt_ns"),
        pid_ns_for_children: proxy("pid_ns_for_children"),
        net_ns: proxy("net_ns"),
        cgroup_ns: proxy("cgroup_ns"),
        time_ns: proxy("time_ns"),
        time_ns_for_children: proxy("time_ns_for_children"),
        net_inum: inum("net"),
        uts_inum: inum("uts_namespace"),
        ipc_inum: inum("ipc_namespace"),
        pid_inum: inum("pid_namespace"),
        user_inum: inum("user_namespace"),
        mnt_inum: inum("mnt_namespace"),
        cgroup_inum: inum("cgroup_namespace"),
        time_inum: inum("time_namespace"),
        pid_level: kernel.bytes("pid", "level"),
        pid_numbers: kernel.bytes("pid", "numbers"),
        upid_nr: kernel.bytes("upid", "nr"),
        upid_ns: kernel.bytes("upid", "ns"),
        upid_size: kernel.size("upid"),
        dfl_cgrp: kernel.bytes("css_set", "dfl_cgrp"),
        cgroup_kn: kernel.bytes("cgroup", "kn"),
        cgroup_level: kernel.bytes("cgroup", "level"),
        cgroup_root: kernel.bytes("cgroup", "root"),
        ancestors: kernel.bytes("cgroup", "ancestors"),
        ancestor_ids: kernel.bytes("cgroup", "ancestor_ids"),
        kn_id: kernel.bytes("kernfs_node", "id"),
        hierarchy_id: kernel.bytes("cgroup_root", "hierarchy_id"),
    };
    let needed = [
        ("task_struct.pid", offsets.pid),
        ("task_struct.tgid", offsets.tgid),
        ("task_struct.real_parent", offsets.real_parent),
        ("task_struct.group_leader", offsets.group_leader),
        ("task_struct.thread_pid", offsets.thread_pid),
        ("task_struct.real_cred", offsets.real_cred),
        ("task_struct.nsproxy", offsets.nsproxy),
        ("task_struct.signal", offsets.signal),
        ("task_struct.cgroups", offsets.cgroups),
        ("task_struct.comm", offsets.comm),
        ("task_struct.on_rq", offsets.on_rq),
        ("task_struct.cpu", offsets.cpu),
        ("task_struct.flags", offsets.flags),
        ("signal_struct.live", offsets.live),
        ("pid.level", offsets.pid_level),
        ("pid.numbers", offsets.pid_numbers),
        ("upid", offsets.upid_size),
        ("upid.nr", offsets.upid_nr),
        ("upid.ns", offsets.upid_ns),
    ];
    if let Some((missing, _)) = needed.iter().find(|(_, offset)| *offset == GONE) {
        return Err(unsupported(format!(
            "the eBPF programs read {missing}, which this kernel does not have ({BTF}): it was built without, or is newer \
             than this nsscope"
        )));
    }
    Ok(offsets)
}
