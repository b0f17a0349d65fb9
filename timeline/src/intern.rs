//! Equal values are stored once and known by number.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::borrow::Borrow;

/// Items into a map or a set, one by one. `collect` sorts them before, which takes eight kilobytes of wasm for each type.
pub fn gather<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(items);
    all
}

/// Numbers distinct values from 0 on.
#[derive(Clone, Debug)]
pub struct Interner<T> {
    values: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Interner<T> {
    /// The number of a value, which it gets if it has none.
    pub fn intern(&mut self, value: &T) -> u32 {
        self.intern_with(value, T::clone)
    }

    /// The same for a value that is only made where it is new.
    pub fn intern_with<Q: Ord + ?Sized>(&mut self, value: &Q, make: impl FnOnce(&Q) -> T) -> u32
    where
        T: Borrow<Q>,
    {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let number = self.values.len() as u32;
        let value = make(value);
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// The number of a value, if it has one.
    pub fn number(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    /// The value of a number that [`intern`](Self::intern) gave.
    pub fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    /// All values, by number.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}
