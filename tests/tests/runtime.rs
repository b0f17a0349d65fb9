//! Containers of real runtimes and sandboxes, as the capture shows them.

use nsscope_tests::{
    Group, actor, by_id, cannot_record, copy_program, errors, missing, needs, no_cgroup2, not_root, nsscope, report,
    run, start, stop, text, wait_for,
};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn no_busybox() -> Option<String> {
    (!Path::new("/usr/bin/busybox").exists()).then(|| "busybox is not installed (Debian: busybox-static)".into())
}

/// A root directory of busybox: `rootfs` in `dir`.
fn rootfs(dir: &Path) {
    let bin = dir.join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    copy_program("/usr/bin/busybox", bin.join("busybox"));
    for applet in ["sh", "sleep", "readlink"] {
        symlink("busybox", bin.join(applet)).unwrap();
    }
}

/// A container of busybox that runs `script` in the cgroup `path`, as a bundle of runc.
fn bundle(dir: &Path, path: &str, script: &str) {
    rootfs(dir);
    run(Command::new("runc").arg("spec").current_dir(dir));
    let config = dir.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["sh", "-c", script]);
    spec["linux"]["cgroupsPath"] = json!(path);
    fs::write(config, spec.to_string()).unwrap();
}

#[test]
fn a_container_of_runc_is_shown_with_its_namespaces_and_members() {
    needs!(
        "a_container_of_runc_is_shown_with_its_namespaces_and_members",
        cannot_record(),
        missing("runc", "runc"),
        no_busybox()
    );
    let dir = tempfile::tempdir().unwrap();
    let id = "4ded89b3f9f0".repeat(6)[..64].to_string();
    let own = ["net", "uts", "ipc", "pid", "mnt"];
    let links = own.map(|kind| format!("/proc/self/ns/{kind}")).join(" ");
    bundle(dir.path(), &format!("/docker/{id}"), &format!("for i in {links}; do readlink $i; done; sleep 0.1"));
    let file = dir.path().join("runc.data");
    let recorder = start(&file, &["-a"]);
    let name = format!("nsscope-{}", std::process::id());
    let inside = run(Command::new("runc").arg("--root").arg(dir.path()).args(["run", "-b"]).arg(dir.path()).arg(name));
    run(Command::new(actor()).args(["storm", "10", "1"]));
    stop(recorder);

    let report = report(&file);
    let container = by_id(&report, &id);
    assert_eq!(container["runtime"], "docker");
    assert_eq!(container["evidence"]["cgroup"], format!("/docker/{id}"));
    let told: Vec<String> = own.iter().map(|&kind| format!("{kind}:[{}]", container["namespaces"][kind])).collect();
    assert_eq!(told, text(&inside).lines().collect::<Vec<_>>(), "{container}");
    assert_eq!(container["own"], json!(own));
    let commands: Vec<_> = container["commands"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(commands.contains(&"sh") && commands.contains(&"sleep"), "{commands:?}");
    assert!(!commands.contains(&"ns-actor"), "{commands:?}");
    assert!(container["first"].as_u64() < container["last"].as_u64(), "{container}");
    assert_eq!(container["first_exact"], true);
}

/// podman's container, for a user who may not read podman's files but is let to its socket.
#[test]
fn a_container_of_podman_has_the_name_that_its_socket_tells() {
    needs!(
        "a_container_of_podman",
        missing("podman", "podman"),
        missing("runc", "runc"),
        no_busybox(),
        no_cgroup2(),
        not_root()
    );
    let dir = tempfile::tempdir().unwrap();
    rootfs(dir.path());
    let name = format!("nsscope-{}", std::process::id());
    let podman = |args: &[&str]| {
        let mut command = Command::new("podman");
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]).args(args);
        command
    };
    // Limits that whoever runs this may set.
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let mut start = podman(&["run", "--detach", "--network", "none", "--name", &name]);
    let id = run(start.args(limits).arg("--rootfs").arg(dir.path().join("rootfs")).args(["sleep", "60"]));
    let (user, socket) = ("/run/user/65533", "/run/user/65533/podman/podman.sock");
    fs::create_dir_all("/run/user/65533/podman").unwrap();
    let mut service = podman(&["system", "service", "--time", "0", &format!("unix://{socket}")]).spawn().unwrap();
    wait_for(|| Path::new(socket).exists());
    let program = dir.path().join("nsscope");
    copy_program(nsscope().get_program(), &program);
    for path in [dir.path(), &program, Path::new(socket)] {
        std::os::unix::fs::chown(path, Some(65_533), Some(65_533)).unwrap();
    }
    let ps = run(Command::new(&program).args(["ps", "--json"]).current_dir("/").uid(65_533).gid(65_533));
    service.kill().unwrap();
    service.wait().unwrap();
    fs::remove_dir_all(user).unwrap();
    run(podman(&["rm", "--force", "--time", "0", &name]).stdout(Stdio::null()));
    let ps: Value = serde_json::from_slice(&ps.stdout).unwrap();
    let container = by_id(&ps, text(&id).trim());
    assert_eq!((&container["name"], &container["kind"]), (&json!(name), &json!("podman")), "{container}");
}

