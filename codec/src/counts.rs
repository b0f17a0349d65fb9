//! How many records of each type there are. Not here: what the records say.

use crate::wire::header::RecordType;
use alloc::string::{String, ToString};

/// Counts of records by their type; types that nobody knows are counted together.
#[derive(Clone, Debug)]
pub struct RecordCounts([u64; 129]);

impl RecordCounts {
    /// Where those are counted whose type is no smaller: perf's own end at 83.
    const OTHERS: usize = 128;

    /// Counts a record.
    #[inline]
    pub fn add(&mut self, kind: RecordType) {
        if let Some(count) = self.0.get_mut((kind.0 as usize).min(Self::OTHERS)) {
            *count = count.saturating_add(1);
        }
    }

    /// How many there were of a type.
    pub fn of(&self, kind: RecordType) -> u64 {
        self.0.get(kind.0 as usize).copied().unwrap_or(0)
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that there were, by the types' names in small letters and in the types' order; `others` are last.
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let all = self.0.iter().enumerate().filter(|&(_, &count)| count > 0);
        all.map(|(kind, &count)| match kind {
            Self::OTHERS => ("others".into(), count),
            _ => (RecordType(kind as u32).to_string().to_ascii_lowercase(), count),
        })
    }
}

impl Default for RecordCounts {
    fn default() -> Self {
        Self([0; 129])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn types_that_nobody_knows_are_counted_together() {
        let mut counts = RecordCounts::default();
        for kind in [u32::MAX, RecordType::FORK.0, 128, RecordType::COMM.0, RecordType::FORK.0] {
            counts.add(RecordType(kind));
        }
        let all: Vec<_> = counts.counts().collect();
        assert_eq!(all, [("comm".into(), 1), ("fork".into(), 2), ("others".into(), 2)]);
        assert_eq!((counts.of(RecordType::FORK), counts.of(RecordType(u32::MAX)), counts.total()), (2, 0, 5));
    }
}
