//! Real container runtimes, started for a test and gone with it. Not here: what nsscope says of their containers.

use crate::{Running, errors, run, text, wait_for};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The image that everything runs: busybox and nothing else, which sleeps.
pub const IMAGE: &str = "docker.io/library/nsscope-test:1";

/// How long a container sleeps that nobody stops, in seconds.
pub const SLEEP: [&str; 3] = ["/bin/busybox", "sleep", "6000"];

/// One at a time: all use the machine's cgroups, and a test counts every container there is.
static ALONE: Mutex<()> = Mutex::new(());

/// containerd, Docker on top of it, and a root directory of busybox.
#[derive(Debug)]
pub struct World {
    /// For all that a test makes; it is gone with it.
    pub dir: tempfile::TempDir,
    daemons: Vec<Running>,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Starts the daemons, as Debian has them, with what of them must be told on a machine without a network.
    ///
    /// # Errors
    /// Why they cannot be started here.
    ///
    /// # Panics
    /// Where they do not start.
    pub fn start() -> Result<Self, String> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked by one at a time: what another test has started is no reason.
        if let Some(why) = no_runtimes() {
            return Err(why);
        }
        let mut world = Self { dir: tempfile::tempdir().expect("a directory"), daemons: Vec::new(), _alone: alone };
        busybox(&world.rootfs());
        // `restrict_oom_score_adj`: a test may run where nobody has CAP_SYS_RESOURCE.
        let config = format!(
            "version = 2\nroot = \"{0}/containerd\"\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{IMAGE}\"\n  \
             restrict_oom_score_adj = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n",
            world.dir.path().display()
        );
        let file = world.dir.path().join("containerd.toml");
        fs::write(&file, config).expect("written");
        world.daemon("containerd", Command::new("containerd").arg("-c").arg(&file), || {
            UnixStream::connect(CONTAINERD).is_ok()
        });
        let root = format!("--data-root={}", world.dir.path().join("docker").display());
        let options = ["--iptables=false", "--bridge=none", "--storage-driver=vfs"];
        world.daemon("dockerd", Command::new("dockerd").args(options).arg(root), || {
            docker(&["version"]).output().is_ok_and(|output| output.status.success())
        });
        let archive = world.dir.path().join("root.tar");
        run(Command::new("tar").arg("-C").arg(world.rootfs()).arg("-cf").arg(&archive).arg("."));
        let change = format!("CMD {SLEEP:?}");
        run(docker(&["import", "--change", &change]).arg(&archive).arg(IMAGE));
        Ok(world)
    }

    /// Starts a daemon that ends with this, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn daemon(&mut self, name: &str, command: &mut Command, answers: impl Fn() -> bool) {
        let path = self.dir.path().join(format!("{name}.log"));
        let log = fs::File::create(&path).expect("a log");
        let child = command.stdout(log.try_clone().expect("a log")).stderr(log).spawn();
        let mut running = Running(child.unwrap_or_else(|error| panic!("{name}: {error}")));
        wait_for(|| {
            let ended = running.0.try_wait().expect("can be asked");
            assert!(ended.is_none(), "{name} has ended: {}", fs::read_to_string(&path).unwrap_or_default());
            answers()
        });
        self.daemons.push(running);
    }

    /// A root directory of busybox.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// podman, configured for a machine where limits may not be raised and systemd does not run.
    ///
    /// # Panics
    /// Where its configuration cannot be written.
    pub fn podman(&self, runtime: &str, args: &[&str]) -> Command {
        let config = self.dir.path().join("containers.conf");
        fs::write(&config, podman_config(runtime)).expect("written");
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", config).args(args);
        command
    }
}

/// Where containerd listens.
pub const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// podman's configuration.
pub fn podman_config(runtime: &str) -> String {
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\npids_limit = 0\n[engine]\nruntime = \
         \"{runtime}\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
    )
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(all) = docker(&["ps", "-aq"]).output() {
            let ids = text(&all);
            let _ = docker(&["rm", "-f"]).args(ids.split_whitespace()).output();
        }
        // Docker first, and both with time to let go of what they have mounted.
        while let Some(mut daemon) = self.daemons.pop() {
            let _ = Command::new("kill").arg(daemon.0.id().to_string()).status();
            let _ = daemon.0.wait();
        }
    }
}

