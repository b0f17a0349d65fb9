//! The perf mmap ring: memory that one side writes records to and the other reads them from. Not here: how the memory
//! is mapped, and what the records say.
//!
//! Positions run freely and never wrap; the data area is a power of two bytes. The producer publishes what it has
//! written through `data_head`; the consumer gives space back through `data_tail` (`perf_event_open(2)`, "MMAP
//! layout"; `perf_output_begin()` and `perf_output_put_handle()` in `kernel/events/ring_buffer.c`,
//! `perf_mmap__read_head()` in the perf tool).
//!
//! A ring with `attr.write_backward` is filled from its end to its beginning, `data_head` counting down from 0, and
//! never waits for a reader: the newest record lies at `data_head`, the older ones behind it. To be read while the
//! producer is paused (`PERF_EVENT_IOC_PAUSE_OUTPUT`), with [`Consumer::backward`].

#![allow(unsafe_code)]
// A mapping begins at a page, and the control page's fields are aligned within it.
#![allow(clippy::cast_ptr_alignment)]

use crate::sink::Sink;
use crate::wire::header::{Header, HEADER_SIZE};
use crate::wire::mmap_page::{DATA_HEAD, DATA_OFFSET, DATA_SIZE, DATA_TAIL};
use crate::wire::Native;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use zerocopy::FromBytes;

/// What a ring is made of: two positions that both sides share, and the data.
///
/// # Safety
/// [`data`](Self::data) must give [`size`](Self::size) bytes, a power of two, that are valid to read and write for as
/// long as the value lives, and that nobody touches but one producer and one consumer, between the positions that
/// are theirs. The stores must be of release order, the loads of acquire order.
pub unsafe trait Memory {
    /// Bytes of data, a power of two.
    fn size(&self) -> u64;
    /// The data.
    fn data(&self) -> *mut u8;
    /// Loads `data_head`, which the producer writes.
    fn head(&self) -> u64;
    /// Stores `data_head`.
    fn set_head(&self, head: u64);
    /// Loads `data_tail`, which the consumer writes.
    fn tail(&self) -> u64;
    /// Stores `data_tail`.
    fn set_tail(&self, tail: u64);
    /// The consumer is about to read `len` bytes of data at `at`. For model checkers.
    #[inline]
    fn reading(&self, _at: u64, _len: u64) {}
    /// The producer is about to write `len` bytes of data at `at`. For model checkers.
    #[inline]
    fn writing(&self, _at: u64, _len: u64) {}
}

/// A mapping as the kernel makes it: a control page, then data.
#[derive(Debug)]
pub struct Mapping {
    head: *const AtomicU64,
    tail: *const AtomicU64,
    data: *mut u8,
    size: u64,
}

// SAFETY: the pointers are to memory that is made to be shared; the positions are reached through atomics.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Takes over a mapping of `len` bytes at `base` whose control page is filled in. `None` where it describes data
    /// that does not lie inside, or whose size is not a power of two.
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
        // SAFETY: `offset` is inside the mapping, as just checked.
        Some(Self { head, tail, data: unsafe { base.add(offset as usize) }, size })
    }

    /// Makes a ring of `len` zeroed bytes: the control page of `page` bytes is filled in, the rest is data. `None`
    /// where the rest is not a power of two or the page is too small.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    pub unsafe fn create(base: *mut u8, len: usize, page: usize) -> Option<Self> {
        let size = len.checked_sub(page)?;
        if page < DATA_SIZE.checked_add(8)? || !size.is_power_of_two() {
            return None;
        }
        // SAFETY: the fields lie within the page, which lies within the memory the caller vouches for.
        unsafe {
            base.add(DATA_OFFSET).cast::<u64>().write(page as u64);
            base.add(DATA_SIZE).cast::<u64>().write(size as u64);
            Self::new(base, len)
        }
    }
}

// SAFETY: `new` has checked that the data lies within the mapping its caller vouches for.
unsafe impl Memory for Mapping {
    #[inline]
    fn size(&self) -> u64 {
        self.size
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        self.data
    }

    #[inline]
    fn head(&self) -> u64 {
        // SAFETY: points into the mapping (`new`).
        unsafe { (*self.head).load(Ordering::Acquire) }
    }

    #[inline]
    fn set_head(&self, head: u64) {
        // SAFETY: points into the mapping (`new`).
        unsafe { (*self.head).store(head, Ordering::Release) }
    }

    #[inline]
    fn tail(&self) -> u64 {
        // SAFETY: points into the mapping (`new`).
        unsafe { (*self.tail).load(Ordering::Acquire) }
    }

    #[inline]
    fn set_tail(&self, tail: u64) {
        // SAFETY: points into the mapping (`new`).
        unsafe { (*self.tail).store(tail, Ordering::Release) }
    }
}

