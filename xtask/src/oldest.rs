//! The oldest Rust that the crates promise to build with. Not here: the promise, which is in their manifests.

use crate::toolchain::ask_rustup;
use crate::{cargo, root, run};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Compiles with the oldest Rust that is promised, where it can be had. The lint `incompatible_msrv` and the test of
/// the dependencies' own promises (`tests/tests/repo.rs`) stand in for it elsewhere.
pub(crate) fn check() -> Result<()> {
    let metadata = cargo().args(["metadata", "--format-version=1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    for package in metadata["packages"].as_array().context("packages")? {
        let (Some(name), Some(rust)) = (package["name"].as_str(), package["rust_version"].as_str()) else {
            bail!("{} does not say the oldest Rust it builds with", package["name"]);
        };
        if !["nsscope-codec", "nsscope"].contains(&name) {
            continue;
        }
        if !ask_rustup(&["toolchain", "install", rust, "--profile", "minimal", "--no-self-update"])? {
            println!("{name}: Rust {rust} cannot be installed here; lint and metadata stand in for it");
            continue;
        }
        println!("{name}: Rust {rust}");
        // The codec's decompressor wants the newer Rust, which the CLI that links it is checked with.
        let features =
            if name == "nsscope-codec" { "--features=alloc,heapless,postcard,defmt" } else { "--all-features" };
        let manifest = Path::new(package["manifest_path"].as_str().context("manifest_path")?);
        run(Command::new("rustup")
            .args(["run", rust, "cargo", "check", "--quiet", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg(features)
            .arg("--target-dir")
            .arg(root().join("target/oldest").join(rust))
            .env_remove("RUSTC")
            .env_remove("CARGO"))?;
    }
    Ok(())
}
