//! What a source says of a container, and what runtimes' labels are called here. Not here: where answers come from.

use nsscope_codec::synthetic;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a runtime may take to say what runs: the machine may be busy, which is when one looks.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How well a source knows a container. What manages it knows more than what runs it; what belongs to a user, less than
/// what belongs to root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Rank {
    /// runc, crun: an id and nothing else.
    Oci = 10,
    /// containerd, whose id is a name unless somebody above it has one.
    Containerd = 20,
    /// Files that the runtime keeps for itself.
    Files = 30,
    /// The runtime itself, asked.
    Api = 40,
}

/// What a rank is less where the source is a user's own.
pub(super) const USERS: u32 = 5;

/// What a source says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    /// As in the runtimes' names in cgroup paths.
    pub(crate) runtime: String,
    /// containerd's namespace.
    pub(crate) namespace: String,
    pub(crate) cgroup: String,
    /// Of its init; 0 where it is not known.
    pub(crate) pid: u32,
    /// What said so.
    pub(crate) source: String,
    pub(crate) rank: u32,
    pub(crate) labels: Vec<(String, String)>,
}

/// What is in a file already, by source and container.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<(String, String), Answer>);

impl Said {
    /// What is not, with all that its source has said before. It is from now on.
    pub(crate) fn news(&mut self, answers: impl IntoIterator<Item = Answer>) -> Vec<Answer> {
        let mut news = Vec::new();
        for mut answer in answers {
            let known = self.0.entry((answer.source.clone(), answer.id.clone())).or_default();
            // An event does not say all that a list does.
            answer.add(known);
            if answer != *known {
                log::debug!("{} calls {} {:?}", answer.source, answer.id, answer.name);
                known.clone_from(&answer);
                news.push(answer);
            }
        }
        news
    }
}

impl Answer {
    /// Adds what the same source has said before.
    fn add(&mut self, before: &Self) {
        for label in &before.labels {
            if self.labels.iter().all(|(key, _)| *key != label.0) {
                self.labels.push(label.clone());
            }
        }
        self.labels.sort();
        if self.pid == 0 {
            self.pid = before.pid;
        }
    }

    /// As a record of the file.
    pub(crate) fn raw(&self) -> Vec<u8> {
        // A line is a label.
        let one_line = |(key, value): &(String, String)| format!("{key}={}\n", value.replace('\n', " "));
        let labels: String = self.labels.iter().map(one_line).collect();
        synthetic::container(&synthetic::Container {
            pid: self.pid,
            rank: self.rank,
            id: self.id.as_bytes(),
            name: self.name.as_bytes(),
            image: self.image.as_bytes(),
            runtime: self.runtime.as_bytes(),
            namespace: self.namespace.as_bytes(),
            cgroup: self.cgroup.as_bytes(),
            source: self.source.as_bytes(),
            labels: labels.as_bytes(),
        })
    }
}

/// What runtimes and orchestrators label containers with, and what that is called here. The first that a container has
/// counts.
const LABELS: [(&str, &str); 21] = [
    ("com.docker.compose.project", "compose"),
    ("io.podman.compose.project", "compose"),
    ("com.docker.compose.service", "service"),
    ("io.podman.compose.service", "service"),
    ("io.kubernetes.pod.name", "pod"),
    ("io.kubernetes.cri.sandbox-name", "pod"),
    ("io.kubernetes.pod.uid", "pod_id"),
    ("io.kubernetes.cri.sandbox-uid", "pod_id"),
    ("io.kubernetes.cri.sandbox-id", "pod_id"),
    ("io.kubernetes.pod.namespace", "namespace"),
    ("io.kubernetes.cri.sandbox-namespace", "namespace"),
    ("io.kubernetes.container.name", "container"),
    ("io.kubernetes.cri.container-name", "container"),
    ("com.amazonaws.ecs.container-name", "container"),
    ("com.amazonaws.ecs.task-arn", "task"),
    ("com.hashicorp.nomad.job_name", "job"),
    ("com.hashicorp.nomad.task_name", "task"),
    ("com.hashicorp.nomad.alloc_id", "alloc"),
    ("PODMAN_SYSTEMD_UNIT", "unit"),
    ("io.podman.systemd.unit", "unit"),
    ("org.apptainer.instance", "instance"),
];

/// Of a runtime's labels or annotations those that people find their way by.
pub(super) fn labels(all: &serde_json::Value) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (theirs, ours) in LABELS {
        let value = all[theirs].as_str().filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|_| found.iter().all(|(known, _)| known != ours)) {
            found.push((ours.into(), value.into()));
        }
    }
    found
}

/// What the timeline marks health checks by: the program of a `Healthcheck.Test` as Docker and podman keep it.
pub(super) fn health_check(test: &serde_json::Value) -> Option<(String, String)> {
    let program = match test[0].as_str()? {
        "CMD-SHELL" => "sh",
        "CMD" => test[1].as_str()?,
        _ => return None,
    };
    Some(("health_check".into(), program.into()))
}

/// The name that a container of kubernetes has for people: its pod's and its own.
pub(super) fn kubernetes_name(labels: &[(String, String)]) -> Option<String> {
    let of = |key: &str| labels.iter().find(|(label, _)| label == key).map(|(_, value)| value.as_str());
    let pod = of("pod")?;
    Some(of("container").map_or_else(|| format!("{pod}/(sandbox)"), |container| format!("{pod}/{container}")))
}
