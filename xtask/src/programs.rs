//! The programs that tests run. Not here: what they are run for.

use crate::{cargo, root, run};
use anyhow::Result;
use std::path::PathBuf;

/// Builds the programs that tests run.
pub(crate) fn build() -> Result<()> {
    let what = ["-p", "nsscope", "-p", "nsscope-tests", "--bins", "--features=nsscope/bpf,nsscope/parquet"];
    run(cargo().args(["build", "--quiet", "--release"]).args(what))
}

/// Where they are then.
pub(crate) fn dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("release")
}
