//! What this kernel and this user can record, and what to do about what is missing. Not here: how to record.

use crate::error::reason;
use crate::mounts::cgroup2_mount;
use crate::tracefs::cgroup_tracepoints;
use crate::{bpf, machine, perf, task};
use nsscope_codec::wire::namespaces::NsKind;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// The result of one check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it will do.
    pub state: State,
    /// What was found.
    pub found: String,
    /// The command or setting that helps.
    pub help: Option<Cow<'static, str>>,
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Works,
    /// Something less, but not the main job, is missing.
    Limited,
    /// The main job cannot be done.
    Fails,
}

/// Looks at the kernel, at what this user may do, and at what else a recording needs. Recording by perf works unless one
/// of them [fails](State::Fails).
pub fn checks() -> Vec<Check> {
    let mut checks =
        vec![kernel(), perf_event(), capability(), paranoid(), synthesis(), locked_memory(), tracefs(), cgroups()];
    checks.extend(bpf());
    checks.extend(NsKind::ALL.into_iter().map(namespace));
    checks
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (state, help) = match version {
        (0..=3, _) | (4, 0..=11) => (State::Fails, Some("namespace records need Linux 4.12 or newer")),
        (4, _) | (5, 0..=6) => (State::Limited, Some("cgroup records need Linux 5.7 or newer")),
        _ => (State::Works, None),
    };
    Check { name: "kernel", state, found: format!("Linux {release}"), help: help.map(Cow::from) }
}

/// What a kernel without perf events leaves.
const NO_PERF: &str = "a kernel with CONFIG_PERF_EVENTS; a snapshot of /proc works without";

/// What a program needs to record, as setcap(8) takes it: perf events, the namespaces of others' processes, rings of full
/// size.
pub const CAPABILITIES: &str = "cap_perfmon,cap_sys_ptrace,cap_ipc_lock=ep";

/// What gives a user the rights to record with this program.
fn rights() -> String {
    let program = std::env::current_exe().map_or("PROGRAM".into(), |path| path.display().to_string());
    format!(
        "run it by sudo, or once: sudo setcap {CAPABILITIES} '{program}'; without privileges: \
         a snapshot of /proc"
    )
}

/// The one check that counts: the event is opened as `record` does it.
fn perf_event() -> Check {
    let (state, found, help) = match perf::can_open() {
        Ok(()) => (State::Works, "the whole system can be recorded".into(), None),
        Err(error) => {
            let help = match error.raw_os_error() {
                Some(libc::EACCES | libc::EPERM) => rights().into(),
                Some(libc::EINVAL) => "this kernel lacks a record type: Linux 5.7 or newer has them all".into(),
                _ => NO_PERF.into(),
            };
            (State::Fails, format!("perf_event_open: {}", reason(&error)), Some(help))
        }
    };
    Check { name: "namespace records", state, found, help }
}

fn capability() -> Check {
    let held = [
        ("CAP_PERFMON", machine::has_capability(machine::CAP_PERFMON)),
        ("CAP_SYS_ADMIN", machine::has_capability(machine::CAP_SYS_ADMIN)),
        ("CAP_SYS_PTRACE", machine::has_capability(machine::CAP_SYS_PTRACE)),
        ("CAP_IPC_LOCK", machine::has_capability(machine::CAP_IPC_LOCK)),
    ];
    let any = held[0].1 || held[1].1;
    Check {
        name: "capabilities",
        state: if any { State::Works } else { State::Limited },
        found: held.map(|(name, has)| format!("{name} {}", if has { "yes" } else { "no" })).join(", "),
        help: (!any)
            .then_some("CAP_PERFMON (or CAP_SYS_ADMIN) allows namespace records: sudo, or setcap as above".into()),
    }
}

fn paranoid() -> Check {
    match machine::paranoid() {
        Some(level) => Check {
            name: "perf_event_paranoid",
            state: State::Works,
            found: format!("{level} (namespace records need CAP_PERFMON at every level)"),
            help: None,
        },
        None => Check {
            name: "perf_event_paranoid",
            state: State::Fails,
            found: "absent: the kernel has no perf events".into(),
            help: Some(NO_PERF.into()),
        },
    }
}

