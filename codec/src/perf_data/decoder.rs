//! The push decoder: takes a perf.data stream in chunks of any size and hands out its records. Not here: what kernel
//! records say, and where the bytes come from.
//!
//! Records are read where they lie in the chunk; only one that straddles two chunks is put together in a buffer of
//! at most one record. The metadata of a file (all that lies between its header and its records, and its feature
//! sections) is held in memory up to a limit that the input has no say in.

use super::header::{Feature, FILE_HEADER_SIZE, MAGIC_BE, MAGIC_LE, PIPE_HEADER_SIZE};
use super::inflate::Inflate;
use super::input::Input;
use super::layout::{self, Layout};
use super::metadata::{self, FeatureAt};
use super::search;
use super::session::Session;
use super::state::State;
use super::visitor::Visitor;
use crate::error::{Error, ErrorKind};
use crate::raw::{RawRecord, Records};
use crate::wire::header::{RecordType, HEADER_SIZE};
use crate::wire::user::{Auxtrace, Compressed2, TracingData};
use crate::wire::{BigEndian, Endian, LittleEndian, Order};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most metadata that is held at once, in bytes.
const METADATA_LIMIT: u64 = 32 << 20;
/// How much is looked through at once for a record behind damage, in bytes.
const SEARCHED: usize = 4096;

/// Decodes a perf.data stream that is pushed in chunks.
///
/// Output is the same whatever the chunks' sizes.
#[derive(Debug, Default)]
pub struct Decoder {
    session: Session,
    state: State,
    /// Bytes of the current step that came in an earlier chunk.
    input: Input,
    /// Bytes to leave out.
    skip: u64,
    /// Offset of damage behind which no record has been found yet.
    damage: Option<u64>,
    /// Bytes that were looked through for a record and begin with one.
    found: Vec<u8>,
    metadata_only: bool,
    /// The zstd stream, once there is one.
    inflate: Option<Box<Inflate>>,
}

impl Decoder {
    /// A decoder for a stream from its first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder that leaves a file's records out: for a first look at its metadata, some of which perf writes
    /// behind the records. [`skippable`](Self::skippable) says how far a caller may seek. What is damaged is left for
    /// the second look to tell. Of a stream in pipe mode, which is all records, it reads the header alone.
    pub fn metadata_only() -> Self {
        Self { metadata_only: true, ..Self::default() }
    }

    /// A decoder for the same file from its first byte, that knows what this one has learnt.
    #[must_use]
    pub fn restart(self) -> Self {
        Self { session: self.session, ..Self::default() }
    }

    /// What the stream has told about itself so far.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Offset of the next byte to push.
    pub fn position(&self) -> u64 {
        self.input.position
    }

    /// How many of the next bytes are of no interest: a caller that can seek may [`skip`](Self::skip) them.
    pub fn skippable(&self) -> u64 {
        self.skip
    }

    /// Whether nothing that could still come is of interest.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of records that are held until the next chunk completes them, or tells that a hole begins in them: one record's
    /// at most, and as many of one that lay compressed in others.
    pub fn held(&self) -> usize {
        self.input.bytes.len().saturating_add(self.inflated())
    }

    fn inflated(&self) -> usize {
        self.inflate.as_ref().map_or(0, |inflate| inflate.held())
    }

