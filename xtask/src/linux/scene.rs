//! What is asked of a Linux whose NAMESPACES records are Rust's: the same records as C's, no fault that the kernel can
//! find, no cost that is higher. Not here: how the kernels are built.

use super::{Built, Kernels, Tree, Variant};
use crate::machine::{Initramfs, Left, Machine, PC};
use crate::{programs, root};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Types of namespaces, and what configures them. mnt is always there.
const TYPES: [(&str, &str); 7] = [
    ("net", "NET_NS"),
    ("uts", "UTS_NS"),
    ("ipc", "IPC_NS"),
    ("pid", "PID_NS"),
    ("user", "USER_NS"),
    ("time", "TIME_NS"),
    // Last: most of a kernel is built again with it, and once more without.
    ("cgroup", "CGROUPS"),
];

/// All that gives records, while perf and nsscope record.
const SCENE: &str = "
perf record -q -e dummy:u --namespaces -a -o perf.data 2> perf.log &
nsscope record --backend perf --no-synth -a -o nsscope.data 2> nsscope.log &
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s perf.data ] && [ -s nsscope.data ] && break
    sleep 1
done
sleep 1
ns-actor show > first
for kind in net uts ipc pid user mnt cgroup time; do
    ns-actor clone $kind
    ns-actor unshare $kind
    ns-actor setns $kind
done > actor.log
ns-actor fork >> actor.log
ns-actor threads 3 > threads.log
ns-actor nested 3 > nested.log
ns-actor show > last
sleep 1
killall -INT perf nsscope
wait
";

/// The loops, in a kernel that looks for faults, and the recorders. What namespaces there are before and after the storm
/// shows a reference that was kept.
const LOOPS: &str = "
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
{
    ns-events check TURNS time
    ns-actor storm 200 2
    cp /proc/slabinfo before
    perf record -q -e dummy:u --namespaces -a -o storm.data -- ns-actor storm 2000 2
    cp /proc/slabinfo after
    rm -f storm.data
    record() {
        name=$1
        shift
        nsscope record -a -o $name.data \"$@\" -- ns-actor storm 100 2
    }
    record perf --backend perf --wakeups -F 99
    record bpf --backend bpf --wakeups -z
    record sums --summary 200ms
} 2>&1 | tee loops.log > /dev/console
echo scan > /sys/kernel/debug/kmemleak
sleep 6
echo scan > /sys/kernel/debug/kmemleak
cat /sys/kernel/debug/kmemleak > kmemleak
dmesg > dmesg
";

const COSTS: &str = "
ns-events cost 1000 > costs
";

/// The driver, while perf records the same.
const DRIVEN: &str = "
insmod /nsscope_rust.ko
perf record -q -e dummy:u --namespaces -a -o perf.data 2> perf.log &
ns-ring /dev/nsscope driver.data 2> driver.log &
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s perf.data ] && [ -e driver.data ] && break
    sleep 1
done
sleep 1
ns-actor unshare ipc > first
for kind in net uts ipc pid user mnt cgroup time; do
    ns-actor unshare $kind
    ns-actor setns $kind
done > actor.log
ns-actor unshare ipc > last
sleep 1
killall -INT perf
killall -TERM ns-ring
wait
rmmod nsscope_rust
cp /proc/modules modules
dmesg > dmesg
";

/// Our own tests of the kernel's records, and the one of perf's that reads them without a counter in hardware.
const TESTS: &str = "
mount -t cgroup2 cgroup2 /sys/fs/cgroup
NSSCOPE_PROGRAMS=/bin kernel --test-threads=1 2>&1 | tee tests.log > /dev/console
perf test -v PERF_RECORD_ > perf.log 2>&1
";

/// In a kernel without one type: each of the others, and records as /proc has it.
const WITHOUT: &str = "
{
    for kind in KINDS; do
        ns-actor clone $kind && ns-actor unshare $kind || exit 1
    done
    ns-events check 500 time
} > without.log 2>&1
";

/// Turns of each loop; and beside all other tests, which have minutes.
const TURNS: u32 = 100_000;
const FEW_TURNS: u32 = 10_000;

