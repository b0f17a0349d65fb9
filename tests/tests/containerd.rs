//! A containerd that keeps its files where nobody would look, as distributions of kubernetes do: all that is known of its
//! containers is what its interface says.
#![allow(missing_docs)]

use nsscope_tests::runtimes::{IMAGE, SLEEP, World, docker};
use nsscope_tests::{cannot_record, json_of, needs, not_root, nsscope, report, run, skip, start, stop, wait_for};
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;

/// Where k0s has it listen.
const SOCKET: &str = "/run/k0s/containerd.sock";

fn ctr(args: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.args(["-a", SOCKET, "-n", "jobs"]).args(args);
    command
}

/// The container that ran before. It ends with this, whatever the test comes to.
struct Early;

impl Drop for Early {
    fn drop(&mut self) {
        let _ = ctr(&["task", "kill", "-s", "KILL", "early"]).status();
        wait_for(|| ctr(&["container", "rm", "early"]).output().is_ok_and(|output| output.status.success()));
    }
}

/// A container by its name.
fn named<'r>(said: &'r Value, name: &str) -> Vec<&'r Value> {
    said["containers"].as_array().unwrap().iter().filter(|container| container["name"] == name).collect()
}

#[test]
fn its_interface_names_what_runs_and_what_begins() {
    let name = "its_interface_names_what_runs_and_what_begins";
    needs!(name, cannot_record(), not_root());
    let mut world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip(name, &why),
    };
    let dir = world.dir.path().to_path_buf();
    let config = format!(
        "version = 2\nroot = \"{0}/elsewhere/root\"\nstate = \"{0}/elsewhere/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{SOCKET}\"\n",
        dir.display()
    );
    let file = dir.join("elsewhere.toml");
    fs::write(&file, config).unwrap();
    fs::create_dir_all("/run/k0s").unwrap();
    world.daemon("elsewhere", Command::new("containerd").arg("-c").arg(&file), || UnixStream::connect(SOCKET).is_ok());
    let image = dir.join("image.tar");
    run(docker(&["save", "-o"]).arg(&image).arg(IMAGE));
    run(ctr(&["image", "import", "--snapshotter", "native"]).arg(&image));
    let image = IMAGE;
    // Nor does the cgroup's path say whose it is.
    let create = |options: &[&str], name: &str, command: &[&str]| {
        let cgroup = format!("--cgroup=/mine/{name}");
        let mut run = ctr(&["run", "--snapshotter", "native", &cgroup]);
        run.args(options).arg(image).arg(name).args(command);
        run
    };
    run(&mut create(&["-d", "--label", "com.docker.compose.project=shop"], "early", &SLEEP));
    let early_runs = Early;

    let ps = json_of(nsscope().args(["ps", "--json"]));
    let early = named(&ps, "early");
    assert_eq!(early.len(), 1, "{ps}");
    assert_eq!((&early[0]["kind"], &early[0]["image"]), (&"containerd".into(), &image.into()), "{ps}");
    assert_eq!(early[0]["labels"]["compose"], "shop", "{ps}");

    let capture = dir.join("elsewhere.data");
    let recorder = start(&capture, &["-a"]);
    run(&mut create(&["--rm"], "brief", &["sleep", "0.05"]));
    stop(recorder);
    let report = report(&capture);
    for name in ["early", "brief"] {
        let found = named(&report, name);
        assert_eq!(found.len(), 1, "{name}: {report}");
        assert_eq!((&found[0]["kind"], &found[0]["image"]), (&"containerd".into(), &image.into()), "{report}");
        assert_eq!(found[0]["cgroup"], format!("/mine/{name}"), "{report}");
    }
    let others = report["containers"].as_array().unwrap().len();
    assert_eq!(others, 2, "a container that is none: {report}");

    drop(early_runs);
    drop(world);
    let _ = fs::remove_dir_all("/run/k0s");
}
