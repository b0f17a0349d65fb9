//! What the runtimes on this machine call their containers: from docker's and podman's sockets, and from the files that
//! they, cri-o, containerd and systemd-machined keep. None of them has to run.
//!
//! The sockets of containerd and cri-o tell root alone, and nothing that is not in the files, which root may read.

use nsscope_timeline::runtime;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Most that is read of one file, in bytes.
const LIMIT: u64 = 16 << 20;

/// How long each runtime is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A container as its runtime knows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
}

/// All that is known on this machine.
pub(crate) fn all() -> Vec<Named> {
    of(Path::new("/"))
}

/// The same, found out while others do their work.
pub(crate) fn ask() -> Receiver<Vec<Named>> {
    let (answer, answers) = channel();
    std::thread::spawn(move || answer.send(all()));
    answers
}

/// All that is found below `root`; what may not be read is passed over.
fn of(root: &Path) -> Vec<Named> {
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
    names.extend(entries(&root.join("run/systemd/machines")).iter().filter_map(|machine| machined(machine)));
    let users = entries(&root.join("run/user")).into_iter();
    let sockets = users.flat_map(|user| [user.join("podman/podman.sock"), user.join("docker.sock")]);
    for socket in sockets.chain([root.join("run/docker.sock"), root.join("run/podman/podman.sock")]) {
        names.extend(docker_api(&socket).unwrap_or_default());
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

/// `KEY=value` lines (machine_save() in systemd's machine.c): `NAME`, `SCOPE` or `UNIT`, `ROOT`. The id is what the
/// unit's name has of it, as in cgroup paths.
fn machined(machine: &Path) -> Option<Named> {
    let mut text = String::new();
    File::open(machine).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let unit = value("SCOPE").or(value("UNIT"))?;
    let id = runtime::recognise(format!("/machine.slice/{unit}").as_bytes())?.id;
    Some(Named { id, name: value("NAME")?.into(), image: value("ROOT").unwrap_or_default().into() })
}

/// `GET /containers/json` of the API that docker has and podman, too: a list of `Id`, `Names` and `Image`.
fn docker_api(socket: &Path) -> io::Result<Vec<Named>> {
    let until = Instant::now() + PATIENCE;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    stream.write_all(b"GET /containers/json HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        // No timeout of zero: that would be none.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            len if Instant::now() < until && answer.len() < LIMIT as usize => answer.extend(&piece[..len]),
            _ => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |at| &answer[at + 4..]);
    let Ok(Value::Array(list)) = serde_json::from_slice(body) else { return Ok(Vec::new()) };
    let read = |container: &Value| {
        let name = container["Names"][0].as_str()?.trim_start_matches('/');
        Some(Named { id: container["Id"].as_str()?.into(), name: name.into(), image: text(&container["Image"]) })
    };
    Ok(list.iter().filter_map(read).collect())
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
    use std::os::unix::net::UnixListener;

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
        put("run/systemd/machines/web-1", "# private\nNAME=web-1\nSCOPE=machine-web\\x2d1.scope\nROOT=/srv/web\n");
        put("run/user/1000/keep", "");
        let docker = UnixListener::bind(root.path().join("run/docker.sock")).expect("a socket");
        let silent = root.path().join("run/user/1000/docker.sock");
        // One that never answers is not waited for.
        let _silent = UnixListener::bind(&silent).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = docker.accept().expect("a client");
            let mut request = [0; 1024];
            let len = stream.read(&mut request).expect("a request");
            assert!(request[..len].starts_with(b"GET /containers/json HTTP/1.0\r\n"));
            let answer = r#"[{"Id":"dd","Names":["/queue"],"Image":"redis:7"},{"Id":"ee"}]"#;
            write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{answer}").expect("sent");
        });
        let name = |id: &str, name: &str, image: &str| Named { id: id.into(), name: name.into(), image: image.into() };
        let want = [
            name("aa", "web", "nginx:1"),
            name("bb", "db", "postgres:16"),
            name("cc", "shop/cart", "cart:2"),
            name("dd", "queue", "redis:7"),
            name(r"web\x2d1", "web-1", "/srv/web"),
        ];
        assert_eq!(of(root.path()), want);
        server.join().expect("the server is content");
    }
}
