//! Which container runtime a cgroup path belongs to.
//!
//! Runtimes name the cgroup of a container after its id; the shapes are listed with each test.

use alloc::string::String;

/// A container as its cgroup path tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Runtime {
    /// The runtime: `docker`, `containerd`, `cri-o`, `podman`, `lxc`, `systemd-nspawn`, `flatpak`, `snap` or, where the
    /// path only tells kubernetes, `kubernetes`.
    pub name: &'static str,
    /// The container's id or name; of flatpak and snap the application's.
    pub id: String,
    /// Uid of the kubernetes pod it is in.
    pub pod: Option<String>,
}

/// The innermost container of a cgroup path, if there is one.
pub fn recognise(path: &[u8]) -> Option<Runtime> {
    let path = core::str::from_utf8(path).ok()?;
    let pod = path.split('/').find_map(pod_uid);
    let mut parent = "";
    let mut found = None;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if let Some((name, id)) = container(parent, part, pod.is_some()) {
            found = Some(Runtime { name, id: id.into(), pod: pod.clone() });
        }
        parent = part;
    }
    found
}

/// Runtime and id, from a part of the path and the part before it.
fn container<'a>(parent: &str, part: &'a str, in_pod: bool) -> Option<(&'static str, &'a str)> {
    let scopes = [
        ("docker-", "docker"),
        ("cri-containerd-", "containerd"),
        ("nerdctl-", "containerd"),
        ("crio-", "cri-o"),
        ("libpod-", "podman"),
    ];
    if let Some(scope) = part.strip_suffix(".scope") {
        for (prefix, runtime) in scopes {
            if let Some(id) = scope.strip_prefix(prefix).filter(|id| is_hex_id(id)) {
                return Some((runtime, id));
            }
        }
        // app-flatpak-<application>-<number>.scope, snap.<snap>.<app>-<uuid>.scope
        if let Some(app) = scope.strip_prefix("app-flatpak-").or(scope.strip_prefix("flatpak-")) {
            return Some(("flatpak", app.rsplit_once('-').map_or(app, |(app, _)| app)));
        }
        if let Some(snap) = scope.strip_prefix("snap.") {
            return Some(("snap", snap.split_once('-').map_or(snap, |(snap, _)| snap)));
        }
        // systemd-machined's name for a container of libvirt, and of systemd-nspawn where it was started by hand.
        if let Some(name) = scope.strip_prefix("machine-lxc\\x2d") {
            return Some(("lxc", name));
        }
        if let Some(name) = scope.strip_prefix("machine-").filter(|name| parent == "machine.slice" && !is_vm(name)) {
            return Some(("systemd-nspawn", name));
        }
    }
    if let Some(unit) = part.strip_suffix(".service") {
        if let Some(name) = unit.strip_prefix("systemd-nspawn@") {
            return Some(("systemd-nspawn", name));
        }
        if let Some(snap) = unit.strip_prefix("snap.") {
            return Some(("snap", snap));
        }
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(("lxc", name));
    }
    if let Some(id) = part.strip_prefix("libpod-").or(part.strip_prefix("crio-")).filter(|id| is_hex_id(id)) {
        return Some((if part.starts_with("crio") { "cri-o" } else { "podman" }, id));
    }
    // What containerd makes of a systemd path where it was told to use cgroupfs.
    if let Some((_, id)) = part.rsplit_once(":cri-containerd:").filter(|(_, id)| is_hex_id(id)) {
        return Some(("containerd", id));
    }
    match parent {
        "docker" if is_hex_id(part) => Some(("docker", part)),
        "lxc" => Some(("lxc", part)),
        "libpod_parent" if is_hex_id(part) => Some(("podman", part)),
        _ if in_pod && is_hex_id(part) => Some(("kubernetes", part)),
        _ => None,
    }
}

/// libvirt's virtual machines are in the same slice: `qemu\x2d1\x2dname`.
fn is_vm(name: &str) -> bool {
    name.starts_with("qemu\\x2d")
}

