//! Where the running kernel has the fields that the eBPF programs read, by its own description of its types.

use super::shared::{GONE, Offsets};
use crate::error::{Failure, Outcome};
use btfparse::{Error, ErrorKind, Offset, Readable, TypeInformation, TypeVariant};
use rustc_hash::FxHashMap;

/// The kernel's types.
pub(super) const BTF: &str = "/sys/kernel/btf/vmlinux";

struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let bytes = self.0.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or_else(|| Error::new(ErrorKind::EOF, "the type information ends early"))?);
        Ok(())
    }
}

struct Kernel {
    types: TypeInformation,
    structures: FxHashMap<String, u32>,
}

impl Kernel {
    fn new(types: TypeInformation) -> Self {
        let structures = types.get().iter().filter_map(|(&id, kind)| match kind {
            TypeVariant::Struct(structure) => Some((structure.name().clone()?, id)),
            _ => None,
        });
        Self { structures: structures.collect(), types }
    }

    /// The offset of a member of a structure, `a.b` being the member `b` of the member `a`.
    fn find(&self, structure: &str, member: &str) -> Option<Offset> {
        self.types.offset_of(*self.structures.get(structure)?, member).ok().map(|(_, offset)| offset)
    }

    /// Size of a structure, in bytes.
    fn size(&self, structure: &str) -> u32 {
        let size = self.structures.get(structure).and_then(|&id| self.types.size_of(id).ok());
        size.map_or(GONE, |size| size as u32)
    }

    fn bytes(&self, structure: &str, member: &str) -> u32 {
        match self.find(structure, member) {
            Some(Offset::ByteOffset(bytes)) => bytes,
            _ => GONE,
        }
    }

    fn bit(&self, structure: &str, member: &str) -> u32 {
        match self.find(structure, member) {
            Some(Offset::BitOffsetAndSize(bit, _)) => bit,
            _ => GONE,
        }
    }
}

/// Reads them.
///
/// # Errors
/// Where the kernel has no description of its types, or one without the fields that everything needs.
pub(super) fn read() -> Outcome<Offsets> {
    let bytes = std::fs::read(BTF).map_err(|_| {
        Failure::Refused(format!(
            "this kernel does not describe its types ({BTF} is missing): it was built without CONFIG_DEBUG_INFO_BTF\n  \
             nsscope record --backend perf needs no such thing"
        ))
    })?;
    let types = TypeInformation::new(&Bytes(bytes))
        .map_err(|error| Failure::Refused(format!("{BTF} cannot be read: {error:?}")))?;
    let kernel = Kernel::new(types);
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
        offsets.pid,
        offsets.tgid,
        offsets.real_parent,
        offsets.group_leader,
        offsets.thread_pid,
        offsets.real_cred,
        offsets.nsproxy,
        offsets.signal,
        offsets.cgroups,
        offsets.comm,
        offsets.live,
        offsets.pid_level,
        offsets.pid_numbers,
        offsets.upid_size,
        offsets.upid_nr,
        offsets.upid_ns,
    ];
    if needed.contains(&GONE) {
        return Err(Failure::Refused(format!(
            "{BTF} lacks a field that the eBPF programs read: this kernel is newer than this nsscope\n  \
             nsscope record --backend perf needs no such thing"
        )));
    }
    Ok(offsets)
}
