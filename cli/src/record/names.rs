//! What the runtimes on this machine call their containers, from the files they keep. None of them has to run.

use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Most that is read of one file, in bytes.
const LIMIT: u64 = 16 << 20;

/// A container as its runtime knows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]

pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
}

/// All that is found below `root`; what may not be read is passed over.
pub(crate) fn of(root: &Path) -> Vec<Named> {
    let mut names = docker(&root.join("var/lib/docker/containers"));
    let homes = entries(&root.join("home")).into_iter().chain([root.join("root")]);
    let own = homes.map(|home| home.join(".local/share/containers/storage"));
    for storage in own.chain([root.join("var/lib/containers/storage")]) {
        for file in ["overlay-containers/containers.json", "overlay-containers/volatile-containers.json"] {
            names.extend(containers_storage(&storage.join(file)));
        }
    }
    for tasks in entries(&root.join("run/containerd/io.containerd.runtime.v2.task")) {
        names.extend(entries(&tasks).iter().filter_map(|task| containerd(task)));
    }
    names.sort();
    names.dedup_by(|a, b| a.id == b.id);
    names
}

/// `<id>/config.v2.json`: `Name` with a slash before it, `Config.Image`.
fn docker(containers: &Path) -> Vec<Named> {
    let read = |dir: &std::path::PathBuf| {
        let config = json(&dir.join("config.v2.json"))?;
        let name = config["Name"].as_str()?.trim_start_matches('/');
        Some(Named { id: file_name(dir)?, name: name.into(), image: text(&config["Config"]["Image"]) })
    };
    entries(containers).iter().filter_map(read).collect()
}

/// podman and cri-o: a list of `id`, `names` and `metadata`, which is JSON in a string.
fn containers_storage(file: &Path) -> Vec<Named> {
    let Some(Value::Array(list)) = json(file) else { return Vec::new() };
    let read = |container: &Value| {
        let metadata: Value =
            container["metadata"].as_str().and_then(|m| serde_json::from_str(m).ok()).unwrap_or_default();
        let name = container["names"][0].as_str().or(metadata["name"].as_str())?;
        Some(Named { id: container["id"].as_str()?.into(), name: name.into(), image: text(&metadata["image-name"]) })
    };
    list.iter().filter_map(read).collect()
}

/// `<id>/config.json`, an OCI bundle: what kubernetes or nerdctl call it is in its annotations.
fn containerd(task: &Path) -> Option<Named> {
    let config = json(&task.join("config.json"))?;
    let annotations = &config["annotations"];
    let of = |key: &str| annotations[key].as_str();
    let pod = of("io.kubernetes.cri.sandbox-name");
    let name = match (pod, of("io.kubernetes.cri.container-name")) {
        (Some(pod), Some(container)) => format!("{pod}/{container}"),
        (Some(pod), None) => format!("{pod}/(sandbox)"),
        _ => of("nerdctl/name").or(config["hostname"].as_str())?.into(),
    };
    let image = of("io.kubernetes.cri.image-name").unwrap_or_default();
    Some(Named { id: file_name(task)?, name, image: image.into() })
}

fn json(file: &Path) -> Option<Value> {
    let mut text = Vec::new();
    File::open(file).ok()?.take(LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtimes_files_are_read() {
        let root = tempfile::tempdir().expect("a directory");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        put("var/lib/docker/containers/aa/config.v2.json", r#"{"Name":"/web","Config":{"Image":"nginx:1"}}"#);
        put("var/lib/docker/containers/broken/config.v2.json", "{");
        let storage = r#"[{"id":"bb","names":["db"],"metadata":"{\"image-name\":\"postgres:16\"}"},{"id":"x"}]"#;
        put("home/u/.local/share/containers/storage/overlay-containers/containers.json", storage);
        let annotations = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"shop","io.kubernetes.cri.container-name":"cart","io.kubernetes.cri.image-name":"cart:2"}}"#;
        put("run/containerd/io.containerd.runtime.v2.task/k8s.io/cc/config.json", annotations);
        let name = |id: &str, name: &str, image: &str| Named { id: id.into(), name: name.into(), image: image.into() };
        let want = [name("aa", "web", "nginx:1"), name("bb", "db", "postgres:16"), name("cc", "shop/cart", "cart:2")];
        assert_eq!(of(root.path()), want);
    }
}
