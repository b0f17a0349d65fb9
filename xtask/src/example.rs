//! Records the viewer's example: containers of the shapes that people have, made for it.

use crate::{root, run, test};
use anyhow::Result;
use std::path::Path;
use std::process::{Command, Stdio};

/// A web server of docker's shape, a pod of two, and a build that comes and goes.
const SCENE: &str = r#"
work() { i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; }
web() {
    [ -z "$WEB" ] || echo 0 > "$WEB/cgroup.procs"
    for n in 1 2 3 4 5 6 7 8; do (work 4000) & sleep 0.15; done; wait
}
web &
unshare --net --ipc sh -c '
    unshare --mount --pid --fork --kill-child sh -c "sleep 0.3; for i in 1 2 3; do uname; sleep 0.25; done" &
    unshare --mount --pid --fork --kill-child sh -c "sleep 0.9; hostname > /dev/null"
    wait' > /dev/null &
sleep 0.2
unshare --user --map-root-user --mount --pid --fork --net --uts --ipc sh -c '
    for job in 1 2 3 4; do
        (i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done) &
        unshare --uts sh -c "hostname job; sleep 0.1"
    done; wait'
wait
"#;

/// Writes `www/public/example.data`. Where this user may not record, it holds what runs now.
pub(crate) fn record() -> Result<()> {
    test::programs()?;
    let program = test::programs_dir().join("nsscope");
    let file = root().join("www/public/example.data");
    let _ = std::fs::remove_file(&file);
    let group = cgroup();
    let mut command = Command::new(&program);
    command.args(["record", "--backend", "perf", "-F", "499", "-o"]).arg(&file).args(["--", "sh", "-c", SCENE]);
    if let Some(group) = &group {
        command.env("WEB", group);
    }
    let recorded = command.stdout(Stdio::null()).status()?.success();
    if let Some(group) = &group {
        let _ = std::fs::remove_dir(group);
    }
    if !recorded {
        println!("this user may not record: the example is a snapshot");
        run(Command::new(&program).args(["snapshot", "-o"]).arg(&file))?;
    }
    let _ = std::fs::remove_file(root().join("www/public/example.data.old"));
    Ok(())
}

/// A cgroup as docker makes it with systemd, where this user may make one.
fn cgroup() -> Option<std::path::PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?;
    let group = Path::new(mount).join(format!("system.slice/docker-{}.scope", "5eedf00d".repeat(8)));
    std::fs::create_dir_all(&group).ok().map(|()| group)
}
