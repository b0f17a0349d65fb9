//! Where file systems are mounted, for this process. Not here: what the mounted file systems hold.

use std::fs;

/// Where the unified hierarchy is mounted.
pub(crate) fn cgroup2_mount() -> Option<String> {
    mount(|kind, _| kind == "cgroup2")
}

/// Where the older hierarchy (v1) of a controller is mounted.
pub(crate) fn controller_mount(controller: &str) -> Option<String> {
    mount(|kind, options| kind == "cgroup" && options.split(',').any(|option| option == controller))
}

/// The first mount in `/proc/self/mountinfo` whose file system's type and options pass.
pub(crate) fn mount(passes: impl Fn(&str, &str) -> bool) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let found = |mount: Mount<'_>| passes(mount.kind, mount.options).then_some(mount.path);
    mounts.lines().filter_map(parse).find_map(found)
}

/// A line of a mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug)]
pub(crate) struct Mount<'l> {
    /// What of the file system is mounted.
    pub(crate) root: &'l str,
    /// Where.
    pub(crate) path: String,
    /// The file system's type.
    pub(crate) kind: &'l str,
    options: &'l str,
}

/// Reads a line. Blanks in paths are `\\040`.
pub(crate) fn parse(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let (mut before, mut after) = (before.split(' ').skip(3), after.split(' '));
    let (root, path) = (before.next()?, before.next()?);
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let path = codes.iter().fold(path.to_string(), |path, (code, text)| path.replace(code, text));
    Some(Mount { root, path, kind: after.next()?, options: after.nth(1)? })
}