/// A root directory with busybox and a few of its names.
///
/// # Panics
/// Where it cannot be made.
pub fn busybox(root: &Path) {
    for dir in ["bin", "proc", "dev", "sys", "tmp", "etc", "usr", "run"] {
        fs::create_dir_all(root.join(dir)).expect("made");
    }
    crate::copy_program("/usr/bin/busybox", root.join("bin/busybox"));
    for applet in ["sh", "sleep", "true", "cat", "readlink"] {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    fs::write(root.join("etc/os-release"), "ID=busybox\n").expect("written");
}

/// Debian's client: another one on the machine may lack BuildKit.
pub fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/docker");
    command.env("DOCKER_HOST", "unix:///run/docker.sock").env("DOCKER_BUILDKIT", "1").args(args);
    command
}

/// Runs a container of Docker's that sleeps, and returns its id.
///
/// # Panics
/// Where it does not start.
pub fn docker_run(name: &str, options: &[&str]) -> String {
    let mut command = docker(&["run", "-d", "--name", name]);
    text(&run(command.args(options).arg(IMAGE))).trim().into()
}

/// A pod that is made by CRI, as kubelet makes it. It is removed with this.
#[derive(Debug)]
pub struct Pod {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    /// The id of its sandbox.
    pub sandbox: String,
    /// `front` and `back`.
    pub containers: Vec<String>,
}

impl Pod {
    /// Imports the image where kubelet's are and has the pod made.
    ///
    /// # Panics
    /// Where containerd does not make it.
    pub fn start(world: &World, name: &str) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("cri/Cargo.toml");
        let target = manifest.parent().and_then(Path::parent).and_then(Path::parent).expect("the workspace");
        let target = target.join("target/cri");
        run(Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target));
        let image = world.dir.path().join("image.tar");
        run(docker(&["save", "-o"]).arg(&image).arg(IMAGE));
        run(Command::new("ctr").args(["-n", "k8s.io", "image", "import", "--snapshotter", "native"]).arg(&image));
        let mut child = Command::new(target.join("debug/nsscope-test-cri"))
            .args([CONTAINERD, IMAGE, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = lines.next().expect("it says what it made").expect("a line");
        let made: Value = serde_json::from_str(&line).expect("JSON");
        let text = |value: &Value| value.as_str().expect("an id").to_string();
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            sandbox: text(&made["pod"]),
            containers: made["containers"].as_array().expect("containers").iter().map(text).collect(),
        }
    }

    /// Runs a probe in the first container.
    ///
    /// # Panics
    /// Where it fails.
    pub fn probe(&mut self) {
        writeln!(self.stdin.as_mut().expect("it runs")).expect("asked");
        assert_eq!(self.lines.next().expect("an answer").expect("a line"), "0");
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Why the runtimes cannot be started here, if so.
fn no_runtimes() -> Option<String> {
    let programs = [
        ("containerd", "containerd"),
        ("dockerd", "docker.io"),
        ("/usr/bin/docker", "docker.io"),
        ("docker-compose", "docker-compose"),
        ("runc", "runc"),
        ("crun", "crun"),
        ("podman", "podman"),
        ("lxc-start", "lxc"),
        ("bwrap", "bubblewrap"),
        ("systemd-nspawn", "systemd-container"),
        ("protoc", "protobuf-compiler"),
        ("newuidmap", "uidmap"),
    ];
    let there = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        // Not all know the option: what matters is that they are there.
        output.map_err(|error| error.kind()) != Err(std::io::ErrorKind::NotFound)
    };
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| !there(program)).map(|&(_, package)| package).collect();
    if !missing.is_empty() {
        return Some(format!("not installed (Debian: {})", missing.join(" ")));
    }
    if UnixStream::connect(CONTAINERD).is_ok() || UnixStream::connect("/run/docker.sock").is_ok() {
        return Some("this machine runs containerd or Docker already, and the test starts its own".into());
    }
    None
}

/// Runs a command until it works: a daemon may need a moment.
///
/// # Panics
/// Where it is not there.
pub fn until_it_works(mut command: impl FnMut() -> Command) {
    wait_for(|| {
        let output = command().output().expect("it runs");
        if !output.status.success() {
            eprintln!("{}", errors(&output));
        }
        output.status.success()
    });
}