/// Name and type of the systemd unit that a path names last, a service or a scope. It says who started a task, not that
/// it is confined.
pub fn unit(path: &[u8]) -> Option<(&str, &str)> {
    let path = core::str::from_utf8(path).ok()?;
    let units = path.rsplit('/').filter_map(|part| part.rsplit_once('.'));
    units.into_iter().find(|(_, kind)| ["service", "scope"].contains(kind))
}

/// `pod<uid>` of cgroupfs, `kubepods-burstable-pod<uid with _>.slice` of systemd.
fn pod_uid(part: &str) -> Option<String> {
    let slice = part.split_once(".slice:").map_or(part, |(slice, _)| slice);
    let uid = match slice.strip_suffix(".slice").or((slice != part).then_some(slice)) {
        Some(slice) if slice.contains("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => part.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    (uid.len() >= 32 && uid.chars().all(hex)).then_some(uid)
}

fn is_hex_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "1b3c5d7e-0000-4000-8000-123456789abc";

    #[test]
    fn the_shapes_of_each_runtime() {
        let pod = POD.replace('-', "_");
        let cases = [
            (format!("/docker/{ID}"), "docker", ID, None),
            (format!("/system.slice/docker-{ID}.scope"), "docker", ID, None),
            (format!("/system.slice/docker-{ID}.scope/init"), "docker", ID, None),
            (format!("/kubepods/burstable/pod{POD}/{ID}"), "kubernetes", ID, Some(POD)),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{pod}.slice/cri-containerd-{ID}.scope"
                ),
                "containerd",
                ID,
                Some(POD),
            ),
            (format!("/kubepods.slice/kubepods-pod{pod}.slice/crio-{ID}.scope"), "cri-o", ID, Some(POD)),
            (format!("/machine.slice/libpod-{ID}.scope"), "podman", ID, None),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
                "podman",
                ID,
                None,
            ),
            (format!("/libpod_parent/libpod-{ID}"), "podman", ID, None),
            ("/lxc.payload.web1".into(), "lxc", "web1", None),
            ("/lxc/web1".into(), "lxc", "web1", None),
            ("/machine.slice/systemd-nspawn@deb.service/payload".into(), "systemd-nspawn", "deb", None),
            (
                format!("/system.slice/containerd.service/kubepods-besteffort-pod{pod}.slice:cri-containerd:{ID}"),
                "containerd",
                ID,
                Some(POD),
            ),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{pod}.slice/cri-containerd-{ID}.scope"
                ),
                "containerd",
                ID,
                Some(POD),
            ),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{ID}.scope"),
                "containerd",
                ID,
                None,
            ),
            ("/machine.slice/machine-deb.scope".into(), "systemd-nspawn", "deb", None),
            ("/machine.slice/machine-lxc\\x2d7\\x2dweb.scope".into(), "lxc", "7\\x2dweb", None),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.gnome.Maps-4711.scope".into(),
                "flatpak",
                "org.gnome.Maps",
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.firefox-2f3e0a50-9b1c-4d3e.scope"
                    .into(),
                "snap",
                "firefox.firefox",
                None,
            ),
            ("/system.slice/snap.lxd.daemon.service".into(), "snap", "lxd.daemon", None),
            // docker in docker: the inner one
            (format!("/docker/{POD}/docker/{ID}"), "docker", ID, None),
        ];
        for (path, name, id, pod) in cases {
            let want = Runtime { name, id: id.into(), pod: pod.map(Into::into) };
            assert_eq!(recognise(path.as_bytes()), Some(want), "{path}");
        }
    }

    #[test]
    fn what_is_no_container() {
        for path in [
            "/",
            "",
            "/user.slice",
            "/system.slice/docker.service",
            "/docker",
            "/docker/short",
            "/lxc.monitor.web1",
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            "/system.slice/ssh.service",
            "/pod/x",
        ] {
            assert_eq!(recognise(path.as_bytes()), None, "{path}");
        }
        assert_eq!(recognise(b"/docker/\xff\xfe"), None);
        assert_eq!(unit(b"/system.slice/ssh.service/sub"), Some(("ssh", "service")));
        assert_eq!(unit(b"/user.slice"), None);
    }
}
