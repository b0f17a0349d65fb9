//! Helpers of the tests: the programs under test, their output, and what to do where the machine lacks something. Not
//! here: what is tested.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
pub use walk::{Sum, pointer_loop};

pub mod fleet;
pub mod mutants;
pub mod pages;
pub mod runtimes;
pub mod server;
pub mod terminal;
mod walk;

/// Where the built programs are; they are built once and optimised, because a storm should be one.
fn bin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // Where there is no cargo: in a kernel that runs in QEMU.
        let built = std::env::var_os("NSSCOPE_PROGRAMS").map(PathBuf::from);
        built.unwrap_or_else(|| build("release", &["programs"]))
    })
}

/// Builds programs by a profile and by a command of cargo's. Returns where they are.
fn build(profile: &str, command: &[&str]) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo.args(command).args(["--quiet", "--profile", profile]).current_dir(workspace).status();
    assert!(built.is_ok_and(|status| status.success()), "the programs under test do not build");
    target.join(profile)
}

/// The program under test.
pub fn nsscope() -> Command {
    let mut command = Command::new(bin_dir().join("nsscope"));
    command.arg0("nsscope").env_remove("NO_COLOR").env("TZ", "UTC");
    command
}

/// The program that acts on namespaces.
pub fn actor() -> PathBuf {
    bin_dir().join("ns-actor")
}

/// The program that repeats the context switches of a recording.
pub fn repeat() -> PathBuf {
    bin_dir().join("ns-repeat")
}

/// The program that does one piece of work over and over, as optimised as what is released: its instructions are counted.
pub fn work() -> PathBuf {
    build("dist", &["build", "-p", "nsscope-tests", "--bin", "ns-work"]).join("ns-work")
}

/// Python packages that read what we export: DuckDB and Spark for tables, Perfetto's own messages for traces, an object
/// store. The last is DuckDB's program.
const PYTHON: [&str; 7] = [
    "duckdb==2.0.1",
    "moto[s3,server]==5.2.5",
    "perfetto==0.59.1",
    "pyarrow==26.0.1",
    "opentelemetry-proto==1.45.2",
    "pyspark==4.3.0",
    "duckdb-cli==1.5.6",
];

/// A Python that has DuckDB, Spark, Arrow, and the messages of Perfetto and OpenTelemetry, made once in `target/tools`.
/// Beside it is the program `duckdb`.
///
/// # Errors
/// Why there is none.
///
/// # Panics
/// Where the tests are in no workspace.
pub fn python() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("target/tools/python");
        let (python, done) = (dir.join("bin/python"), dir.join(PYTHON.concat()));
        if !done.exists() {
            let step = |command: &mut Command| {
                let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
                let failed = || format!("{command:?}: {}", errors(&output));
                output.status.success().then_some(()).ok_or_else(failed)
            };
            step(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
            step(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON))?;
            fs::write(&done, "").map_err(|error| error.to_string())?;
        }
        Ok(python)
    };
    MADE.get_or_init(make).clone()
}

/// Why [`python`] cannot be had here.
pub fn no_python() -> Option<String> {
    python().err().map(|why| format!("a Python with {PYTHON:?} cannot be made: {why}"))
}

/// Records by kind, lower case, as `perf report -D` and `perf report --stats` print them at their end.
///
/// # Panics
/// Where they are not there.
pub fn perf_counts(printed: &str) -> BTreeMap<String, u64> {
    let (_, stats) = printed.split_once("Aggregated stats:").expect("perf ends with its counts");
    let all = stats.lines().take_while(|line| !line.ends_with(" stats:"));
    let count = |line: &str| {
        let (kind, rest) = line.trim().split_once(" events:")?;
        Some((kind.to_lowercase(), rest.split_whitespace().next()?.parse().ok()?))
    };
    all.filter_map(count).filter(|(kind, _)| kind != "total").collect()
}

/// Runs to the end and fails the test unless the exit code is 0.
///
/// # Panics
/// Where the program cannot be run or fails: that is a failed test.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Copies a program that is run at once. Not by ourselves: who is forked meanwhile, by another test, holds the file that we
/// write for a moment more, and execve(2) does not take it then (ETXTBSY).
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    run(Command::new("cp").arg(from.as_ref()).arg(to.as_ref()));
}

/// Standard output as text.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command prints as JSON.
///
/// # Panics
/// Where it is not JSON.
pub fn json_of(command: &mut Command) -> Value {
    serde_json::from_slice(&run(command).stdout).expect("JSON")
}

