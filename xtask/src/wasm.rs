//! Builds the npm package of the `wasm` crate.

use crate::{cargo, root, run, setup};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's Rust, and the source of its standard library.
const DEBIAN: [(&str, &str); 4] = [
    ("rustc-web", "a compiler that knows WebAssembly"),
    ("cargo-web", "its cargo"),
    ("rust-web-src", "its standard library"),
    ("lld-22", "its linker"),
];

/// How the crate is compiled.
enum Toolchain {
    /// The cargo that runs us has the target.
    Own,
    /// Debian's packages, which build the standard library too.
    Debian,
}

/// Builds `wasm/pkg`: the module, its JavaScript and its types.
pub(crate) fn build() -> Result<()> {
    let target_dir = root().join("target/wasm");
    let mut command = match toolchain()? {
        Toolchain::Own => {
            println!("wasm: built with this toolchain's {TARGET}");
            cargo()
        }
        Toolchain::Debian => {
            println!("wasm: built with Debian's rustc-web, and a standard library made on the spot");
            let mut command = Command::new("/usr/bin/cargo");
            command
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("CARGO")
                .args(["-Zbuild-std=std,panic_abort", "--config"])
                .arg(format!("target.{TARGET}.linker=\"wasm-ld-22\""));
            command
        }
    };
    // A target directory of its own: two compilers would evict each other's artifacts.
    run(command
        .args(["build", "--quiet", "--profile", "wasm", "--package", "nsscope-wasm", "--target", TARGET])
        .arg("--target-dir")
        .arg(&target_dir))?;
    let module = target_dir.join(TARGET).join("wasm/nsscope_wasm.wasm");
    let package = root().join("wasm/pkg");
    // What an older build left would be packed as well.
    let _ = fs::remove_dir_all(&package);
    Bindgen::new().input_path(&module).web(true)?.typescript(true).remove_name_section(true).generate(&package)?;
    let size = fs::metadata(package.join("nsscope_wasm_bg.wasm")).context("the module that was just made")?.len();
    println!("wasm: {} of {size} bytes", package.join("nsscope_wasm_bg.wasm").strip_prefix(root())?.display());
    Ok(())
}

/// The best way there is here to compile for WebAssembly.
fn toolchain() -> Result<Toolchain> {
    if has_target()? {
        return Ok(Toolchain::Own);
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).stderr(Stdio::null()).status();
    if added.is_ok_and(|status| status.success()) && has_target()? {
        return Ok(Toolchain::Own);
    }
    setup::debian_packages(&DEBIAN)?;
    if PathBuf::from("/usr/bin/wasm-ld-22").exists() && PathBuf::from("/usr/bin/cargo").exists() {
        return Ok(Toolchain::Debian);
    }
    bail!(
        "nothing here compiles for {TARGET}. One of these does it:\n  rustup target add {TARGET}\n  \
         sudo apt-get install --no-install-recommends {}",
        DEBIAN.map(|(name, _)| name).join(" ")
    )
}

fn has_target() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()))
}
