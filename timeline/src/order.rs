//! Sorting, by pairs of numbers: whatever is sorted, the one sort of pairs does it, as each other is several kilobytes
//! of wasm. Not here: what is sorted.

use alloc::vec::Vec;

/// The pairs that there are, in order.
pub fn distinct(pairs: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    pairs.into_iter().for_each(|pair| all.push(pair));
    in_order(&mut all);
    all
}

/// Apart from what collects them, of which there are many.
#[inline(never)]
fn in_order(pairs: &mut Vec<(u64, u64)>) {
    pairs.sort_unstable();
    pairs.dedup();
}

/// Items in the order of their keys, those of equal keys as they were.
pub fn sorted<T>(mut items: Vec<T>, key: impl Fn(&T) -> (u64, u32)) -> Vec<T> {
    let mut keys: Vec<(u64, u64)> = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let (first, second) = key(item);
        keys.push((first, u64::from(second) << 32 | position as u64));
    }
    let mut order = distinct(keys);
    // Round each circle of positions, from where an item belongs to where it is.
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = order[at].1 as u32 as usize;
            order[at].1 = at as u64;
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
    items
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
