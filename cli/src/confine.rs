//! What a command gives up that it does not need: one that only reads a capture before it looks at it, for a capture may
//! come from anybody; one that records once all is open. Not here: which commands those are.

use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// System calls that no reader needs: the network, other programs and processes, and every change of a file system.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_openat2,
    libc::SYS_mknodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_utimensat,
    #[cfg(not(target_arch = "riscv64"))]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
];

/// Gives up what a reader of captures does not need, for all threads of this process and for good: from now on it opens no
/// socket, runs no program, and writes to nothing but what is open and files without a name. Where the kernel or the
/// architecture has no seccomp(2), nothing is given up.
pub(crate) fn to_reading() {
    let Some(filter) = filter() else { return };
    // It is a second wall, and a kernel without seccomp has none.
    let _ = seccompiler::apply_filter_all_threads(&filter);
}

/// What is needed while recording: to look at others' processes, to ask runtimes for names, and to begin new files where
/// and for whom the first one was.
const RECORDING: CapabilitySet = CapabilitySet::SYS_PTRACE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::KILL);

/// Gives up the capabilities that opened the events, for this thread and those that it starts, and for good. What the
/// programs of eBPF have summed or watch is read by bpf(2), which asks each time; perf events of a CPU that was offline are
/// opened once more.
pub(crate) fn to_recording(backend: &str) {
    let needed = match backend {
        "bpf" => RECORDING | CapabilitySet::BPF | CapabilitySet::PERFMON,
        "perf" => RECORDING | CapabilitySet::PERFMON,
        _ => RECORDING,
    };
    // Before Linux 5.8 there was one for all of this.
    let is_old = rustix::thread::capability_is_in_bounding_set(CapabilitySet::BPF).is_err();
    let needed = if backend == "bpf" && is_old { needed | CapabilitySet::SYS_ADMIN } else { needed };
    let Ok(has) = rustix::thread::capabilities(None) else { return };
    let keeps = has.permitted & needed;
    let sets =
        CapabilitySets { effective: has.effective & keeps, permitted: keeps, inheritable: has.inheritable & keeps };
    log::debug!("given up once all is open: {:?}", has.permitted - keeps);
    // It is a second wall: what cannot be given up was there before.
    let _ = rustix::thread::set_capabilities(None, sets);
}

fn filter() -> Option<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|&call| (call, vec![])).collect();
    // Files are opened to read them; one without a name (O_TMPFILE) holds what came by a pipe.
    let opened = |argument: u8| -> Option<Vec<SeccompRule>> {
        let flags = |mask: i32, value: i32| {
            let compare = SeccompCmpOp::MaskedEq(mask as u64);
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value as u64);
            SeccompRule::new(vec![condition.ok()?]).ok()
        };
        let no_name = libc::O_TMPFILE & !libc::O_DIRECTORY;
        Some(vec![
            flags(libc::O_CREAT, libc::O_CREAT)?,
            flags(libc::O_TRUNC, libc::O_TRUNC)?,
            flags(libc::O_ACCMODE | no_name, libc::O_WRONLY)?,
            flags(libc::O_ACCMODE | no_name, libc::O_RDWR)?,
        ])
    };
    rules.insert(libc::SYS_openat, opened(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opened(1)?);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::process::Command;

    #[test]
    fn a_reader_reads_and_does_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let known = dir.path().join("known");
        fs::write(&known, "known").unwrap();
        let new = dir.path().join("new");
        let filter = filter().expect("this architecture has a filter");
        // Of this thread alone: the other tests go on.
        let tried = std::thread::scope(|scope| {
            let confined = scope.spawn(|| {
                seccompiler::apply_filter(&filter).unwrap();
                let mut text = String::new();
                File::open(&known).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text, "known");
                tempfile::tempfile().unwrap().write_all(b"spool").unwrap();
                let kinds = [
                    TcpStream::connect("127.0.0.1:9").map(drop),
                    Command::new("/bin/true").status().map(drop),
                    File::create(&new).map(drop),
                    File::options().write(true).open(&known).map(drop),
                    File::options().append(true).open(&known).map(drop),
                    fs::rename(&known, &new),
                    fs::remove_file(&known),
                    fs::create_dir(&new),
                    std::os::unix::fs::symlink(&known, &new),
                ];
                kinds.map(|result| result.unwrap_err().kind())
            });
            confined.join().unwrap()
        });
        assert_eq!(tried, [ErrorKind::PermissionDenied; 9]);
        assert_eq!(fs::read_to_string(&known).unwrap(), "known");
    }
}
