//! The codec in a kernel: the example module is built against Debian's kernel, loaded in it in QEMU, and what it writes
//! is compared with /proc and with perf's records of the same moments. The eBPF programs run there, too. Not here: the
//! module itself.

use crate::machine::{Initramfs, Left, Machine, PC};
use crate::toolchain::Toolchain;
use crate::{bpf, programs, root, run, setup};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &[(&str, &str)] = &[
    ("linux-headers-amd64", "what kernel modules are built against"),
    ("make", "builds kernel modules"),
    ("qemu-system-x86", "runs a kernel"),
    ("busybox-static", "what else is in its file system"),
    ("cpio", "packs that"),
];

/// The module's functions in Rust; what they do not need is left out.
const FUNCTIONS: [&str; 4] = ["nsscope_open", "nsscope_close", "nsscope_wanted", "nsscope_emit"];

/// What a kernel asks of its compiler. It has no global offset table.
const FLAGS: &str = "-Ccode-model=kernel -Crelocation-model=static -Cno-redzone=y -Cforce-frame-pointers=y \
                     -Zplt=yes -Zdirect-access-external-data=yes";

/// Namespace types that a task is told to change.
const TYPES: &str = "net uts ipc pid user mnt cgroup time";

/// What is done in the kernel. Recordings and logs are left in the folder where it begins.
const INIT: &str = r"mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
insmod /nsscope.ko
# Waits until what happens is in the file $1 of the recorder $2, or the recorder has ended.
begun() {
    size=0
    while kill -0 $2 2> /dev/null; do
        now=$(stat -c %s $1 2> /dev/null || echo 0)
        [ $size -gt 0 ] && [ $now -gt $size ] && break
        size=$now
        ns-actor fork > /dev/null
        sleep 1
    done
}
nsscope record --backend perf --no-synth -a -o perf.data 2> perf.log &
perf=$!
nsscope record --backend bpf --no-synth -a -o bpf.data 2> bpf.log &
bpf=$!
ns-ring /dev/nsscope module.data 2> module.log &
until [ -e module.data ] || ! kill -0 $!; do sleep 1; done
begun perf.data $perf
begun bpf.data $bpf
ns-actor show > first
for kind in TYPES; do
    ns-actor clone $kind
    ns-actor unshare $kind
    ns-actor setns $kind
done > actor.log
ns-actor fork >> actor.log
ns-actor show > last
sleep 1
killall -TERM nsscope ns-ring
wait
nsscope record --backend bpf --wakeups -a -o switches.data -- ns-actor fork > switches.log 2>&1
nsscope record --backend bpf --summary 200ms -a -o sums.data --duration 1s > sums.log 2>&1
# Debian's level of 3 wants more than CAP_PERFMON, which is what a recorder keeps.
echo 2 > /proc/sys/kernel/perf_event_paranoid
nsscope record --backend perf -a -o offline.data 2> offline.log &
perf=$!
nsscope record --backend bpf -a -o offline-bpf.data 2> offline-bpf.log &
begun offline-bpf.data $!
begun offline.data $perf
date -s 2031-01-01 > /dev/null
echo 0 > /sys/devices/system/cpu/cpu1/online
sleep 2
ns-actor unshare uts > offline.first
nsscope record --backend bpf -a -o late.data 2> late.log &
begun late.data $!
echo 1 > /sys/devices/system/cpu/cpu1/online
sleep 3
date -s 2001-01-01 > /dev/null
taskset 1 ns-actor unshare uts > offline.last
taskset 2 ns-actor unshare uts > offline.back
killall -TERM nsscope
wait
nsscope record --backend perf -a -o asleep.data 2> asleep.log &
perf=$!
nsscope record --backend bpf -a -o asleep-bpf.data 2> asleep-bpf.log &
begun asleep-bpf.data $!
begun asleep.data $perf
taskset 2 ns-actor unshare uts > asleep.first
# Its real-time clock wakes the machine.
echo 0 > /sys/class/rtc/rtc0/wakealarm
echo +8 > /sys/class/rtc/rtc0/wakealarm
echo mem > /sys/power/state
sleep 3
taskset 1 ns-actor unshare uts > asleep.last
taskset 2 ns-actor unshare uts > asleep.back
killall -TERM nsscope
wait
rmmod nsscope
cp /proc/modules modules.log
nsscope doctor > doctor.log
dmesg > dmesg.log
";

