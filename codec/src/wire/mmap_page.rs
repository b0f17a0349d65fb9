//! `struct perf_event_mmap_page`: the control page of a ring, where the positions are. Not here: the ring's protocol.
//!
//! Offsets are all that a consumer needs; [`ring`](crate::ring) reads and writes through them with the
//! ordering the kernel asks for (`perf_event_open(2)`, "MMAP layout").

/// Offset of `__u64 data_head`: where the kernel writes next. Runs freely, never wraps. Read with acquire.
pub const DATA_HEAD: usize = 1024;
/// Offset of `__u64 data_tail`: how far the consumer has read. Write with release.
pub const DATA_TAIL: usize = 1032;
/// Offset of `__u64 data_offset`: where the data begins, in bytes from the page (since Linux 4.1).
pub const DATA_OFFSET: usize = 1040;
/// Offset of `__u64 data_size`: bytes of data, a power of two pages (since Linux 4.1).
pub const DATA_SIZE: usize = 1048;
