//! The ring under a model checker: every interleaving of a producer and a consumer that the memory model allows.

#![allow(missing_docs, unsafe_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Arc;
use nsscope_codec::encode::Sink;
use nsscope_codec::ring::{Consumer, Memory, Producer};

const WORDS: usize = 2;

/// Two words of data, whose every access the checker is told of.
#[derive(Clone)]
struct Checked(Arc<Shared>);

struct Shared {
    head: AtomicU64,
    tail: AtomicU64,
    data: std::cell::UnsafeCell<[u64; WORDS]>,
    /// Stands for the data: the checker knows only what goes through its own cells.
    touched: [UnsafeCell<()>; WORDS],
}

// SAFETY: the checker sees every access, and fails the test where two could meet.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Checked {
    fn new() -> Self {
        Self(Arc::new(Shared {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            data: std::cell::UnsafeCell::new([0; WORDS]),
            touched: core::array::from_fn(|_| UnsafeCell::new(())),
        }))
    }

    fn words(&self, at: u64, len: u64) -> impl Iterator<Item = &UnsafeCell<()>> {
        (at / 8..(at + len).div_ceil(8)).map(|word| &self.0.touched[word as usize % WORDS])
    }
}

// SAFETY: the data lives in the shared allocation.
unsafe impl Memory for Checked {
    fn size(&self) -> u64 {
        WORDS as u64 * 8
    }

    fn data(&self) -> *mut u8 {
        self.0.data.get().cast()
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

    fn reading(&self, at: u64, len: u64) {
        self.words(at, len).for_each(|word| word.with(|_| ()));
    }

    fn writing(&self, at: u64, len: u64) {
        self.words(at, len).for_each(|word| word.with_mut(|_| ()));
    }
}

fn put(producer: &mut Producer<Checked>, value: u64) -> bool {
    let Some(mut room) = producer.reserve(8) else { return false };
    room.put(&value.to_ne_bytes());
    room.commit();
    true
}

fn take(consumer: &mut Consumer<Checked>, into: &mut Vec<u64>) {
    let available = consumer.available();
    let bytes = [available.first, available.second].concat();
    into.extend(bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())));
    let len = available.len();
    consumer.release(len);
}

/// More records than fit: the producer wraps around and meets a full ring, the consumer reads at any moment. What is
/// read is what was written, in order; what found no room is counted.
#[test]
fn no_interleaving_reads_what_was_not_written() {
    loom::model(|| {
        let memory = Checked::new();
        let mut producer = Producer::new(memory.clone());
        let mut consumer = Consumer::new(memory);
        let writer = loom::thread::spawn(move || {
            let written: Vec<u64> = (1..=4).filter(|&value| put(&mut producer, value)).collect();
            (written, producer.lost())
        });
        let mut read = Vec::new();
        take(&mut consumer, &mut read);
        take(&mut consumer, &mut read);
        let (written, lost) = writer.join().unwrap();
        take(&mut consumer, &mut read);
        assert_eq!(read, written);
        assert_eq!(written.len() as u64 + lost, 4);
    });
}

/// The checker is worth something only if it finds a fault: a consumer that gives back what it still reads is one.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_consumer_that_releases_too_early_is_caught() {
    loom::model(|| {
        let memory = Checked::new();
        let mut producer = Producer::new(memory.clone());
        let mut consumer = Consumer::new(memory.clone());
        assert!(put(&mut producer, 1) && put(&mut producer, 2));
        assert_eq!(consumer.available().len(), 16);
        let writer = loom::thread::spawn(move || put(&mut producer, 3));
        consumer.release(8);
        memory.reading(0, 8);
        writer.join().unwrap();
    });
}
