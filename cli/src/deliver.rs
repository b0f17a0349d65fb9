//! Gives a capture's records to whoever wants them: once there are many, on a thread of its own, so that one decodes and sorts
//! while the other works. Not here: where the records come from.

use crate::error::{Failure, Outcome, note};
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::{BigEndian, Endian, LittleEndian};
use nsscope_codec::{Error, Order, RawRecord};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

/// Takes a capture's records in time order.
pub(crate) trait Consumer: Send {
    /// Whether damage is not said: the capture is read again.
    const QUIET: bool = false;

    /// A record of the kernel.
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()>;
}

/// From how many bytes of records on another thread is worth its start.
const MANY: usize = 1 << 20;
/// How many bytes are handed over at once: no more than what a CPU's own cache holds.
const BATCH: usize = 64 << 10;
/// How many batches may wait for the consumer.
const WAITING: usize = 16;

/// How many threads may read a capture; where nobody has said it, as many as there are CPUs.
static THREADS: OnceLock<usize> = OnceLock::new();

/// Lets so many threads read a capture. More than two are not used.
pub(crate) fn use_threads(count: usize) {
    let _ = THREADS.set(count);
}

/// Gives the kernel's records to the consumer until it fails.
pub(crate) struct Deliver<'scope, 'env, C> {
    scope: &'scope Scope<'scope, 'env>,
    /// The consumer, where it is on this thread.
    here: Option<&'scope mut C>,
    there: Option<Away<'scope, C>>,
    may_leave: bool,
    /// Bytes of records that it was given here.
    given: usize,
    failed: Option<Failure>,
    pub(crate) faults: u64,
}

impl<'scope, 'env, C: Consumer> Deliver<'scope, 'env, C> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>, consumer: &'scope mut C) -> Self {
        let threads = *THREADS.get_or_init(|| available_parallelism().map_or(1, usize::from));
        Self { scope, here: Some(consumer), there: None, may_leave: threads > 1, given: 0, failed: None, faults: 0 }
    }

    /// Whether no more records are wanted.
    pub(crate) fn stop(&self) -> bool {
        self.failed.is_some() || self.there.as_ref().is_some_and(|there| there.failed.load(Ordering::Relaxed))
    }

    /// All was delivered: waits until the consumer has had it. Returns what it failed with.
    pub(crate) fn finish(&mut self) -> Option<Failure> {
        self.come_back();
        self.failed.take()
    }

    /// The consumer goes on elsewhere, if a thread can be had. The session stays as it is now.
    fn leave(&mut self, session: &Session) {
        self.may_leave = false;
        let (full, batches) = sync_channel(WAITING);
        let (emptied, empty) = channel();
        let (hand_over, taken) = channel::<&'scope mut C>();
        let failed = Arc::new(AtomicBool::new(false));
        let (session, has_failed) = (session.clone(), Arc::clone(&failed));
        let worker = Builder::new().spawn_scoped(self.scope, move || {
            let consumer = taken.recv().ok()?;
            let result = work(consumer, &session, &batches, &emptied);
            has_failed.store(result.is_err(), Ordering::Relaxed);
            Some((consumer, result.err()))
        });
        let Ok(worker) = worker else { return };
        if let Some(consumer) = self.here.take() {
            let _ = hand_over.send(consumer);
        }
        self.there = Some(Away { batch: Vec::new(), full, empty, failed, worker });
    }
}

impl<C> Deliver<'_, '_, C> {
    fn come_back(&mut self) {
        let Some(Away { batch, full, worker, .. }) = self.there.take() else { return };
        // Where it has failed, nobody takes it.
        let _ = full.send(batch);
        drop(full);
        if let Some((consumer, failed)) = worker.join().unwrap_or_else(|panic| resume_unwind(panic)) {
            self.here = Some(consumer);
            self.failed = failed;
        }
    }
}

/// Also where reading has failed: the consumer has all that came before.
impl<C> Drop for Deliver<'_, '_, C> {
    fn drop(&mut self) {
        self.come_back();
    }
}

