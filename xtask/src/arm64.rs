//! The packaged program for aarch64 on a kernel of that architecture: Debian's, in QEMU. Each backend records there, and
//! its records are compared with /proc. Not here: the package.

use crate::machine::{ARM64, Initramfs, Left, Machine};
use crate::{programs, root, run, setup};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: &[(&str, &str)] =
    &[("qemu-system-arm", "runs a kernel for aarch64"), ("cpio", "packs what is in its file system")];

/// Namespace types that busybox can unshare.
const TYPES: [&str; 6] = ["net", "uts", "ipc", "pid", "user", "mnt"];

/// What is done in the kernel. The process in namespaces of its own says which these are.
const INIT: &str = r#"mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
nsscope doctor > doctor.log 2>&1
for backend in perf bpf proc; do
    nsscope record --backend $backend -a -o $backend.data -- unshare -n -u -i -p -U -m -f \
        sh -c "for kind in net uts ipc pid user mnt; do readlink /proc/self/ns/\$kind; done > $backend.links; sleep 1" \
        2> $backend.log
done
nsscope record --backend bpf --wakeups -a -o switches.data -- sleep 1 2> switches.log
nsscope script --format json perf.data > perf.json
nsscope report perf.data > report 2> report.log
dmesg > dmesg.log
"#;

/// Boots and compares; or says why it cannot.
pub(crate) fn check() -> Result<std::result::Result<(), String>> {
    let program = root().join("target/packages/image/nsscope-arm64");
    if !program.exists() {
        return Ok(Err("the program for aarch64 in a kernel: cargo xtask dist has not made it".into()));
    }
    setup::debian_packages(PACKAGES)?;
    let out = root().join("target/arm64");
    let Some((kernel, busybox)) = debian(&out)? else {
        return Ok(Err("the program for aarch64 in a kernel: apt-get has no linux-image-arm64".into()));
    };
    programs::build()?;
    let named = out.join("nsscope");
    fs::copy(program, &named)?;
    let initramfs = Initramfs { board: &ARM64, busybox: &busybox, programs: &[named], files: &[], init: INIT };
    let initramfs = initramfs.pack(&out)?;
    compare(&Machine { board: &ARM64, kernel: &kernel, initramfs: &initramfs, cpus: 2, counted: false }.run(&out)?)?;
    Ok(Ok(()))
}

/// Debian's kernel and busybox for aarch64, unpacked. apt-get keeps its lists of them here: this machine's are not touched.
fn debian(out: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let tree = out.join("debian");
    let found = || -> Option<(PathBuf, PathBuf)> {
        let boot = fs::read_dir(tree.join("boot")).ok()?.flatten().map(|entry| entry.path());
        let kernel = boot.filter(|path| path.to_string_lossy().contains("vmlinuz-")).max()?;
        Some((kernel, tree.join("bin/busybox")))
    };
    if let Some(found) = found() {
        return Ok(Some(found));
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Ok(None);
    }
    let state = out.join("apt");
    for dir in [state.join("lists/partial"), state.join("cache/archives/partial"), tree.clone()] {
        fs::create_dir_all(dir)?;
    }
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(&state).stderr(Stdio::null()).arg("-qq");
        for (option, value) in [("State::Lists", "lists"), ("State::status", "/dev/null"), ("Cache", "cache")] {
            command.arg(format!("-oDir::{option}={}", state.join(value).display()));
        }
        command.args(["-oAPT::Architecture=arm64", "-oAPT::Architectures=arm64", "-oAPT::Sandbox::User=root"]);
        command
    };
    run(apt("apt-get").arg("update"))?;
    let depends = apt("apt-cache").args(["depends", "linux-image-arm64"]).output()?;
    let depends = String::from_utf8(depends.stdout)?;
    let Some(kernel) = depends.split_whitespace().find(|word| word.starts_with("linux-image-6")) else {
        return Ok(None);
    };
    println!("{kernel} and busybox-static for arm64: unpacked in target/arm64");
    run(apt("apt-get").args(["download", kernel, "busybox-static"]))?;
    for file in fs::read_dir(&state)?.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&tree))?;
        }
    }
    fs::remove_dir_all(state)?;
    found().context("the packages have no kernel").map(Some)
}

fn compare(left: &Left) -> Result<()> {
    for backend in ["perf", "bpf", "proc"] {
        let (said, links) = (left.text(&format!("{backend}.log"))?, left.text(&format!("{backend}.links"))?);
        ensure!(said.contains(" 0 lost"), "{backend}: {said}");
        // `net:[4026532281]`, as /proc links to it.
        let links: BTreeMap<&str, u64> = links
            .lines()
            .filter_map(|link| {
                let (kind, ino) = link.strip_suffix(']')?.split_once(":[")?;
                Some((kind, ino.parse().ok()?))
            })
            .filter(|(kind, _)| TYPES.contains(kind))
            .collect();
        ensure!(links.len() == TYPES.len(), "{backend}: {links:?}");
        let events = left.events(&format!("{backend}.data"))?;
        let is_it = |event: &&serde_json::Value| {
            event["kind"] == "namespaces" && links.iter().all(|(kind, ino)| event["namespaces"][kind]["ino"] == *ino)
        };
        let found = events.iter().filter(is_it).count();
        ensure!(found > 0, "{backend}: {links:?} are in none of {} records", events.len());
        println!(
            "aarch64: {backend} recorded {} records, {found} of a process whose namespaces are those of /proc",
            events.len()
        );
    }
    let switches = left.events("switches.data")?.iter().filter(|event| event["out"].is_boolean()).count();
    ensure!(switches > 5 && left.text("switches.log")?.contains(" 0 lost"), "{switches} switches");
    // What it says there of a capture is what it says here.
    let here: Vec<serde_json::Value> = left.events("perf.data")?;
    let there = left.text("perf.json")?;
    let there: Vec<serde_json::Value> = there.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(here == there, "script says {} events there and {} here", there.len(), here.len());
    let report = left.text("report")?;
    ensure!(report.contains("unshare"), "{report}{}", left.text("report.log")?);
    let doctor = left.text("doctor.log")?;
    ensure!(doctor.contains("nsscope record works here"), "{doctor}");
    left.quiet("dmesg.log", &["WARNING", "BUG", "Oops", "Call trace"])
}
