//! From perf records to processes, namespaces and containers over time. Not here: reading files, and text for people.
//!
//! Push records in time order into a [`Timeline`]; then ask which [`containers`](Timeline::containers) they reveal, by
//! whichever [`Definition`]. Memory grows with the tasks that live, with names and with namespace sets, not with
//! records: equal sets and strings are stored once, and of the tasks that have ended so many are kept as the caller
//! [asks for](Timeline::with_ended_limit); the others are counted.
//!
//! ```
//! # use nsscope_codec::encode::{Comm, Encode, Fork, Namespaces, TaskIds};
//! # use nsscope_codec::wire::{namespaces::NsId, sample_id::{SampleId, SampleIdLayout, SampleType}};
//! # use nsscope_codec::{LittleEndian, wire::header::MISC_COMM_EXEC};
//! use nsscope_codec::perf_data::{Decoder, Session, Visitor};
//! use nsscope_codec::{Error, Order, RawRecord};
//! use nsscope_timeline::{Definition, Timeline};
//!
//! struct Reading(Timeline);
//!
//! impl Visitor for Reading {
//!     fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
//!         self.0.push(session, &record);
//!     }
//!
//!     fn fault(&mut self, error: Error) {
//!         eprintln!("{error}");
//!     }
//! }
//!
//! // A perf.data stream in which task 1 is the host's, and task 7 has a pid and a mount namespace of its own.
//! # use nsscope_codec::wire::attr::{ATTR_SIZE_VER0, Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
//! # use zerocopy::IntoBytes;
//! # let layout = SampleIdLayout::new(SampleType::TIME);
//! # let mut attr = Attr::<LittleEndian>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
//! # attr.sample_type.set(layout.fields().0);
//! # attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::NAMESPACES);
//! # attr.size.set(ATTR_SIZE_VER0 as u32);
//! # let mut stream = b"PERFILE2\x10\0\0\0\0\0\0\0\x40\0\0\0\0\0\x48\0".to_vec();
//! # stream.extend(&attr.as_bytes()[..ATTR_SIZE_VER0]);
//! # let mut put = |time, misc, record: &dyn Fn(u16, &SampleId, &mut [u8]) -> Result<usize, Error>| {
//! #     let (mut bytes, id) = ([0; 176], SampleId { time: Some(time), ..SampleId::default() });
//! #     let size = record(misc, &id, &mut bytes)?;
//! #     stream.extend(&bytes[..size]);
//! #     Ok::<(), Error>(())
//! # };
//! # let ids = TaskIds { pid: 7, tid: 7, ppid: 1, ptid: 1, time: 2 };
//! # let host = [833, 838, 839, 836, 837, 832, 835].map(|number| NsId { dev: 4, ino: 4_026_531_000 + number });
//! # let mut own = host;
//! # (own[3].ino, own[5].ino) = (4_026_532_200, 4_026_532_201);
//! # put(1, 0, &|misc, id, to| Namespaces { pid: 1, tid: 1, links: &host }.encode::<LittleEndian>(misc, layout, id, to))?;
//! # put(2, 0, &|misc, id, to| Fork(ids).encode::<LittleEndian>(misc, layout, id, to))?;
//! # put(3, 0, &|misc, id, to| Namespaces { pid: 7, tid: 7, links: &own }.encode::<LittleEndian>(misc, layout, id, to))?;
//! # put(4, MISC_COMM_EXEC, &|misc, id, to| Comm { pid: 7, tid: 7, comm: b"sh" }.encode::<LittleEndian>(misc, layout, id, to))?;
//! let (mut decoder, mut reading) = (Decoder::new(), Reading(Timeline::new()));
//! decoder.push(&stream, &mut reading)?;
//! decoder.finish(&mut reading)?;
//! reading.0.finish(decoder.session());
//! let containers = reading.0.containers(&Definition::auto());
//! let own: Vec<Vec<String>> = containers.iter().map(|container| container.own_namespaces().collect()).collect();
//! assert_eq!(own, [["pid:[4026532200]", "mnt:[4026532201]"]]);
//! # Ok::<(), Error>(())
//! ```
//! A file's records are not in the order of their times: put an
//! [`Ordered`](nsscope_codec::perf_data::Ordered) between decoder and timeline.

#![no_std]

extern crate alloc;

mod container;
#[cfg(feature = "full")]
mod cpu;
mod definition;
mod ended;
pub mod filter;
mod founders;
mod group;
mod helpers;
mod intern;
mod keys;
mod limit;
mod lives;
mod members;
mod membership;
mod numbers;
pub mod order;
pub mod process;
mod registry;
pub mod runtime;
mod samples;
pub mod select;
#[cfg(feature = "full")]
mod switches;
mod task;
mod throttling;
mod timeline;
mod tracepoint;
mod why;

pub use container::{Container, Created, Namespaced};
#[cfg(feature = "full")]
pub use cpu::{CpuUsage, RanInstead, Runner};
pub use definition::Definition;
pub use group::Group;
pub use intern::Interner;
pub use keys::{Key, Keys};
pub use limit::{CpuStat, Limit, Throttled};
pub use membership::NsSet;
pub use process::Process;
pub use registry::Named;
#[cfg(feature = "full")]
pub use switches::Wait;
pub use task::{Since, Source, Task};
#[cfg(feature = "full")]
pub use timeline::KeptNamespace;
pub use timeline::{LostInterval, RecorderInfo, Timeline};
pub use tracepoint::Wakeup;
