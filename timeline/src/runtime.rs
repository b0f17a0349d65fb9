//! Which container a cgroup path belongs to. The shapes of paths are a table, [`CGROUP_PATTERNS`]; no other code knows a
//! runtime. Not here: what a runtime calls its containers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A container as its cgroup path, or its runtime, tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Runtime {
    /// The runtime: one of [`CGROUP_PATTERNS`]; [`UNKNOWN`] where the path has an id and nothing says whose.
    pub name: &'static str,
    /// The container's id or name; of flatpak and snap the application's, of batch systems the job's.
    pub id: String,
    /// containerd's namespace, where the path or containerd tells it: its ids are unique only within one.
    pub namespace: Option<String>,
    /// The pod, task or job that the path says it is part of.
    pub group: Option<GroupId>,
}

impl Runtime {
    /// What tells it from every other container: an id of 64 digits is unique, a name only within its runtime.
    pub fn identity(&self) -> Vec<u8> {
        let mut identity = self.id.clone().into_bytes();
        if !is_hex(&self.id, 64) {
            for part in [self.name, self.namespace.as_deref().unwrap_or_default()] {
                identity.push(0);
                identity.extend(part.bytes());
            }
        }
        identity
    }
}

/// What a container is part of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId {
    /// `pod`, `task` (of ECS), `compose`, `job` ...
    pub kind: &'static str,
    /// Uid, id or name of it.
    pub id: String,
}

/// The runtime's name where only an id is known.
pub const UNKNOWN: &str = "container";

/// A shape of cgroup paths.
#[derive(Clone, Copy, Debug)]
pub struct CgroupPattern {
    /// The runtime that makes it.
    pub runtime: &'static str,
    /// Components of the path, the last being the container's; with a `/` in front they stand at the path's beginning.
    /// `*` is anything; what is in braces names the container: `{id}` 64 hexadecimal digits, `{uuid}` a UUID, `{alnum25}`
    /// 25 letters and digits, `{number}` digits, `{name}` anything, `{alloc}` a UUID, a dot and a name, `{fargate}` 32
    /// digits, `-` and a number, `{machine}` anything but a virtual machine of libvirt's (`qemu\\x2d...`), `{app}` an
    /// application with a number or a UUID behind it. `{uid}` is a kubernetes pod's, `{group}` the id of the task that the
    /// container is part of.
    pub path: &'static str,
    /// Where that is seen: a source file of the runtime, its documentation or a report. The browser does without.
    #[cfg(not(target_family = "wasm"))]
    pub source: &'static str,
}

#[cfg_attr(target_family = "wasm", allow(unused_variables))]
const fn pattern(runtime: &'static str, path: &'static str, source: &'static str) -> CgroupPattern {
    CgroupPattern {
        runtime,
        path,
        #[cfg(not(target_family = "wasm"))]
        source,
    }
}