/// Whether other processes' namespaces can be read.
fn synthesis() -> Check {
    let readable = |pid: &u32| fs::metadata(format!("/proc/{pid}/ns/mnt")).is_ok();
    let all = task::processes();
    let read = all.iter().filter(|pid| readable(pid)).count();
    let some_hidden = read < all.len();
    Check {
        name: "running processes",
        state: if some_hidden { State::Limited } else { State::Works },
        found: format!("the namespaces of {read} of {} can be read from /proc", all.len()),
        help: some_hidden.then_some(
            "CAP_SYS_PTRACE shows other users' processes; those with more capabilities than you stay hidden".into(),
        ),
    }
}

fn locked_memory() -> Check {
    let kib = fs::read_to_string("/proc/sys/kernel/perf_event_mlock_kb").unwrap_or_default();
    let unlimited = machine::has_capability(machine::CAP_IPC_LOCK);
    Check {
        name: "ring memory",
        state: State::Works,
        found: if unlimited {
            "not limited (CAP_IPC_LOCK)".into()
        } else {
            format!("perf_event_mlock_kb is {} per CPU; rings are made to fit", kib.trim())
        },
        help: None,
    }
}

fn tracefs() -> Check {
    match cgroup_tracepoints() {
        Ok(found) => Check {
            name: "cgroup tracepoints",
            state: State::Works,
            found: found.iter().map(|t| t.format.name.as_str()).collect::<Vec<_>>().join(", "),
            help: None,
        },
        Err(why) => Check {
            name: "cgroup tracepoints",
            state: State::Limited,
            found: format!("{why}: moves between cgroups are not recorded"),
            help: Some(
                "run as root, or: sudo mount -t tracefs -o gid=$(id -g),mode=750 tracefs /sys/kernel/tracing".into(),
            ),
        },
    }
}

fn cgroups() -> Check {
    let v1 = fs::read_to_string("/proc/self/cgroup").unwrap_or_default().lines().any(|line| !line.starts_with("0::"));
    let (state, found) = match (cgroup2_mount(), v1) {
        (Some(at), false) => (State::Works, format!("v2 at {at}")),
        (Some(at), true) => (State::Works, format!("v1 and v2 (hybrid), v2 at {at}")),
        (None, true) => (State::Limited, "v1 only: the kernel reports no paths of cgroups".into()),
        (None, false) => (State::Limited, "none mounted: containers are told by their namespaces alone".into()),
    };
    let help = (state != State::Works)
        .then_some("mount -t cgroup2 none /sys/fs/cgroup (systemd.unified_cgroup_hierarchy=1)".into());
    Check { name: "cgroups", state, found, help }
}

fn namespace(kind: NsKind) -> Check {
    let name = match kind {
        NsKind::Net => "net namespace",
        NsKind::Uts => "uts namespace",
        NsKind::Ipc => "ipc namespace",
        NsKind::Pid => "pid namespace",
        NsKind::User => "user namespace",
        NsKind::Mnt => "mnt namespace",
        NsKind::Cgroup => "cgroup namespace",
        NsKind::Time => "time namespace",
    };
    let note = if kind == NsKind::Time { "; only the bpf backend records it" } else { "" };
    let link = fs::read_link(Path::new("/proc/self/ns").join(kind.name()));
    match link {
        Ok(link) => Check { name, state: State::Works, found: format!("ours is {}{note}", link.display()), help: None },
        Err(_) => Check {
            name,
            state: State::Limited,
            found: "not in this kernel: records carry zeros for it".into(),
            help: Some("a kernel with CONFIG_NAMESPACES and this type compiled in".into()),
        },
    }
}

/// The eBPF programs are loaded and run as `record --backend bpf` does it.
fn bpf() -> Vec<Check> {
    let ways = match bpf::ways() {
        Ok(ways) => ways,
        Err(error) => {
            return vec![Check {
                name: "eBPF programs",
                state: State::Limited,
                found: error.to_string(),
                help: Some(
                    "the perf backend records without them; they add time namespaces, reasons and pids inside".into(),
                ),
            }];
        }
    };
    let one = |(what, way): (&str, Result<String, String>)| Check {
        name: "eBPF programs",
        state: if way.is_ok() { State::Works } else { State::Limited },
        found: match way {
            Ok(place) => format!("{what}: {place}"),
            Err(why) => format!("{what} cannot be seen: {why}"),
        },
        help: None,
    };
    ways.into_iter().map(one).collect()
}

/// Whether this user may record the whole machine by perf.
pub fn can_record() -> bool {
    perf::can_open().is_ok()
}
