//! Clocks and how times are written.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// The clock of our recordings: what most logs and `dmesg` (nearly) use, and the kernel can stamp records with.
pub(crate) const CLOCK: ClockId = ClockId::Monotonic;

/// Now, in ns of [`CLOCK`].
pub(crate) fn now() -> u64 {
    nanoseconds(CLOCK)
}

/// Now, in ns since 1970.
pub(crate) fn wall_clock() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// RFC 3339, UTC, from ns since 1970.
pub(crate) fn rfc3339(wall: u64) -> String {
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + Duration::from_nanos(wall)).to_string()
}

/// Seconds with microseconds, from ns.
pub(crate) fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:06}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / 1000)
}
