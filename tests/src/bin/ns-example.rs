//! Records the viewer's example, `ns-example FILE`: containers of Docker's where it may be started, those of unshare(1)
//! elsewhere.

use nsscope_tests::runtimes::{IMAGE, World, docker, docker_run};
use nsscope_tests::{cannot_record, not_root, nsscope, run, start, stop};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What keeps a CPU busy for a while.
const WORK: &str = "i=0; while [ $i -lt $1 ]; do i=$((i+1)); done";

/// Two containers that share a network and an ipc namespace, and one that sets up a name of its own.
const SCENE: &str = r#"
unshare --net --ipc sh -c '
    unshare --mount --pid --fork --kill-child sh -c "sleep 0.3; for i in 1 2 3; do uname; sleep 0.25; done" &
    unshare --mount --pid --fork --kill-child sh -c "sleep 0.9; hostname > /dev/null"
    wait' > /dev/null &
unshare --user --map-root-user --mount --pid --fork --net --uts --ipc sh -c '
    for job in 1 2 3 4; do
        (i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done) &
        unshare --uts sh -c "hostname job; sleep 0.1"
    done; wait'
wait
"#;

fn main() {
    let file = std::env::args_os().nth(1).expect("usage: ns-example FILE");
    let file = std::path::absolute(file).expect("a path");
    // The recording says how it was made; not where on this machine.
    std::env::set_current_dir(file.parent().expect("a directory")).expect("the directory is there");
    let file = Path::new(file.file_name().expect("a name"));
    if cannot_record().is_some() {
        println!("this user may not record: the example is a snapshot");
        run(nsscope().args(["snapshot", "-o"]).arg(file));
        return;
    }
    let args = ["--backend", "perf", "-F", "499", "--switch-events", "-z", "-a"];
    match not_root().map_or_else(World::start, Err) {
        Ok(_world) => with_docker(file, &args),
        Err(why) => {
            println!("no Docker in the example: {why}");
            let recorder = start(file, &args);
            run(Command::new("sh").args(["-c", SCENE]));
            println!("{}", stop(recorder));
        }
    }
    let _ = fs::remove_file(file.with_extension("data.old"));
}

/// A compose project of three, one of them with a health check and one that is busy, and two that come and go.
fn with_docker(file: &Path, args: &[&str]) {
    let label = |service: &str| {
        let label = format!("com.docker.compose.service={service}");
        ["--label".into(), "com.docker.compose.project=shop".into(), "--label".into(), label]
    };
    let service = |name: &str, options: &[&str], script: &str| {
        let mut run_it = docker(&["run", "-d", "--name", name]);
        run_it.args(label(name)).args(options).args([IMAGE, "sh", "-c", script, "sh"]);
        run(run_it.arg("60000"));
    };
    service(
        "web",
        &["--network", "none", "--health-cmd", "true", "--health-interval", "500ms"],
        "while :; do sleep 0.2; done",
    );
    let recorder = start(file, args);
    service("cache", &["--network", "container:web"], "sleep 6000");
    service("batch", &["--network", "none"], WORK);
    run(&mut docker(&["exec", "web", "true"]));
    docker_run("once", &["--network", "none"]);
    run(docker(&["run", "--rm", "--network", "none", IMAGE]).args(["sh", "-c", "for i in 1 2 3; do sleep 0.1; done"]));
    run(&mut docker(&["rm", "-f", "once"]));
    run(Command::new("sh").args(["-c", SCENE]));
    println!("{}", stop(recorder));
}
