//! What several commands say to people. Not here: what single commands say.

use crate::safe::safe;
use nsscope_timeline::{KeptNamespace, Runner, Timeline};
use std::fmt::Write as _;

/// Those that there are, for people.
pub(crate) fn kept_text(timeline: &Timeline) -> String {
    let mut out = String::new();
    if !timeline.kept().is_empty() {
        out += "\nnamespaces without a process:\n";
    }
    for KeptNamespace { kind, id, by, .. } in timeline.kept() {
        let _ = writeln!(out, "  {}:[{}]  {}", kind.name(), id.ino, safe(by.as_bytes()));
    }
    out
}

/// What a recorder in a container does not see, by its own namespaces.
pub(crate) fn blind_spots<S: AsRef<str>>(own: &[S]) -> String {
    let spot = |kind: &S| match kind.as_ref() {
        "pid" => "processes outside its pid namespace are not shown",
        "cgroup" => "cgroup paths are relative to its own, so what contains it cannot be named",
        "user" => "namespaces of other users' processes may be hidden",
        _ => "some facts may be hidden",
    };
    own.iter().map(spot).collect::<Vec<_>>().join("; ")
}

/// Whose CPU time it is, in a few words.
pub(crate) fn runner_title(timeline: &Timeline, runner: &Runner) -> String {
    match runner {
        Runner::Container(key) => safe(timeline.title_of(key).as_bytes()),
        Runner::Host => "host".into(),
        Runner::Kernel => "kernel threads".into(),
        Runner::Idle => "idle".into(),
        Runner::Unknown => "unknown".into(),
    }
}
