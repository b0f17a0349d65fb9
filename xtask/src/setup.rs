//! What the tests need and a fresh machine lacks. Not here: who needs it.

use crate::{apart, run};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Debian packages, and what each is for.
pub(crate) const PACKAGES: &[(&str, &str)] = &[
    ("linux-perf", "the peer that our files and output are compared with"),
    ("chromium", "the browser the viewer is tested in"),
    ("runc", "a real container runtime"),
    ("crun", "another"),
    ("containerd", "what most of them are started by, and CRI's side of kubernetes"),
    ("docker.io", "Docker"),
    ("docker-compose", "its projects"),
    ("protobuf-compiler", "makes the messages of CRI"),
    ("podman", "containers and pods of root and of users"),
    ("uidmap", "what podman needs for users"),
    ("lxc", "LXC"),
    ("bubblewrap", "a sandbox as flatpak uses it"),
    ("systemd-container", "systemd-nspawn"),
    ("busybox-static", "what runs in its containers"),
    ("bpftool", "lists the eBPF programs that run"),
    ("valgrind", "counts instructions"),
    ("strace", "has the recorder's system calls fail, each in turn"),
    ("util-linux", "unshare, nsenter, lsns"),
    ("zstd", "packs a file that the viewer unpacks"),
    ("libcap2-bin", "setcap, by which a user records without sudo"),
    ("python3-venv", "DuckDB, Spark and Perfetto's messages, which read what is exported"),
    ("openjdk-17-jre-headless", "what Spark runs on"),
    ("curl", "sends what is exported to a collector"),
    ("debootstrap", "a Debian that the .deb is installed in"),
    ("tmux", "a terminal to look at what is drawn in one"),
];

/// Installs the packages that are missing, where that is possible; otherwise says how to, and the tests that want
/// them say SKIPPED.
pub(crate) fn debian_packages(packages: &[(&str, &str)]) -> Result<()> {
    if packages.iter().all(|(name, _)| is_installed(name)) {
        return Ok(());
    }
    let _alone = apart::alone("apt-get")?;
    let missing: Vec<_> = packages.iter().filter(|(name, _)| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (name, purpose) in &missing {
        println!("missing: {name}, {purpose}");
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    if !Path::new("/usr/bin/apt-get").exists() {
        println!("this is no Debian: install what gives these programs, or see the tests that want them SKIPPED");
        return Ok(());
    }
    if !is_root() {
        println!("to install them: sudo apt-get install --no-install-recommends {}", names.join(" "));
        return Ok(());
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    // The package lists may be old or absent; that shows in the install.
    let _ = apt().arg("update").status();
    run(apt().args(["install", "-y", "--no-install-recommends", "-o=Dpkg::Use-Pty=0"]).args(names))
}

fn is_installed(package: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
    status.is_ok_and(|output| output.stdout == b"installed")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