/// A socket that nobody answers at costs a moment, and is told.
#[test]
fn a_runtime_that_does_not_answer_is_told() {
    needs!("a_runtime_that_does_not_answer", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let podman = UnixListener::bind(dir.path().join("podman.sock")).unwrap();
    // One that does not even take in who asks: there is room for one, who is there.
    let docker = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
    rustix::net::listen(&docker, 0).unwrap();
    let first = UnixStream::connect(dir.path().join("docker.sock")).unwrap();
    let alone = r#"
        mount -t tmpfs tmpfs /run && mkdir -p /run/podman /run/crun/silent && mount --bind "$1" /run/podman || exit 1
        ln -s podman/docker.sock /run/docker.sock
        unshare -pf sleep 60 & unshare=$!
        until pid=$(cat /proc/$unshare/task/$unshare/children) && [ -n "$pid" ]; do sleep 0.01; done
        echo "{\"pid\": $pid}" > /run/crun/silent/status
        "$2" ps --json
        kill -KILL $pid"#;
    let mut ps = Command::new("unshare");
    ps.args(["-m", "sh", "-c", alone, "sh"]).arg(dir.path()).arg(nsscope().get_program());
    let output = run(&mut ps);
    drop((podman, docker, first));
    for socket in ["/run/podman/podman.sock", "/run/docker.sock"] {
        let silence = format!("{socket} has not answered in 2 s: containers of this runtime may have no names");
        assert!(errors(&output).contains(&silence), "{output:?}");
    }
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut all = told["containers"].as_array().unwrap().iter();
    assert!(all.any(|container| container["name"] == "silent" && container["runtime"] == "crun"), "{told:#}");
}

/// What a sandbox says of its own namespaces is what the capture says of the container with its pid namespace.
fn agrees(report: &Value, inside: &str, own: &[&str]) {
    let pid = inside.lines().find(|line| line.starts_with("pid:")).unwrap_or_else(|| panic!("{inside}"));
    let all = report["containers"].as_array().unwrap().iter();
    let mut all = all.filter(|container| format!("pid:[{}]", container["namespaces"]["pid"]) == pid);
    let container = all.next().unwrap_or_else(|| panic!("{pid} is not in {report}"));
    let told: Vec<String> = own.iter().map(|&kind| format!("{kind}:[{}]", container["namespaces"][kind])).collect();
    assert_eq!(told, inside.lines().collect::<Vec<_>>(), "{container}");
    assert_eq!(container["own"], json!(own), "{container}");
    assert!(container["why"][0].as_str().is_some_and(|why| why.contains(pid)), "{container}");
    assert!(container["first"].as_u64() < container["last"].as_u64(), "{container}");
    let leader = &container["members"][0];
    assert!(leader["start_exact"] == true && leader["end"].is_u64(), "{leader}");
}

fn tell(own: &[&str]) -> String {
    let links: Vec<_> = own.iter().map(|kind| format!("/proc/self/ns/{kind}")).collect();
    format!("for i in {}; do readlink $i; done; sleep 0.1", links.join(" "))
}

#[test]
fn a_sandbox_of_bubblewrap_is_shown_with_its_namespaces() {
    needs!("a_sandbox_of_bubblewrap", cannot_record(), missing("bwrap", "bubblewrap"), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bwrap.data");
    let own = ["net", "uts", "ipc", "pid", "user", "mnt", "cgroup"];
    let recorder = start(&file, &["-a"]);
    let options = ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "sh", "-c"];
    // As a user without rights, as flatpak and the like use it.
    let inside = run(Command::new("bwrap").args(options).arg(tell(&own)).uid(65_534).gid(65_534).current_dir("/"));
    stop(recorder);
    agrees(&report(&file), &text(&inside), &own);
}

#[test]
fn a_rootless_container_is_shown_with_its_namespaces() {
    needs!("a_rootless_container", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rootless.data");
    let own = ["net", "pid", "user", "mnt"];
    let recorder = start(&file, &["-a"]);
    let options = ["-U", "-r", "-n", "-p", "-m", "-f", "--mount-proc", "sh", "-c"];
    let script = format!("test $(id -u) = 0 && {}", tell(&own));
    let inside = run(Command::new("unshare").args(options).arg(script).uid(65_534).gid(65_534).current_dir("/"));
    stop(recorder);
    agrees(&report(&file), &text(&inside), &own);
}

#[test]
fn a_machine_of_systemd_nspawn_is_shown_with_its_name() {
    needs!(
        "a_machine_of_systemd_nspawn",
        cannot_record(),
        missing("systemd-nspawn", "systemd-container"),
        no_busybox(),
        no_cgroup2(),
        not_root()
    );
    let dir = tempfile::tempdir().unwrap();
    rootfs(dir.path());
    let root = dir.path().join("rootfs");
    fs::create_dir_all(root.join("usr")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), "ID=busybox\n").unwrap();
    let file = dir.path().join("nspawn.data");
    let name = format!("nsscope{}", std::process::id());
    // Without systemd nobody makes its cgroup, so it is started in one of the shape that systemd gives it.
    let group = Group::new(&format!("machine.slice/systemd-nspawn@{name}.service"));
    let own = ["uts", "ipc", "pid", "mnt"];
    let recorder = start(&file, &["-a"]);
    let nspawn = format!(
        "echo $$ > {}; exec systemd-nspawn --register=no --keep-unit -q -M {name} -D {} --as-pid2 /bin/sh -c '{}'",
        group.procs(),
        root.display(),
        tell(&own)
    );
    let inside = run(Command::new("sh").args(["-c", &nspawn]).stdin(Stdio::null()));
    stop(recorder);
    let report = report(&file);
    let container = by_id(&report, &name);
    assert_eq!(container["kind"], "systemd-nspawn");
    let told: Vec<String> = own.iter().map(|&kind| format!("{kind}:[{}]", container["namespaces"][kind])).collect();
    assert_eq!(told, text(&inside).lines().map(str::trim_end).collect::<Vec<_>>(), "{container}");
    let commands: Vec<_> = container["commands"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(commands.contains(&"readlink") && !commands.contains(&"ns-actor"), "{commands:?}");
}
