//! The steps in which a stream is decoded. Not here: what is done in each.

use super::header::{FILE_HEADER_SIZE, PIPE_HEADER_SIZE};
use super::layout::Layout;
use super::metadata::FeatureAt;
use alloc::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) enum State {
    /// Magic and header size, 16 bytes.
    #[default]
    Magic,
    /// The rest of a file's header.
    Header,
    /// From the header's end to the data.
    Prologue(Layout),
    /// Records.
    Data(Layout),
    /// Payload of a `HEADER_TRACING_DATA` record, of this size, amid records.
    TracingData(Layout, u64),
    /// `{offset, size}` of the features.
    Table(Layout),
    /// Features behind the table, in file order.
    Features(VecDeque<FeatureAt>),
    /// All read, or nothing more that can be.
    Done,
}

impl State {
    /// Bytes that the current step needs in one piece, but for records.
    pub(super) fn needed(&self) -> u64 {
        match self {
            State::Magic => PIPE_HEADER_SIZE,
            State::Header => FILE_HEADER_SIZE,
            State::Prologue(layout) => layout.data_at.saturating_sub(FILE_HEADER_SIZE),
            State::TracingData(_, size) => *size,
            State::Table(layout) => (layout.features.len() as u64).saturating_mul(16),
            State::Features(sections) => sections.front().map_or(0, |&(_, _, size)| size),
            State::Data(_) | State::Done => 0,
        }
    }
    /// Where the records end, while they are read and where that is known.
    pub(super) fn data_end(&self) -> Option<u64> {
        if let Self::Data(layout) = self {
            layout.data_end
        } else {
            None
        }
    }
}