/// The shapes, for cgroup v1 and v2 alike; of one component the first that fits counts, of several the innermost.
#[rustfmt::skip]
pub const CGROUP_PATTERNS: &[CgroupPattern] = &[
    pattern("buildkit", "buildkit/{alnum25}", "moby: builder/builder-next/executor_linux.go"),
    pattern("docker", "docker-{id}.scope", "moby: daemon/oci_linux.go, runc: libcontainer/cgroups/systemd"),
    pattern("docker", "ecs/{group}/{id}", "amazon-ecs-agent: issue 1119"),
    pattern("docker", "ecs/*/{group}/{id}", "amazon-ecs-agent: agent/config/config_unix.go"),
    pattern("containerd", "ecs/{group}/{fargate}", "cadvisor: pull request 3923"),
    pattern("docker", "docker/{id}", "moby: daemon/oci_linux.go"),
    pattern("docker", "system.slice:docker:{id}", "moby: daemon/oci_linux.go, its systemd form under cgroupfs"),
    pattern("docker", "actions_job/{id}", "actions/runner: --cgroup-parent of job containers"),
    pattern("docker", "azpl_job/{id}", "azure-pipelines-agent: --cgroup-parent of job containers"),
    pattern("balena", "balena-{id}.scope", "balena-engine: daemon/oci_linux.go"),
    pattern("containerd", "cri-containerd-{id}.scope", "containerd: pkg/cri/server/helpers.go"),
    pattern("containerd", "*:cri-containerd:{id}", "containerd: pkg/cri/server/helpers.go, its systemd form under cgroupfs"),
    pattern("containerd", "nerdctl-{id}.scope", "nerdctl: pkg/cmd/container/run_cgroup_linux.go"),
    pattern("containerd", "/moby/{id}", "containerd: oci/spec_opts.go WithNamespacedCgroup"),
    pattern("containerd", "/k8s.io/{name}", "containerd: oci/spec_opts.go WithNamespacedCgroup"),
    pattern("containerd", "/default/{name}", "containerd: oci/spec_opts.go WithNamespacedCgroup"),
    pattern("cri-o", "crio-{id}.scope", "cri-o: internal/config/cgmgr/systemd_linux.go"),
    pattern("cri-o", "crio-{id}", "cri-o: internal/config/cgmgr/cgroupfs_linux.go"),
    pattern("podman", "libpod-payload-{id}", "podman: libpod/container_internal_linux.go, --cgroups=split"),
    pattern("podman", "libpod-{id}.scope", "podman: libpod/container_internal_linux.go"),
    pattern("podman", "libpod-{id}", "podman: libpod/container_internal_linux.go, cgroupfs"),
    pattern("runc", "runc-{id}.scope", "runc: libcontainer/cgroups/systemd/common.go getUnitName"),
    pattern("crun", "crun-{id}.scope", "crun: src/libcrun/cgroup-systemd.c"),
    pattern("youki", "youki-{id}.scope", "youki: crates/libcgroups/src/systemd/manager.rs"),
    pattern("youki", ":youki:{id}", "youki: crates/libcontainer/src/utils.rs get_cgroup_path"),
    pattern("kubernetes", "pod{uid}/{id}", "kubernetes: pkg/kubelet/cm/pod_container_manager_linux.go"),
    pattern("kata", "kata_{id}", "kata-containers: src/runtime/pkg/resourcecontrol/utils.go"),
    pattern("kata", "kata_overhead/{id}", "kata-containers: src/runtime/pkg/resourcecontrol/utils.go"),
    pattern("firecracker", "/firecracker/{name}", "firecracker: docs/jailer.md"),
    pattern("lxc", "lxc.payload.{name}", "lxc: src/lxc/cgroups/cgfsng.c"),
    pattern("lxc", "lxc.payload/{name}", "lxc 4.0: src/lxc/cgroups/cgfsng.c"),
    pattern("lxc", "lxc/{name}", "lxc 3.0 and before, proxmox"),
    pattern("lxc", "machine-lxc\\x2d{name}.scope", "libvirt: src/util/vircgroup.c, systemd-machined's name"),
    pattern("rkt", "machine-rkt\\x2d{name}.scope", "rkt: stage1/init, systemd-machined's name"),
    pattern("systemd-nspawn", "systemd-nspawn@{name}.service", "systemd: units/systemd-nspawn@.service.in"),
    pattern("systemd-nspawn", "machine.slice/machine-{machine}.scope", "systemd: src/nspawn/nspawn-register.c"),
    pattern("garden", "garden/{name}", "guardian (Cloud Foundry, Concourse): rundmc/cgroups"),
    pattern("mesos", "/mesos/{uuid}", "mesos: docs/isolators/cgroups.md"),
    pattern("nomad", "/nomad/{name}", "nomad: drivers/shared/executor, cgroup v1"),
    pattern("nomad", "nomad.slice/{alloc}.scope", "nomad: client/lib/cgroupslib, cgroup v2"),
    pattern("nomad", "nomad.slice/*/{alloc}.scope", "nomad: client/lib/cgroupslib, cgroup v2"),
    pattern("slurm", "slurm/uid_*/job_{number}", "slurm: doc/html/cgroups.shtml, cgroup v1"),
    pattern("slurm", "slurmstepd.scope/job_{number}", "slurm: doc/html/cgroup_v2.shtml"),
    pattern("slurm", "*_slurmstepd.scope/job_{number}", "slurm: doc/html/cgroup_v2.shtml, EnableExtraControllers"),
    pattern("htcondor", "htcondor/condor_{name}", "htcondor: BASE_CGROUP in the manual"),
    pattern("htcondor", "condor.service/condor_{name}", "htcondor: BASE_CGROUP in the manual, cgroup v2"),
    pattern("pbs", "pbs_jobs.service/jobid/{name}", "openpbs: src/hooks/cgroups/pbs_cgroups.PY"),
    pattern("apptainer", "apptainer-{number}.scope", "apptainer: internal/pkg/cgroups/manager_linux.go"),
    pattern("apptainer", "apptainer/{number}", "apptainer: internal/pkg/cgroups/manager_linux.go"),
    pattern("singularity", "singularity-{number}.scope", "singularity: internal/pkg/cgroups/manager_linux.go"),
    pattern("singularity", "singularity/{number}", "singularity: internal/pkg/cgroups/manager_linux.go"),
    pattern("flatpak", "app-flatpak-{app}.scope", "systemd: DESKTOP_ENVIRONMENTS.md"),
    pattern("flatpak", "flatpak-{app}.scope", "flatpak: common/flatpak-run.c"),
    pattern("snap", "snap.{app}.scope", "snapd: sandbox/cgroup/tracking.go"),
    pattern("snap", "snap.{name}.service", "snapd: wrappers/services.go"),
    pattern(UNKNOWN, "{id}", "runtimes with a parent of the user's choice: neuvector share/system/cgroup_test.go"),
];

