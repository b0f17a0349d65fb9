//! One piece of work on records, done by the codec and by a loop of unchecked reads: what the benches compare, natively
//! and (`wasm/examples/walk.rs`) as wasm. Not here: how the work is measured.

use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::namespaces::Namespaces;
use nsscope_codec::{Error, Order, RawRecord, Records};

/// The sum of all inodes in NAMESPACES records: work that reads every one of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(pub u64);

impl Sum {
    /// Of records in a slice, up to the first that cannot be read.
    #[inline]
    pub fn of<O: Order>(records: &[u8]) -> u64 {
        let mut sum = Self::default();
        for record in Records::<O>::new(records, 0) {
            let Ok(record) = record else { break };
            sum.add(&record);
        }
        sum.0
    }

    #[inline]
    fn add<O: Order>(&mut self, record: &RawRecord<'_, O>) {
        if record.kind() == RecordType::NAMESPACES
            && let Ok(namespaces) = record.as_type::<Namespaces<'_, O>>()
        {
            self.0 = namespaces.links.iter().fold(self.0, |sum, link| sum.wrapping_add(link.ino.get()));
        }
    }
}

impl Visitor for Sum {
    #[inline]
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        self.add(&record);
    }

    fn fault(&mut self, error: Error) {
        panic!("{error}");
    }
}

/// Reads that trust the input, through pointers: nothing that decodes can be faster by much. The bytes must
/// be whole records with true sizes and counts, as a recorder writes them.
pub fn pointer_loop(data: &[u8]) -> u64 {
    let (mut at, end, mut sum) = (data.as_ptr(), data.as_ptr_range().end, 0u64);
    while at < end {
        // SAFETY: the bytes are whole records with true sizes and counts.
        unsafe {
            if at.cast::<u32>().read_unaligned() == 16 {
                let count = at.add(16).cast::<u64>().read_unaligned() as usize;
                for index in 0..count {
                    sum = sum.wrapping_add(at.add(24 + index * 16 + 8).cast::<u64>().read_unaligned());
                }
            }
            at = at.add(usize::from(at.add(6).cast::<u16>().read_unaligned()));
        }
    }
    sum
}