/// A CPU goes offline and comes back while the machine's clock is set, and the machine sleeps, which takes a CPU offline, too:
/// what was recorded stays, in order, and the recording goes on.
fn a_cpu_that_goes(left: &Left) -> Result<()> {
    for (scene, perf_says) in [("offline", "CPU 1 went offline"), ("asleep", "CPU 0, 1 recorded again")] {
        for (backend, says) in [("", perf_says), ("-bpf", "")] {
            let data = format!("{scene}{backend}.data");
            let (events, said) = (left.events(&data)?, left.text(&format!("{scene}{backend}.log"))?);
            for moment in ["first", "last", "back"] {
                let actor = left.json(&format!("{scene}.{moment}"))?;
                let is_there = events.iter().any(|event| event["kind"] == "namespaces" && event["pid"] == actor["pid"]);
                ensure!(is_there, "{data}: no record of {moment}: {actor} {said}");
            }
            let times: Vec<u64> = events.iter().filter_map(|event| event["time"].as_u64()).collect();
            let length = times.last().zip(times.first()).map_or(0, |(last, first)| last - first);
            ensure!((2_000_000_000..600_000_000_000).contains(&length), "{data}: {length} ns");
            ensure!(said.contains(says) && said.contains(" 0 lost"), "{data}: {said}");
        }
    }
    let (events, back) = (left.events("late.data")?, left.json("offline.back")?);
    let is_there = events.iter().any(|event| event["kind"] == "namespaces" && event["pid"] == back["pid"]);
    ensure!(is_there, "what CPU 1 did that was offline when bpf began: {}", left.text("late.log")?);
    println!("a CPU that went and came back, a clock that was set, a sleep: what was recorded stays, and it goes on");
    Ok(())
}

/// Builds, boots, compares; or says why it cannot.
pub(crate) fn check() -> Result<std::result::Result<(), String>> {
    setup::debian_packages(PACKAGES)?;
    let Some(headers) = headers() else {
        return Ok(Err("a kernel module: Debian's linux-headers-amd64 is not installed".into()));
    };
    if Toolchain::find_debian()?.is_none() {
        return Ok(Err("a kernel module: Debian's rustc-web is not installed".into()));
    }
    let version = headers.file_name().and_then(OsStr::to_str).context("a version")?.replace("linux-headers-", "");
    let out = root().join("target/kernel");
    let kernel = image(&version, &out)?;
    let module = module(&headers, &out)?;
    if let Err(why) = bpf::build()? {
        return Ok(Err(why));
    }
    programs::build()?;
    let programs = ["nsscope", "ns-actor", "ns-ring"].map(|name| programs::dir().join(name));
    let initramfs = Initramfs {
        board: &PC,
        busybox: Path::new("/bin/busybox"),
        programs: &programs,
        files: &[&module],
        init: &INIT.replace("TYPES", TYPES),
    };
    let archive = initramfs.pack(&out)?;
    let left = Machine { board: &PC, kernel: &kernel, initramfs: &archive, cpus: 2, counted: false }.run(&out)?;
    compare(&left)?;
    Ok(Ok(()))
}

/// The newest headers.
fn headers() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/src").ok()?.flatten().map(|entry| entry.path());
    found.filter(|path| path.to_string_lossy().ends_with("-amd64")).max()
}

/// The kernel that the headers are of: unpacked, not installed.
fn image(version: &str, out: &Path) -> Result<PathBuf> {
    let dir = out.join(version);
    let kernel = dir.join(format!("boot/vmlinuz-{version}"));
    if !kernel.exists() {
        fs::create_dir_all(&dir)?;
        let package = format!("linux-image-{version}");
        println!("{package}: unpacked in target/kernel");
        run(Command::new("apt-get").args(["-qq", "download", &package]).current_dir(&dir))?;
        let deb = fs::read_dir(&dir)?.flatten().map(|entry| entry.path());
        let deb = deb.filter(|path| path.extension() == Some(OsStr::new("deb"))).max().context("the package")?;
        run(Command::new("dpkg").arg("-x").arg(&deb).arg(&dir))?;
        fs::remove_file(deb)?;
    }
    Ok(kernel)
}