/// Records a command of its process tree and returns its output.
pub fn record(file: &Path, command: &[&str]) -> Output {
    run(nsscope().arg("record").arg("-o").arg(file).arg("--").args(command))
}

/// A capture's events, as `script --format json` tells them.
///
/// # Panics
/// Where a line is not JSON.
pub fn events(file: &Path) -> Vec<Value> {
    let output = run(nsscope().args(["script", "--format", "json"]).arg(file));
    text(&output).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// What `report --json` says of a capture.
///
/// # Panics
/// Where it is not JSON.
pub fn report(file: &Path) -> Value {
    json_of(nsscope().args(["report", "--json"]).arg(file))
}

/// How many records a capture has, of all kinds, as `stat --json` counts them.
///
/// # Panics
/// Where it is not JSON, or has no counts.
pub fn count_records(file: &Path) -> u64 {
    count_kinds(file).values().sum()
}

/// The same, by kind.
///
/// # Panics
/// Likewise.
pub fn count_kinds(file: &Path) -> BTreeMap<String, u64> {
    let stat = json_of(nsscope().args(["stat", "--json"]).arg(file));
    let kinds = stat["kinds"].as_object().expect("kinds").iter();
    kinds.map(|(kind, of)| (kind.clone(), of["count"].as_u64().expect("a count"))).collect()
}

/// Why this machine cannot record, if it cannot.
pub fn cannot_record() -> Option<String> {
    let output = nsscope().args(["doctor", "--json"]).output().ok()?;
    let doctor: Value = serde_json::from_slice(&output.stdout).ok()?;
    (doctor["can_record"] != true).then(|| "perf_event_open is refused here (nsscope doctor)".into())
}

/// Why the programs cannot be used here, if so.
pub fn no_bpf() -> Option<String> {
    limited("eBPF programs")
}

/// Why moves between cgroups are not recorded, if they are not.
pub fn no_tracepoints() -> Option<String> {
    limited("cgroup tracepoints")
}

/// What `nsscope doctor` says of a check that is not well.
fn limited(check: &str) -> Option<String> {
    let doctor = nsscope().args(["doctor", "--json"]).output().ok()?;
    let doctor: Value = serde_json::from_slice(&doctor.stdout).ok()?;
    let checks = doctor["checks"].as_array()?.iter().filter(|found| found["check"] == check);
    let limited: Vec<_> =
        checks.filter(|check| check["state"] != "ok").map(|check| check["found"].to_string()).collect();
    (!limited.is_empty()).then(|| limited.join("; "))
}

/// Why there is no `perf` to compare with, if there is none.
pub fn no_perf() -> Option<String> {
    missing("perf", "linux-perf")
}

/// `perf script` of a file, with all the records that we print. perf asks debuginfod and the terminal for nothing here.
pub fn perf_script(file: &Path) -> Command {
    const SHOW: [&str; 5] = [
        "--show-namespace-events",
        "--show-task-events",
        "--show-cgroup-events",
        "--show-lost-events",
        "--show-switch-events",
    ];
    let mut perf = Command::new("perf");
    perf.arg("script").args(SHOW).arg("-i").arg(file);
    perf
}

/// Why a program cannot be used, if it is not there.
pub fn missing(program: &str, debian_package: &str) -> Option<String> {
    let works = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    (!works).then(|| format!("{program} is not installed (Debian: {debian_package})"))
}

/// Where the unified cgroup hierarchy is mounted.
pub fn cgroup2() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    Some(mount.split(' ').nth(1)?.into())
}

/// Why there is no making cgroups here, if so.
pub fn no_cgroup2() -> Option<String> {
    let writable = cgroup2().is_some_and(|root| {
        let name = format!("nsscope-probe-{}-{:?}", std::process::id(), std::thread::current().id());
        let probe = Path::new(&root).join(name);
        fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
    });
    (!writable).then(|| "no cgroup v2 hierarchy that this user may change".into())
}

/// Why namespaces cannot be made here, if so.
pub fn not_root() -> Option<String> {
    // SAFETY: takes nothing.
    (unsafe { libc::geteuid() } != 0).then(|| "makes namespaces and cgroups as root".into())
}

