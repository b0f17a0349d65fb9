//! The files that runtimes keep. All are untrusted: what is not as expected is passed over. Not here: where the files
//! are.

use super::answer::{Answer, Rank, health_check, kubernetes_name, labels};
use super::bolt::Bolt;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A container that somebody manages of whom it is not known who.
const UNKNOWN: &str = "container";

/// Most that is read of one file, in bytes.
const LIMIT: u64 = 16 << 20;

/// What was read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) answers: Vec<Answer>,
    /// Whether there may be more in a moment: a runtime writes its files one after another.
    pub(super) more: bool,
}

/// Reads a container's files, or the file of many.
pub(super) type Reader = fn(&Path) -> Found;

impl Found {
    fn one(answer: Option<Answer>) -> Self {
        let more = answer.as_ref().is_none_or(|answer| answer.pid == 0);
        Self { answers: answer.into_iter().collect(), more }
    }
}

/// `<id>/config.v2.json`: `Name` with a slash before it, `Config.Image`, `Config.Labels`, `State.Pid`.
pub(super) fn docker(container: &Path) -> Found {
    let read = || {
        let config = json(&container.join("config.v2.json"))?;
        Some(Answer {
            id: file_name(container)?,
            name: config["Name"].as_str()?.trim_start_matches('/').into(),
            image: text(&config["Config"]["Image"]),
            runtime: "docker".into(),
            pid: config["State"]["Pid"].as_u64().unwrap_or(0) as u32,
            source: format!("docker ({})", container.parent()?.display()),
            rank: Rank::Files as u32,
            labels: labels(&config["Config"]["Labels"])
                .into_iter()
                .chain(health_check(&config["Config"]["Healthcheck"]["Test"]))
                .collect(),
            ..Answer::default()
        })
    };
    Found::one(read())
}

/// podman and cri-o: a list of `id`, `names` and `metadata`, which is JSON in a string. cri-o's has the pod's id.
pub(super) fn containers_storage(file: &Path) -> Found {
    let Some(Value::Array(list)) = json(file) else { return Found::default() };
    let libpod = file.parent().and_then(Path::parent).map(|storage| storage.join("libpod/bolt_state.db"));
    let read = |container: &Value| {
        let id = container["id"].as_str()?;
        let metadata: Value =
            container["metadata"].as_str().and_then(|m| serde_json::from_str(m).ok()).unwrap_or_default();
        let name = container["names"][0].as_str().or(metadata["name"].as_str())?;
        let crio = metadata["pod-id"].is_string();
        Some(Answer {
            labels: libpod.as_deref().and_then(|libpod| podman_labels(libpod, id)).unwrap_or_default(),
            id: id.into(),
            name: name.into(),
            image: text(&metadata["image-name"]),
            runtime: if crio { "cri-o" } else { "podman" }.into(),
            source: format!("{} ({})", if crio { "cri-o" } else { "podman" }, file.display()),
            rank: Rank::Files as u32,
            ..Answer::default()
        })
    };
    Found { answers: list.iter().filter_map(read).collect(), more: false }
}

/// What podman 4's own database says of a container, beside its name: `ctr/<id>/config` is JSON with `labels`,
/// `healthcheck` and the id of its `pod`, `pod/<id>/config` has the pod's `name` (libpod's boltdb_state.go).
fn podman_labels(database: &Path, id: &str) -> Option<Vec<(String, String)>> {
    let config = |kind: &[u8], id: &str| -> Option<Value> {
        let bolt = Bolt::open(database)?;
        let container = bolt.bucket(&bolt.bucket(&bolt.root(), kind)?, id.as_bytes())?;
        serde_json::from_slice(&bolt.get(&container, b"config")?).ok()
    };
    let container = config(b"ctr", id)?;
    let mut found = labels(&container["labels"]);
    found.extend(health_check(&container["healthcheck"]["Test"]));
    if let Some(pod) = container["pod"].as_str().filter(|pod| !pod.is_empty()) {
        found.push(("pod_id".into(), pod.into()));
        let name = config(b"pod", pod);
        found.extend(name.and_then(|pod| Some(("pod".into(), pod["name"].as_str()?.into()))));
    }
    Some(found)
}

