//! Where runtimes keep what they know: files and sockets, by pattern. The table says who reads each. Not here: what the
//! files and sockets hold.

use super::answer::{Answer, USERS};
use super::api::Api;
use super::files::{self, Reader};
use super::http;
use crate::sys;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is found at a place.
#[derive(Clone, Copy)]
pub(super) enum What {
    /// A file, or a directory of one container's files.
    Files(Reader),
    /// A socket that answers.
    Socket(Api),
}

/// A place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// A path from the root; `*` in a component stands for anything.
    pub(super) pattern: &'static str,
    pub(super) what: What,
    /// Whether a user's own, not root's.
    users: bool,
}

const fn files(pattern: &'static str, reader: Reader) -> Place {
    Place { pattern, what: What::Files(reader), users: false }
}

const fn socket(pattern: &'static str, api: Api) -> Place {
    Place { pattern, what: What::Socket(api), users: false }
}

const fn users(place: Place) -> Place {
    Place { users: true, ..place }
}

const DOCKER: Api = Api::Http(http::Api::Docker);
const PODMAN: Api = Api::Http(http::Api::Podman);

pub(super) const PLACES: &[Place] = &[
    socket("run/docker.sock", DOCKER),
    users(socket("run/user/*/docker.sock", DOCKER)),
    socket("run/podman/podman.sock", PODMAN),
    users(socket("run/user/*/podman/podman.sock", PODMAN)),
    socket("run/containerd/containerd.sock", Api::Containerd),
    socket("run/docker/containerd/containerd.sock", Api::Containerd),
    users(socket("run/user/*/docker/containerd/containerd.sock", Api::Containerd)),
    socket("run/k3s/containerd/containerd.sock", Api::Containerd),
    socket("run/k0s/containerd.sock", Api::Containerd),
    socket("var/snap/microk8s/common/run/containerd.sock", Api::Containerd),
    files("var/lib/docker/containers/*", files::docker),
    users(files("home/*/.local/share/docker/containers/*", files::docker)),
    files("var/lib/containers/storage/*-containers/*containers.json", files::containers_storage),
    files("root/.local/share/containers/storage/*-containers/*containers.json", files::containers_storage),
    users(files("home/*/.local/share/containers/storage/*-containers/*containers.json", files::containers_storage)),
    files("run/containers/storage/*-containers/*", files::containers_run),
    users(files("run/user/*/containers/*-containers/*", files::containers_run)),
    files("run/containerd/io.containerd.runtime.v2.task/*/*", files::containerd),
    files("run/docker/containerd/daemon/io.containerd.runtime.v2.task/*/*", files::containerd),
    files("run/k3s/containerd/io.containerd.runtime.v2.task/*/*", files::containerd),
    files("run/k0s/containerd/io.containerd.runtime.v2.task/*/*", files::containerd),
    files("var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task/*/*", files::containerd),
    files("run/systemd/machines/*", files::machined),
    files("run/runc/*", files::runc),
    users(files("run/user/*/runc/*", files::runc)),
    files("run/crun/*", files::crun),
    users(files("run/user/*/crun/*", files::crun)),
];

impl Place {
    /// The components of its pattern.
    pub(super) fn components(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.pattern.split('/')
    }

    /// What a source of this place says, ranked. A user may say it of nobody else's processes.
    pub(super) fn ranked(&self, mut answer: Answer, source: &Path) -> Answer {
        if self.users {
            answer.rank -= USERS;
            answer.cgroup.clear();
            let owner = fs::symlink_metadata(source).ok().map(|metadata| metadata.uid());
            if owner.is_none() || sys::user_namespace_owner(answer.pid) != owner {
                answer.pid = 0;
            }
        }
        answer
    }
}

/// Whether a file's name fits a component of a pattern.
pub(super) fn fits(component: &str, name: &str) -> bool {
    match component.split_once('*') {
        None => component == name,
        // What is being written has a name with a dot before it.
        Some((before, after)) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
                && !name.starts_with('.')
        }
    }
}

/// The paths below a directory that fit the rest of a pattern.
fn expand(dir: &Path, mut components: impl Iterator<Item = &'static str> + Clone, found: &mut Vec<PathBuf>) {
    let Some(component) = components.next() else {
        found.push(dir.into());
        return;
    };
    for path in entries(dir, component) {
        expand(&path, components.clone(), found);
    }
}

/// What of a directory fits a component.
pub(super) fn entries(dir: &Path, component: &str) -> Vec<PathBuf> {
    if !component.contains('*') {
        let path = dir.join(component);
        return if path.exists() { vec![path] } else { Vec::new() };
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| fits(component, name)));
    names.map(|entry| entry.path()).collect()
}

/// All that is found below `root`; what may not be read is passed over.
pub(super) fn read(root: &Path) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let (mut all, mut asked) = (Vec::new(), Vec::new());
        // Sockets are first in the table: they answer while files are read.
        for place in PLACES {
            let mut paths = Vec::new();
            expand(root, place.components(), &mut paths);
            for path in paths {
                let ranked = |answers: Vec<Answer>, path: &Path| -> Vec<Answer> {
                    answers.into_iter().map(|answer| place.ranked(answer, path)).collect()
                };
                match place.what {
                    What::Files(reader) => all.extend(ranked(reader(&path).answers, &path)),
                    What::Socket(api) => {
                        asked.push(scope.spawn(move || ranked(api.list(&path), &path)));
                    }
                }
            }
        }
        all.extend(asked.into_iter().flat_map(|asked| asked.join().unwrap_or_default()));
        all
    })
}
