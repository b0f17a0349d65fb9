//! A runtime's own processes, which set up a container or enter it: known by their names, before they start a program.
//! Not here: which container they set up.

use crate::task::Task;
use crate::timeline::Timeline;

impl Timeline {
    /// Whether the program that a task started at a time is a runtime's, on its way into a container.
    pub(crate) fn helps(&self, task: &Task, time: u64) -> bool {
        let name = task.names.iter().take_while(|name| name.time <= time).last();
        name.is_some_and(|name| self.is_helper(name.value))
    }

    /// Whether a runtime's processes have this name while they set up a container or enter it. One that has started no
    /// program inside has come from outside, so that nothing within a container can pass for one.
    pub(crate) fn is_helper(&self, name: u32) -> bool {
        let names: [&[u8]; 12] = [
            b"runc",
            b"crun",
            b"youki",
            b"runsc",
            b"exe",
            b"conmon",
            b"nsenter",
            b"lxc-start",
            b"lxc-attach",
            b"systemd-nspawn",
            b"docker-runc",
            b"dockerd",
        ];
        let name = self.names.get(name).as_slice();
        let stage = [&b"runc:["[..], b"crun:[", b"youki:["].iter().any(|stage| name.starts_with(stage));
        stage || names.contains(&name)
    }
}