/// Compiles the module.
fn module(headers: &Path, out: &Path) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-none";
    let source = root().join("codec/examples/kernel-module");
    let target = out.join("rust");
    run(Toolchain::debian()
        .args(["build", "--quiet", "--locked", "--release", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", FLAGS)
        .current_dir(&source))?;
    let dir = out.join("module");
    fs::create_dir_all(&dir)?;
    for file in ["Kbuild", "shim.c"] {
        fs::copy(source.join(file), dir.join(file))?;
    }
    let object = dir.join("rust.o");
    let mut ld = Command::new("ld");
    ld.args(["-r", "--gc-sections"]);
    for function in FUNCTIONS {
        ld.args(["-u", function]);
    }
    let library = target.join(TARGET).join("release/libnsscope_kernel_module.a");
    run(ld.arg("--whole-archive").arg("-o").arg(&object).arg(library))?;
    // The compiler's own notes, of which the kernel's build knows nothing.
    run(Command::new("objcopy").args(["-R", ".llvmcmd", "-R", ".llvmbc", "-R", ".eh_frame"]).arg(&object))?;
    fs::write(dir.join(".rust.o.cmd"), "")?;
    let module = dir.join("nsscope.ko");
    let _ = fs::remove_file(&module);
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(headers).arg(format!("M={}", dir.display())).arg("modules");
    let output = make.output()?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    ensure!(output.status.success(), "{told}");
    ensure!(!told.contains("arning:"), "the kernel's build warns:\n{told}");
    Ok(module)
}

/// A record without what tells when and by which recorder.
type Facts = String;

/// What a recording tells between the two marks, by kind, in no order.
fn records(left: &Left, name: &str) -> Result<BTreeMap<String, Vec<Facts>>> {
    let mut found: BTreeMap<String, Vec<Facts>> = BTreeMap::new();
    for mut event in left.between(name)? {
        let kind = event["kind"].as_str().context("a kind")?.to_owned();
        let event = event.as_object_mut().context("an object")?;
        event.retain(|name, _| !["time", "wall", "cpu"].contains(&name.as_str()));
        found.entry(kind).or_default().push(serde_json::to_string(&event)?);
    }
    for all in found.values_mut() {
        all.sort();
    }
    Ok(found)
}

fn compare(left: &Left) -> Result<()> {
    let logs: Vec<String> =
        ["perf.log", "bpf.log", "module.log"].into_iter().filter_map(|name| left.text(name).ok()).collect();
    println!("{}", logs.concat().trim_end());
    let of = |name: &str| records(left, name);
    let (perf, bpf, module) = (of("perf.data")?, of("bpf.data")?, of("module.data")?);

    // The module's records are perf's, and what /proc tells is among them.
    ensure!(module.get("namespaces") == perf.get("namespaces"), "perf: {perf:#?}\nmodule: {module:#?}");
    let mut changes = 0;
    for line in left.text("actor.log")?.lines() {
        let told: Value = serde_json::from_str(line)?;
        let mut after = told["after"].clone();
        after.as_object_mut().context("namespaces")?.remove("time");
        let is = |record: &String| {
            serde_json::from_str::<Value>(record)
                .is_ok_and(|record| record["pid"] == told["pid"] && record["namespaces"] == after)
        };
        ensure!(module["namespaces"].iter().any(is), "{line} is in no record of {module:#?}");
        changes += 1;
    }
    ensure!(changes == 3 * TYPES.split(' ').count() + 1, "the scene broke off: {}", left.text("actor.log")?);
    println!(
        "kernel module: {} records, as perf has them, with all of /proc's {changes} changes",
        module["namespaces"].len()
    );

    for kind in ["namespaces", "fork", "exit", "comm"] {
        ensure!(bpf.get(kind) == perf.get(kind), "{kind}\nperf: {:#?}\nbpf: {:#?}", perf.get(kind), bpf.get(kind));
    }
    println!("eBPF programs: {} records, as perf has them", bpf.values().map(Vec::len).sum::<usize>());
    // What an older kernel does at a switch, the programs see there too.
    for (data, log, is) in [("switches.data", "switches.log", "out"), ("sums.data", "sums.log", "nsscope:cpu_sum")] {
        let (events, said) = (left.events(data)?, left.text(log)?);
        let found = events.iter().filter(|event| event[is].is_boolean() || event["event"] == is).count();
        ensure!(found > 5 && said.contains(" 0 lost"), "{data}: {found} of {} events, {said}", events.len());
        println!("eBPF programs: {found} records in {data}");
    }
    a_cpu_that_goes(left)?;
    let doctor = left.text("doctor.log")?;
    doctor.lines().filter(|line| line.contains("eBPF")).for_each(|line| println!("{line}"));
    ensure!(!left.text("bpf.log")?.contains("does not let"), "a program was not taken: {}", left.text("bpf.log")?);

    ensure!(!left.text("modules.log")?.contains("nsscope"), "the module is still there");
    let bad = ["WARNING", "BUG", "Oops", "Call Trace", "general protection", "nsscope: Unknown symbol"];
    left.quiet("dmesg.log", &bad)
}
