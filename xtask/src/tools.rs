//! Programs that cargo installs, for us alone.

use crate::{cargo, root, run};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Whether there is such a program.
pub(crate) fn exists(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The program, from the user's own path or built once in `target/tools`.
pub(crate) fn install(name: &str) -> Result<PathBuf> {
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", "--debug", name]);
    install_by(name, install)
}

/// The same by a command of its own, which is told where to.
pub(crate) fn install_by(name: &str, mut install: Command) -> Result<PathBuf> {
    if exists(name) {
        return Ok(name.into());
    }
    let tools = root().join("target/tools");
    let own = tools.join("bin").join(name);
    if !own.exists() {
        println!("{name} is not installed: building it, once, in target/tools");
        run(install.arg("--root").arg(&tools))?;
    }
    Ok(own)
}
