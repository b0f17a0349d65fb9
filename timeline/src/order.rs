//! Sorting, by pairs of numbers: whatever is sorted, the one sort of pairs does it, as each other is several kilobytes of
//! wasm.

use alloc::vec::Vec;

/// The pairs that there are, in order.
pub fn distinct(pairs: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Items in the order of their keys, those of equal keys as they were.
pub fn sorted<T>(items: Vec<T>, key: impl Fn(&T) -> (u64, u32)) -> Vec<T> {
    let keys = items.iter().enumerate().map(|(position, item)| {
        let (first, second) = key(item);
        (first, u64::from(second) << 32 | position as u64)
    });
    let order = distinct(keys);
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.into_iter().filter_map(|(_, position)| items[position as u32 as usize].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_stay_as_they_were() {
        let items = alloc::vec!["b1", "a1", "b0", "a0"];
        let by_letter = sorted(items.clone(), |item| (u64::from(item.as_bytes()[0]), 0));
        assert_eq!(by_letter, ["a1", "a0", "b1", "b0"]);
        let by_both = sorted(items, |item| (0, u32::from_be_bytes([0, 0, item.as_bytes()[0], item.as_bytes()[1]])));
        assert_eq!(by_both, ["a0", "a1", "b0", "b1"]);
        assert_eq!(distinct([(2, 1), (1, 2), (2, 1)]), [(1, 2), (2, 1)]);
    }
}
