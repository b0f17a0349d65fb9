//! Time order, as the perf tool makes it: records of several rings are sorted within windows that FINISHED_ROUND
//! closes. Not here: how records are decoded.
//!
//! A recorder drains its rings one after the other, then writes FINISHED_ROUND. A record that is written after a
//! round is later than the latest record written before the round *before* it; so at each mark everything up to
//! the previous round's latest time can go out (`tools/perf/util/ordered-events.c` has the reasoning).

use alloc::vec::Vec;

/// Sorts values by time within rounds. Values of equal time stay in the order they came in.
#[derive(Debug)]
pub struct Sorter<T> {
    /// Time and value; a stable sort keeps the order of arrival within a time.
    queue: Vec<(u64, T)>,
    latest: u64,
    next_flush: u64,
    flushed: u64,
    late: u64,
}

impl<T> Default for Sorter<T> {
    fn default() -> Self {
        Self { queue: Vec::new(), latest: 0, next_flush: 0, flushed: 0, late: 0 }
    }
}

impl<T> Sorter<T> {
    /// An empty sorter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value with its time in ns.
    #[inline]
    pub fn push(&mut self, time: u64, value: T) {
        if time < self.flushed {
            self.late = self.late.saturating_add(1);
        }
        self.latest = self.latest.max(time);
        self.queue.push((time, value));
    }

    /// A FINISHED_ROUND: gives `out` what cannot be overtaken any more, in order.
    pub fn round(&mut self, out: impl FnMut(u64, T)) {
        self.flush(self.next_flush, out);
        self.next_flush = self.latest;
    }

    /// The end: gives `out` all that is left, in order.
    pub fn finish(&mut self, out: impl FnMut(u64, T)) {
        self.flush(u64::MAX, out);
        self.next_flush = u64::MAX;
    }

    /// The caller wants to hold no more: gives `out` the older half, in order.
    pub fn overflow(&mut self, out: impl FnMut(u64, T)) {
        self.sort();
        if let Some(&(middle, ..)) = self.queue.get(self.queue.len() / 2) {
            self.flush(middle, out);
        }
    }

    /// The values that are held, for a caller that moves what they refer to.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.queue.iter_mut().map(|(_, value)| value)
    }

    /// How many values came later than values that had gone out already.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn sort(&mut self) {
        self.queue.sort_by_key(|&(time, _)| time);
    }

    fn flush(&mut self, limit: u64, mut out: impl FnMut(u64, T)) {
        self.sort();
        let ready = self.queue.partition_point(|&(time, ..)| time <= limit);
        for (time, value) in self.queue.drain(..ready) {
            self.flushed = self.flushed.max(time);
            out(time, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rounds: &[&[(u64, char)]]) -> (String, u64) {
        let mut sorter = Sorter::new();
        let mut out = String::new();
        for round in rounds {
            for &(time, value) in *round {
                sorter.push(time, value);
            }
            sorter.round(|_, v| out.push(v));
        }
        sorter.finish(|_, v| out.push(v));
        (out, sorter.late())
    }

    #[test]
    fn rings_are_merged_by_time() {
        assert_eq!(run(&[&[(1, 'a'), (4, 'd'), (2, 'b'), (3, 'c')]]), ("abcd".into(), 0));
    }

    #[test]
    fn a_record_may_come_one_round_late() {
        assert_eq!(run(&[&[(1, 'a'), (5, 'c')], &[(4, 'b'), (9, 'd')], &[]]), ("abcd".into(), 0));
    }

    #[test]
    fn two_rounds_late_is_counted_and_not_lost() {
        let (out, late) = run(&[&[(5, 'a')], &[(9, 'c')], &[(2, 'b')], &[(10, 'd')]]);
        assert_eq!((out.len(), late), (4, 1));
    }

    #[test]
    fn equal_times_keep_their_order() {
        assert_eq!(run(&[&[(1, 'a'), (1, 'b')], &[(1, 'c'), (1, 'd')]]), ("abcd".into(), 0));
    }

    #[test]
    fn an_overflow_lets_the_older_half_out() {
        let mut sorter = Sorter::new();
        let mut out = Vec::new();
        for time in 0..100u64 {
            sorter.push(time, time);
            if sorter.len() >= 10 {
                sorter.overflow(|_, v| out.push(v));
            }
            assert!(sorter.len() < 10);
        }
        sorter.finish(|_, v| out.push(v));
        assert!(out.iter().copied().eq(0..100));
    }
}
