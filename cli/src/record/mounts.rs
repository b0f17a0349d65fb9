//! Where file systems are mounted, for this process.

use std::fs;

/// Where the unified hierarchy is mounted.
pub(crate) fn cgroup2_mount() -> Option<String> {
    mount(|kind, _| kind == "cgroup2")
}

/// The first mount in `/proc/self/mountinfo` whose file system's type and options pass.
pub(crate) fn mount(passes: impl Fn(&str, &str) -> bool) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        passes(kind, options).then(|| before.split(' ').nth(4).map(String::from))?
    })
}
