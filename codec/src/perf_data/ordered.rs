//! The stage between decoder and consumer that puts records in time order. Not here: how records are decoded.

use super::session::Session;
use super::visitor::Visitor;
use crate::error::Error;
use crate::order::Sorter;
use crate::raw::RawRecord;
use crate::wire::header::RecordType;
use crate::wire::sample_id::known_time;
use crate::wire::{BigEndian, Endian, LittleEndian, Order};
use alloc::vec::Vec;
use core::ops::Range;

/// Hands records on to a visitor in time order, as perf does: sorted within the windows of FINISHED_ROUND.
///
/// Records without a time, and the perf tool's own, go through at once.
#[derive(Debug)]
pub struct Ordered<V> {
    visitor: V,
    sorter: Sorter<Held>,
    /// The bytes of the records held.
    held: Vec<u8>,
    limit: usize,
}

#[derive(Debug)]
struct Held {
    bytes: Range<usize>,
    offset: u64,
}

impl<V: Visitor> Ordered<V> {
    /// Sorts for `visitor`, holding about `limit` bytes at most: where a round brings more, the older half goes out
    /// early.
    pub fn new(visitor: V, limit: usize) -> Self {
        Self { visitor, sorter: Sorter::new(), held: Vec::new(), limit }
    }

    /// The stream is over: hands on what is left, and gives the visitor back.
    pub fn finish(mut self, session: &Session) -> V {
        match session.endian() {
            Some(Endian::Big) => self.deliver::<BigEndian>(session, |sorter, out| sorter.finish(out)),
            _ => self.deliver::<LittleEndian>(session, |sorter, out| sorter.finish(out)),
        }
        self.visitor
    }

    /// How many records came later than records that had gone out already.
    pub fn late(&self) -> u64 {
        self.sorter.late()
    }

    /// The visitor.
    pub fn visitor(&self) -> &V {
        &self.visitor
    }

    /// The same, to change it.
    pub fn visitor_mut(&mut self) -> &mut V {
        &mut self.visitor
    }

    fn deliver<O: Order>(
        &mut self,
        session: &Session,
        drain: impl FnOnce(&mut Sorter<Held>, &mut dyn FnMut(u64, Held)),
    ) {
        let Self { visitor, sorter, held, .. } = self;
        drain(sorter, &mut |_, Held { bytes, offset }| {
            if let Some(Ok((record, _))) = held.get(bytes).map(|bytes| RawRecord::<O>::split(bytes, offset)) {
                visitor.record(session, record);
            }
        });
        // What is left moves to the front.
        let mut kept = Vec::new();
        for Held { bytes, .. } in sorter.values_mut() {
            let start = kept.len();
            kept.extend_from_slice(held.get(bytes.clone()).unwrap_or(&[]));
            *bytes = start..kept.len();
        }
        if kept.is_empty() {
            held.clear();
        } else {
            *held = kept;
        }
    }
}

impl<V: Visitor> Visitor for Ordered<V> {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        if record.kind() == RecordType::FINISHED_ROUND {
            self.deliver::<O>(session, |sorter, out| sorter.round(out));
        }
        let time = if record.kind().is_user() { None } else { session.time(&record) };
        match known_time(time) {
            Some(time) => {
                let start = self.held.len();
                self.held.extend_from_slice(record.bytes());
                self.sorter.push(time, Held { bytes: start..self.held.len(), offset: record.offset() });
                let queue = self.sorter.len().saturating_mul(size_of::<(u64, Held)>());
                if self.held.len().saturating_add(queue) > self.limit {
                    self.deliver::<O>(session, |sorter, out| sorter.overflow(out));
                }
            }
            None => self.visitor.record(session, record),
        }
    }

    fn fault(&mut self, error: Error) {
        self.visitor.fault(error);
    }
}
