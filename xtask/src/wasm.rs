//! Builds the npm package of the `wasm` crate.

use crate::toolchain::Toolchain;
use crate::{root, run};
use anyhow::{Context, Result};
use std::fs;
use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";
/// Builds `wasm/pkg`: the module, its JavaScript and its types.
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::find(TARGET)?;
    run(toolchain
        .cargo("build", &[TARGET], "std,panic_abort")
        .args(["--profile", "wasm", "--package", "nsscope-wasm"])
        .arg("--config")
        .arg(match toolchain {
            Toolchain::Own => format!("target.{TARGET}.rustflags=[]"),
            Toolchain::Debian => format!("target.{TARGET}.linker=\"wasm-ld-22\""),
        }))?;
    let module = toolchain.target_dir().join(TARGET).join("wasm/nsscope_wasm.wasm");
    let package = root().join("wasm/pkg");
    // What an older build left would be packed as well.
    let _ = fs::remove_dir_all(&package);
    Bindgen::new().input_path(&module).web(true)?.typescript(true).remove_name_section(true).generate(&package)?;
    let size = fs::metadata(package.join("nsscope_wasm_bg.wasm")).context("the module that was just made")?.len();
    println!("wasm: {} of {size} bytes", package.join("nsscope_wasm_bg.wasm").strip_prefix(root())?.display());
    Ok(())
}
