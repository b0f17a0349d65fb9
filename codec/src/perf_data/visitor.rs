//! Who takes what a decoder finds. Not here: any visitor.

use super::session::Session;
use crate::error::Error;
use crate::raw::RawRecord;
use crate::wire::Order;

/// Takes what the decoder finds.
pub trait Visitor {
    /// A record, the perf tool's own included. `session` is what the stream has told so far.
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>);

    /// Damage that costs a part of the input: the decoder goes on behind it where it can.
    fn fault(&mut self, error: Error);
}
