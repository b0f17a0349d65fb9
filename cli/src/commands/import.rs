//! `nsscope import`: compact frames that came over a slow link, as a perf.data file. Not here: the conversion, which is
//! capture's.

use super::record::standard_output;
use crate::args;
use crate::error::{Failure, Outcome, note};
use indicatif::HumanCount;
use nsscope_capture::import;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

/// `nsscope import`.
pub(crate) fn run(args: &args::Import) -> Outcome {
    let path = &args.frames;
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::file("open", path, &error))?)
    };
    let to_pipe = args.output == Path::new("-");
    let pipe = if to_pipe { Some(Box::new(standard_output()?) as Box<dyn Write + Send>) } else { None };
    let imported = import(input, &args.output, pipe)?;
    if imported.damaged > 0 {
        note(format_args!("damaged or no frame: {} stretches of the input", HumanCount(imported.damaged)));
    }
    if imported.records == 0 {
        return Err(Failure::new(format!(
            "no frame was found in {}\n  nsscope import reads what nsscope_codec::compact::write made",
            path.display()
        )));
    }
    let output = if to_pipe { "standard output".into() } else { args.output.display().to_string() };
    note(format_args!("{} records to {output}", HumanCount(imported.records)));
    Ok(ExitCode::SUCCESS)
}
