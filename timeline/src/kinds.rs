//! How many records of each type.

use alloc::string::{String, ToString};
use nsscope_codec::wire::header::RecordType;

/// Counts of records by their type; types that nobody knows are counted together.
#[derive(Clone, Debug)]
pub struct Kinds([u64; Kinds::OTHERS + 1]);

impl Kinds {
    /// Where those are counted whose type is no smaller: perf's own end at 83.
    const OTHERS: usize = 128;

    /// Counts a record.
    #[inline]
    pub fn add(&mut self, kind: RecordType) {
        self.0[(kind.0 as usize).min(Self::OTHERS)] += 1;
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
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let all = self.0.iter().enumerate().filter(|&(_, &count)| count > 0);
        all.map(|(kind, &count)| match kind {
            Self::OTHERS => ("others".into(), count),
            _ => (RecordType(kind as u32).to_string().to_ascii_lowercase(), count),
        })
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self([0; Self::OTHERS + 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn types_that_nobody_knows_are_counted_together() {
        let mut kinds = Kinds::default();
        for kind in [u32::MAX, RecordType::FORK.0, 128, RecordType::COMM.0, RecordType::FORK.0] {
            kinds.add(RecordType(kind));
        }
        let counts: Vec<_> = kinds.counts().collect();
        assert_eq!(counts, [("comm".into(), 1), ("fork".into(), 2), ("others".into(), 2)]);
        assert_eq!((kinds.of(RecordType::FORK), kinds.of(RecordType(u32::MAX)), kinds.total()), (2, 0, 5));
    }
}
