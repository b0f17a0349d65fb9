//! Records the viewer's example. Not here: the containers in it.

use crate::{programs, root, run};
use anyhow::Result;
use std::process::Command;

/// Writes `www/public/example.data`.
pub(crate) fn record() -> Result<()> {
    let file = root().join("www/public/example.data");
    let _ = std::fs::remove_file(&file);
    programs::build()?;
    run(Command::new(programs::dir().join("ns-example")).arg(&file))
}
