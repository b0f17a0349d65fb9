//! Exact, zero-copy layouts of the Linux perf records that tell which namespaces a task is in. Not here: what a
//! container is, system calls, and files.
//!
//! `PERF_RECORD_NAMESPACES` and what belongs to it (FORK, EXIT, COMM, CGROUP, LOST, the `sample_id` trailer,
//! `perf_event_attr`, the mmap ring, the perf.data container): decoded and encoded in place, in both byte orders,
//! without `std` and, by default, without `alloc`.
//!
//! ```
//! use nsscope_codec::{encode::{self, Encode}, LittleEndian, Record, Records};
//! use nsscope_codec::wire::{namespaces::{NsId, NsKind}, sample_id::{SampleId, SampleIdLayout}};
//!
//! // Emit a record ...
//! let mut buf = [0u8; 136];
//! let links = [NsId { dev: 4, ino: 0xf000_0001 }; 7];
//! encode::Namespaces { pid: 10, tid: 11, links: &links }
//!     .encode::<LittleEndian>(0, SampleIdLayout::NONE, &SampleId::default(), &mut buf)?;
//!
//! // ... and read it, in place.
//! for record in Records::<LittleEndian>::new(&buf, 0) {
//!     if let Record::Namespaces(ns) = record?.parse()? {
//!         assert_eq!(ns.tid(), 11);
//!         assert_eq!(ns.get(NsKind::Net), Some(NsId { dev: 4, ino: 0xf000_0001 }));
//!     }
//! }
//! # Ok::<(), nsscope_codec::Error>(())
//! ```
//!
//! # Promises
//! Decoding never panics, never allocates by a number found in the input and never reads past a record.
//! A count larger than its record is an [`Error`] with the offset, and the next record is still read. Unknown
//! record types, longer attrs and kernels with more namespaces than we know are passed through.
//!
//! # Features
//! None by default: zerocopy is the only dependency. `alloc` brings the perf.data decoder and time order, `heapless`
//! owned records of fixed capacity, `postcard` the compact frames for slow links, `defmt` logging of every type that
//! exists without `alloc`, `zstd` (Rust 1.89) what `perf record -z` compressed; the last adds nothing on soft-float
//! x86-64, where its decompressor does not compile.
//!
//! [`guide`] shows the crate in userspace, a kernel module, an eBPF program and firmware; `SPEC.md` states every layout.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;

mod byte_order;
#[cfg(feature = "postcard")]
pub mod compact;
#[cfg(feature = "alloc")]
mod counts;
pub mod emit;
pub mod encode;
mod error;
#[cfg(feature = "defmt")]
mod format;
#[cfg(feature = "defmt")]
mod host;
#[cfg(feature = "alloc")]
pub mod order;
#[cfg(feature = "heapless")]
pub mod owned;
pub mod perf_data;
mod raw;
mod record;
#[cfg(target_has_atomic = "64")]
pub mod ring;
mod sink;
#[cfg(feature = "alloc")]
pub mod synthetic;
pub mod wire;

#[doc = include_str!("../USING.md")]
pub mod guide {}

pub use byte_order::{BigEndian, Endian, LittleEndian, Native, Order};
#[cfg(feature = "alloc")]
pub use counts::RecordCounts;
pub use error::{Error, ErrorKind};
pub use raw::{Parse, RawRecord, Records};
pub use record::Record;
