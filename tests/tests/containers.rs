//! Containers of real runtimes, each started as its users do, and what every command says of them by every backend.

use nsscope_tests::runtimes::{IMAGE, Pod, SLEEP, World, busybox, docker, docker_run, podman_config, until_it_works};
use nsscope_tests::{
    Group, Running, cannot_record, errors, events, json_of, needs, no_bpf, no_cgroup2, not_root, nsscope, report, run,
    skip, start, text, wait_for,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is right of a container.
#[derive(Clone, Debug, Default)]
struct Right {
    /// The row it is of.
    what: &'static str,
    id: String,
    name: Option<String>,
    image: Option<String>,
    kind: &'static str,
    /// Kind and name of the group it is part of.
    group: Option<(&'static str, String)>,
    /// Whether its root is pid 1 of a pid namespace of its own.
    init: bool,
    /// Programs started in it from outside, at least; `None`: as many as come.
    execs: Option<usize>,
    health_checks: bool,
    /// Whether it is there when it is looked at, and not over already.
    runs: bool,
}

impl Right {
    fn docker(what: &'static str, name: &str, id: String) -> Self {
        let (name, image) = (Some(name.into()), Some(IMAGE.into()));
        Self { what, id, name, image, kind: "docker", init: true, execs: Some(0), runs: true, ..Self::default() }
    }

    /// What people call it.
    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// What a row made, and what has to live as long as it.
#[derive(Default)]
struct Made {
    right: Vec<Right>,
    running: Vec<Running>,
    pod: Option<Pod>,
    groups: Vec<Group>,
    /// What ends it.
    end: Vec<Command>,
}

impl Made {
    fn of(right: Vec<Right>) -> Self {
        Self::with(right, Vec::new())
    }

    fn with(right: Vec<Right>, end: Vec<Command>) -> Self {
        Self { right, running: Vec::new(), pod: None, groups: Vec::new(), end }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.pod.take();
        for end in &mut self.end {
            let _ = end.stdout(Stdio::null()).status();
        }
    }
}

/// A recorder that is ended with its test, whatever comes of that.
struct Recorder(Running);

impl Recorder {
    fn start(file: &Path, args: &[&str]) -> Self {
        Self(Running(start(file, args)))
    }

    fn stop(mut self) {
        run(Command::new("kill").args(["-INT", &self.0.0.id().to_string()]));
        assert!(self.0.0.wait().unwrap().success());
    }
}

/// A kind of container, and who makes it. Each is there when this returns.
type Row = (&'static str, fn(&World) -> Made);

const ROWS: &[Row] = &[
    ("docker run, exec, rename", |_| {
        let id = docker_run("before", &["--network", "none"]);
        run(&mut docker(&["exec", "before", "true"]));
        run(&mut docker(&["rename", "before", "web"]));
        Made::of(vec![Right { execs: Some(1), ..Right::docker("docker run", "web", id) }])
    }),
    ("docker, network of another", |_| {
        let id = docker_run("web2", &["--network", "container:web"]);
        Made::of(vec![Right::docker("docker, shared network", "web2", id)])
    }),
    ("docker, health check", |_| {
        let id = docker_run("checked", &["--network", "none", "--health-cmd", "true", "--health-interval", "200ms"]);
        until_it_works(|| {
            let mut healthy = Command::new("sh");
            healthy.env("DOCKER_HOST", "unix:///run/docker.sock");
            healthy.args(["-c", "/usr/bin/docker inspect checked | grep -q '\"Status\": \"healthy\"'"]);
            healthy
        });
        Made::of(vec![Right { execs: None, health_checks: true, ..Right::docker("health check", "checked", id) }])
    }),
    ("docker run --rm, gone at once", |world| {
        let name = "short";
        let file = world.dir.path().join("short.id");
        let mut once = docker(&["run", "--rm", "--name", name, "--network", "none", "--cidfile"]);
        run(once.arg(&file).arg(IMAGE).args(["/bin/busybox", "true"]));
        let id = fs::read_to_string(file).unwrap();
        Made::of(vec![Right { runs: false, ..Right::docker("docker run --rm", name, id) }])
    }),
    ("docker, restarted", |_| {
        let options = ["run", "-d", "--name", "again", "--network", "none", "--restart", "always", IMAGE];
        let id = text(&run(docker(&options).args(["/bin/busybox", "sleep", "0.2"]))).trim().to_string();
        until_it_works(|| {
            let mut restarted = Command::new("sh");
            restarted.env("DOCKER_HOST", "unix:///run/docker.sock");
            restarted.args(["-c", "test $(/usr/bin/docker inspect --format '{{.RestartCount}}' again) -ge 2"]);
            restarted
        });
        Made::of(vec![Right { runs: false, ..Right::docker("restart policy", "again", id) }])
    }),
    ("docker build by BuildKit", |world| {
        let dir = world.dir.path().join("build");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("Dockerfile"), format!("FROM {IMAGE}\nRUN [\"/bin/busybox\", \"sleep\", \"0.3\"]\n"))
            .unwrap();
        run(docker(&["build", "--no-cache", "--network", "none", "-t", "built"]).arg(&dir));
        // Its id is nobody's to know.
        Made::of(vec![Right { what: "docker build", kind: "buildkit", init: true, execs: Some(0), ..Right::default() }])
    }),
    ("docker in docker", |world| {
        let dir = world.dir.path();
        fs::write(dir.join("inside.sh"), INSIDE).unwrap();
        let share = format!("{}:/shared", dir.display());
        let mut outer = docker(&["run", "-d", "--name", "outer", "--network", "none"]);
        // --privileged wants every capability there is; these are what Docker needs.
        outer.args(["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE"]);
        outer.args(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]);
        for dir in ["/usr", "/lib", "/lib64", "/sbin"] {
            outer.args(["-v", &format!("{dir}:{dir}:ro")]);
        }
        outer.args(["-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-v", &share, "--tmpfs", "/tmp:exec", "--tmpfs", "/run"]);
        outer.args(["--entrypoint", "/usr/bin/bash"]);
        let id = text(&run(outer.args([IMAGE, "/shared/inside.sh"]))).trim().to_string();
        let file = dir.join("inner.id");
        wait_for(|| fs::read_to_string(&file).is_ok_and(|id| id.trim().len() == 64));
        let inner = fs::read_to_string(&file).unwrap().trim().to_string();
        // Only the Docker inside knows its name.
        let inner = Right {
            what: "docker in docker",
            id: inner,
            kind: "docker",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        Made::of(vec![Right { execs: None, ..Right::docker("docker around docker", "outer", id) }, inner])
    }),
    ("docker-compose", |world| {
        let dir = world.dir.path().join("shop");
        fs::create_dir_all(&dir).unwrap();
        let service = format!("    image: {IMAGE}\n    network_mode: none\n");
        let file = format!("version: \"3\"\nservices:\n  front:\n{service}  back:\n{service}");
        fs::write(dir.join("docker-compose.yml"), file).unwrap();
        let compose = |args: &[&str]| {
            let mut compose = Command::new("docker-compose");
            compose.env("DOCKER_HOST", "unix:///run/docker.sock").current_dir(&dir).args(["-p", "shop"]).args(args);
            compose
        };
        run(&mut compose(&["up", "-d", "--scale", "front=3", "--scale", "back=3"]));
        let list =
            text(&run(&mut docker(&["ps", "--no-trunc", "--filter", "name=shop_", "--format", "{{.ID}} {{.Names}}"])));
        let of = |line: &str| {
            let (id, name) = line.split_once(' ').unwrap();
            let group = Some(("compose", "shop".to_string()));
            Right { group, ..Right::docker("docker-compose", name, id.into()) }
        };
        let right: Vec<Right> = list.lines().map(of).collect();
        assert_eq!(right.len(), 6, "{list}");
        Made::of(right)
    }),
    ("ctr run", |world| {
        let mut made = Made::default();
        for (namespace, name) in [("default", "plain"), ("k8s.io", "kube"), ("own", "owned")] {
            let mut ctr = Command::new("ctr");
            ctr.args(["-n", namespace, "run", "-d", "--rootfs"]).arg(world.rootfs()).arg(name).args(SLEEP);
            run(&mut ctr);
            // Whoever uses the namespace of kubernetes has a name of its own, or none.
            let known = (namespace != "k8s.io").then(|| name.to_string());
            made.right.push(Right {
                what: "ctr run",
                id: name.into(),
                name: known,
                kind: "containerd",
                init: true,
                execs: Some(0),
                runs: true,
                ..Right::default()
            });
            let mut kill = Command::new("ctr");
            kill.args(["-n", namespace, "task", "kill", "-s", "9", name]);
            let mut remove = Command::new("sh");
            remove.args(["-c", &format!("until ctr -n {namespace} c rm {name}; do sleep 0.05; done")]);
            made.end.extend([kill, remove]);
        }
        made
    }),
    ("ctr run of an image", |world| {
        let image = world.dir.path().join("for-ctr.tar");
        run(docker(&["save", "-o"]).arg(&image).arg(IMAGE));
        run(Command::new("ctr").args(["image", "import", "--snapshotter", "native"]).arg(&image));
        let label = "com.docker.compose.project=yard";
        let options = ["run", "-d", "--snapshotter", "native", "--label", label, IMAGE, "shipped"];
        run(Command::new("ctr").args(options).args(SLEEP));
        let mut made = Made::of(vec![Right {
            what: "ctr run of an image",
            id: "shipped".into(),
            name: Some("shipped".into()),
            image: Some(IMAGE.into()),
            kind: "containerd",
            group: Some(("compose", "yard".into())),
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        }]);
        made.end.push(Command::new("ctr"));
        made.end.last_mut().unwrap().args(["task", "kill", "-s", "9", "shipped"]);
        made.end.push(Command::new("sh"));
        made.end.last_mut().unwrap().args(["-c", "until ctr c rm shipped; do sleep 0.05; done"]);
        made
    }),
    ("a pod by CRI", |world| {
        let mut pod = Pod::start(world, "cart");
        pod.probe();
        let group = Some(("pod", "cart".to_string()));
        let of = |id: &String, name: &str, execs: usize, init: bool| Right {
            what: "CRI",
            id: id.clone(),
            name: Some(format!("cart/{name}")),
            image: Some(IMAGE.into()),
            kind: "containerd",
            group: group.clone(),
            init,
            execs: Some(execs),
            runs: true,
            ..Right::default()
        };
        let right = vec![
            of(&pod.sandbox, "(sandbox)", 0, true),
            of(&pod.containers[0], "front", 1, false),
            of(&pod.containers[1], "back", 0, false),
        ];
        let mut made = Made::of(right);
        made.pod = Some(pod);
        made
    }),
    ("podman", |world| {
        let podman = |args: &[&str]| world.podman("runc", args);
        run(podman(&["import"]).arg(world.dir.path().join("root.tar")).arg("localhost/nsscope-test:1"));
        let image = "localhost/nsscope-test:1";
        let start = |name: &str, options: &[&str]| {
            let mut command = podman(&["run", "-d", "--name", name]);
            text(&run(command.args(options).arg(image).args(SLEEP))).trim().to_string()
        };
        let right = |name: &str, id: String| Right {
            what: "podman",
            id,
            name: Some(name.into()),
            image: Some(image.into()),
            kind: "podman",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        let single = start("pweb", &["--network", "none"]);
        run(&mut podman(&["exec", "pweb", "/bin/busybox", "true"]));
        let sleep = SLEEP.join(" ");
        let pod = podman(&[
            "pod",
            "create",
            "--name",
            "ppod",
            "--infra-image",
            image,
            "--infra-command",
            &sleep,
            "--network",
            "none",
        ])
        .output()
        .unwrap();
        let pod = text(&pod).trim().to_string();
        let member = start("member", &["--pod", "ppod"]);
        let infra = text(&run(&mut podman(&["pod", "inspect", "--format", "{{.InfraContainerID}}", "ppod"])))
            .trim()
            .to_string();
        let infra_name = format!("{}-infra", &pod[..12]);
        let group = Some(("pod", "ppod".to_string()));
        let mut made = Made::of(vec![
            Right { execs: Some(1), ..right("pweb", single) },
            Right { group: group.clone(), ..right("member", member) },
            Right { group, ..right(&infra_name, infra) },
        ]);
        made.end.push(podman(&["rm", "-f", "-t", "0", "pweb"]));
        made.end.push(podman(&["pod", "rm", "-f", "-t", "0", "ppod"]));
        made
    }),
    ("podman --cgroups=split", |world| {
        // It wants the unified hierarchy alone; a mount namespace of its own may have that.
        let unit = format!("system.slice/nsscope-{}.service", std::process::id());
        let group = Group::new(&unit);
        let script = format!(
            "umount -R /sys/fs/cgroup || umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && \
             echo $$ > /sys/fs/cgroup/{unit}/cgroup.procs && exec \"$@\""
        );
        let podman = world.podman("runc", &[]);
        let mut split = Command::new("unshare");
        split.args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(podman.get_program());
        for (key, value) in podman.get_envs() {
            split.env(key, value.unwrap());
        }
        split.args(["run", "-d", "--cgroups=split", "--pids-limit=-1", "--name", "unit", "--network", "none"]);
        let id = text(&run(split.arg("localhost/nsscope-test:1").args(SLEEP))).trim().to_string();
        let mut made = Made::of(vec![Right {
            what: "podman --cgroups=split",
            id,
            name: Some("unit".into()),
            image: Some("localhost/nsscope-test:1".into()),
            kind: "podman",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        }]);
        made.end.push(world.podman("runc", &["rm", "-f", "-t", "0", "unit"]));
        made.groups.push(group);
        made
    }),
    ("podman, rootless", |world| {
        let user = "nsscope-test";
        run(Command::new("useradd").args(["-m", user]));
        let uid: u32 = text(&run(Command::new("id").args(["-u", user]))).trim().parse().unwrap();
        let home = Path::new("/home").join(user);
        let runtime = format!("/run/user/{uid}");
        fs::create_dir_all(&runtime).unwrap();
        fs::write(home.join("containers.conf"), podman_config("runc")).unwrap();
        fs::copy(world.dir.path().join("root.tar"), home.join("root.tar")).unwrap();
        run(Command::new("chown").args(["-R", user, &runtime]).arg(&home));
        let podman = |args: &[&str]| {
            let mut command = Command::new("podman");
            command.env("XDG_RUNTIME_DIR", &runtime).env("HOME", format!("/home/{user}"));
            command.env("CONTAINERS_CONF", format!("/home/{user}/containers.conf"));
            command.uid(uid).gid(uid).current_dir("/").args(args);
            command
        };
        run(&mut podman(&["import", &home.join("root.tar").display().to_string(), "localhost/nsscope-test:1"]));
        let mut start = podman(&["run", "-d", "--name", "rootless", "--network", "none", "localhost/nsscope-test:1"]);
        let id = text(&run(start.args(SLEEP))).trim().to_string();
        let mut made = Made::of(vec![Right {
            what: "podman, rootless",
            id,
            name: Some("rootless".into()),
            image: Some("localhost/nsscope-test:1".into()),
            kind: "podman",
            init: true,
            execs: None,
            runs: true,
            ..Right::default()
        }]);
        made.end.push(podman(&["rm", "-f", "-t", "0", "rootless"]));
        let mut remove = Command::new("sh");
        // What podman keeps there is other users' to this one.
        let script = format!(
            "pkill -9 -u {uid}; until userdel -r -f {user} 2> /dev/null; do sleep 0.05; done; rm -rf {runtime}"
        );
        remove.args(["-c", &script]);
        made.end.push(remove);
        made
    }),
    ("crun", |world| {
        let dir = world.dir.path().join("crun");
        busybox(&dir.join("rootfs"));
        run(Command::new("crun").arg("spec").current_dir(&dir));
        let file = dir.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(SLEEP);
        // Limits that whoever runs this may set.
        spec["process"]["rlimits"] = json!([]);
        fs::write(file, spec.to_string()).unwrap();
        // It refuses the hybrid layout, and takes what of it is cgroup v1.
        let script = "umount /sys/fs/cgroup/unified; exec crun run -d crunweb";
        run(Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null()));
        let mut end = Command::new("crun");
        end.args(["delete", "-f", "crunweb"]);
        let right = Right {
            what: "crun",
            id: "crunweb".into(),
            name: Some("crunweb".into()),
            kind: "crun",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        Made::with(vec![right], vec![end])
    }),
    ("lxc", |world| {
        let dir = world.dir.path().join("lxc");
        fs::create_dir_all(&dir).unwrap();
        let config = world.dir.path().join("lxc.conf");
        let lines = [
            format!("lxc.rootfs.path = dir:{}", world.rootfs().display()),
            "lxc.net.0.type = none".into(),
            "lxc.mount.auto = proc:rw".into(),
            format!("lxc.init.cmd = {}", SLEEP.join(" ")),
        ];
        fs::write(&config, lines.join("\n") + "\n").unwrap();
        run(Command::new("lxc-start").args(["-d", "-n", "lweb", "-f"]).arg(config).arg("-P").arg(&dir));
        run(Command::new("lxc-wait").args(["-n", "lweb", "-s", "RUNNING", "-P"]).arg(&dir));
        let mut end = Command::new("lxc-stop");
        end.args(["-k", "-n", "lweb", "-P"]).arg(&dir);
        let right = Right {
            what: "lxc",
            id: "lweb".into(),
            kind: "lxc",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        Made::with(vec![right], vec![end])
    }),
    ("systemd-nspawn", |world| {
        let root = world.dir.path().join("machine");
        busybox(&root);
        let group = Group::new("machine.slice/systemd-nspawn@nspawned.service");
        // Without systemd nobody makes its cgroup, so it is started in the one that systemd has for it.
        let script = format!(
            "echo $$ > {}; exec systemd-nspawn --register=no --keep-unit -q -M nspawned -D {} {}",
            group.procs(),
            root.display(),
            SLEEP.join(" ")
        );
        let child =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(|| runs_below(child.id(), "busybox"));
        let right = Right {
            what: "systemd-nspawn",
            id: "nspawned".into(),
            kind: "systemd-nspawn",
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        let mut made = Made::of(vec![right]);
        made.running.push(Running(child));
        made.groups.push(group);
        made
    }),
    ("bubblewrap", |_| {
        let options = [
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "sh",
            "-c",
            "echo $(readlink /proc/self/ns/pid); exec sleep 6000",
        ];
        let mut child = Command::new("bwrap").args(options).stdout(Stdio::piped()).spawn().unwrap();
        let mut id = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut id).unwrap();
        let right = Right {
            what: "bubblewrap",
            id: id.trim().into(),
            kind: "bubblewrap",
            init: true,
            execs: Some(0),
            runs: true,
            ..Right::default()
        };
        let mut end = Command::new("pkill");
        end.args(["-9", "-P", &child.id().to_string()]);
        {
            let mut made = Made::with(vec![right], vec![end]);
            made.running.push(Running(child));
            made
        }
    }),
];

/// Whether a process of this name descends from another.
fn runs_below(pid: u32, comm: &str) -> bool {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().any(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        name.trim_end() == comm || runs_below(child.parse().unwrap(), comm)
    })
}

/// What runs in the container around Docker.
const INSIDE: &str = r#"export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /tmp/state /tmp/root /var/lib /var/run
containerd --root /tmp/root/c --state /tmp/state/c --address /tmp/state/c.sock > /tmp/c.log 2>&1 &
until [ -S /tmp/state/c.sock ]; do sleep 0.1; done
dockerd --containerd /tmp/state/c.sock -H unix:///tmp/state/d.sock --data-root /tmp/root/d --exec-root /tmp/state/d \
    -p /tmp/state/d.pid --iptables=false --bridge=none --storage-driver=vfs > /tmp/d.log 2>&1 &
docker() { /usr/bin/docker -H unix:///tmp/state/d.sock "$@"; }
until docker ps > /dev/null 2>&1; do sleep 0.1; done
docker import /shared/root.tar inner
docker run -d --name inner --network none inner /bin/busybox sleep 6000 > /shared/inner.id
sleep 6000
"#;

/// The containers of what a command says, by id.
fn by_id(said: &Value) -> BTreeMap<String, Value> {
    let containers = said["containers"].as_array().unwrap().iter();
    containers.map(|container| (container["id"].as_str().unwrap().to_string(), container.clone())).collect()
}

/// What is the same in every answer.
fn agrees(right: &Right, container: &Value, where_: &str) {
    let what = format!("{} ({}) in {where_}: {container}", right.what, right.title());
    assert_eq!(container["kind"], right.kind, "{what}");
    assert_eq!(container["name"].as_str().filter(|name| !name.is_empty()), right.name.as_deref(), "{what}");
    if right.image.is_some() {
        assert_eq!(container["image"].as_str(), right.image.as_deref(), "{what}");
    }
    let title = container["title"].as_str().unwrap();
    match &right.name {
        Some(name) => assert!(title.starts_with(name.as_str()), "{what}"),
        None if right.id.starts_with("pid:[") => {
            assert!(title.starts_with("sh:") || title.starts_with("bwrap:") || title.starts_with("sleep:"), "{what}");
        }
        None => assert!(right.id.starts_with(title), "{what}"),
    }
    assert!(container["processes"].as_u64() >= Some(1), "{what}");
    let commands: Vec<&str> = container["commands"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    if where_ == "proc" {
        // /proc shows a runtime at work, and not what becomes of it.
        return;
    }
    // A runtime runs one that is within another.
    let helps = |command: &&str| ["runc", "crun"].contains(command) && right.what != "docker around docker";
    assert!(!commands.iter().any(|command| helps(command) || command.contains(":[")), "{what}");
}

/// The group of a container: kind and name.
fn group_of(said: &Value, id: &str) -> Option<(String, String)> {
    let mut groups = said["groups"].as_array().unwrap().iter();
    let group = groups.find(|group| group["containers"].as_array().unwrap().iter().any(|member| member == id))?;
    Some((group["kind"].as_str().unwrap().into(), group["name"].as_str().unwrap().into()))
}

/// Nobody but those that are right is there.
fn no_others(right: &[Right], said: &Value, where_: &str) {
    let known: BTreeSet<&str> = right.iter().map(|right| right.id.as_str()).collect();
    let others: Vec<Value> =
        by_id(said).into_iter().filter(|(id, _)| !known.contains(id.as_str())).map(|(_, other)| other).collect();
    assert!(others.is_empty(), "phantoms in {where_}: {others:#?}");
}

/// Whether a container has what a filter asks for, by the output itself.
type Has<'a> = &'a dyn Fn(&Value) -> bool;

#[test]
fn every_runtimes_containers_are_what_they_are() {
    needs!("every_runtimes_containers", cannot_record(), no_bpf(), not_root(), no_cgroup2());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("every_runtimes_containers", &why),
    };
    let dir = world.dir.path();
    let before = by_id(&json_of(nsscope().args(["ps", "--json"])));
    assert!(before.is_empty(), "other containers run here: {before:?}");
    let backends = ["perf", "bpf", "proc"];
    let files = backends.map(|backend| dir.join(format!("{backend}.data")));
    let recorders: Vec<_> = backends
        .iter()
        .zip(&files)
        .map(|(backend, file)| Recorder::start(file, &["-a", "--backend", backend]))
        .collect();
    let seen = dir.join("events.json");
    let events = nsscope()
        .args(["events", "--json", "--filter", "container!=host"])
        .stdout(fs::File::create(&seen).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let events = Running(events);

    let made: Vec<(&str, Made)> = ROWS
        .iter()
        .map(|&(what, start)| {
            eprintln!("starting: {what}");
            (what, start(&world))
        })
        .collect();
    let mut right: Vec<Right> = made.iter().flat_map(|(_, made)| made.right.clone()).collect();

    // What runs, to one who asks now.
    let ps = json_of(nsscope().args(["ps", "--json"]));
    let now = by_id(&ps);
    for right in right.iter().filter(|right| right.runs) {
        let container = now.get(&right.id).unwrap_or_else(|| panic!("{right:?} is not in {ps:#}"));
        agrees(right, container, "ps");
        let group = group_of(&ps, &right.id);
        let group = group.as_ref().map(|(kind, name)| (kind.as_str(), name.clone()));
        assert_eq!(group, right.group, "{right:?}");
        let members = container["members"].as_array().unwrap();
        let root = members.iter().find(|member| member["role"] == "root").unwrap();
        let inside = root["nspids"].as_array().unwrap().last().and_then(Value::as_u64);
        if right.init {
            assert_eq!(inside, Some(1), "{right:?}: {container:#}");
        }
    }
    let web = &now[&right[0].id];
    assert_eq!(now[&right[1].id]["shares"], json!({ "net": [right[0].id] }), "{web:#}");
    let table = text(&run(nsscope().arg("ps")));
    let line = table.lines().find(|line| line.trim_start().starts_with("web2 ")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("=web") && line.contains("docker"), "{table}");
    let shop = json_of(nsscope().args(["ps", "--json", "--filter", "compose=shop service=back"]));
    assert_eq!(shop["containers"].as_array().unwrap().len(), 3, "{shop:#}");
    let pod = json_of(nsscope().args(["ps", "--json", "--filter", "pod=cart namespace=prod"]));
    assert_eq!(pod["containers"].as_array().unwrap().len(), 3, "{pod:#}");

    // Each field of a filter picks those that have it.
    let (pid, net) = (&web["root_pid"], &web["namespaces"]["net"]);
    let fields: [(String, Has<'_>); 5] = [
        ("kind=docker".into(), &|container| container["kind"] == "docker"),
        (format!("image={IMAGE}"), &|container| container["image"] == IMAGE),
        ("cgroup~/docker/".into(), &|container| container["cgroup"].as_str().is_some_and(|of| of.contains("/docker/"))),
        (format!("pid={pid}"), &|container| container["root_pid"] == *pid),
        (format!("ns=net:[{net}]"), &|container| container["namespaces"]["net"] == *net),
    ];
    for (filter, has) in fields {
        let picked = by_id(&json_of(nsscope().args(["ps", "--json", "--filter", &filter])));
        let right: Vec<&String> = now.iter().filter(|(_, container)| has(container)).map(|(id, _)| id).collect();
        assert!(!right.is_empty() && right.len() < now.len(), "{filter}: {right:?}");
        assert_eq!(picked.keys().collect::<Vec<_>>(), right, "{filter}");
    }

    let top = text(&run(nsscope().args(["top", "--json", "--duration", "2s", "--interval", "500ms"])));
    let top: Value = serde_json::from_str(top.lines().last().unwrap()).unwrap();
    for right in right.iter().filter(|right| right.runs) {
        let all = by_id(&top);
        agrees(right, all.get(&right.id).unwrap_or_else(|| panic!("{right:?} is not in {top:#}")), "top");
    }

    // One of them alone, by its name.
    let named: Vec<&Right> = right
        .iter()
        .filter(|right| right.runs && !right.health_checks && right.what != "docker around docker")
        .collect();
    for right in named {
        for backend in backends {
            let file = dir.join("one.data");
            let container = if right.id.starts_with("pid:[") { right.id.as_str() } else { right.title() };
            let args = ["record", "--backend", backend, "--container", container, "--duration", "50ms", "-o"];
            let output = nsscope().args(args).arg(&file).output().unwrap();
            assert!(output.status.success(), "{right:?} by {backend}: {}", errors(&output));
            let one = report(&file);
            let all = by_id(&one);
            agrees(right, all.get(&right.id).unwrap_or_else(|| panic!("{right:?} is not in {one:#}")), backend);
            let inside: Vec<&Value> =
                all.values().filter(|container| container["running_processes"].as_u64() > Some(0)).collect();
            // Those it descends from are told, too, and Docker's are in the container around it.
            let around = usize::from(right.what == "docker in docker");
            assert_eq!(inside.len(), 1 + around, "{right:?} by {backend}: {inside:#?}");
        }
    }

    let ids: Vec<&str> = right.iter().filter(|right| right.kind == "docker").map(|right| right.id.as_str()).collect();
    let _ = docker(&["rm", "-f"]).args(ids).output();
    drop(made);
    wait_for(|| by_id(&json_of(nsscope().args(["ps", "--json"]))).is_empty());
    recorders.into_iter().for_each(Recorder::stop);
    drop(events);

    // Afterwards.
    for (backend, file) in backends.iter().zip(&files) {
        let report = report(file);
        let all = by_id(&report);
        let built: Vec<&Value> = all.values().filter(|container| container["kind"] == "buildkit").collect();
        // One that lives so short /proc need not show.
        assert!(built.len() == 1 || *backend == "proc", "{built:#?}");
        if let Some(built) = built.first() {
            right.iter_mut().find(|right| right.kind == "buildkit").unwrap().id = built["id"].as_str().unwrap().into();
        }
        no_others(&right, &report, backend);
        for right in &right {
            let Some(container) = all.get(&right.id) else {
                assert!(*backend == "proc" && !right.runs, "{right:?} is not in {backend}: {report:#}");
                continue;
            };
            agrees(right, container, backend);
            let what = format!("{right:?} by {backend}: {container:#}");
            assert!(container["first_exact"] == true || *backend == "proc", "{what}");
            assert!(container["first"].as_u64() < container["last"].as_u64(), "{what}");
            if *backend == "proc" {
                continue;
            }
            if let Some(execs) = right.execs {
                assert_eq!(container["execs"], execs, "{what}");
            }
            assert_eq!(container["health_checks"].as_u64() > Some(0), right.health_checks, "{what}");
            // What is started in its cgroup already, as systemd does, is all its own.
            let maker = match right.kind {
                "lxc" => Some("lxc-start"),
                "crun" => Some("crun"),
                "bubblewrap" => Some("bwrap"),
                "systemd-nspawn" => Some("systemd-nspawn"),
                _ => Some("runc"),
            };
            assert_eq!(container["created_by"].as_str(), maker, "{what}");
            assert_eq!(container["created_ns"].as_u64() > Some(0), maker.is_some(), "{what}");
        }
    }
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let lines = fs::read_to_string(&seen).unwrap();
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let id = event["container"].as_str().unwrap().to_string();
        told.entry(id).or_default().extend(event["container_name"].as_str().map(String::from));
    }
    for right in &right {
        let names = told.get(&right.id).unwrap_or_else(|| panic!("{right:?} is in no event of {:?}", told.keys()));
        if let Some(name) = &right.name {
            assert!(names.contains(name), "{right:?}: {names:?}");
        }
    }
    // Where no cgroup tells it, it is known by its namespace until its runtime has said what it is.
    // That is what most events wait for; a runtime that is slower than that names the rest.
    let told_late =
        right.iter().filter(|right| ["podman, rootless", "crun"].contains(&right.what) || right.id == "owned");
    let late = told_late.map(|right| format!("pid:[{}]", now[&right.id]["namespaces"]["pid"]));
    let known: BTreeSet<String> = right.iter().map(|right| right.id.clone()).chain(late).collect();
    let others: Vec<&String> = told.keys().filter(|id| !known.contains(*id)).collect();
    let theirs = |line: &&str| others.iter().any(|id| line.contains(id.as_str()));
    assert!(others.is_empty(), "phantoms in events: {:#?}", lines.lines().filter(theirs).collect::<Vec<_>>());
}

/// What somebody is told who was not there: each by its name, none twice, and nothing else.
#[test]
fn a_hundred_containers_that_come_and_go_have_their_names() {
    needs!("a_hundred_containers", cannot_record(), no_bpf(), not_root(), no_cgroup2());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("a_hundred_containers", &why),
    };
    let files = ["perf", "bpf", "proc"].map(|backend| (backend, world.dir.path().join(format!("{backend}.data"))));
    let recorders: Vec<_> =
        files.iter().map(|(backend, file)| Recorder::start(file, &["-a", "--backend", backend])).collect();
    let script =
        "for i in $(seq $1 $2); do /usr/bin/docker run --rm --name many-$i --network none $3 /bin/busybox true; done";
    // As many at a time as there are CPUs.
    let running: Vec<_> = [("1", "50"), ("51", "100")]
        .map(|(from, to)| {
            let mut sh = Command::new("sh");
            sh.env("DOCKER_HOST", "unix:///run/docker.sock")
                .args(["-c", script, "sh", from, to, IMAGE])
                .spawn()
                .unwrap()
        })
        .into();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    recorders.into_iter().for_each(Recorder::stop);
    for (backend, file) in files {
        let report = report(&file);
        let containers = report["containers"].as_array().unwrap();
        let mut names: Vec<&str> =
            containers.iter().map(|container| container["name"].as_str().unwrap_or("no name")).collect();
        names.sort_unstable();
        let mut right: Vec<String> = (1..=100).map(|number| format!("many-{number}")).collect();
        right.sort_unstable();
        if backend == "proc" {
            // Between two looks a container may be over.
            names.dedup();
            assert_eq!(names.len(), containers.len(), "{backend}: twice");
            right.retain(|name| names.contains(&name.as_str()));
        }
        assert_eq!(names, right, "{backend}");
        let said = errors(&run(nsscope().arg("stat").arg(&file)));
        assert!(!said.contains("too late"), "{backend}: {said}");
        assert_eq!(report["groups"], json!([]), "{backend}");
    }
}

/// A namespace that nobody is in, with what keeps it.
#[test]
fn namespaces_without_a_process_are_shown_with_what_keeps_them() {
    needs!("namespaces_without_a_process", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let name = format!("nsscope-{}", std::process::id());
    run(Command::new("ip").args(["netns", "add", &name]));
    // One that an open file keeps: whoever made it has ended.
    let mut child = Command::new("unshare").args(["-u", "sleep", "60"]).spawn().unwrap();
    let link = format!("/proc/{}/ns/uts", child.id());
    let host = fs::read_link("/proc/self/ns/uts").unwrap();
    wait_for(|| fs::read_link(&link).is_ok_and(|link| link != host));
    let held = fs::File::open(&link).unwrap();
    let uts = fs::read_link(&link).unwrap().display().to_string();
    child.kill().unwrap();
    child.wait().unwrap();

    let kept = |said: &Value, by: &str| -> Option<Value> {
        let all = said["kept"].as_array().unwrap();
        all.iter().find(|kept| kept["by"].as_str().unwrap().contains(by)).cloned()
    };
    let file = dir.path().join("kept.data");
    run(nsscope().args(["record", "--duration", "100ms", "-o"]).arg(&file));
    for said in [json_of(nsscope().args(["ps", "--json"])), report(&file)] {
        let net = kept(&said, &format!("/run/netns/{name}")).unwrap_or_else(|| panic!("{said:#}"));
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(format!("/run/netns/{name}")).unwrap());
        assert_eq!((&net["type"], &net["ino"]), (&json!("net"), &json!(inode)), "{net}");
        let fd = kept(&said, &format!("of {} (", std::process::id())).unwrap_or_else(|| panic!("{said:#}"));
        assert_eq!(format!("uts:[{}]", fd["ino"]), uts, "{fd}");
        // Where the kernel has numbers that it never gives again, they are told.
        assert!(fd["unique"].is_null() || fd["unique"].as_u64() > Some(0), "{fd}");
    }
    let table = text(&run(nsscope().arg("ps")));
    assert!(table.contains(&format!("mount /run/netns/{name}")), "{table}");
    // Who is in it is no part of what a command does: that recording does not know that there is nobody.
    let inside = Running(Command::new("ip").args(["netns", "exec", &name, "sleep", "60"]).spawn().unwrap());
    let part = dir.path().join("part.data");
    run(nsscope().args(["record", "-o"]).arg(&part).args(["--", "true"]));
    assert_eq!(report(&part)["kept"], json!([]));
    drop(inside);
    drop(held);
    run(Command::new("ip").args(["netns", "del", &name]));
    let after = json_of(nsscope().args(["ps", "--json"]));
    assert!(kept(&after, &name).is_none(), "{after:#}");
}

/// What comes into a container that was there before the recording began.
#[test]
fn an_exec_into_a_container_that_already_ran_is_one() {
    needs!("an_exec_into_a_container_that_already_ran", cannot_record(), no_bpf(), not_root());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("an_exec_into_a_container_that_already_ran", &why),
    };
    let id = docker_run("old", &["--network", "none"]);
    for backend in ["perf", "bpf"] {
        let file = world.dir.path().join(format!("{backend}.data"));
        let recorder = Recorder::start(&file, &["-a", "--backend", backend]);
        run(&mut docker(&["exec", "old", "true"]));
        recorder.stop();
        let report = report(&file);
        let container = &by_id(&report)[&id];
        assert_eq!(
            (&container["execs"], &container["health_checks"]),
            (&json!(1), &json!(0)),
            "{backend}: {container:#}"
        );
        let members = container["members"].as_array().unwrap();
        let role = |role: &str| members.iter().filter(|member| member["role"] == role).count();
        assert_eq!((role("root"), role("exec"), members.len()), (1, 1, 2), "{backend}: {container:#}");
        assert_eq!(report["containers"].as_array().unwrap().len(), 1, "{backend}: {report:#}");
    }
}

/// The README's first command, where Docker runs: three containers, and nothing left of them, also after Ctrl-C.
#[test]
fn the_demo_starts_containers_and_removes_them() {
    needs!("the_demo_starts_containers", cannot_record(), not_root());
    let _world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("the_demo_starts_containers", &why),
    };
    let nothing_left = || {
        let left = text(&run(&mut docker(&["ps", "-aq"])));
        let images = text(&run(&mut docker(&["images", "-q", "nsscope-demo"])));
        assert_eq!((left.as_str(), images.as_str()), ("", ""));
    };
    let demo = || {
        let mut demo = nsscope();
        demo.arg("demo")
            .env("DOCKER_HOST", "unix:///run/docker.sock")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        demo
    };
    let output = run(&mut demo());
    let shown = text(&output);
    assert!(shown.contains("compose nsscope-demo"), "{shown}");
    for (name, of) in [("web", "health check"), ("cache", "created by runc"), ("batch", "sh")] {
        let at = shown.find(&format!("nsscope-demo-{name} (")).unwrap_or_else(|| panic!("{name}: {shown}"));
        assert!(shown[at..].contains(of), "{name}: {shown}");
    }
    assert!(errors(&output).contains("nsscope ps"), "{}", errors(&output));
    nothing_left();

    let child = demo().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| !text(&run(&mut docker(&["ps", "-q"]))).is_empty());
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    Running(child).0.wait().unwrap();
    nothing_left();
}

/// Children that come and go while the recorder is still reading /proc are seen before the container's first process is:
/// they are the container's, and it was there before.
#[test]
fn a_container_that_forks_while_a_recording_begins_is_one() {
    needs!("a_container_that_forks", cannot_record(), not_root());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("a_container_that_forks", &why),
    };
    let forks = "while :; do /bin/busybox true; done";
    let id = text(&run(docker(&["run", "-d", "--name", "forks", IMAGE, "sh", "-c"]).arg(forks)));
    let id = id.trim();
    let mut early = 0;
    for (nth, backend) in ["perf", "bpf", "perf", "bpf", "perf", "perf"].into_iter().enumerate() {
        let file = world.dir.path().join(format!("{nth}.data"));
        run(nsscope().args(["record", "-a", "--backend", backend, "--duration", "200ms", "-o"]).arg(&file));
        let report = report(&file);
        let container = &by_id(&report)[id];
        let all = report["containers"].as_array().unwrap().iter();
        let same = all.filter(|other| other["namespaces"]["pid"] == container["namespaces"]["pid"]);
        assert_eq!(same.count(), 1, "{backend}: {report:#}");
        let init = &container["root_pid"];
        assert_eq!((&container["name"], &container["first_exact"]), (&json!("forks"), &json!(false)), "{container:#}");
        let events = events(&file);
        let described = events.iter().position(|event| event["pid"] == *init).unwrap();
        early += events[..described].iter().filter(|event| event["kind"] == "exit" && event["ppid"] == *init).count();
        // Its first process stands first.
        let shown = text(&run(nsscope().arg("report").arg(&file)));
        let tree = shown.lines().find(|line| line.contains("|- ") || line.contains("`- ")).unwrap_or_default();
        assert!(tree.contains(&format!("- {init} ")), "{shown}");
    }
    assert!(early > 0, "no child ended before its parent was described: this shows nothing");
}
