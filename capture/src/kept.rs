//! Namespaces that no task is in: those that a mount or an open file keeps. Not here: the namespaces that tasks are in.

use crate::{mounts, sys};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Type and inode of the namespaces that tasks are in or have for their children.
pub(crate) type Inhabited = BTreeSet<(NsKind, u64)>;

/// A namespace and what keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) kind: NsKind,
    pub(crate) id: NsId,
    /// See [`sys::unique_namespace`].
    pub(crate) unique: u64,
    pub(crate) by: String,
}

/// What may keep a namespace that no task is in.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Mount namespaces that were looked at.
    looked_at: BTreeSet<u64>,
    /// Namespaces that are mounted somewhere, with the process that sees the mount.
    mounts: BTreeMap<(NsKind, u64, String), u32>,
    /// Namespaces that are open.
    files: Vec<(u32, (NsKind, u64), PathBuf)>,
}

impl Candidates {
    /// Looks at the open files of a process, and at what is mounted where it is (the inode of its mount namespace).
    pub(crate) fn look(&mut self, pid: u32, mount_namespace: u64) {
        if mount_namespace != 0 && self.looked_at.insert(mount_namespace) {
            for ((kind, ino), path) in nsfs_mounts(&fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default()) {
                self.mounts.entry((kind, ino, path)).or_insert(pid);
            }
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let link = fs::read_link(entry.path()).ok();
            if let Some(namespace) = link.and_then(|link| parse(link.as_os_str().as_bytes())) {
                self.files.push((pid, namespace, entry.path()));
            }
        }
    }

    /// Adds what another has found.
    pub(crate) fn add(&mut self, other: Self) {
        for (mount, pid) in other.mounts {
            let known = self.mounts.entry(mount).or_insert(pid);
            *known = pid.min(*known);
        }
        self.files.extend(other.files);
    }

    /// Those whose namespaces no task is in.
    pub(crate) fn kept(self, inhabited: &Inhabited) -> Vec<Kept> {
        let name = |pid: u32| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{pid} ({})", comm.trim_end())
        };
        let own = fs::metadata("/proc/self/ns/mnt").map_or(0, |metadata| metadata.ino());
        let mut kept = Vec::new();
        for ((kind, ino, path), pid) in self.mounts {
            if inhabited.contains(&(kind, ino)) {
                continue;
            }
            let here = fs::metadata(format!("/proc/{pid}/ns/mnt")).is_ok_and(|metadata| metadata.ino() == own);
            let place = if here { String::new() } else { format!(" in the mount namespace of {}", name(pid)) };
            let file = File::open(format!("/proc/{pid}/root{path}")).ok();
            kept.push(kept_by((kind, ino), file, format!("mount {path}{place}")));
        }
        for (pid, namespace, path) in self.files.into_iter().filter(|(_, namespace, _)| !inhabited.contains(namespace))
        {
            let number = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            kept.push(kept_by(namespace, File::open(&path).ok(), format!("fd {number} of {}", name(pid))));
        }
        kept.sort();
        kept
    }
}

fn kept_by((kind, ino): (NsKind, u64), file: Option<File>, by: String) -> Kept {
    // A path that has become something else since, or that may not be opened, tells the number all the same.
    let file = file.filter(|file| file.metadata().is_ok_and(|metadata| metadata.ino() == ino));
    let dev = file.as_ref().and_then(|file| Some(file.metadata().ok()?.dev())).unwrap_or(0);
    let id = NsId::new(rustix::fs::major(dev), rustix::fs::minor(dev), ino);
    Kept { kind, id, unique: file.as_ref().map_or(0, sys::unique_namespace), by }
}

/// `net:[4026532281]`, the link of a namespace's file or the root of its mount.
fn parse(link: &[u8]) -> Option<(NsKind, u64)> {
    let (name, ino) = core::str::from_utf8(link).ok()?.strip_suffix(']')?.split_once(":[")?;
    let name = name.strip_suffix("_for_children").unwrap_or(name);
    Some((NsKind::ALL.into_iter().find(|kind| kind.name() == name)?, ino.parse().ok()?))
}

/// Of a mountinfo (proc_pid_mountinfo(5)) the namespaces that are mounted, and where.
fn nsfs_mounts(mountinfo: &[u8]) -> Vec<((NsKind, u64), String)> {
    let mount = |line: &[u8]| {
        // Most lines are of others, and there may be very many.
        if !line.windows(8).any(|part| part == b" - nsfs ") {
            return None;
        }
        let line = String::from_utf8_lossy(line);
        let mount = mounts::parse(&line).filter(|mount| mount.kind == "nsfs")?;
        Some((parse(mount.root.as_bytes())?, mount.path))
    };
    mountinfo.split(|&byte| byte == b'\n').filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_namespaces_are_found() {
        let mountinfo = "22 1 0:21 / / rw - ext4 /dev/vda rw\n\
            300 22 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw\n\
            301 22 0:4 / /x rw - proc nsfs rw\n";
        assert_eq!(nsfs_mounts(mountinfo.as_bytes()), [((NsKind::Net, 4_026_532_281), "/run/netns/a b".to_string())]);
        assert_eq!(parse(b"pid_for_children:[7]"), Some((NsKind::Pid, 7)));
        assert_eq!(parse(b"socket:[7]"), None);
    }
}
