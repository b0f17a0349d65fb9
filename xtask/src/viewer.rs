//! Builds the viewer, and puts it where the build of `nsscope` takes it from. Not here: the page itself.

use crate::{cargo, example, npm, npm_command, programs, root, run, wasm};
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Builds `www/dist` and the programs with it; wants the wasm package and the node modules.
pub(crate) fn build() -> Result<()> {
    npm(&["run", "--silent", "build"])?;
    let (built, within) = (root().join("www/dist"), root().join("cli/viewer"));
    for entry in fs::read_dir(&within)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if !path.ends_with(".gitignore") {
            fs::remove_file(path)?;
        }
    }
    copy(&built, &within)?;
    // A service worker would outlive the port that nsscope view has. The example is a recording of this machine, and what is
    // packaged is made of the sources alone.
    for file in ["sw.js", "example.data"] {
        fs::remove_file(within.join(file))?;
    }
    programs::build()
}

/// Builds it from the sources, with all that it wants.
pub(crate) fn make() -> Result<()> {
    wasm::build()?;
    example::record()?;
    npm(&["ci", "--no-fund", "--no-audit"])?;
    build()
}

/// Whether the build of `nsscope` takes one in.
pub(crate) fn is_within() -> bool {
    root().join("cli/viewer/index.html").exists()
}

/// Prints a table of what the viewer does how fast. Files of 6 GiB are made beside the tests' for it, and removed.
pub(crate) fn bench() -> Result<()> {
    run(cargo().args(["build", "--quiet", "--profile=dist", "-p", "nsscope-wasm", "--example", "large"]))?;
    let walk = wasm::walk()?;
    run(npm_command().args(["run", "--silent", "bench"]).env("WALK", walk))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
