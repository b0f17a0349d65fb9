//! Records the viewer's example. Not here: the containers in it.

use crate::{cargo, root, run};
use anyhow::Result;

/// Writes `www/public/example.data`.
pub(crate) fn record() -> Result<()> {
    let file = root().join("www/public/example.data");
    let _ = std::fs::remove_file(&file);
    run(cargo().args(["run", "--quiet", "--release", "-p", "nsscope-tests", "--bin", "ns-example", "--"]).arg(&file))
}