/// Writes records into a ring.
#[derive(Debug)]
pub struct Producer<M> {
    memory: M,
    head: u64,
    lost: u64,
    backward: bool,
}

impl<M: Memory> Producer<M> {
    /// The producer of a ring; there may be only one.
    pub fn new(memory: M) -> Self {
        Self { head: memory.head(), memory, lost: 0, backward: false }
    }

    /// The producer of a ring that is filled backwards and overwritten.
    pub fn backward(memory: M) -> Self {
        Self { backward: true, ..Self::new(memory) }
    }

    /// The ring.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Records that found no room and have not been told of.
    #[inline]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Reserves `size` bytes, a multiple of 8. Where the consumer has not made room, or `size` is not possible, the
    /// record counts as lost.
    #[inline]
    pub fn reserve(&mut self, size: usize) -> Option<Reservation<'_, M>> {
        let (len, capacity) = (size as u64, self.memory.size());
        let fits = if self.backward {
            len <= capacity
        } else {
            // Acquire: the consumer has read what we are about to overwrite.
            let used = self.head.wrapping_sub(self.memory.tail());
            // A tail that is not the consumer's doing leaves no room.
            capacity.checked_sub(used).is_some_and(|free| len <= free)
        };
        if !fits || len & 7 != 0 {
            self.lost = self.lost.saturating_add(1);
            return None;
        }
        let at = if self.backward { self.head.wrapping_sub(len) } else { self.head };
        let head = if self.backward { at } else { at.wrapping_add(len) };
        Some(Reservation { producer: self, at, left: len, head, reported: 0 })
    }
}

/// Room in a ring: filled from the front, then committed. One that is dropped leaves the ring as it was.
#[derive(Debug)]
#[must_use = "a reservation that is not committed writes nothing"]
pub struct Reservation<'a, M> {
    producer: &'a mut Producer<M>,
    at: u64,
    left: u64,
    /// `data_head` once it is committed.
    head: u64,
    reported: u64,
}

impl<M: Memory> Reservation<'_, M> {
    /// The reservation has a LOST record in it that reports `count` records.
    pub fn reports_lost(&mut self, count: u64) {
        self.reported = count;
    }

    /// Publishes it. What was not written holds what lay there before.
    #[inline]
    pub fn commit(self) {
        self.producer.lost = self.producer.lost.saturating_sub(self.reported);
        self.producer.head = self.head;
        // Release: the consumer sees the bytes once it sees the head.
        self.producer.memory.set_head(self.head);
    }
}

impl<M: Memory> Sink for Reservation<'_, M> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let len = bytes.len() as u64;
        if len > self.left {
            return;
        }
        let capacity = self.producer.memory.size();
        let start = self.at & capacity.wrapping_sub(1);
        let first = len.min(capacity.wrapping_sub(start));
        let (front, back) = bytes.split_at_checked(first as usize).unwrap_or((bytes, &[]));
        self.producer.memory.writing(self.at, len);
        // SAFETY: `start + front.len() <= capacity`, and `back.len() <= start` as the whole is at most the capacity;
        // the reservation lies between the consumer's tail and what was published, so nobody else touches it.
        unsafe {
            let data = self.producer.memory.data();
            core::ptr::copy_nonoverlapping(front.as_ptr(), data.add(start as usize), front.len());
            core::ptr::copy_nonoverlapping(back.as_ptr(), data, back.len());
        }
        self.at = self.at.wrapping_add(len);
        self.left = self.left.wrapping_sub(len);
    }
}

/// Reads a ring.
#[derive(Debug)]
pub struct Consumer<M = Mapping> {
    memory: M,
    tail: u64,
    /// Bytes behind the tail that were handed out.
    seen: Cell<u64>,
}

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

    /// How many bytes from the front are whole records: in a ring that is overwritten, the oldest record is usually
    /// cut into by the newest.
    pub fn whole(&self) -> usize {
        let mut at = 0usize;
        loop {
            // Records and the ring's end are aligned to 8 bytes, so that a header lies in one piece.
            let header = match at.checked_sub(self.first.len()) {
                None => self.first.get(at..),
                Some(at) => self.second.get(at..),
            };
            let Some(Ok((header, _))) = header.map(Header::<Native>::ref_from_prefix) else { return at };
            let size = usize::from(header.size.get());
            match at.checked_add(size) {
                Some(end) if size >= HEADER_SIZE && end <= self.len() => at = end,
                _ => return at,
            }
        }
    }
}

impl<M: Memory> Consumer<M> {
    /// The consumer of a ring; there may be only one.
    pub fn new(memory: M) -> Self {
        Self { tail: memory.tail(), memory, seen: Cell::new(0) }
    }