/// What containerd's database says of a container, by its task: `v1/<namespace>/containers/<id>` has `image` and `labels`
/// (metadata/buckets.go).
fn containerd_record(task: &Path) -> Option<(String, Value)> {
    let (id, namespace) = (file_name(task)?, file_name(task.parent()?)?);
    // The task's link to where its root directory has the same: `<root>/io.containerd.runtime.v2.task/<namespace>/<id>`.
    let work = fs::read_link(task.join("work")).ok()?;
    let root = work.ancestors().nth(3).filter(|root| root.is_absolute())?;
    let bolt = Bolt::open(&root.join("io.containerd.metadata.v1.bolt/meta.db"))?;
    let keys = ["v1", &namespace, "containers", &id];
    let container = keys.iter().try_fold(bolt.root(), |inside, key| bolt.bucket(&inside, key.as_bytes()))?;
    let image = bolt.get(&container, b"image").and_then(|image| String::from_utf8(image).ok()).unwrap_or_default();
    let labels = bolt.bucket(&container, b"labels").map(|labels| bolt.texts(&labels)).unwrap_or_default();
    Some((image, labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect()))
}

/// `<id>/userdata`: a file with the pid and, of cri-o, an OCI configuration with what it knows of the pod.
pub(super) fn containers_run(container: &Path) -> Found {
    let userdata = container.join("userdata");
    let read = || {
        let config = json(&userdata.join("config.json")).unwrap_or_default();
        let annotations = &config["annotations"];
        let labels = labels(annotations);
        let name = kubernetes_name(&labels).unwrap_or_default();
        let runtime = if annotations["io.kubernetes.cri-o.ContainerID"].is_string() { "cri-o" } else { "podman" };
        Some(Answer {
            id: file_name(container)?,
            name,
            image: text(&annotations["io.kubernetes.cri-o.ImageName"]),
            runtime: runtime.into(),
            cgroup: cgroup(&config),
            pid: number(&userdata.join("pidfile")),
            source: format!("{runtime} ({})", container.parent()?.display()),
            rank: Rank::Files as u32 + 1,
            labels,
            ..Answer::default()
        })
    };
    Found::one(read())
}

/// `<namespace>/<id>`, an OCI bundle: `config.json`, `init.pid`.
pub(super) fn containerd(task: &Path) -> Found {
    let read = || {
        let config = json(&task.join("config.json"))?;
        let (id, namespace) = (file_name(task)?, file_name(task.parent()?)?);
        Some(Answer {
            pid: number(&task.join("init.pid")),
            source: format!("containerd ({})", task.parent()?.display()),
            ..of_containerd(&namespace, &id, &config, || containerd_record(task))
        })
    };
    Found::one(read())
}

/// What a container of containerd's is: by its namespace there, its id, OCI's configuration, and what containerd keeps of it,
/// image and labels. What kubernetes or nerdctl call it is in its annotations; else its id is its name, unless it is
/// Docker's (namespace `moby`), which has a name of its own.
pub(super) fn of_containerd(
    namespace: &str,
    id: &str,
    config: &Value,
    record: impl FnOnce() -> Option<(String, Value)>,
) -> Answer {
    let annotations = &config["annotations"];
    let mut known = labels(annotations);
    let by_orchestrator = kubernetes_name(&known).or(annotations["nerdctl/name"].as_str().map(Into::into));
    let mut image = text(&annotations["io.kubernetes.cri.image-name"]);
    // Docker keeps neither there.
    if image.is_empty() && namespace != "moby" {
        let (its, more) = record().unwrap_or_default();
        image = its;
        for label in labels(&more) {
            if known.iter().all(|(key, _)| *key != label.0) {
                known.push(label);
            }
        }
    }
    let rank = if by_orchestrator.is_some() { Rank::Api } else { Rank::Containerd };
    let own = if namespace == "moby" || namespace == "k8s.io" { "" } else { id };
    Answer {
        id: id.into(),
        name: by_orchestrator.unwrap_or_else(|| own.into()),
        image,
        runtime: "containerd".into(),
        namespace: namespace.into(),
        cgroup: cgroup(config),
        rank: rank as u32,
        labels: known,
        ..Answer::default()
    }
}

