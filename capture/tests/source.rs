//! A source of one's own: records that another program writes into a pipe.
#![allow(missing_docs)]

use nsscope_capture::{Chunk, Error, EventDesc, Recording, Result, Source, now};
use nsscope_codec::encode::{Comm, Encode};
use nsscope_codec::perf_data::{Decoder, Session, Visitor};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{Native, Order, RawRecord, Record};
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};

const TRAILER: SampleType = SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::IDENTIFIER.0);

/// Whole records from a pipe, until its writer has gone.
struct Piped {
    events: Vec<EventDesc>,
    pipe: PipeReader,
    held: Vec<u8>,
    over: bool,
}

impl Piped {
    fn new(pipe: PipeReader) -> Self {
        let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
        attr.sample_type.set(TRAILER.0);
        attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::COMM);
        Self {
            events: vec![EventDesc { attr, name: "piped".into(), ids: vec![7] }],
            pipe,
            held: Vec::new(),
            over: false,
        }
    }
}

impl Source for Piped {
    fn name(&self) -> &'static str {
        "piped"
    }

    fn events(&self) -> &[EventDesc] {
        &self.events
    }

    fn enable(&mut self) -> Result<()> {
        Ok(())
    }

    fn disable(&mut self) {}

    fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        self.held.resize(4096, 0);
        let len = self.pipe.read(&mut self.held)?;
        self.over = len == 0;
        take(&[[&self.held[..len], &[]]])?;
        Ok(len > 0)
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.pipe.as_fd()]
    }

    fn ended(&self, _: bool) -> bool {
        self.over
    }
}

#[derive(Default)]
struct Names(Vec<String>);

impl Visitor for Names {
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        if let Ok(Record::Comm(comm)) = record.parse() {
            self.0.push(String::from_utf8_lossy(comm.comm).into_owned());
        }
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        panic!("{error}");
    }
}

/// Writes names to the pipe, each later than the one before.
fn write(mut out: impl Write, names: &[&str]) {
    for comm in names {
        let id = SampleId { time: Some(now()), id: Some(7), ..SampleId::default() };
        let mut record = [0; 128];
        let size = Comm { pid: 70, tid: 70, comm: comm.as_bytes() }
            .encode::<Native>(0, SampleIdLayout::new(TRAILER), &id, &mut record)
            .unwrap();
        out.write_all(&record[..size]).unwrap();
    }
}

#[test]
fn a_source_of_ones_own_is_recorded_as_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("piped.data");
    let (reader, writer) = pipe().unwrap();
    let recording = Recording::new().source(Box::new(Piped::new(reader))).without_synthesis();
    let recorder = recording.to_file(&file).unwrap();
    write(writer, &["one", "two", "three"]);
    let summary = recorder.finish().unwrap();
    assert_eq!((summary.counts.total(), summary.lost, summary.files), (3, 0, 1));
    let mut names = Names::default();
    let mut decoder = Decoder::new();
    decoder.push(&std::fs::read(file).unwrap(), &mut names).unwrap();
    assert_eq!(names.0, ["one", "two", "three"]);
}

#[test]
fn live_records_come_without_a_file_and_what_is_held_at_the_end() {
    let (reader, writer) = pipe().unwrap();
    let recording = Recording::new().source(Box::new(Piped::new(reader))).without_synthesis();
    let mut live = recording.live(Names::default()).unwrap();
    write(writer, &["one", "two"]);
    live.poll().unwrap();
    assert_eq!(live.finish().0, ["one", "two"]);
}

#[test]
fn a_source_that_keeps_nothing_is_no_flight_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, _writer) = pipe().unwrap();
    let recording = Recording::new().source(Box::new(Piped::new(reader))).flight_recorder(None);
    let error = recording.to_file(dir.path().join("a.data")).unwrap().finish().unwrap_err();
    assert!(matches!(&error, Error::Invalid(why) if why.contains("piped keeps no records")), "{error}");
}
