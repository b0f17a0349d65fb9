//! The pages in `docs/` and their commands. Not here: running them.

use crate::nsscope;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What a fence of a page says of its commands.
#[derive(Debug)]
pub enum Kind {
    /// They end by themselves.
    Run,
    /// They run until somebody ends them.
    Live,
}

/// The commands of a page, block by block: `sh`, and `sh live`. What is `sh elsewhere` wants what is not here, and what is
/// `console` is not for a test. A comment, `before: COMMAND`, makes what a page speaks of.
pub fn blocks(page: &str) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("<!-- before: ").and_then(|line| line.strip_suffix(" -->")) {
            found.push((Kind::Run, command.into()));
        }
        let kind = match line.trim_start() {
            "```sh" => Kind::Run,
            "```sh live" => Kind::Live,
            _ => continue,
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").map(str::trim_start).collect();
        found.push((kind, block.join("\n")));
    }
    found
}

/// A folder of programs before all others: nsscope as it was built, Docker's client for the daemon that was started, and
/// sudo for whoever is root already.
///
/// # Panics
/// Where it cannot be made.
pub fn programs(dir: &Path) {
    fs::create_dir(dir).unwrap();
    symlink(nsscope().get_program(), dir.join("nsscope")).unwrap();
    let scripts = [
        ("sudo", "exec \"$@\"".to_string()),
        ("docker", "DOCKER_HOST=unix:///run/docker.sock exec /usr/bin/docker \"$@\"".into()),
    ];
    for (name, script) in scripts {
        program(dir, name, &script);
    }
}

/// One more in that folder, of a line for sh(1).
///
/// # Panics
/// Where it cannot be made.
pub fn program(dir: &Path, name: &str, script: &str) {
    fs::write(dir.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}