impl<C: Consumer> Visitor for Deliver<'_, '_, C> {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        if record.kind().is_user() {
            // The session is not what it was.
            if matches!(
                record.kind(),
                RecordType::HEADER_ATTR
                    | RecordType::HEADER_TRACING_DATA
                    | RecordType::HEADER_FEATURE
                    | RecordType::EVENT_UPDATE
            ) {
                self.come_back();
            }
        } else if let Some(there) = &mut self.there {
            there.push(&record);
        } else if self.failed.is_none()
            && let Some(consumer) = &mut self.here
        {
            self.failed = consumer.record(session, &record).err();
            self.given = self.given.saturating_add(record.bytes().len());
            if self.may_leave && self.given > MANY {
                self.leave(session);
            }
        }
    }

    fn fault(&mut self, error: Error) {
        self.faults += 1;
        if self.faults == 1 && !C::QUIET {
            note(format_args!("the capture is damaged {error}"));
        }
    }
}

/// A consumer on another thread, which gives it back.
struct Away<'scope, C> {
    /// Records one behind the other, each behind its offset in the capture (8 bytes).
    batch: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    failed: Arc<AtomicBool>,
    worker: ScopedJoinHandle<'scope, Option<(&'scope mut C, Option<Failure>)>>,
}

impl<C> Away<'_, C> {
    fn push<O: Order>(&mut self, record: &RawRecord<'_, O>) {
        self.batch.extend_from_slice(&record.offset().to_ne_bytes());
        self.batch.extend_from_slice(record.bytes());
        if self.batch.len() >= BATCH {
            let next = self.empty.try_recv().unwrap_or_default();
            // Where the consumer has failed, nobody takes it.
            let _ = self.full.send(std::mem::replace(&mut self.batch, next));
        }
    }
}

/// Gives the consumer what comes, and the batches back.
fn work<C: Consumer>(
    consumer: &mut C,
    session: &Session,
    batches: &Receiver<Vec<u8>>,
    emptied: &Sender<Vec<u8>>,
) -> Outcome<()> {
    for mut batch in batches {
        match session.endian() {
            Some(Endian::Big) => give::<BigEndian, C>(consumer, session, &batch)?,
            _ => give::<LittleEndian, C>(consumer, session, &batch)?,
        }
        batch.clear();
        let _ = emptied.send(batch);
    }
    Ok(())
}

fn give<O: Order, C: Consumer>(consumer: &mut C, session: &Session, mut batch: &[u8]) -> Outcome<()> {
    while let Some((offset, rest)) = batch.split_first_chunk()
        && let Ok((record, rest)) = RawRecord::<O>::split(rest, u64::from_ne_bytes(*offset))
    {
        consumer.record(session, &record)?;
        batch = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsscope_codec::perf_data::Decoder;

    struct Count(u64);

    impl Consumer for Count {
        fn record<O: Order>(&mut self, _: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
            assert_eq!(record.offset(), self.0);
            self.0 += 1;
            if self.0 == 400_000 { Err(Failure::new("enough")) } else { Ok(()) }
        }
    }

    /// Gives so many records, and then perhaps no more notice. Returns how many the consumer had, and whether it failed.
    fn given(records: u64, finish: bool) -> (u64, bool) {
        let mut count = Count(0);
        let failed = std::thread::scope(|scope| {
            let decoder = Decoder::new();
            let mut deliver = Deliver::new(scope, &mut count);
            for offset in 0..records {
                let comm = [3, 0, 0, 0, 0, 0, 16, 0, 1, 0, 0, 0, 1, 0, 0, 0];
                let (record, _) = RawRecord::<LittleEndian>::split(&comm, offset).unwrap();
                deliver.record(decoder.session(), record);
            }
            finish && deliver.finish().is_some()
        });
        (count.0, failed)
    }

    #[test]
    fn a_consumer_has_all_records_in_order() {
        assert_eq!(given(10, true), (10, false));
        assert_eq!(given(300_000, true), (300_000, false));
        // Reading has failed.
        assert_eq!(given(300_000, false), (300_000, false));
        assert_eq!(given(500_000, true), (400_000, true));
    }
}
