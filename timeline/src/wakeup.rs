//! That a task was woken up, as a record says it. Not here: how long it waited for its CPU, which `switches` counts.

use crate::timeline::Timeline;

/// A task would run from now on (`sched:sched_wakeup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// When, ns.
    pub time: u64,
    /// The thread.
    pub tid: u32,
    /// The CPU that it is to run on.
    pub cpu: u32,
}

impl Timeline {
    /// The wake-up, if a record has told of one since this was asked last.
    pub fn take_wakeup(&mut self) -> Option<Wakeup> {
        self.woken.take()
    }
}
