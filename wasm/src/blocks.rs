//! Where in the file the switches of which time are, so that the page can read a part of it again. Not here: reading it.

use crate::facts::Facts;
use nsscope_codec::perf_data::{Ordered, Session, Visitor};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Error, Order, RawRecord};

/// About how many bytes of the file are one block.
const BLOCK: f64 = (1 << 20) as f64;

/// A part of the file with switches: offset of the first of them and of the end of the last, in bytes; their earliest time and
/// their latest, ns; how many there are.
pub(crate) type Block = [f64; 5];

/// What is read, before it is in order, and where it was.
pub(crate) struct Placed {
    pub(crate) ordered: Ordered<Facts>,
    pub(crate) blocks: Vec<Block>,
    /// Whether records are compressed: a part of the file says nothing then.
    is_packed: bool,
}

impl Placed {
    pub(crate) fn new(ordered: Ordered<Facts>) -> Self {
        Self { ordered, blocks: Vec::new(), is_packed: false }
    }
}

impl Visitor for Placed {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        match record.kind() {
            RecordType::SWITCH_CPU_WIDE if !self.is_packed => {
                let (from, time) = (record.offset() as f64, session.time(&record).unwrap_or(0) as f64);
                let to = from + record.bytes().len() as f64;
                match self.blocks.last_mut().filter(|[begin, ..]| from < begin + BLOCK) {
                    Some([_, end, first, last, count]) => {
                        *end = to;
                        *first = first.min(time);
                        *last = last.max(time);
                        *count += 1.0;
                    }
                    None => self.blocks.push([from, to, time, time, 1.0]),
                }
            }
            RecordType::COMPRESSED | RecordType::COMPRESSED2 => {
                self.is_packed = true;
                self.blocks.clear();
            }
            _ => {}
        }
        self.ordered.record(session, record);
    }

    fn fault(&mut self, error: Error) {
        self.ordered.fault(error);
    }
}