/// A library that, preloaded, stands between a program and the kernel: `perf_event_open(2)` fails with `errno` where
/// this holds in C of the `attr`. Wants gcc.
///
/// # Panics
/// Where it does not compile.
pub fn kernel_that_refuses(dir: &Path, condition: &str, errno: &str) -> PathBuf {
    let (source, library) = (dir.join("refuses.c"), dir.join("refuses.so"));
    let text = format!(
        r#"#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <sys/syscall.h>

long syscall(long number, ...) {{
    long args[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        args[i] = va_arg(list, long);
    va_end(list);
    struct perf_event_attr *attr = (void *)args[0];
    if (number == SYS_perf_event_open && {condition}) {{
        errno = {errno};
        return -1;
    }}
    long (*next)(long, ...) = dlsym(RTLD_NEXT, "syscall");
    return next(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}}
"#
    );
    fs::write(&source, text).expect("a source");
    run(Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl"));
    library
}

/// Waits until something is so. It does not give up: a test runner may.
pub fn wait_for(mut so: impl FnMut() -> bool) {
    while !so() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A cgroup of the shape that a runtime makes, removed at the end.
#[derive(Debug)]
pub struct Group(pub PathBuf);

impl Group {
    /// At this path of the unified hierarchy.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(path: &str) -> Self {
        let dir = Path::new(&cgroup2().expect("cgroup v2")).join(path);
        fs::create_dir_all(&dir).expect("a cgroup");
        Self(dir)
    }

    /// The file that a pid is written to, to move there.
    pub fn procs(&self) -> String {
        self.0.join("cgroup.procs").display().to_string()
    }
}

/// How long a CPU ran what is and was in the cgroup of this directory, by the kernel's account, in ns.
///
/// # Panics
/// Where its `cpu.stat` does not say so.
pub fn cpu_usage(cgroup: &Path) -> u64 {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).expect("cpu.stat");
    let usec = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("usage_usec");
    usec.parse::<u64>().expect("a number") * 1000
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        wait_for(|| remove_groups(&self.0).is_ok());
        // The slice that was made for it, where nothing else is in there.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// A cgroup is removed once nothing is in it and below it.
fn remove_groups(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_groups(&entry.path())?;
    }
    fs::remove_dir(dir)
}

/// Begins to record and returns once it does.
///
/// # Panics
/// Where it does not start.
pub fn start(file: &Path, args: &[&str]) -> Child {
    let mut command = nsscope();
    command.arg("record").arg("-o").arg(file).args(args).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    loop {
        // Asked first: what has ended will not write any more.
        let ended = child.try_wait().expect("its state");
        // The first records are written once it records.
        if has_records(file) {
            return child;
        }
        if ended.is_some() {
            let output = child.wait_with_output().expect("its output");
            panic!("{command:?}: {}\n{}", output.status, errors(&output));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Whether a file's header says that there are records: `data.size`, 48 bytes from its beginning.
pub fn has_records(file: &Path) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    bytes.get(48..56).is_some_and(|size| size != [0; 8])
}

/// Ends a recording and returns what it says.
///
/// # Panics
/// Where it fails.
pub fn stop(child: Child) -> String {
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", errors(&output));
    errors(&output)
}

/// The container of a report that has this id.
///
/// # Panics
/// Where there is none.
pub fn by_id<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut all = report["containers"].as_array().expect("containers").iter();
    all.find(|container| container["id"] == id).unwrap_or_else(|| panic!("{id} is not in {report}"))
}

/// CPU time of the children that we have waited for, in seconds.
pub fn children_cpu() -> f64 {
    // SAFETY: the structure is plain numbers, and the kernel writes it.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Ends with its test, and its children with it.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Inode of a process's namespace.
///
/// # Panics
/// Where it has none.
pub fn inode(pid: u32, kind: &str) -> u64 {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
    let link = link.to_string_lossy();
    link[link.find('[').expect("a namespace") + 1..link.len() - 1].parse().expect("a namespace")
}

/// Tells that a test cannot run here: on standard error, and in the file that `cargo xtask test` counts.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Some(file) = std::env::var_os("NSSCOPE_SKIPS") {
        let file = std::fs::File::options().append(true).create(true).open(file);
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{test}: {why}");
        }
    }
}

/// Leaves the test where one of the reasons not to run it holds.
#[macro_export]
macro_rules! needs {
    ($test:expr, $($reason:expr),+) => {
        $(if let Some(why) = $reason {
            return $crate::skip($test, &why);
        })+
    };
}

/// A file in memory.
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl nsscope_codec::perf_data::Output for &mut Bytes {
    type Error = ();

    fn write_at<'a>(&mut self, offset: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), ()> {
        let bytes = pieces.into_iter().collect::<Vec<_>>().concat();
        let end = offset as usize + bytes.len();
        self.0.resize(self.0.len().max(end), 0);
        self.0[offset as usize..end].copy_from_slice(&bytes);
        Ok(())
    }
}
