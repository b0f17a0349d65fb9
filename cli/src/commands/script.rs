//! `nsscope script`: a capture's events in time order. Not here: the formats.

use super::slow;
use crate::args::{self, Format};
use crate::error::{Failure, Outcome};
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
    if let Some(least) = args.longer_than {
        return match args.format {
            Format::Perf => {
                Err(Failure::Usage("perf's format has no waits: --longer-than goes with text and json".into()))
            }
            Format::Text | Format::Json => slow::read(args, least),
        };
    }
    match args.format {
        Format::Perf => print(args, Perf::default()),
        Format::Text => print(args, Text::default()),
        Format::Json => print(args, Json::default()),
    }
}

fn print<P: Print>(args: &args::Script, format: P) -> Outcome {
    let path = args.input.path();
    let mut watch = Watch::wanted(&args.which);
    if let Some(watch) = &mut watch {
        watch.learn_from(path);
    }
    let mut stream = Stream::new(format, args.kind.clone(), watch);
    let read = input::read(path, &mut stream);
    // What was read before a failure is printed all the same.
    stream.write()?;
    read?;
    stream.conclude();
    Ok(ExitCode::SUCCESS)
}
