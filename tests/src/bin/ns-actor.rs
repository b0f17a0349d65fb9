//! Does one thing with namespaces and tells, as JSON, what `/proc` says of it: the other side of the tests on the
//! real kernel.
//!
//! ```text
//! ns-actor show                  own namespaces
//! ns-actor fork                  a child in the same namespaces
//! ns-actor clone TYPE            a child made by clone3 with CLONE_NEW<TYPE>
//! ns-actor unshare TYPE          unshare(CLONE_NEW<TYPE>)
//! ns-actor setns TYPE            setns into a namespace that a child has made
//! ns-actor threads COUNT         threads that share all namespaces but the one of cgroups
//! ns-actor nested DEPTH          pid namespaces inside one another
//! ns-actor storm COUNT WORKERS   COUNT children that unshare, ended one after the other by each worker
//! ns-actor move DIR...           a child that writes itself to DIR/cgroup.procs, for each DIR in turn
//! ns-actor born DIR COMMAND...   a child made by clone3 in the cgroup DIR (CLONE_INTO_CGROUP), which runs COMMAND
//! ns-actor churn MILLISECONDS    threads that come and go, for as long
//! ```

use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

/// `CLONE_INTO_CGROUP` of `<linux/sched.h>`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const TYPES: [(&str, i32); 8] = [
    ("net", libc::CLONE_NEWNET),
    ("uts", libc::CLONE_NEWUTS),
    ("ipc", libc::CLONE_NEWIPC),
    ("pid", libc::CLONE_NEWPID),
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", 0x80),
];

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told = match args[..] {
        ["show"] => json!({ "pid": std::process::id(), "after": namespaces() }),
        ["fork"] => child(0)?,
        ["clone", kind] => child(flag(kind)?)?,
        ["unshare", kind] => {
            let before = namespaces();
            // SAFETY: takes no pointer.
            check(unsafe { libc::unshare(flag(kind)?) })?;
            json!({ "pid": std::process::id(), "before": before, "after": namespaces() })
        }
        ["setns", kind] => setns(kind)?,
        ["threads", count] => threads(number(count)?)?,
        ["nested", depth] => nested(number(depth)?)?,
        ["storm", count, workers] => storm(number(count)?, number(workers)?)?,
        ["move", ..] => move_to(&args[1..])?,
        ["born", dir, ..] if args.len() > 2 => born(dir, &args[2..])?,
        ["churn", time] => churn(Duration::from_millis(u64::from(number(time)?)))?,
        _ => return Err(io::Error::other("see the top of ns-actor.rs")),
    };
    println!("{told}");
    Ok(())
}

fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(io::Error::other)
}

fn flag(kind: &str) -> io::Result<i32> {
    let found = TYPES.iter().find(|(name, _)| *name == kind);
    found.map(|&(_, flag)| flag).ok_or_else(|| io::Error::other("no such namespace type"))
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Device and inode of each of our namespaces, as `stat(2)` of `/proc/self/ns` has them.
fn namespaces() -> Value {
    let one = |(name, _): &(&str, i32)| {
        let stat = fs::metadata(format!("/proc/self/ns/{name}")).ok()?;
        Some(((*name).to_string(), json!({ "dev": stat.dev(), "ino": stat.ino() })))
    };
    TYPES.iter().filter_map(one).collect::<Map<_, _>>().into()
}

/// `clone3(2)` with just these flags: returns twice, like fork.
fn clone(flags: i32) -> io::Result<i32> {
    clone_in(u64::from(flags.cast_unsigned()), 0)
}

/// The same with a cgroup, for `CLONE_INTO_CGROUP`.
fn clone_in(flags: u64, cgroup: i32) -> io::Result<i32> {
    let mut args: [u64; 11] = [0; 11];
    args[0] = flags;
    args[4] = u64::from(libc::SIGCHLD.cast_unsigned());
    args[10] = u64::from(cgroup.cast_unsigned());
    // SAFETY: a plain fork but for the namespaces; this program has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// A command that is born into a cgroup: no record and no tracepoint tells of it.
fn born(dir: &str, command: &[&str]) -> io::Result<Value> {
    let cgroup = fs::File::open(dir)?;
    let pid = clone_in(CLONE_INTO_CGROUP, cgroup.as_raw_fd())?;
    if pid == 0 {
        let error = std::process::Command::new(command[0]).args(&command[1..]).exec();
        eprintln!("{}: {error}", command[0]);
        exit();
    }
    wait(pid)?;
    Ok(json!({ "pid": pid }))
}

fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    Ok(status)
}

fn exit() -> ! {
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(0) }
}

