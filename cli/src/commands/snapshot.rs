//! `nsscope snapshot`: what runs now, in the format of a recording. Not here: how /proc is read.

use super::record::standard_output;
use crate::args::{self, Names};
use crate::error::{Outcome, note};
use indicatif::{HumanBytes, HumanCount};
use std::path::Path;
use std::process::ExitCode;

/// `nsscope snapshot`.
pub(crate) fn run(args: &args::Snapshot) -> Outcome {
    let names = args.names == Names::Auto;
    let (snapshot, output) = if args.output == Path::new("-") {
        (nsscope_capture::snapshot_to_pipe(standard_output()?, names)?, "standard output".into())
    } else {
        (nsscope_capture::snapshot_to_file(&args.output, names)?, args.output.display().to_string())
    };
    note(format_args!(
        "snapshot of {} threads, {} records, {} to {output}",
        HumanCount(snapshot.threads),
        HumanCount(snapshot.records),
        HumanBytes(snapshot.bytes)
    ));
    Ok(ExitCode::SUCCESS)
}
