//! Namespaces that no task is in: those that a mount or an open file keeps.

use super::synth;
use crate::sys;
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// A namespace and what keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) kind: NsKind,
    pub(crate) id: NsId,
    /// See [`sys::unique_namespace`].
    pub(crate) unique: u64,
    pub(crate) by: String,
}

/// All of them: mounts in any mount namespace, open files of any process, as far as they may be seen.
pub(crate) fn all() -> Vec<Kept> {
    let pids = synth::processes();
    let mut inhabited = BTreeSet::new();
    let mut mounts = Vec::new();
    let mut files = Vec::new();
    let mut looked_at = BTreeSet::new();
    let mut mounted = BTreeSet::new();
    for pid in pids {
        let dir = format!("/proc/{pid}");
        let mut mount_namespace = None;
        for kind in NsKind::ALL {
            for name in [kind.name().to_string(), format!("{}_for_children", kind.name())] {
                let link = fs::read_link(format!("{dir}/ns/{name}")).ok();
                let Some(ino) = link.and_then(|link| parse(link.as_os_str().as_bytes())) else { continue };
                inhabited.insert(ino);
                if name == "mnt" {
                    mount_namespace = Some(ino);
                }
            }
        }
        if mount_namespace.is_some_and(|namespace| looked_at.insert(namespace)) {
            let first = looked_at.len() == 1;
            for (ino, path) in nsfs_mounts(&fs::read_to_string(format!("{dir}/mountinfo")).unwrap_or_default()) {
                if mounted.insert((ino, path.clone())) {
                    mounts.push((pid, first, ino, path));
                }
            }
        }
        for entry in fs::read_dir(format!("{dir}/fd")).into_iter().flatten().flatten() {
            let link = fs::read_link(entry.path()).ok();
            if let Some(namespace) = link.and_then(|link| parse(link.as_os_str().as_bytes())) {
                files.push((pid, namespace, entry.path()));
            }
        }
    }
    let name = |pid: u32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} ({})", comm.trim_end())
    };
    let mut kept = Vec::new();
    for (pid, first, namespace, path) in
        mounts.into_iter().filter(|(_, _, namespace, _)| !inhabited.contains(namespace))
    {
        let file = File::open(format!("/proc/{pid}/root{path}")).ok();
        let place = if first { String::new() } else { format!(" in the mount namespace of {}", name(pid)) };
        kept.push(kept_by(namespace, file, format!("mount {path}{place}")));
    }
    for (pid, namespace, path) in files.into_iter().filter(|(_, namespace, _)| !inhabited.contains(namespace)) {
        let number = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        kept.push(kept_by(namespace, File::open(&path).ok(), format!("fd {number} of {}", name(pid))));
    }
    kept.sort();
    kept
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

/// Of a mountinfo (proc_pid_mountinfo(5)) the namespaces that are mounted, and where. Blanks in paths are `\\040`.
fn nsfs_mounts(mountinfo: &str) -> Vec<((NsKind, u64), String)> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, path) = (fields.next()?, fields.next()?);
        let namespace = after.starts_with("nsfs ").then(|| parse(root.as_bytes()))??;
        let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        let path = codes.iter().fold(path.to_string(), |path, (code, text)| path.replace(code, text));
        Some((namespace, path))
    };
    mountinfo.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_namespaces_are_found() {
        let mountinfo = "22 1 0:21 / / rw - ext4 /dev/vda rw\n\
            300 22 0:4 net:[4026532281] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw\n\
            301 22 0:4 / /x rw - proc nsfs rw\n";
        assert_eq!(nsfs_mounts(mountinfo), [((NsKind::Net, 4_026_532_281), "/run/netns/a b".to_string())]);
        assert_eq!(parse(b"pid_for_children:[7]"), Some((NsKind::Pid, 7)));
        assert_eq!(parse(b"socket:[7]"), None);
    }
}
