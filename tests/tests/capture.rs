//! The examples of the crate that captures do what they say.
#![allow(missing_docs)]

use nsscope_tests::{Running, cannot_record, needs, nsscope, run, text};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn example(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    run(build.args(["build", "--quiet", "-p", "nsscope-capture", "--example", name]).current_dir(root));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Command::new(target.join("debug/examples").join(name))
}

fn sleeper() -> Running {
    let args = ["--pid", "--mount", "--fork", "--kill-child", "sleep", "60"];
    Running(Command::new("unshare").args(args).stdin(Stdio::null()).spawn().unwrap())
}

#[test]
fn one_lists_containers() {
    needs!("one_lists_containers", cannot_record());
    let _container = sleeper();
    let listed = text(&run(&mut example("list_containers")));
    assert!(listed.lines().any(|line| line.starts_with("pid:[") && line.contains("runs")), "{listed}");
}

#[test]
fn one_follows_execs() {
    needs!("one_follows_execs", cannot_record());
    let mut follow = Running(example("follow").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(follow.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    // It says nothing of what was before, so there is no knowing when it is ready: again until it was.
    let script = "while :; do unshare --pid --mount --fork sleep 0.1; done";
    let _again = Running(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap());
    assert!(lines.any(|line| line.ends_with(" unshare")));
    assert!(lines.any(|line| line.ends_with(" sleep")));
}

#[test]
fn one_is_a_flight_recorder() {
    needs!("one_is_a_flight_recorder", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("incident.data");
    let said = text(&run(example("flight_recorder").arg(&file)));
    assert!(said.contains("up to the incident are in") && said.contains("incident.data"), "{said}");
    run(nsscope().arg("report").arg(&file));
}
