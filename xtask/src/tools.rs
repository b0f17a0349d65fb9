//! Programs that cargo installs, for us alone. Not here: what they are used for.

use crate::{cargo, run};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Whether there is such a program.
pub(crate) fn exists(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Where that is kept which takes minutes to make, and is the same for every work tree.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache"),
        PathBuf::from,
    );
    cache.join("nsscope")
}

/// The program, from the user's own path or built once and kept beside all work trees.
pub(crate) fn install(name: &str) -> Result<PathBuf> {
    install_as(name, name)
}

/// The program of a package that has another name.
pub(crate) fn install_as(name: &str, package: &str) -> Result<PathBuf> {
    install_by(name, package, cargo(), &[])
}

/// The same by a cargo of its own.
pub(crate) fn install_by(name: &str, package: &str, mut cargo: Command, options: &[&str]) -> Result<PathBuf> {
    if exists(name) {
        return Ok(name.into());
    }
    let tools = cache().join("tools");
    let own = tools.join("bin").join(name);
    if !own.exists() {
        println!("{name} is not installed: building it, once, in {}", tools.display());
        // It runs for a moment, so what counts is how long it takes to build.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        run(cargo
            .args(["install", "--quiet", "--locked", "--debug", package])
            .args(options)
            .arg("--root")
            .arg(&tools))?;
    }
    Ok(own)
}
