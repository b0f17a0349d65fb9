//! What reaches a recording from outside: other threads and signal handlers. Not here: what the recording does when it
//! is asked.

use crate::error::Result;
use crate::statistics::{Statistics, Summary};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a recording and its handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    stops: AtomicUsize,
    snapshots: AtomicUsize,
    /// Readable once somebody wants something.
    wake: OwnedFd,
    said: Mutex<(Statistics, Option<Summary>)>,
}

impl Shared {
    fn new() -> Result<Self> {
        Ok(Self {
            stops: AtomicUsize::new(0),
            snapshots: AtomicUsize::new(0),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            said: Mutex::default(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// How often it was asked to stop.
    pub(crate) fn stops(&self) -> usize {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        self.stops.load(Ordering::Relaxed)
    }

    /// How often a snapshot was asked for.
    pub(crate) fn snapshots(&self) -> usize {
        self.snapshots.load(Ordering::Relaxed)
    }

    pub(crate) fn set_statistics(&self, statistics: Statistics) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).0 = statistics;
    }

    pub(crate) fn wrote(&self, summary: Summary) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(summary);
    }

    fn add(&self, count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// Reaches a recording under way, from any thread. [`stop`](Self::stop) and [`snapshot`](Self::snapshot) may be called
/// from a signal handler: they add to a number and write to an eventfd.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// A handle for a recording to be ([`Recording::handle`](crate::Recording::handle)).
    ///
    /// # Errors
    /// Where the process has no descriptor left for its eventfd.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(Shared::new()?)))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Ends [`run`](crate::Recorder::run) soon. A command that is recorded is asked to end first (`SIGTERM`); a second
    /// call does not wait for it.
    pub fn stop(&self) {
        self.0.add(&self.0.stops);
    }

    /// Has a flight recorder write its file soon.
    pub fn snapshot(&self) {
        self.0.add(&self.0.snapshots);
    }

    /// How much was recorded up to the last round.
    pub fn statistics(&self) -> Statistics {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// What the flight recorder's last file holds, once: `None` until it writes another.
    pub fn written(&self) -> Option<Summary> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}