/// A child that tells its namespaces through a pipe.
fn child(flags: i32) -> io::Result<Value> {
    let (mut from, mut to) = io::pipe()?;
    let before = namespaces();
    let pid = clone(flags)?;
    if pid == 0 {
        let _ = to.write_all(namespaces().to_string().as_bytes());
        exit();
    }
    drop(to);
    let mut told = String::new();
    from.read_to_string(&mut told)?;
    wait(pid)?;
    let after: Value = serde_json::from_str(&told)?;
    Ok(json!({ "pid": pid, "parent": std::process::id(), "before": before, "after": after }))
}

/// Enters a namespace of a child that is held while we do.
fn setns(kind: &str) -> io::Result<Value> {
    let (mut ready, mut told) = io::pipe()?;
    let (held, hold) = io::pipe()?;
    let pid = clone(flag(kind)?)?;
    if pid == 0 {
        drop(hold);
        let _ = told.write_all(b"x");
        let _ = (&held).read(&mut [0]);
        exit();
    }
    ready.read_exact(&mut [0])?;
    let before = namespaces();
    let target: OwnedFd = fs::File::open(format!("/proc/{pid}/ns/{kind}"))?.into();
    // SAFETY: takes a descriptor by value.
    check(unsafe { libc::setns(target.as_raw_fd(), flag(kind)?) })?;
    let after = namespaces();
    drop((held, hold));
    wait(pid)?;
    Ok(json!({ "pid": std::process::id(), "before": before, "after": after }))
}

/// Threads, one after the other: each is told of when it is made, and when it leaves the namespace of cgroups alone.
fn threads(count: u32) -> io::Result<Value> {
    for _ in 0..count {
        let thread = std::thread::spawn(|| {
            // SAFETY: changes this thread's namespace alone.
            check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })
        });
        thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    Ok(json!({ "threads": count }))
}

/// A child in a pid namespace of its own, in which a child has one of its own, and so on.
fn nested(depth: u32) -> io::Result<Value> {
    let pid = clone(libc::CLONE_NEWPID)?;
    if pid == 0 {
        let inner = if depth > 1 { nested(depth - 1).is_ok() } else { true };
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(i32::from(!inner)) };
    }
    if wait(pid)? == 0 { Ok(json!({ "pid": pid, "depth": depth })) } else { Err(io::Error::other("a child failed")) }
}

/// Each child gives a fork, an unshare and an exit: FORK, NAMESPACES, NAMESPACES, EXIT.
fn storm(count: u32, workers: u32) -> io::Result<Value> {
    let mut pids = vec![];
    for _ in 0..workers {
        let worker = clone(0)?;
        if worker == 0 {
            for _ in 0..count / workers {
                match clone(0) {
                    Ok(0) => {
                        // SAFETY: changes this child's namespace alone.
                        unsafe { libc::unshare(libc::CLONE_NEWUTS) };
                        exit();
                    }
                    Ok(child) => drop(wait(child)),
                    Err(_) => {}
                }
            }
            exit();
        }
        pids.push(worker);
    }
    for pid in pids {
        wait(pid)?;
    }
    Ok(json!({ "children": count / workers * workers }))
}

fn move_to(dirs: &[&str]) -> io::Result<Value> {
    let pid = clone(0)?;
    if pid == 0 {
        for dir in dirs {
            let moved = fs::write(format!("{dir}/cgroup.procs"), "0");
            if let Err(error) = moved {
                eprintln!("ns-actor: {dir}: {error}");
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        exit();
    }
    wait(pid)?;
    Ok(json!({ "pid": pid }))
}

fn churn(time: Duration) -> io::Result<Value> {
    let end = Instant::now() + time;
    let mut count = 0;
    while Instant::now() < end {
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(|| ())).collect();
        count += threads.len();
        let pid = clone(0)?;
        if pid == 0 {
            exit();
        }
        wait(pid)?;
        for thread in threads {
            let _ = thread.join();
        }
    }
    Ok(json!({ "threads": count }))
}