/// Beginnings of components that hold an id and no container: monitors beside one.
const MONITORS: [&str; 4] = ["libpod-conmon-", "crio-conmon-", "lxc.monitor.", "conmon-"];

/// The containers of a cgroup path, each within the one before.
pub fn containers(path: &[u8]) -> Vec<Runtime> {
    let Ok(path) = core::str::from_utf8(path) else { return Vec::new() };
    // From within a cgroup namespace what is outside shows as `..`.
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let mut pod = None;
    let mut found = Vec::new();
    for end in 1..=parts.len() {
        let part = parts[end - 1];
        let parent = end.checked_sub(2).map_or("", |parent| parts[parent]);
        pod = pod_id(parent, part).or(pod);
        if MONITORS.iter().any(|monitor| part.starts_with(monitor)) {
            continue;
        }
        let Some((shape, fit)) =
            CGROUP_PATTERNS.iter().find_map(|shape| Some((shape, fits(shape.path, &parts[..end])?)))
        else {
            continue;
        };
        // A pod of podman's has 64 digits, too.
        if pod.as_deref() == Some(fit.id) {
            continue;
        }
        let task = fit.group.map(|id| GroupId { kind: "task", id: id.into() });
        found.push(Runtime {
            name: shape.runtime,
            id: fit.id.into(),
            namespace: fit.namespace.map(Into::into),
            group: pod.clone().map(|id| GroupId { kind: "pod", id }).or(task),
        });
    }
    found
}

/// The innermost container of a cgroup path, if there is one.
pub fn recognise(path: &[u8]) -> Option<Runtime> {
    containers(path).pop()
}

/// The table's word for a runtime, or [`UNKNOWN`].
pub fn known_name(name: &str) -> &'static str {
    CGROUP_PATTERNS.iter().map(|shape| shape.runtime).find(|known| *known == name).unwrap_or(UNKNOWN)
}

/// What a shape finds in a path.
#[derive(Default)]
struct Fit<'p> {
    id: &'p str,
    group: Option<&'p str>,
    namespace: Option<&'p str>,
}

/// Whether a shape fits the end of a path.
fn fits<'p>(shape: &'static str, parts: &[&'p str]) -> Option<Fit<'p>> {
    let whole = shape.strip_prefix('/');
    let mut fit = Fit::default();
    let mut left = parts.iter().rev();
    for component in whole.unwrap_or(shape).rsplit('/') {
        component_fits(component, left.next()?, &mut fit)?;
    }
    if whole.is_some() {
        if left.next().is_some() {
            return None;
        }
        fit.namespace = parts.first().copied().filter(|first| ["moby", "k8s.io", "default"].contains(first));
    }
    Some(fit)
}

/// Whether a component fits, up to its end.
fn component_fits<'p>(shape: &'static str, text: &'p str, fit: &mut Fit<'p>) -> Option<()> {
    let Some(at) = shape.find(['{', '*']) else { return (shape == text).then_some(()) };
    let (before, pattern) = shape.split_at_checked(at)?;
    let text = text.strip_prefix(before)?;
    let (class, rest) = match pattern.strip_prefix('{') {
        Some(class) => class.split_once('}')?,
        None => ("*", pattern.strip_prefix('*')?),
    };
    // Up to the first place where what follows can begin.
    let end = match rest.find(['{', '*']) {
        Some(literal) => text.find(rest.get(..literal)?)?,
        None => text.strip_suffix(rest)?.len(),
    };
    let (inside, behind) = text.split_at_checked(end)?;
    let found = of_class(class, inside)?;
    match class {
        "*" | "uid" => {}
        "group" => fit.group = Some(found),
        _ => fit.id = found,
    }
    component_fits(rest, behind, fit)
}