    /// Size of the data area in bytes.
    pub fn capacity(&self) -> usize {
        self.memory.size() as usize
    }

    /// What the producer has written and we have not given back. The bytes stay valid until
    /// [`release`](Self::release), which is why that borrows mutably.
    pub fn available(&self) -> Available<'_> {
        // Acquire: what was written before the head is seen.
        let head = self.memory.head();
        // A head that is not the producer's doing must not make us read outside.
        let len = head.wrapping_sub(self.tail).min(self.memory.size());
        self.seen.set(len);
        self.at(self.tail, len)
    }

    /// Gives `bytes` from the front of [`available`](Self::available) back to the producer, at most all of them.
    pub fn release(&mut self, bytes: usize) {
        let bytes = self.seen.get().min(bytes as u64);
        self.seen.set(self.seen.get().wrapping_sub(bytes));
        self.tail = self.tail.wrapping_add(bytes);
        // Release: our reads are done before the producer may write there again.
        self.memory.set_tail(self.tail);
    }

    /// What a ring that is filled backwards holds: the newest record first. The producer must be paused as long as
    /// the result is used.
    pub fn backward(&mut self) -> Available<'_> {
        let head = self.memory.head();
        self.at(head, head.wrapping_neg().min(self.memory.size()))
    }

    fn at(&self, at: u64, len: u64) -> Available<'_> {
        let capacity = self.memory.size();
        let start = at & capacity.wrapping_sub(1);
        let first = len.min(capacity.wrapping_sub(start));
        self.memory.reading(at, len);
        // SAFETY: `start + first <= capacity` and `len - first <= start <= capacity`; the producer does not write
        // between tail and head, or is paused.
        unsafe {
            let data = self.memory.data();
            Available {
                first: core::slice::from_raw_parts(data.add(start as usize), first as usize),
                second: core::slice::from_raw_parts(data, len.wrapping_sub(first) as usize),
            }
        }
    }
}

/// A ring in ordinary memory, both of whose sides are in the test.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct OwnedMemory(std::rc::Rc<Owned>);

#[cfg(test)]
#[derive(Debug)]
struct Owned {
    head: AtomicU64,
    tail: AtomicU64,
    data: std::boxed::Box<[core::cell::UnsafeCell<u64>]>,
}

#[cfg(test)]
impl OwnedMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let data = (0..bytes / 8).map(|_| core::cell::UnsafeCell::new(0)).collect();
        Self(std::rc::Rc::new(Owned { head: AtomicU64::new(0), tail: AtomicU64::new(0), data }))
    }
}

// SAFETY: the data is owned, and lives as long as the value.
#[cfg(test)]
unsafe impl Memory for OwnedMemory {
    fn size(&self) -> u64 {
        size_of_val(&*self.0.data) as u64
    }

    fn data(&self) -> *mut u8 {
        self.0.data.as_ptr() as *mut u8
    }

    fn head(&self) -> u64 {
        self.0.head.load(Ordering::Acquire)
    }

    fn set_head(&self, head: u64) {
        self.0.head.store(head, Ordering::Release);
    }

    fn tail(&self) -> u64 {
        self.0.tail.load(Ordering::Acquire)
    }

    fn set_tail(&self, tail: u64) {
        self.0.tail.store(tail, Ordering::Release);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::encode::{Comm, Encode};
    use crate::raw::Records;
    use crate::record::Record;
    use crate::wire::sample_id::{SampleId, SampleIdLayout};
    use proptest::prelude::*;
    use std::collections::VecDeque;

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
            unsafe { Mapping::new(self.memory.as_mut_ptr().cast(), len) }.map(Consumer::new)
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
        assert_eq!(available.first[..8], 6u64.to_ne_bytes());
        assert_eq!(available.second[..8], 0u64.to_ne_bytes());
        ring.release(40);
        assert!(ring.available().is_empty());
    }

    #[test]
    fn a_head_out_of_bounds_is_clamped_and_a_bad_geometry_refused() {
        let mut fake = Fake::new(64);
        let ring = fake.consumer().unwrap();
        fake.set(DATA_HEAD, u64::MAX);
        assert_eq!(ring.available().len(), 64);
        for (offset, size) in [(PAGE as u64, 48), (PAGE as u64, 128), (u64::MAX, 64), (PAGE as u64, 0)] {
            let mut fake = Fake::new(64);
            fake.set(DATA_OFFSET, offset);
            fake.set(DATA_SIZE, size);
            assert!(fake.consumer().is_none(), "{offset} {size}");
        }
    }

