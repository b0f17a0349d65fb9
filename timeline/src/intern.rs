//! Equal values are stored once and known by number. Not here: what the values mean.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Numbers distinct values from 0 on.
///
/// Values are found by their bytes, so that one map serves all types: each type of map is several kilobytes of wasm.
#[derive(Debug)]
pub struct Interner<T> {
    values: Vec<T>,
    numbers: BTreeMap<Box<Bytes>, u32>,
}

/// The bytes of a value, which are compared eight at a time: the `memcmp` of wasm is a loop over single ones.
#[derive(Debug, PartialEq, Eq, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Bytes([u8]);

impl Bytes {
    fn of<Q: IntoBytes + Immutable + ?Sized>(value: &Q) -> &Self {
        Self::ref_from_bytes(value.as_bytes()).expect("any bytes are some")
    }

    fn boxed(&self) -> Box<Self> {
        let mut copy = Self::new_box_zeroed_with_elems(self.0.len()).expect("as many fit in memory already");
        copy.0.copy_from_slice(&self.0);
        copy
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (&self.0, &other.0);
        while let (Some((a, our_rest)), Some((b, their_rest))) = (ours.split_first_chunk(), theirs.split_first_chunk())
        {
            if a != b {
                return u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b));
            }
            (ours, theirs) = (our_rest, their_rest);
        }
        ours.cmp(theirs)
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T> Interner<T> {
    /// The number of a value, which it gets if it has none.
    pub fn intern<Q: IntoBytes + Immutable + ToOwned<Owned = T> + ?Sized>(&mut self, value: &Q) -> u32 {
        if let Some(number) = self.number(value) {
            return number;
        }
        let number = self.values.len() as u32;
        self.values.push(value.to_owned());
        self.numbers.insert(Bytes::of(value).boxed(), number);
        number
    }

    /// The number of a value, if it has one.
    pub fn number<Q: IntoBytes + Immutable + ToOwned<Owned = T> + ?Sized>(&self, value: &Q) -> Option<u32> {
        self.numbers.get(Bytes::of(value)).copied()
    }

    /// The value of a number that [`intern`](Self::intern) gave.
    pub fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    /// All values, by number.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The numbers, in the order of the values' bytes.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = u32> {
        self.numbers.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_bytes() {
        let words: [&[u8]; 9] = [
            b"",
            b"a",
            b"abcdefgh",
            b"abcdefgha",
            b"abcdefghb",
            b"abcdefghbcdefghi",
            b"abcdefghc",
            b"abcdefgi",
            b"\xff\0\0\0\0\0\0\0",
        ];
        for (place, a) in words.iter().enumerate() {
            for (other, b) in words.iter().enumerate() {
                assert_eq!(Bytes::of(*a).cmp(Bytes::of(*b)), place.cmp(&other), "{a:?} {b:?}");
            }
        }
        let mut interner: Interner<Vec<u8>> = Interner::default();
        let numbers: Vec<u32> = words.iter().rev().chain(&words).map(|word| interner.intern(*word)).collect();
        assert!(numbers.iter().copied().eq((0..9).chain((0..9).rev())));
        assert!(interner.in_order().eq((0..9).rev()));
        assert_eq!((interner.number(&b"abc"[..]), interner.get(0).as_slice()), (None, words[8]));
    }
}