/// Builds what is asked for and asks. Returns how many checks passed.
pub(super) fn check(tree: &Tree, kernels: Kernels) -> Result<u64> {
    let mut passed = 0;
    let mut next = |check: Result<String>| -> Result<()> {
        println!("{}", check?);
        passed += 1;
        Ok(())
    };
    if kernels == Kernels::Faults {
        next(loops(&tree.build(Variant::Debug)?, TURNS))?;
        return Ok(passed);
    }
    let (c, rust) = (tree.build(Variant::C)?, tree.build(Variant::Rust)?);
    next(same_records(&c, &rust))?;
    next(no_higher_cost(&c, &rust))?;
    next(time_namespace(&rust))?;
    next(driver(&rust))?;
    next(tests(&rust))?;
    // The others take minutes to build: they are asked, too, where they are there.
    let mut not_there = Vec::new();
    let mut wanted = |variant: Variant| -> Result<bool> {
        let is_wanted = kernels == Kernels::All || tree.kept(variant)?.exists();
        not_there.extend((!is_wanted).then(|| variant.name()));
        Ok(is_wanted)
    };
    for (kind, option) in TYPES {
        let variant = Variant::Without(option);
        if wanted(variant)? {
            next(without(kind, &tree.build(variant)?))?;
        }
    }
    if wanted(Variant::Debug)? {
        let turns = if kernels == Kernels::All { TURNS } else { FEW_TURNS };
        next(loops(&tree.build(Variant::Debug)?, turns))?;
    }
    if !not_there.is_empty() {
        println!("not built here: {}: see cargo xtask kernel --rust --all", not_there.join(", "));
    }
    Ok(passed)
}

/// Runs `init` in a kernel. Returns what it left.
fn machine(built: &Built, init: &str, cpus: u32, counted: bool) -> Result<Left> {
    machine_with(built, init, cpus, counted, &[])
}

/// The same, with more programs.
fn machine_with(built: &Built, init: &str, cpus: u32, counted: bool, more: &[PathBuf]) -> Result<Left> {
    let out = root().join("target/linux");
    fs::create_dir_all(&out)?;
    let mut all: Vec<_> = ["nsscope", "ns-actor", "ns-events", "ns-ring"].map(|name| programs::dir().join(name)).into();
    all.push("/usr/bin/perf".into());
    all.extend_from_slice(more);
    let driver = Some(&*built.driver).filter(|driver| driver.exists());
    let initramfs =
        Initramfs { board: &PC, busybox: Path::new("/bin/busybox"), programs: &all, files: driver.as_slice(), init }
            .pack(&out)?;
    Machine { board: &PC, kernel: &built.image, initramfs: &initramfs, cpus, counted }.run(&out)
}

/// A NAMESPACES record: whose, and the inode of each namespace.
type Told = (u64, u64, BTreeMap<String, u64>);

/// The NAMESPACES records of a recording between the two marks.
fn records(left: &Left, name: &str) -> Result<Vec<Told>> {
    left.between(name)?.iter().filter(|event| event["kind"] == "namespaces").map(record).collect()
}

/// The same, of those alone whom the first process made meanwhile: the kernel starts threads of its own when it wants.
fn records_of_scene(left: &Left, name: &str) -> Result<Vec<Told>> {
    let (mut found, mut scene) = (Vec::new(), BTreeSet::from([1]));
    for event in left.between(name)? {
        let in_scene = |name: &str| event[name].as_u64().is_some_and(|pid| scene.contains(&pid));
        if event["kind"] == "namespaces" && in_scene("pid") {
            found.push(record(&event)?);
        } else if event["kind"] == "fork" && in_scene("ppid") {
            scene.insert(id(&event, "pid")?);
        }
    }
    Ok(found)
}

fn record(event: &Value) -> Result<Told> {
    Ok((id(event, "pid")?, id(event, "tid")?, inodes(&event["namespaces"])?))
}

fn id(event: &Value, name: &str) -> Result<u64> {
    event[name].as_u64().with_context(|| format!("{name} in {event}"))
}

/// The inode of each namespace, by type.
fn inodes(namespaces: &Value) -> Result<BTreeMap<String, u64>> {
    let all = namespaces.as_object().context("namespaces")?.iter();
    Ok(all.filter_map(|(kind, id)| Some((kind.clone(), id["ino"].as_u64()?))).collect())
}

/// The records with a number for each id and inode, in the order in which they come.
fn numbered(records: &[Told]) -> Vec<String> {
    let (mut ids, mut inodes) = (Vec::new(), Vec::new());
    let number = |of: u64, seen: &mut Vec<u64>| {
        seen.iter().position(|&other| other == of).unwrap_or_else(|| {
            seen.push(of);
            seen.len() - 1
        })
    };
    let one = |(pid, tid, namespaces): &Told| {
        let (pid, tid) = (number(*pid, &mut ids), number(*tid, &mut ids));
        let namespaces = namespaces.iter().map(|(kind, &ino)| format!("{kind} {}", number(ino, &mut inodes)));
        format!("process {pid}, thread {tid}: {}", namespaces.collect::<Vec<_>>().join(", "))
    };
    records.iter().map(one).collect()
}

