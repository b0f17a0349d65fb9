//! From perf records to processes, namespaces and containers over time.
//!
//! Push records in time order into a [`Timeline`]; then ask which [`containers`](Timeline::containers) they reveal, by
//! whichever [`Definition`]. Memory grows with the tasks that live, with names and with namespace sets, not with
//! records: equal sets and strings are stored once, and of the tasks that have ended so many are kept as the caller
//! [asks for](Timeline::keeping); the others are counted.

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
#[cfg(feature = "full")]
mod limit;
mod lives;
mod members;
pub mod order;
mod placement;
pub mod process;
mod registry;
pub mod runtime;
mod samples;
pub mod select;
#[cfg(feature = "full")]
mod switches;
mod task;
mod timeline;
mod tracepoint;
mod why;

pub use container::{Container, Created, Namespaced};
#[cfg(feature = "full")]
pub use cpu::{CpuUse, Meanwhile, Runner};
pub use definition::Definition;
pub use group::Group;
pub use intern::Interner;
pub use keys::{Key, Keys};
#[cfg(feature = "full")]
pub use limit::Limit;
pub use placement::NsSet;
pub use process::Process;
pub use registry::Named;
#[cfg(feature = "full")]
pub use switches::Wait;
pub use task::{Since, Source, Task};
pub use timeline::{Kept, LostInterval, Recorder, Timeline};