    /// The caller leaves out `bytes` of [`skippable`](Self::skippable).
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.skip);
        self.skip = self.skip.saturating_sub(bytes);
        self.input.advance(bytes);
    }

    /// Takes the next bytes of the stream, any number of them.
    ///
    /// # Errors
    /// Where the stream is not perf.data at all, or its header cannot be used. Damage further on is told to the visitor.
    pub fn push<V: Visitor>(&mut self, mut chunk: &[u8], visitor: &mut V) -> Result<(), Error> {
        loop {
            chunk = self.take(chunk, visitor)?;
            if self.found.is_empty() {
                return Ok(());
            }
            let found = core::mem::take(&mut self.found);
            let rest = self.take(&found, visitor)?;
            self.found.extend_from_slice(rest);
        }
    }

    /// Takes bytes up to where [`found`](Self::found) comes before what is left, which it returns.
    fn take<'a, V: Visitor>(&mut self, mut chunk: &'a [u8], visitor: &mut V) -> Result<&'a [u8], Error> {
        while self.found.is_empty() {
            if self.skip > 0 {
                let len = self.skip.min(chunk.len() as u64);
                self.skip(len);
                chunk = chunk.get(len as usize..).unwrap_or(&[]);
                if self.skip > 0 {
                    return Ok(&[]);
                }
            }
            if matches!(self.state, State::Done) {
                self.input.advance(chunk.len() as u64);
                return Ok(&[]);
            }
            if matches!(self.state, State::Data(_)) {
                if self.is_at_end() && self.input.bytes.is_empty() {
                    self.end_data();
                    continue;
                }
                if chunk.is_empty() {
                    return Ok(&[]);
                }
                let taken = match self.session.endian() {
                    Some(Endian::Big) => self.data::<BigEndian, V>(chunk, visitor),
                    _ => self.data::<LittleEndian, V>(chunk, visitor),
                };
                chunk = chunk.get(taken..).unwrap_or(&[]);
                continue;
            }
            // Every other step needs so many bytes in one piece.
            let needed = self.state.needed();
            if needed > METADATA_LIMIT {
                return Err(Error::new(self.input.position, ErrorKind::Limit { size: needed, limit: METADATA_LIMIT }));
            }
            let taken = self.input.fill(chunk, needed as usize);
            chunk = chunk.get(taken..).unwrap_or(&[]);
            if self.input.bytes.len() < needed as usize {
                return Ok(&[]);
            }
            let piece = core::mem::take(&mut self.input.bytes);
            match (&self.state, self.session.endian()) {
                (State::Magic, _) => self.magic(&piece)?,
                (_, Some(Endian::Big)) => self.step::<BigEndian, V>(piece, visitor)?,
                _ => self.step::<LittleEndian, V>(piece, visitor)?,
            }
        }
        Ok(chunk)
    }

    /// The stream has ended. What was held is handed out, or told.
    ///
    /// # Errors
    /// Where it ended before its first record could have come.
    pub fn finish<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), Error> {
        while let State::Data(_) = &self.state {
            if let Some(damage) = self.damage {
                // Each time some bytes are found to begin a record or left out.
                self.search(damage, &[], true, visitor);
                self.push(&[], visitor)?;
            } else if self.input.bytes.len() >= self.record_size() {
                match self.session.endian() {
                    Some(Endian::Big) => self.complete::<BigEndian, V>(&[], true, visitor),
                    _ => self.complete::<LittleEndian, V>(&[], true, visitor),
                };
            } else {
                break;
            }
        }
        if self.inflated() > 0 {
            // How long the record would have been is in a stream that ended.
            visitor.fault(Error::new(self.input.position, ErrorKind::Decompression));
        }
        match &self.state {
            State::Magic if MAGIC_LE.starts_with(&self.input.bytes) || MAGIC_BE.starts_with(&self.input.bytes) => {
                Err(self.input.cut(PIPE_HEADER_SIZE))
            }
            State::Magic => Err(Error::new(0, ErrorKind::Magic)),
            State::Header | State::Prologue(_) => Err(self.input.cut(self.state.needed())),
            State::Data(layout) => {
                let missing = layout.data_end.map_or(0, |end| end.saturating_sub(self.input.position));
                if !self.input.bytes.is_empty() || missing > 0 || self.skip > 0 {
                    let needed =
                        if self.input.bytes.is_empty() { missing.max(self.skip) } else { self.record_size() as u64 };
                    visitor.fault(self.input.cut(needed));
                }
                Ok(())
            }
            State::TracingData(..) | State::Table(_) | State::Features(_) => {
                // A file of no features may end right behind its data.
                if self.state.needed() > 0 {
                    visitor.fault(self.input.cut(self.state.needed()));
                }
                Ok(())
            }
            State::Done => Ok(()),
        }
    }

    fn magic(&mut self, piece: &[u8]) -> Result<(), Error> {
        let (endian, size) = layout::begin(piece)?;
        let pipe = size == PIPE_HEADER_SIZE;
        self.state = match size {
            PIPE_HEADER_SIZE if self.metadata_only => State::Done,
            PIPE_HEADER_SIZE => State::Data(Layout::default()),
            FILE_HEADER_SIZE => State::Header,
            _ => return Err(Error::new(8, ErrorKind::HeaderSize { size })),
        };
        self.session.start(endian, pipe);
        if !pipe {
            self.input.bytes.extend_from_slice(piece);
        }
        Ok(())
    }

    fn step<O: Order, V: Visitor>(&mut self, piece: Vec<u8>, visitor: &mut V) -> Result<(), Error> {
        self.state = match core::mem::take(&mut self.state) {
            State::Header => State::Prologue(Layout::read::<O>(&piece)?),
            State::Prologue(mut layout) => {
                layout.prologue = piece;
                let quiet = self.metadata_only;
                metadata::attrs::<O>(&mut self.session, &layout, |error| {
                    if !quiet {
                        visitor.fault(error);
                    }
                })?;
                if self.metadata_only {
                    let Some(end) = layout.data_end else {
                        self.state = State::Done;
                        return Ok(());
                    };
                    self.skip = end.saturating_sub(self.input.position);
                }
                State::Data(layout)
            }
            State::TracingData(layout, _) => {
                self.session.add_feature(Feature::TRACING_DATA, piece);
                State::Data(layout)
            }
            State::Table(layout) if search::is_no_table::<O>(&self.session, &piece) => {
                self.input.position = self.input.position.saturating_sub(piece.len() as u64);
                self.metadata_fault(Error::new(self.input.position, ErrorKind::OldHeader), visitor);
                self.found = piece;
                let layout = Layout { data_end: None, ..layout };
                if self.metadata_only {
                    State::Done
                } else {
                    State::Data(layout)
                }
            }
            State::Table(layout) => {
                let quiet = self.metadata_only;
                let ahead = metadata::features::<O>(&mut self.session, &layout, &piece, self.input.position, |error| {
                    if !quiet {
                        visitor.fault(error);
                    }
                });
                self.next_feature(ahead, visitor)
            }
            State::Features(mut sections) => {
                if let Some((feature, ..)) = sections.pop_front() {
                    self.session.add_feature(feature, piece);
                }
                self.next_feature(sections, visitor)
            }
            other @ (State::Magic | State::Data(_) | State::Done) => other,
        };
        Ok(())
    }

    /// Whether the data ends with the bytes that came.
    fn is_at_end(&self) -> bool {
        self.state.data_end().is_some_and(|end| self.input.position >= end)
    }

    fn end_data(&mut self) {
        self.state = match core::mem::take(&mut self.state) {
            State::Data(layout) if !self.session.is_pipe() && !layout.features.is_empty() => State::Table(layout),
            _ => State::Done,
        };
    }

    /// Reads records off the chunk's front; returns how many bytes were taken.
    fn data<O: Order, V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> usize {
        let left = self.state.data_end().map_or(u64::MAX, |end| end.saturating_sub(self.input.position));
        let chunk = chunk.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(chunk);
        if let Some(damage) = self.damage {
            return self.search(damage, chunk, false, visitor);
        }

        if !self.input.bytes.is_empty() {
            return self.complete::<O, V>(chunk, false, visitor);
        }

        let start = self.input.position;
        let mut records = Records::<O>::new(chunk, start);
        let taken = |records: &Records<'_, O>| chunk.len().saturating_sub(records.rest().len());
        // What is not a record yet, or none, and how much of what is behind it tells that.
        let (from, to) = loop {
            match records.next() {
                Some(Ok(record)) if !record.kind().is_user() => {
                    match search::is_half(&self.session, &record, records.rest()) {
                        Some(false) => visitor.record(&self.session, record),
                        None if chunk.len() as u64 == left => visitor.record(&self.session, record),
                        _ => break (record.offset(), taken(&records).saturating_add(HEADER_SIZE)),
                    }
                }
                Some(Ok(record)) => {
                    let before = taken(&records);
                    self.input.position = start.saturating_add(before as u64);
                    if self.record(record, visitor) {
                        return before;
                    }
                }
                Some(Err(error)) if matches!(error.kind, ErrorKind::Truncated { .. }) => {
                    break (error.offset, chunk.len());
                }
                Some(Err(error)) => break (error.offset, taken(&records).saturating_add(HEADER_SIZE)),
                None => break (start.saturating_add(chunk.len() as u64), chunk.len()),
            }
        };
        let to = to.min(chunk.len());
        self.input.position = from;
        let waiting = chunk.get(from.saturating_sub(start) as usize..to).unwrap_or(&[]);
        self.input.fill(waiting, usize::MAX);
        if self.is_at_end() && !waiting.is_empty() && waiting.len() < self.record_size() {
            self.cut_short(visitor);
        }
        to
    }

    /// Completes the record that the last chunk began; returns how many bytes that took. `ends`: no more come.
    fn complete<O: Order, V: Visitor>(&mut self, chunk: &[u8], ends: bool, visitor: &mut V) -> usize {
        let size = self.record_size();
        // Of one that is whole it is not known yet whether a hole begins in it.
        let wanted = if self.input.bytes.len() < size { size } else { size.saturating_add(HEADER_SIZE) };
        let taken = self.input.fill(chunk, wanted);
        let ends = ends || self.is_at_end();
        if self.input.bytes.len() < self.record_size() {
            if ends {
                self.cut_short(visitor);
            }
            return taken;
        }
        let offset = self.input.begin();
        let mut pending = core::mem::take(&mut self.input.bytes);
        match RawRecord::<O>::split(&pending, offset) {
            Ok((record, behind)) => match search::is_half(&self.session, &record, behind) {
                Some(true) => self.damaged(search::nothing_behind(&record), offset, visitor),
                None if !ends => {}
                _ => {
                    let size = record.bytes().len();
                    self.record(record, visitor);
                    pending.drain(..size);
                }
            },
            Err(error) => self.damaged(error, offset, visitor),
        }
        self.input.bytes = pending;
        if ends && !self.input.bytes.is_empty() && self.damage.is_none() {
            self.cut_short(visitor);
        }
        taken
    }

    /// The data section ends within a record.
    fn cut_short<V: Visitor>(&mut self, visitor: &mut V) {
        visitor.fault(self.input.cut(self.record_size() as u64));
        self.input.bytes.clear();
    }

    /// Records may begin again somewhere behind a record of impossible size: a file may have a hole, where a machine lost its
    /// power. `from`: where the first begins that is not whole.
    #[cold]
    fn damaged<V: Visitor>(&mut self, error: Error, from: u64, visitor: &mut V) {
        visitor.fault(error);
        self.damage = Some(from);
    }

    /// Looks through the chunk's first bytes for the next record; returns how many bytes that were. `ends`: no more come.
    #[cold]
    fn search<V: Visitor>(&mut self, damage: u64, chunk: &[u8], ends: bool, visitor: &mut V) -> usize {
        let piece = chunk.get(..SEARCHED).unwrap_or(chunk);
        self.input.fill(piece, usize::MAX);
        let ends = ends || self.is_at_end();
        // COMPRESSED records have any length.
        let step = if self.inflate.is_some() { 1 } else { 8 };
        let found = search::first(&self.session, &mut self.input.bytes, step, ends);
        if found.is_some() || ends {
            (self.damage, self.found) = (None, found.unwrap_or_default());
            self.input.position = self.input.position.saturating_sub(self.found.len() as u64);
            let bytes = self.input.position.saturating_sub(damage);
            visitor.fault(Error::new(damage, ErrorKind::NoRecord { bytes }));
        }
        piece.len()
    }

    /// Size of the record whose first bytes are held.
    fn record_size(&self) -> usize {
        self.input.record_size(self.session.endian())
    }

    /// A record that may concern the stream itself. Returns whether what follows it is not a record.
    fn record<O: Order, V: Visitor>(&mut self, record: RawRecord<'_, O>, visitor: &mut V) -> bool {
        let end = self.input.position;
        let read = match record.kind() {
            // A longer one is simpleperf's, which has its payload within.
            RecordType::HEADER_TRACING_DATA if record.body().len() <= 8 => {
                record.body_as::<TracingData<O>>().map(|fixed| {
                    let size = u64::from(fixed.size.get());
                    if size > METADATA_LIMIT {
                        let kind = ErrorKind::Limit { size, limit: METADATA_LIMIT };
                        visitor.fault(Error::new(record.offset(), kind));
                        self.skip = size;
                    } else if let State::Data(layout) = core::mem::take(&mut self.state) {
                        self.state = State::TracingData(layout, size);
                    }
                })
            }
            RecordType::AUXTRACE => record.body_as::<Auxtrace<O>>().map(|fixed| self.skip = fixed.size.get()),
            RecordType::COMPRESSED => self.compressed(&record, record.body(), visitor),
            RecordType::COMPRESSED2 => record.fixed::<Compressed2<O>>().and_then(|(fixed, bytes)| {
                let size = fixed.data_size.get();
                let data = usize::try_from(size).ok().and_then(|size| bytes.get(..size));
                let short = ErrorKind::Body { needed: size as u32, room: bytes.len() as u32 };
                self.compressed(&record, data.ok_or(record.error(short))?, visitor)
            }),
            _ => metadata::record(&mut self.session, &record),
        };
        if let Err(error) = read {
            visitor.fault(error);
        }
        if let Some(data_end) = self.state.data_end() {
            self.skip = self.skip.min(data_end.saturating_sub(end));
        }
        visitor.record(&self.session, record);
        self.skip > 0 || !matches!(self.state, State::Data(_))
    }

    fn compressed<O: Order, V: Visitor>(
        &mut self,
        record: &RawRecord<'_, O>,
        data: &[u8],
        visitor: &mut V,
    ) -> Result<(), Error> {
        self.inflate.get_or_insert_default().push::<O, V>(data, record.offset(), &self.session, visitor)
    }

    /// Tells of damage in the metadata, where it was not left for a second look.
    fn metadata_fault<V: Visitor>(&self, error: Error, visitor: &mut V) {
        if !self.metadata_only {
            visitor.fault(error);
        }
    }

    /// Moves to the next section that lies ahead and is not too large.
    fn next_feature<V: Visitor>(&mut self, mut sections: VecDeque<FeatureAt>, visitor: &mut V) -> State {
        while let Some(&(_, at, size)) = sections.front() {
            let problem = if at < self.input.position {
                ErrorKind::Section { at, size }
            } else if size > METADATA_LIMIT {
                ErrorKind::Limit { size, limit: METADATA_LIMIT }
            } else {
                self.skip = at.saturating_sub(self.input.position);
                return State::Features(sections);
            };
            self.metadata_fault(Error::new(at, problem), visitor);
            sections.pop_front();
        }
        State::Done
    }
}
