//! Recording: from the kernel's rings, eBPF programs or /proc into a perf.data file. What the records mean it does not
//! know.

#[cfg(feature = "bpf")]
pub(crate) mod bpf;
#[cfg(not(feature = "bpf"))]
#[path = "no_bpf.rs"]
pub(crate) mod bpf;
pub(crate) mod command;
mod dump;
pub(crate) mod events;
mod features;
pub(crate) mod import;
mod kept;
pub(crate) mod mounts;
mod names;
mod output;
mod pack;
mod poll;
mod recorder;
pub(crate) mod snapshot;
mod source;
mod synth;
mod tally;
pub(crate) mod tracefs;
mod workload;
