//! The perf mmap ring: the consumer's side of the memory that the kernel writes records to.
//!
//! Positions run freely and never wrap; the data area is a power of two bytes. The kernel publishes what it has
//! written through `data_head`; the consumer gives space back through `data_tail`
//! (`perf_event_open(2)`, "MMAP layout"; `perf_mmap__read_head()` in the perf tool).

#![allow(unsafe_code)]
// A mapping begins at a page, and the control page's fields are aligned within it.
#![allow(clippy::cast_ptr_alignment)]

use core::sync::atomic::{AtomicU64, Ordering};

use crate::wire::mmap_page::{DATA_HEAD, DATA_OFFSET, DATA_SIZE, DATA_TAIL};

/// Reads a mapped ring.
#[derive(Debug)]
pub struct Consumer {
    head: *const AtomicU64,
    tail: *const AtomicU64,
    data: *const u8,
    mask: u64,
}

// SAFETY: the pointers are to memory shared with the kernel, reached only through atomics and `&mut self`.
unsafe impl Send for Consumer {}

/// What a ring holds, in one or two pieces: the second is not empty where the data wraps around the end.
/// A record may lie across both.
#[derive(Clone, Copy, Debug)]
pub struct Available<'a> {
    /// From the tail on.
    pub first: &'a [u8],
    /// From the start of the ring on.
    pub second: &'a [u8],
}

impl Available<'_> {
    /// Bytes in both pieces.
    pub fn len(&self) -> usize {
        self.first.len().saturating_add(self.second.len())
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }
}

impl Consumer {
    /// Takes over a mapping of `len` bytes at `base`: a control page, then data. `None` where the control page
    /// describes data that does not lie inside, or whose size is not a power of two.
    ///
    /// # Safety
    /// `base` must be the start of a readable and writable shared mapping of a perf event of `len` bytes, aligned
    /// to a page, that outlives the value, and no other consumer may use it.
    pub unsafe fn new(base: *mut u8, len: usize) -> Option<Self> {
        if len < DATA_SIZE.checked_add(8)? {
            return None;
        }
        // SAFETY: the caller vouches for `len` bytes at `base`, and the control page's fields lie below `len`.
        let (head, tail, offset, size) = unsafe {
            (
                base.add(DATA_HEAD).cast::<AtomicU64>(),
                base.add(DATA_TAIL).cast::<AtomicU64>(),
                base.add(DATA_OFFSET).cast::<u64>().read(),
                base.add(DATA_SIZE).cast::<u64>().read(),
            )
        };
        let end = offset.checked_add(size)?;
        if !size.is_power_of_two() || end > len as u64 {
            return None;
        }
        Some(Self {
            head,
            tail,
            // SAFETY: `offset` is inside the mapping, as just checked.
            data: unsafe { base.add(offset as usize) },
            mask: size.wrapping_sub(1),
        })
    }

    /// Size of the data area in bytes.
    pub fn capacity(&self) -> usize {
        self.mask.wrapping_add(1) as usize
    }

    /// What the kernel has written and we have not given back. The bytes stay valid until [`release`](Self::release).
    pub fn available(&mut self) -> Available<'_> {
        // SAFETY: `head` and `tail` point into the mapping (`new`). Acquire pairs with the kernel's store of
        // `data_head` after the records; nobody but us writes `data_tail`.
        let (head, tail) = unsafe { ((*self.head).load(Ordering::Acquire), (*self.tail).load(Ordering::Relaxed)) };
        let capacity = self.mask.wrapping_add(1);
        // A head that is not the kernel's doing must not make us read outside.
        let len = head.wrapping_sub(tail).min(capacity);
        let start = tail & self.mask;
        let first = len.min(capacity.wrapping_sub(start));
        // SAFETY: `start + first <= capacity` and `len - first <= start <= capacity`; the kernel does not write
        // between tail and head.
        unsafe {
            Available {
                first: core::slice::from_raw_parts(self.data.add(start as usize), first as usize),
                second: core::slice::from_raw_parts(self.data, len.wrapping_sub(first) as usize),
            }
        }
    }

    /// Gives `bytes` from the front of [`available`](Self::available) back to the kernel.
    pub fn release(&mut self, bytes: usize) {
        // SAFETY: as in `available`. Release orders our reads before the kernel may write there again.
        unsafe {
            let tail = (*self.tail).load(Ordering::Relaxed);
            (*self.tail).store(tail.wrapping_add(bytes as u64), Ordering::Release);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    struct Fake {
        memory: Vec<u64>,
    }

    impl Fake {
        fn new(data: usize) -> Self {
            let mut fake = Self { memory: vec![0u64; (PAGE + data) / 8] };
            fake.set(DATA_OFFSET, PAGE as u64);
            fake.set(DATA_SIZE, data as u64);
            fake
        }

        fn set(&mut self, offset: usize, value: u64) {
            self.memory[offset / 8] = value;
        }

        fn consumer(&mut self) -> Option<Consumer> {
            let len = self.memory.len() * 8;
            // SAFETY: the vector is zeroed memory of that length; the tests keep it alive.
            unsafe { Consumer::new(self.memory.as_mut_ptr().cast(), len) }
        }
    }

    #[test]
    fn data_across_the_end_comes_in_two_pieces() {
        let mut fake = Fake::new(64);
        for i in 0..8 {
            fake.set(PAGE + i * 8, i as u64);
        }
        let mut ring = fake.consumer().unwrap();
        fake.set(DATA_HEAD, 48);
        assert_eq!(ring.available().len(), 48);
        ring.release(48);
        fake.set(DATA_HEAD, 88);
        let available = ring.available();
        assert_eq!((available.first.len(), available.second.len()), (16, 24));
        assert_eq!(available.first[0], 6);
        assert_eq!(available.second[0], 0);
        ring.release(40);
        assert!(ring.available().is_empty());
    }

    #[test]
    fn a_head_out_of_bounds_is_clamped_and_a_bad_geometry_refused() {
        let mut fake = Fake::new(64);
        let mut ring = fake.consumer().unwrap();
        fake.set(DATA_HEAD, u64::MAX);
        assert_eq!(ring.available().len(), 64);
        for (offset, size) in [(PAGE as u64, 48), (PAGE as u64, 128), (u64::MAX, 64), (PAGE as u64, 0)] {
            let mut fake = Fake::new(64);
            fake.set(DATA_OFFSET, offset);
            fake.set(DATA_SIZE, size);
            assert!(fake.consumer().is_none(), "{offset} {size}");
        }
    }
}
