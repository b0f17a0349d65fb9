//! How times are written. Not here: what happened then.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in ns since 1970.
pub(crate) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// RFC 3339, UTC, from ns since 1970.
pub(crate) fn rfc3339(wall: u64) -> String {
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + Duration::from_nanos(wall)).to_string()
}

/// Seconds with microseconds, from ns.
pub(crate) fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:06}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / 1000)
}