fn same_records(c: &Built, rust: &Built) -> Result<String> {
    let told = |built: &Built| -> Result<Vec<Told>> {
        let left = machine(built, SCENE, 1, false)?;
        let [perf, ours] = ["perf.data", "nsscope.data"].map(|name| records_of_scene(&left, name));
        let (perf, ours) = (perf?, ours?);
        ensure!(perf == ours, "perf: {perf:#?}\nnsscope: {ours:#?}");
        let mut changes = 0;
        for line in left.text("actor.log")?.lines() {
            let told: Value = serde_json::from_str(line)?;
            let mut after = inodes(&told["after"])?;
            after.remove("time");
            let is = |(pid, _, namespaces): &&Told| Some(*pid) == told["pid"].as_u64() && *namespaces == after;
            ensure!(ours.iter().any(|told| is(&told)), "{line} is in no record of {ours:#?}");
            changes += 1;
        }
        ensure!(changes == 3 * (TYPES.len() + 1) + 1, "the scene broke off: {}", left.text("actor.log")?);
        for log in ["threads.log", "nested.log"] {
            ensure!(!left.text(log)?.is_empty(), "{log} is empty");
        }
        Ok(ours)
    };
    let (c, rust) = (numbered(&told(c)?), numbered(&told(rust)?));
    let differs = (0..c.len().max(rust.len())).find(|&at| c.get(at) != rust.get(at));
    if let Some(at) = differs {
        bail!("record {at} is {:?} of C's and {:?} of Rust's\nC: {c:#?}\nRust: {rust:#?}", c.get(at), rust.get(at));
    }
    Ok(format!("{} records of Rust's are those of C's, by perf and by nsscope, and have /proc's inodes", rust.len()))
}

/// Instructions, as a machine counts them whose clock they are.
fn costs(built: &Built) -> Result<BTreeMap<String, u64>> {
    let left = machine(built, COSTS, 1, true)?;
    Ok(serde_json::from_value(left.json("costs")?)?)
}

fn no_higher_cost(c: &Built, rust: &Built) -> Result<String> {
    println!("with nobody listening, C:\n{}\nRust:\n{}", way_out(&c.begins), way_out(&rust.begins));
    let branches = |code: &str| code.lines().filter(|line| line.contains("\tj")).count();
    let loads = |code: &str| code.lines().filter(|line| line.contains("(%rip)")).count();
    for built in [c, rust] {
        let code = way_out(&built.begins);
        ensure!((loads(&code), branches(&code)) == (1, 1), "not one load and one branch:\n{code}");
    }
    println!("code of kernel/events/core.c and what takes its place: C {} bytes, Rust {}", c.text, rust.text);
    let (c, rust) = (costs(c)?, costs(rust)?);
    let mut said = vec![];
    for listeners in [1, 10] {
        let of = |costs: &BTreeMap<String, u64>| {
            let at = |listeners| costs.get(&format!("setns, {listeners} listeners")).copied().context("a cost");
            Ok::<_, anyhow::Error>(at(listeners)? - at(0)?)
        };
        let (c, rust) = (of(&c)?, of(&rust)?);
        said.push(format!("{listeners} listeners: C {c}, Rust {rust} ({:.2})", rust as f64 / c as f64));
        ensure!(rust <= c, "Rust costs more: {}", said.join("; "));
    }
    println!("instructions in all: C {c:?}\nRust {rust:?}");
    Ok(format!("instructions for the records of one setns(2): {}", said.join("; ")))
}

/// A function from its beginning to its return where nobody listens: the branch that is not taken is the rest.
fn way_out(disassembly: &str) -> String {
    let code = disassembly.lines().skip_while(|line| !line.contains("<perf_event_namespaces>:")).skip(1);
    let code: Vec<&str> = code.map(str::trim).collect();
    let branch = code.iter().position(|line| line.contains("\tj")).map_or(code.len(), |at| at + 1);
    code[..branch].join("\n")
}