/// What of a text counts, where it is of a class.
fn of_class<'p>(class: &str, text: &'p str) -> Option<&'p str> {
    let is_uuid = || text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let fits = match class {
        "*" => true,
        "id" => is_hex(text, 64),
        "uid" => is_uid(text),
        "uuid" => is_uuid(),
        "group" => is_uuid() || is_hex(text, 32),
        "alnum25" => text.len() == 25 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "number" => !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
        "fargate" => text.split_once('-').is_some_and(|(task, _)| is_hex(task, 32)),
        "alloc" => text.split_once('.').is_some_and(|(alloc, _)| alloc.len() == 36),
        "machine" => !text.is_empty() && !text.starts_with("qemu\\x2d"),
        "app" => return Some(app(text)),
        _ => !text.is_empty(),
    };
    fits.then_some(text)
}

/// `org.gnome.Maps` of `org.gnome.Maps-4711`, `firefox.firefox` of `firefox.firefox-2f3e0a50-9b1c-...`.
fn app(text: &str) -> &str {
    let uuid = text.split_once('-').filter(|(_, rest)| rest.contains('-')).map(|(app, _)| app);
    uuid.or(text.rsplit_once('-').map(|(app, _)| app)).unwrap_or(text)
}

/// Name and type of the systemd unit that a path names last, a service or a scope. It says who started a task, not that
/// it is confined.
pub fn systemd_unit(path: &[u8]) -> Option<(&str, &str)> {
    let path = core::str::from_utf8(path).ok()?;
    let units = path.rsplit('/').filter_map(|part| part.rsplit_once('.'));
    units.into_iter().find(|(_, kind)| ["service", "scope"].contains(kind))
}

