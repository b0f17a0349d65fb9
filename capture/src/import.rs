//! Compact frames that came over a slow link, as a perf.data file. Not here: the serial line.

use crate::error::{Error, Result};
use crate::events::{self, layout};
use crate::features;
use crate::file::{Older, Sink};
use nsscope_codec::Native;
use nsscope_codec::compact::Frames;
use nsscope_codec::perf_data::Feature;
use std::io::{self, Read, Write};
use std::path::Path;

/// What is told of this machine in a file of another machine's records.
const SECTIONS: [Feature; 3] = [Feature::VERSION, Feature::CMDLINE, Feature::EVENT_DESC];
/// The longest frame in bytes: a cgroup's path has at most 4,096 (`PATH_MAX`).
const FRAME: usize = 8192;

/// What came of frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Imported {
    /// Records written. Without any there is no file.
    pub records: u64,
    /// Stretches of the input that are no whole frame.
    pub damaged: u64,
}

/// Reads frames of [`nsscope_codec::compact`] to the end of `input`, garbage between them and all, and writes their
/// records to `path`, or to `pipe` in pipe mode where there is one.
///
/// # Errors
/// Where the input cannot be read or the file not be written. What was read before is in the file.
pub fn import(mut input: impl Read, path: &Path, mut pipe: Option<Box<dyn Write + Send>>) -> Result<Imported> {
    let described = [events::side_band(events::side_band_attr(false), vec![1])];
    let layout = layout(&described);
    // Nothing is created, and nothing moved aside, before there is something to write.
    let mut sink = None;
    let mut frames = Frames::<FRAME>::new();
    let (mut chunk, mut record) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut records = 0u64;
    loop {
        let len = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::file("read", Path::new("the frames"), error)),
        };
        let mut written = Vec::new();
        frames.push(&chunk[..len], |mut frame| {
            frame.id.id = Some(1);
            if let Ok(size) = frame.encode::<Native>(layout, &mut record) {
                written.extend_from_slice(&record[..size]);
                records += 1;
            }
        });
        if written.is_empty() {
            continue;
        }
        if sink.is_none() {
            let mut sections = features::sections(&described, &[]);
            sections.retain(|(feature, _)| SECTIONS.contains(feature));
            sink = Some(match pipe.take() {
                Some(out) => Sink::pipe(out, &described, &sections)?,
                None => Sink::create(path, Older::One, &described, &sections)?,
            });
        }
        // After each read, so that what came over a link that breaks is in the file.
        if let Some(sink) = &mut sink {
            sink.append(&[&written])?;
        }
    }
    if let Some(sink) = &mut sink {
        sink.finished_round()?;
    }
    Ok(Imported { records, damaged: frames.damaged() })
}