fn time_namespace(rust: &Built) -> Result<String> {
    let left = machine(rust, "\nns-events time time.data > time.log\n", 1, false)?;
    let told = left.json("time.log")?;
    let events = left.events("time.data")?;
    let found = events.iter().find(|event| event["kind"] == "namespaces" && event["pid"] == told["pid"]);
    let found = found.with_context(|| format!("no record in {events:?}"))?;
    ensure!(found["namespaces"]["time"]["ino"] == told["time"], "{found} does not have {told}");
    // Older readers pass over what they do not know.
    let mut perf = Command::new("perf");
    let output = perf.args(["script", "--show-namespace-events", "-i"]).arg(left.path("time.data")).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("PERF_RECORD_NAMESPACES"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok("the time namespace is in records of who asks for it, and perf reads them".into())
}

fn driver(rust: &Built) -> Result<String> {
    let left = machine(rust, DRIVEN, 2, false)?;
    let [perf, driver] = ["perf.data", "driver.data"].map(|name| records(&left, name));
    let (perf, driver) = (perf?, driver?);
    // perf has a record for each fork, too: the driver's are those of the tasks' own steps.
    let changes = left.text("actor.log")?.lines().count();
    ensure!(changes == 2 * (TYPES.len() + 1), "the scene broke off: {}", left.text("actor.log")?);
    ensure!(driver.len() == changes, "{changes} changes are not {driver:#?}");
    let mut rest = perf.iter();
    ensure!(driver.iter().all(|told| rest.any(|other| other == told)), "perf: {perf:#?}\ndriver: {driver:#?}");
    ensure!(!left.text("modules")?.contains("nsscope"), "the driver is still there");
    left.quiet("dmesg", &["WARNING", "BUG", "Oops", "Call Trace", "general protection", "Unknown symbol"])?;
    Ok(format!("the driver without C: {changes} records, as perf has them"))
}

fn tests(rust: &Built) -> Result<String> {
    let out = root().join("target/linux");
    fs::create_dir_all(&out)?;
    // util-linux has flags that busybox has not, and perf looks for a program with a libc.
    let more = [programs::test("kernel", &out)?, "/usr/bin/unshare".into(), "/bin/sleep".into()];
    let left = machine_with(rust, TESTS, 2, false, &more)?;
    let said = left.text("tests.log")?;
    let result = said.lines().find(|line| line.starts_with("test result: ok")).with_context(|| said.clone())?;
    let perf = left.text("perf.log")?;
    ensure!(perf.trim_end().ends_with("PERF_RECORD_* events & perf_sample fields: Ok"), "perf's test:\n{perf}");
    Ok(format!("in the kernel, nsscope's tests of namespaces: {result}; perf's of records passes"))
}

fn without(kind: &str, built: &Built) -> Result<String> {
    let others = TYPES.iter().map(|(kind, _)| *kind).chain(["mnt"]).filter(|other| *other != kind);
    let init = WITHOUT.replace("KINDS", &others.collect::<Vec<_>>().join(" "));
    let said = machine(built, &init, 2, false)?.text("without.log")?;
    ensure!(said.contains("\"turns\":500"), "a kernel without {kind} namespaces: {said}");
    Ok(format!("a kernel without {kind} namespaces has the others' records"))
}

fn loops(built: &Built, turns: u32) -> Result<String> {
    let left = machine(built, &LOOPS.replace("TURNS", &turns.to_string()), 2, false)?;
    let said = left.text("loops.log")?;
    ensure!(said.contains(&format!("\"turns\":{turns}")), "{said}");
    left.quiet("dmesg", &["WARNING", "BUG", "Oops", "Call Trace", "KASAN: ", "suspicious"])?;
    let dmesg = left.text("dmesg")?;
    for watch in [
        "KernelAddressSanitizer initialized",
        "Lock dependency validator",
        "kmemleak: Kernel memory leak detector initialized",
    ] {
        ensure!(dmesg.contains(watch), "the kernel does not watch itself, for it does not say: {watch}");
    }
    let leaks = left.text("kmemleak")?;
    ensure!(leaks.is_empty(), "kmemleak has found:\n{leaks}");
    let active = |name: &str| -> Result<u64> {
        let slabs = left.text(name)?;
        let line = slabs.lines().find(|line| line.starts_with("uts_namespace")).context("uts_namespace in slabinfo")?;
        Ok(line.split_whitespace().nth(1).context("active objects")?.parse()?)
    };
    let (before, after) = (active("before")?, active("after")?);
    ensure!(after < before + 200, "2000 namespaces of ended processes are {} more than before", after - before);
    // clang has built this kernel, so that its verifier knows which pointers are RCU's.
    ensure!(!said.contains("does not let eBPF programs see"), "{said}");
    for name in ["perf", "bpf", "sums"] {
        let events = left.events(&format!("{name}.data"))?;
        let forks = events.iter().filter(|event| event["kind"] == "fork" && event["synthesized"] == false).count();
        ensure!(forks >= 100, "{name}: {forks} forks of 100 children:\n{said}");
    }
    let last = said.lines().find(|line| line.contains("\"turns\"")).unwrap_or_default();
    Ok(format!(
        "four loops of {turns} turns, and recorders by perf and by eBPF, under KASAN, lockdep and kmemleak: nothing found \
         ({last})"
    ))
}