    #[test]
    fn a_ring_that_we_make_is_one_that_we_take() {
        let mut memory = vec![0u64; (PAGE + 64) / 8];
        let base = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: zeroed memory of that length, alive to the end.
        let (producer, consumer) = unsafe { (Mapping::create(base, PAGE + 64, PAGE), Mapping::new(base, PAGE + 64)) };
        let (mut producer, mut consumer) = (Producer::new(producer.unwrap()), Consumer::new(consumer.unwrap()));
        let mut reservation = producer.reserve(16).unwrap();
        reservation.put(&[7; 16]);
        assert!(consumer.available().is_empty());
        reservation.commit();
        assert_eq!(consumer.available().first, [7; 16]);
        // What was never there is not given back.
        consumer.release(1000);
        assert!(consumer.available().is_empty());
        // SAFETY: refused before anything is written.
        unsafe {
            assert!(Mapping::create(base, PAGE + 48, PAGE).is_none());
            assert!(Mapping::create(base, 64, 32).is_none());
        }
    }

    /// A record of 16 to 48 bytes that carries its number.
    fn write(producer: &mut Producer<OwnedMemory>, number: u32, len: usize) -> bool {
        let text = [b'x'; 32];
        let comm = Comm { pid: number, tid: len as u32, comm: &text[..len] };
        let size = comm.checked_size(SampleIdLayout::NONE).unwrap();
        let Some(mut room) = producer.reserve(size) else { return false };
        comm.write::<Native, _>(0, SampleIdLayout::NONE, &SampleId::default(), &mut room);
        room.commit();
        true
    }

    fn numbers(available: &Available<'_>) -> Vec<u32> {
        let bytes = [available.first, available.second].concat();
        let comms = Records::<Native>::new(&bytes[..available.whole()], 0).map(|record| {
            let Ok(Record::Comm(comm)) = record.unwrap().parse() else { unreachable!() };
            assert!(comm.comm.iter().all(|&b| b == b'x') && comm.comm.len() == comm.fixed.tid.get() as usize);
            comm.fixed.pid.get()
        });
        comms.collect()
    }

    proptest! {
        /// What comes out is what went in, in order, whatever the sizes and however writes and reads alternate.
        #[test]
        fn a_ring_is_a_queue(steps in proptest::collection::vec(prop_oneof![2 => (0usize..32).prop_map(Some), 1 => Just(None)], 0..200)) {
            let memory = OwnedMemory::new(256);
            let mut producer = Producer::new(memory.clone());
            let mut consumer = Consumer::new(memory);
            let (mut expected, mut lost) = (VecDeque::new(), 0);
            for (number, step) in steps.into_iter().enumerate() {
                if let Some(len) = step {
                    if write(&mut producer, number as u32, len) { expected.push_back(number as u32) } else { lost += 1 }
                } else {
                    let available = consumer.available();
                    prop_assert_eq!(numbers(&available), expected.drain(..).collect::<Vec<_>>());
                    prop_assert_eq!(available.whole(), available.len());
                    let len = available.len();
                    consumer.release(len);
                }
            }
            prop_assert_eq!(producer.lost(), lost);
        }

        /// A ring that is overwritten holds the newest records, newest first, and not a byte of a half one.
        #[test]
        fn backwards_the_newest_are_kept(lens in proptest::collection::vec(0usize..32, 0..60)) {
            let memory = OwnedMemory::new(256);
            let mut producer = Producer::backward(memory.clone());
            for (number, &len) in lens.iter().enumerate() {
                prop_assert!(write(&mut producer, number as u32, len));
            }
            let mut consumer = Consumer::new(memory);
            let found = numbers(&consumer.backward());
            prop_assert!(found.iter().copied().eq((0..lens.len() as u32).rev().take(found.len())));
            let bytes: usize = lens.iter().rev().take(found.len() + 1).map(|len| 16 + (len & !7) + 8).sum();
            prop_assert!(found.len() == lens.len() || bytes > 256, "{} of {} records, {bytes} bytes", found.len(), lens.len());
            prop_assert_eq!(producer.lost(), 0);
        }
    }

    #[test]
    fn what_cannot_be_reserved_is_counted_and_a_dropped_reservation_leaves_no_trace() {
        let memory = OwnedMemory::new(64);
        let mut producer = Producer::new(memory.clone());
        assert!(producer.reserve(72).is_none());
        assert!(producer.reserve(12).is_none());
        assert_eq!(producer.lost(), 2);
        drop(producer.reserve(64).unwrap());
        assert!(Consumer::new(memory.clone()).available().is_empty());
        assert!(write(&mut producer, 1, 0));
        // A tail ahead of the head is not the consumer's doing: no room, no panic.
        memory.set_tail(1000);
        assert!(!write(&mut producer, 2, 0));
    }
}
