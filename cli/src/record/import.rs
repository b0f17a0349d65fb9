//! `nsscope import`: compact frames that came over a slow link, as a perf.data file.

use super::events;
use super::features;
use super::output::{Older, Sink};
use super::snapshot::layout;
use crate::args;
use crate::error::{Failure, Outcome, note};
use indicatif::HumanCount;
use nsscope_codec::Native;
use nsscope_codec::compact::Frames;
use nsscope_codec::perf_data::Feature;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

/// What is told of this machine in a file of another machine's records.
const SECTIONS: [Feature; 3] = [Feature::VERSION, Feature::CMDLINE, Feature::EVENT_DESC];
/// The longest frame in bytes: a cgroup's path has at most 4,096 (`PATH_MAX`).
const FRAME: usize = 8192;

pub(crate) fn run(args: &args::Import) -> Outcome {
    let path = &args.frames;
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::file("open", path, &error))?)
    };
    let described = [events::side_band(events::side_band_attr(), vec![1])];
    let layout = layout(&described);
    // Nothing is created, and nothing moved aside, before there is something to write.
    let mut sink = None;
    let mut frames = Frames::<FRAME>::new();
    let (mut chunk, mut record) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut count = 0u64;
    loop {
        let len = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::file("read", path, &error)),
        };
        let mut written = Vec::new();
        frames.push(&chunk[..len], |mut frame| {
            frame.id.id = Some(1);
            if let Ok(size) = frame.encode::<Native>(layout, &mut record) {
                written.extend_from_slice(&record[..size]);
                count += 1;
            }
        });
        if written.is_empty() {
            continue;
        }
        if sink.is_none() {
            let mut sections = features::sections(&described, &[]);
            sections.retain(|(feature, _)| SECTIONS.contains(feature));
            sink = Some(Sink::create(&args.output, Older::One, &described, &sections)?);
        }
        // After each read, so that what came over a link that breaks is in the file.
        if let Some(sink) = &mut sink {
            sink.append(&[&written])?;
        }
    }
    if frames.damaged() > 0 {
        note(format_args!("damaged or no frame: {} stretches of the input", HumanCount(frames.damaged())));
    }
    let Some(mut sink) = sink else {
        return Err(Failure::new(format!(
            "no frame was found in {}\n  nsscope import reads what nsscope_codec::compact::write made",
            path.display()
        )));
    };
    sink.finished_round()?;
    eprintln!("nsscope: {} records to {}", HumanCount(count), sink.name());
    Ok(ExitCode::SUCCESS)
}