/// `KEY=value` lines (machine_save() in systemd's machine.c): `NAME`, `SCOPE` or `UNIT`, `ROOT`, `LEADER`. The id is what
/// the unit's name has of it, as in cgroup paths.
pub(super) fn machined(machine: &Path) -> Found {
    let read = || {
        let bytes = bytes(machine)?;
        let text = core::str::from_utf8(&bytes).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let unit = value("SCOPE").or(value("UNIT"))?;
        let (runtime, id) = machine_unit(unit)?;
        Some(Answer {
            id,
            name: value("NAME")?.into(),
            image: value("ROOT").unwrap_or_default().into(),
            runtime: runtime.into(),
            pid: value("LEADER").and_then(|pid| pid.parse().ok()).unwrap_or(0),
            source: format!("systemd-machined ({})", machine.parent()?.display()),
            rank: Rank::Files as u32,
            ..Answer::default()
        })
    };
    Found::one(read())
}

/// Runtime and id of the container that a unit of systemd's is, as its cgroup's path has them: `machine-deb.scope`,
/// `machine-lxc\\x2dweb.scope`, `systemd-nspawn@deb.service`. A virtual machine is none.
fn machine_unit(unit: &str) -> Option<(&'static str, String)> {
    let nspawn = "systemd-nspawn";
    if let Some(name) = unit.strip_prefix("systemd-nspawn@").and_then(|unit| unit.strip_suffix(".service")) {
        return Some((nspawn, name.into()));
    }
    let name = unit.strip_prefix("machine-")?.strip_suffix(".scope").filter(|name| !name.is_empty())?;
    match name.split_once("\\x2d") {
        Some(("qemu", _)) => None,
        Some(("lxc", name)) => Some(("lxc", name.into())),
        Some(("rkt", name)) => Some(("rkt", name.into())),
        _ => Some((nspawn, name.into())),
    }
}

/// `<id>/state.json` of runc: `id`, `init_process_pid`, `cgroup_paths` by controller.
pub(super) fn runc(container: &Path) -> Found {
    oci(container, "runc", "state.json", |state| (state["init_process_pid"].as_u64().unwrap_or(0), String::new()))
}

/// `<id>/status` of crun: `pid`, `cgroup-path`.
pub(super) fn crun(container: &Path) -> Found {
    oci(container, "crun", "status", |state| (state["pid"].as_u64().unwrap_or(0), text(&state["cgroup-path"])))
}

fn oci(container: &Path, runtime: &str, file: &str, facts: fn(&Value) -> (u64, String)) -> Found {
    let read = || {
        let (pid, cgroup) = facts(&json(&container.join(file))?);
        let id = file_name(container)?;
        // An id of 64 digits was given by somebody above, who has a name for it.
        let above = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(Answer {
            name: if above { String::new() } else { id.clone() },
            runtime: if above { UNKNOWN } else { runtime }.into(),
            cgroup,
            pid: pid as u32,
            source: format!("{runtime} ({})", container.parent()?.display()),
            rank: Rank::Oci as u32,
            id,
            ..Answer::default()
        })
    };
    Found::one(read())
}

/// `linux.cgroupsPath`, where it is a path: systemd's form is `slice:prefix:name`.
fn cgroup(config: &Value) -> String {
    config["linux"]["cgroupsPath"].as_str().filter(|path| path.starts_with('/')).unwrap_or_default().into()
}

/// A regular file's bytes. Anybody may have put something else there: one that is not a file is not waited for.
fn bytes(file: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(file).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn json(file: &Path) -> Option<Value> {
    serde_json::from_slice(&bytes(file)?).ok()
}

/// The pid in a file; 0: there is none.
fn number(file: &Path) -> u32 {
    let text = bytes(file).unwrap_or_default();
    core::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.into())
}
