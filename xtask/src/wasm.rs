//! Builds the npm package of the `wasm` crate. Not here: what the crate offers.

use crate::toolchain::{Toolchain, no_paths};
use crate::{root, run};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use wasm_bindgen_cli_support::Bindgen;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What a panic is in a page: a trap, whose words nobody would read.
const NO_WORDS: [&str; 3] = ["-Zunstable-options", "-Cpanic=immediate-abort", "-Zlocation-detail=none"];

/// Parts of the standard library that are both faster and smaller so: maps, memory, comparisons.
const FAST: [&str; 6] = ["core", "alloc", "std", "compiler_builtins", "hashbrown", "dlmalloc"];

/// Compiles some of the crate. Returns where it is then.
fn compile(what: &[&str]) -> Result<PathBuf> {
    let toolchain = Toolchain::find_with_source(TARGET)?;
    let paths = no_paths()?;
    let flags = [&paths.each_ref().map(String::as_str)[..], &NO_WORDS].concat();
    let mut cargo = toolchain.cargo("build", &[TARGET], "std,panic_abort");
    if toolchain == Toolchain::Debian {
        cargo.arg("--config").arg(format!("target.{TARGET}.linker=\"wasm-ld-22\""));
    }
    for part in FAST {
        cargo.arg("--config").arg(format!("profile.wasm.package.{part}.opt-level=3"));
    }
    run(cargo
        .args(["-Zbuild-std-features=optimize_for_size", "--profile", "wasm", "--package", "nsscope-wasm"])
        .args(what)
        // These instead of the flags that a user has for other programs.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    Ok(toolchain.target_dir().join(TARGET).join("wasm"))
}

/// The walk over records that the viewer's bench compares, as a plain module.
pub(crate) fn walk() -> Result<PathBuf> {
    Ok(compile(&["--example", "walk"])?.join("examples/walk.wasm"))
}

/// Builds `wasm/pkg`: the module, its JavaScript and its types.
pub(crate) fn build() -> Result<()> {
    let module = compile(&["--lib"])?.join("nsscope_wasm.wasm");
    let package = root().join("wasm/pkg");
    // What an older build left would be packed as well.
    let _ = fs::remove_dir_all(&package);
    Bindgen::new().input_path(&module).web(true)?.typescript(true).remove_name_section(true).generate(&package)?;
    let size = fs::metadata(package.join("nsscope_wasm_bg.wasm")).context("the module that was just made")?.len();
    println!("wasm: {} of {size} bytes", package.join("nsscope_wasm_bg.wasm").strip_prefix(root())?.display());
    Ok(())
}
