//! A real container runtime's container, as the capture shows it.

use nsscope_tests::{actor, cannot_record, missing, needs, nsscope, report, run, text};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn no_busybox() -> Option<String> {
    (!Path::new("/usr/bin/busybox").exists()).then(|| "busybox is not installed (Debian: busybox-static)".into())
}

/// A container of busybox that runs `script` in the cgroup `path`.
fn bundle(dir: &Path, path: &str, script: &str) {
    let bin = dir.join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/usr/bin/busybox", bin.join("busybox")).unwrap();
    for applet in ["sh", "sleep", "readlink"] {
        symlink("busybox", bin.join(applet)).unwrap();
    }
    run(Command::new("runc").arg("spec").current_dir(dir));
    let config = dir.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["sh", "-c", script]);
    spec["linux"]["cgroupsPath"] = json!(path);
    fs::write(config, spec.to_string()).unwrap();
}

/// Waits until the recorder has begun: its own synthesized name is then behind it.
fn record_all(file: &Path) -> Child {
    let mut recorder = nsscope();
    recorder.args(["record", "-a", "-o"]).arg(file).stderr(Stdio::null());
    let recorder = recorder.spawn().unwrap();
    while fs::metadata(file).map_or(0, |metadata| metadata.len()) < 8192 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    recorder
}

fn stop(mut recorder: Child) {
    run(Command::new("kill").args(["-INT", &recorder.id().to_string()]));
    recorder.wait().unwrap();
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
    let recorder = record_all(&file);
    let name = format!("nsscope-{}", std::process::id());
    let inside = run(Command::new("runc").arg("--root").arg(dir.path()).args(["run", "-b"]).arg(dir.path()).arg(name));
    run(Command::new(actor()).args(["storm", "10", "1"]));
    stop(recorder);

    let report = report(&file);
    let containers = report["containers"].as_array().unwrap();
    let container =
        containers.iter().find(|container| container["id"] == id.as_str()).unwrap_or_else(|| panic!("{report}"));
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
