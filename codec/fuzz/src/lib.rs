//! What the fuzz targets share.

use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::{Error, Order, RawRecord};

/// Everything a decoder says, and everything that can be asked of a record.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    /// Offset, type and size of each record, and its time.
    pub records: Vec<(u64, u32, usize, Option<u64>)>,
    /// What was damaged.
    pub faults: Vec<Error>,
}

impl Visitor for Said {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let _ = record.parse();
        let _ = session.sample_id(&record);
        if let Some(event) = session.event_of(&record) {
            let _ = event.sample.parse(&record);
        }
        self.records.push((record.offset(), record.kind().0, record.bytes().len(), session.time(&record)));
    }

    fn fault(&mut self, error: Error) {
        self.faults.push(error);
    }
}