/// The uid of a kubernetes pod: `pod<uid>` of cgroupfs, `kubepods-burstable-pod<uid with _>.slice` of systemd. The id of
/// one of podman's: `machine-libpod_pod_<id>.slice`, `libpod_pod_<id>`, `libpod_parent/<id>` (libpod/runtime_pod_linux.go).
fn pod_id(parent: &str, part: &str) -> Option<String> {
    if parent == "libpod_parent" && is_hex(part, 64) {
        return Some(part.into());
    }
    let slice = part.split_once(".slice:").map_or(part, |(slice, _)| slice);
    if let Some((_, id)) = part.strip_suffix(".slice").unwrap_or(part).split_once("libpod_pod_") {
        return is_hex(id, 64).then(|| id.to_string());
    }
    let uid = match slice.strip_suffix(".slice").or((slice != part).then_some(slice)) {
        Some(slice) if slice.contains("kubepods") => slice.split_once("-pod")?.1,
        Some(_) => return None,
        None => part.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    is_uid(&uid).then_some(uid)
}

/// A UUID, or the hash of a static pod's manifest.
fn is_uid(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn is_hex(id: &str, len: usize) -> bool {
    id.len() == len && id.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OUTER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "1b3c5d7e-0000-4000-8000-123456789abc";

    type Case = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>);

    /// A path, with `ID`, `OUTER`, `POD` and `P_D` (with underscores) to be filled in; runtime, id, group.
    const CASES: &[Case] = &[
        ("/docker/ID", "docker", ID, None),
        ("/docker/ID/init", "docker", ID, None),
        ("/system.slice/docker-ID.scope", "docker", ID, None),
        ("/system.slice/docker-ID.scope/init", "docker", ID, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", "docker", ID, None),
        ("/docker/buildkit/0mohp4xqf6t7q5hqqnn0vc8tl", "buildkit", "0mohp4xqf6t7q5hqqnn0vc8tl", None),
        ("/system.slice/docker.service/system.slice:docker:ID", "docker", ID, None),
        ("/ecs/POD/ID", "docker", ID, Some(("task", POD))),
        ("/ecs/cluster/POD/ID", "docker", ID, Some(("task", POD))),
        ("/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-ID.scope", "docker", ID, None),
        (
            "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890",
            "containerd",
            "0123456789abcdef0123456789abcdef-1234567890",
            Some(("task", "0123456789abcdef0123456789abcdef")),
        ),
        ("/actions_job/ID", "docker", ID, None),
        ("/azpl_job/ID", "docker", ID, None),
        ("/system.slice/balena-ID.scope", "balena", ID, None),
        ("/kubepods/burstable/podPOD/ID", "kubernetes", ID, Some(("pod", POD))),
        ("/kubelet/kubepods/burstable/podPOD/ID", "kubernetes", ID, Some(("pod", POD))),
        // A static pod's uid is the hash of its manifest.
        (
            "/kubepods/burstable/podb53dfa9e2dc9b890f7fadb2770857b03/ID",
            "kubernetes",
            ID,
            Some(("pod", "b53dfa9e2dc9b890f7fadb2770857b03")),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podP_D.slice/cri-containerd-ID.scope",
            "containerd",
            ID,
            Some(("pod", POD)),
        ),
        ("/kubepods.slice/kubepods-podP_D.slice/docker-ID.scope", "docker", ID, Some(("pod", POD))),
        ("/kubepods.slice/kubepods-podP_D.slice/crio-ID.scope", "cri-o", ID, Some(("pod", POD))),
        ("/kubepods.slice/kubepods-podP_D.slice/crio-ID.scope/container", "cri-o", ID, Some(("pod", POD))),
        ("/kubepods/podPOD/crio-ID", "cri-o", ID, Some(("pod", POD))),
        (
            "/system.slice/containerd.service/kubepods-besteffort-podP_D.slice:cri-containerd:ID",
            "containerd",
            ID,
            Some(("pod", POD)),
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podP_D.slice/cri-containerd-ID.scope",
            "containerd",
            ID,
            Some(("pod", POD)),
        ),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-ID.scope", "containerd", ID, None),
        ("/moby/ID", "containerd", ID, None),
        ("/k8s.io/ID", "containerd", ID, None),
        ("/default/ID", "containerd", ID, None),
        ("/k8s.io/kube", "containerd", "kube", None),
        ("/default/redis1", "containerd", "redis1", None),
        ("/machine.slice/libpod-ID.scope", "podman", ID, None),
        ("/machine.slice/libpod-ID.scope/container", "podman", ID, None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "podman", ID, None),
        ("/libpod_parent/libpod-ID", "podman", ID, None),
        ("/libpod_parent/OUTER/libpod-ID", "podman", ID, Some(("pod", OUTER))),
        ("/system.slice/web.service/libpod-payload-ID", "podman", ID, None),
        ("/machine.slice/machine-libpod_pod_OUTER.slice/libpod-ID.scope/container", "podman", ID, Some(("pod", OUTER))),
        ("/libpod_parent/libpod_pod_OUTER/libpod-ID", "podman", ID, Some(("pod", OUTER))),
        ("/user.slice/runc-ID.scope", "runc", ID, None),
        ("/user.slice/crun-ID.scope", "crun", ID, None),
        ("/user.slice/youki-ID.scope", "youki", ID, None),
        ("/:youki:ID", "youki", ID, None),
        ("/kubepods/burstable/podPOD/kata_ID", "kata", ID, Some(("pod", POD))),
        ("/kata_overhead/ID", "kata", ID, None),
        ("/firecracker/551e7604", "firecracker", "551e7604", None),
        ("/lxc.payload.web1", "lxc", "web1", None),
        ("/lxc.payload.web1/system.slice/ssh.service", "lxc", "web1", None),
        ("/lxc.payload/web1", "lxc", "web1", None),
        ("/lxc/web1", "lxc", "web1", None),
        ("/lxc/101/ns/init.scope", "lxc", "101", None),
        ("/machine.slice/machine-lxc\\x2d7\\x2dweb.scope", "lxc", "7\\x2dweb", None),
        ("/machine.slice/machine-rkt\\x2d1.scope", "rkt", "1", None),
        ("/machine.slice/systemd-nspawn@deb.service/payload", "systemd-nspawn", "deb", None),
        ("/machine.slice/machine-deb.scope", "systemd-nspawn", "deb", None),
        ("/system.slice/garden.service/garden/d1b2", "garden", "d1b2", None),
        ("/mesos/POD", "mesos", POD, None),
        ("/nomad/5b7c-web", "nomad", "5b7c-web", None),
        ("/nomad.slice/POD.web.scope", "nomad", "1b3c5d7e-0000-4000-8000-123456789abc.web", None),
        ("/nomad.slice/share.slice/POD.web.scope", "nomad", "1b3c5d7e-0000-4000-8000-123456789abc.web", None),
        ("/slurm/uid_1000/job_42/step_0/task_0", "slurm", "42", None),
        ("/system.slice/slurmstepd.scope/job_42/step_0/user/task_0", "slurm", "42", None),
        ("/system.slice/node1_slurmstepd.scope/job_42/step_extern/user", "slurm", "42", None),
        ("/htcondor/condor_var_lib_slot1@node", "htcondor", "var_lib_slot1@node", None),
        ("/system.slice/condor.service/condor_slot1@node", "htcondor", "slot1@node", None),
        ("/pbs_jobs.service/jobid/123.server", "pbs", "123.server", None),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/apptainer-99.scope", "apptainer", "99", None),
        ("/apptainer/99", "apptainer", "99", None),
        ("/singularity/99", "singularity", "99", None),
        ("/user.slice/singularity-99.scope", "singularity", "99", None),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.gnome.Maps-4711.scope",
            "flatpak",
            "org.gnome.Maps",
            None,
        ),
        ("/user.slice/flatpak-org.gnome.Maps-4711.scope", "flatpak", "org.gnome.Maps", None),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.firefox-2f3e0a50-9b1c-4d3e.scope",
            "snap",
            "firefox.firefox",
            None,
        ),
        ("/system.slice/snap.lxd.daemon.service", "snap", "lxd.daemon", None),
        // A parent of somebody's own choice, and no parent at all.
        ("/batch/night/ID", UNKNOWN, ID, None),
        ("/ID", UNKNOWN, ID, None),
        // The inner one: docker in docker, kind, k3s in docker, minikube.
        ("/docker/OUTER/docker/ID", "docker", ID, None),
        ("/docker/OUTER/kubelet/kubepods/besteffort/podPOD/ID", "kubernetes", ID, Some(("pod", POD))),
        (
            "/system.slice/docker-OUTER.scope/kubepods.slice/kubepods-podP_D.slice/cri-containerd-ID.scope",
            "containerd",
            ID,
            Some(("pod", POD)),
        ),
        // Seen from within a cgroup namespace.
        ("/../ID", UNKNOWN, ID, None),
        ("/../../podPOD/ID", "kubernetes", ID, Some(("pod", POD))),
        ("/../cri-containerd-ID.scope", "containerd", ID, None),
    ];

    fn filled(path: &str) -> String {
        path.replace("P_D", &POD.replace('-', "_")).replace("POD", POD).replace("OUTER", OUTER).replace("ID", ID)
    }

    #[test]
    fn every_shape_is_recognised() {
        let mut seen = Vec::new();
        for &(path, name, id, group) in CASES {
            let path = filled(path);
            let found = recognise(path.as_bytes()).unwrap_or_else(|| panic!("{path} is no container"));
            let of = found.group.as_ref().map(|group| (group.kind, group.id.as_str()));
            assert_eq!((found.name, found.id.as_str(), of), (name, id, group), "{path}");
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            for end in 1..=parts.len() {
                seen.extend(CGROUP_PATTERNS.iter().position(|shape| fits(shape.path, &parts[..end]).is_some()));
            }
        }
        for (number, shape) in CGROUP_PATTERNS.iter().enumerate() {
            assert!(seen.contains(&number), "no case for {} of {} ({})", shape.path, shape.runtime, shape.source);
        }
    }

    #[test]
    fn containers_are_nested() {
        let path = filled("/docker/OUTER/docker/ID");
        let ids: Vec<String> = containers(path.as_bytes()).into_iter().map(|container| container.id).collect();
        assert_eq!(ids, [OUTER, ID]);
    }

    #[test]
    fn names_are_unique_only_within_their_runtime() {
        let identity = |path: &str| recognise(filled(path).as_bytes()).unwrap().identity();
        assert_ne!(identity("/lxc/web1"), identity("/default/web1"));
        assert_eq!(identity("/docker/ID"), identity("/batch/ID"));
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
            "/docker/buildkit",
            "/default",
            "/system.slice/default/x",
            "/lxc.monitor.web1",
            "/machine.slice/libpod-conmon-ID.scope",
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            "/libpod_parent/libpod_pod_ID",
            "/libpod_parent/ID/conmon",
            "/system.slice/ssh.service",
            "/slurm/uid_1000",
            "/pod/x",
            "/..",
        ] {
            assert_eq!(recognise(filled(path).as_bytes()), None, "{path}");
        }
        assert_eq!(recognise(b"/docker/\xff\xfe"), None);
        assert_eq!(systemd_unit(b"/system.slice/ssh.service/sub"), Some(("ssh", "service")));
        assert_eq!(systemd_unit(b"/user.slice"), None);
    }
}
