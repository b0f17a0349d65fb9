//! The clock of recordings. Not here: which records are stamped with it.

use rustix::time::{ClockId, clock_gettime};

/// The clock of our recordings: what most logs and `dmesg` (nearly) use, and the kernel can stamp records with.
pub(crate) const CLOCK: ClockId = ClockId::Monotonic;

/// Now by the clock of recordings, `CLOCK_MONOTONIC`, in ns.
pub fn now() -> u64 {
    nanoseconds(CLOCK)
}

/// Now, in ns since 1970.
pub(crate) fn wall_clock() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// For how long the machine has slept since it booted, ns.
pub(crate) fn asleep() -> u64 {
    let awake = now();
    nanoseconds(ClockId::Boottime).saturating_sub(awake)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
