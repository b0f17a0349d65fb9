//! `nsscope script`: a capture's events in time order. Not here: the formats.

use crate::args::{self, Format};
use crate::error::Outcome;
use crate::events::json::Json;
use crate::events::perf::Perf;
use crate::events::print::Print;
use crate::events::stream::Stream;
use crate::events::text::Text;
use crate::events::watch::Watch;
use crate::input::{self, Consumer};
use nsscope_codec::perf_data::Session;
use nsscope_codec::{Order, RawRecord};
use std::path::Path;
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
    let path = args.input.path();
    let mut watch = Watch::wanted(&args.which);
    // What a container is called may come behind what happened in it. A file can be read twice; what is wrong with it is
    // said then.
    if let Some(watch) = watch.as_mut().filter(|_| path.is_file() && path != Path::new("-")) {
        let _ = input::read(path, &mut Names(watch));
    }
    let mut stream = Stream::new(format, args.kind.clone(), watch);
    let read = input::read(path, &mut stream);
    // What was read before a failure is printed all the same.
    stream.write()?;
    read?;
    stream.conclude();
    Ok(ExitCode::SUCCESS)
}

/// Looks for names alone.
struct Names<'w>(&'w mut Watch);

impl Consumer for Names<'_> {
    const QUIET: bool = true;

    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.0.learn(session, record);
        Ok(())
    }
}
