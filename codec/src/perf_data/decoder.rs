//! The push decoder: takes a perf.data stream in chunks of any size and hands out its records. Not here: what kernel
//! records say, and where the bytes come from.
//!
//! Records are read where they lie in the chunk; only one that straddles two chunks is put together in a buffer of
//! at most one record. The metadata of a file (all that lies between its header and its records, and its feature
//! sections) is held in memory up to a limit that the input has no say in.

use super::header::{Feature, FILE_HEADER_SIZE, MAGIC_BE, MAGIC_LE, PIPE_HEADER_SIZE};
use super::inflate::Inflate;
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
    pending: Vec<u8>,
    /// Offset of the next byte to come.
    position: u64,
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
        self.position
    }

    /// How many of the next bytes are of no interest: a caller that can seek may [`skip`](Self::skip) them.
    pub fn skippable(&self) -> u64 {
        self.skip
    }

    /// Whether nothing that could still come is of interest.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of records that are held until the next chunk completes them: fewer than one record's, and as many of one
    /// that lay compressed in others.
    pub fn held(&self) -> usize {
        self.pending.len().saturating_add(self.inflated())
    }

    fn inflated(&self) -> usize {
        self.inflate.as_ref().map_or(0, |inflate| inflate.held())
    }

    /// The caller leaves out `bytes` of [`skippable`](Self::skippable).
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.skip);
        self.skip = self.skip.saturating_sub(bytes);
        self.position = self.position.saturating_add(bytes);
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
                self.position = self.position.saturating_add(chunk.len() as u64);
                return Ok(&[]);
            }
            if matches!(self.state, State::Data(_)) {
                if self.is_at_end() && self.pending.is_empty() {
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
                return Err(Error::new(self.position, ErrorKind::Limit { size: needed, limit: METADATA_LIMIT }));
            }
            let missing = (needed as usize).saturating_sub(self.pending.len());
            let (taken, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
            self.pending.extend_from_slice(taken);
            self.position = self.position.saturating_add(taken.len() as u64);
            chunk = rest;
            if self.pending.len() < needed as usize {
                return Ok(&[]);
            }
            let piece = core::mem::take(&mut self.pending);
            match (&self.state, self.session.endian()) {
                (State::Magic, _) => self.magic(&piece)?,
                (_, Some(Endian::Big)) => self.step::<BigEndian, V>(piece, visitor)?,
                _ => self.step::<LittleEndian, V>(piece, visitor)?,
            }
        }
        Ok(chunk)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// Where it ended before its first record could have come.
    pub fn finish<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), Error> {
        // Each time some bytes are found to begin a record or left out.
        while let (Some(damage), State::Data(_)) = (self.damage, &self.state) {
            self.search(damage, &[], true, visitor);
            self.push(&[], visitor)?;
        }
        let begun = self.position.saturating_sub(self.pending.len() as u64);
        let cut = |needed: u64, room: usize| {
            Error::new(begun, ErrorKind::Truncated { needed: needed as u32, room: room as u32 })
        };
        if self.inflated() > 0 {
            // How long the record would have been is in a stream that ended.
            visitor.fault(Error::new(self.position, ErrorKind::Decompression));
        }
        match &self.state {
            State::Magic if MAGIC_LE.starts_with(&self.pending) || MAGIC_BE.starts_with(&self.pending) => {
                Err(cut(PIPE_HEADER_SIZE, self.pending.len()))
            }
            State::Magic => Err(Error::new(0, ErrorKind::Magic)),
            State::Header | State::Prologue(_) => Err(cut(self.state.needed(), self.pending.len())),
            State::Data(layout) => {
                let short = layout.data_end.is_some_and(|end| self.position < end);
                if !self.pending.is_empty() || short || self.skip > 0 {
                    let needed = if self.pending.is_empty() {
                        layout.data_end.unwrap_or(self.position).saturating_sub(self.position).max(self.skip)
                    } else {
                        self.record_size()
                    };
                    visitor.fault(cut(needed, self.pending.len()));
                }
                Ok(())
            }
            State::TracingData(..) | State::Table(_) | State::Features(_) => {
                // A file of no features may end right behind its data.
                if self.state.needed() > 0 {
                    visitor.fault(cut(self.state.needed(), self.pending.len()));
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
            self.pending.extend_from_slice(piece);
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
                    self.skip = end.saturating_sub(self.position);
                }
                State::Data(layout)
            }
            State::TracingData(layout, _) => {
                self.session.add_feature(Feature::TRACING_DATA, piece);
                State::Data(layout)
            }
            State::Table(layout) if search::is_no_table::<O>(&self.session, &piece) => {
                self.position = self.position.saturating_sub(piece.len() as u64);
                self.metadata_fault(Error::new(self.position, ErrorKind::OldHeader), visitor);
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
                let ahead = metadata::features::<O>(&mut self.session, &layout, &piece, self.position, |error| {
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
        self.state.data_end().is_some_and(|end| self.position >= end)
    }

    fn end_data(&mut self) {
        self.state = match core::mem::take(&mut self.state) {
            State::Data(layout) if !self.session.is_pipe() && !layout.features.is_empty() => State::Table(layout),
            _ => State::Done,
        };
    }

    /// Reads records off the chunk's front; returns how many bytes were taken.
    fn data<O: Order, V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> usize {
        let left = self.state.data_end().map_or(u64::MAX, |end| end.saturating_sub(self.position));
        let chunk = chunk.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(chunk);
        if let Some(damage) = self.damage {
            return self.search(damage, chunk, false, visitor);
        }

        if !self.pending.is_empty() {
            // Complete the record that the last chunk began.
            let missing = (self.record_size() as usize).saturating_sub(self.pending.len());
            let taken = chunk.get(..missing).unwrap_or(chunk);
            self.pending.extend_from_slice(taken);
            self.position = self.position.saturating_add(taken.len() as u64);
            if (self.pending.len() as u64) < self.record_size() {
                if self.is_at_end() {
                    self.cut_short(visitor);
                }
                return taken.len();
            }
            let pending = core::mem::take(&mut self.pending);
            let offset = self.position.saturating_sub(pending.len() as u64);
            match RawRecord::<O>::split(&pending, offset) {
                Ok((record, _)) => {
                    self.record(record, visitor);
                    self.pending = pending;
                    self.pending.clear();
                }
                Err(error) => {
                    self.damaged(error, visitor);
                    self.pending = pending;
                }
            }
            return taken.len();
        }

        let start = self.position;
        let mut records = Records::<O>::new(chunk, start);
        let taken = |records: &Records<'_, O>| chunk.len().saturating_sub(records.rest().len());
        loop {
            match records.next() {
                Some(Ok(record)) => {
                    if !record.kind().is_user() {
                        visitor.record(&self.session, record);
                        continue;
                    }
                    let before = taken(&records);
                    self.position = start.saturating_add(before as u64);
                    if self.record(record, visitor) {
                        return before;
                    }
                }
                Some(Err(Error { kind: ErrorKind::Truncated { .. }, .. })) => {
                    self.pending.extend_from_slice(records.rest());
                    self.position = start.saturating_add(chunk.len() as u64);
                    if self.is_at_end() {
                        self.cut_short(visitor);
                    }
                    return chunk.len();
                }
                Some(Err(error)) => {
                    let taken = taken(&records);
                    self.position = start.saturating_add(taken as u64);
                    self.damaged(error, visitor);
                    return taken;
                }
                None => {
                    self.position = start.saturating_add(chunk.len() as u64);
                    return chunk.len();
                }
            }
        }
    }

    /// The data section ends within a record.
    fn cut_short<V: Visitor>(&mut self, visitor: &mut V) {
        let room = self.pending.len() as u32;
        let offset = self.position.saturating_sub(u64::from(room));
        visitor.fault(Error::new(offset, ErrorKind::Truncated { needed: self.record_size() as u32, room }));
        self.pending.clear();
    }

    /// Records may begin again somewhere behind a record of impossible size: a file may have a hole, where a machine lost its
    /// power.
    #[cold]
    fn damaged<V: Visitor>(&mut self, error: Error, visitor: &mut V) {
        visitor.fault(error);
        self.damage = Some(error.offset);
    }

    /// Looks through the chunk's first bytes for the next record; returns how many bytes that were. `ends`: no more come.
    #[cold]
    fn search<V: Visitor>(&mut self, damage: u64, chunk: &[u8], ends: bool, visitor: &mut V) -> usize {
        let piece = chunk.get(..SEARCHED).unwrap_or(chunk);
        self.pending.extend_from_slice(piece);
        self.position = self.position.saturating_add(piece.len() as u64);
        let ends = ends || self.is_at_end();
        let found = search::first(&self.session, &mut self.pending, ends);
        if found.is_some() || ends {
            (self.damage, self.found) = (None, found.unwrap_or_default());
            self.position = self.position.saturating_sub(self.found.len() as u64);
            let bytes = self.position.saturating_sub(damage);
            visitor.fault(Error::new(damage, ErrorKind::NoRecord { bytes }));
        }
        piece.len()
    }

    /// Size of the record whose first bytes are pending: its header's, until that is complete.
    fn record_size(&self) -> u64 {
        match self.pending.get(6..8) {
            Some(&[a, b]) => u64::from(match self.session.endian() {
                Some(Endian::Big) => u16::from_be_bytes([a, b]),
                _ => u16::from_le_bytes([a, b]),
            })
            .max(HEADER_SIZE as u64),
            _ => HEADER_SIZE as u64,
        }
    }

    /// A record that may concern the stream itself. Returns whether what follows it is not a record.
    fn record<O: Order, V: Visitor>(&mut self, record: RawRecord<'_, O>, visitor: &mut V) -> bool {
        let end = self.position;
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
            let problem = if at < self.position {
                ErrorKind::Section { at, size }
            } else if size > METADATA_LIMIT {
                ErrorKind::Limit { size, limit: METADATA_LIMIT }
            } else {
                self.skip = at.saturating_sub(self.position);
                return State::Features(sections);
            };
            self.metadata_fault(Error::new(at, problem), visitor);
            sections.pop_front();
        }
        State::Done
    }
}
