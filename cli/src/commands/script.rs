//! `nsscope script`: a capture's events in time order. Not here: the formats.

use crate::args::{self, Format};
use crate::error::Outcome;
use crate::events::json::Json;
use crate::events::perf::Perf;
use crate::events::print::Print;
use crate::events::stream::Stream;
use crate::events::text::Text;
use crate::events::watch::Watch;
use crate::input;
use std::process::ExitCode;

/// `nsscope script`.
pub(crate) fn run(args: &args::Script) -> Outcome {
    match args.format {
        Format::Perf => print(args, Perf::default()),
        Format::Text => print(args, Text::default()),
        Format::Json => print(args, Json::default()),
    }
}

fn print<P: Print>(args: &args::Script, format: P) -> Outcome {
    let mut stream = Stream::new(format, args.kind.clone(), Watch::wanted(&args.which));
    let read = input::read(args.input.path(), &mut stream);
    // What was read before a failure is printed all the same.
    stream.write()?;
    read?;
    stream.conclude();
    Ok(ExitCode::SUCCESS)
}
