//! Records which namespaces and cgroups the tasks of a Linux machine are in, as perf.data. Not here: what the records
//! mean (nsscope-timeline), and their layouts (nsscope-codec).
//!
//! A [`Recording`] says what to record (the machine, some processes, a container, a command), by which [`Backend`], and
//! where to: a file, a stream, or a [`Visitor`](nsscope_codec::perf_data::Visitor) in this process. It becomes a
//! [`Recorder`], which runs until it is stopped, or a [`Live`] stream of records.
//!
//! ```
//! use nsscope_capture::Recording;
//!
//! // All that a command and its children do, in a file that perf and nsscope read.
//! # let file = std::env::temp_dir().join(format!("nsscope-doc-{}.data", std::process::id()));
//! # let show = file.clone();
//! let mut recorder = Recording::new().command(["sh", "-c", "true; ls /"]).to_file(file)?;
//! recorder.run(None, |_| {})?;
//! let summary = recorder.finish()?;
//! println!("{} records, {} lost", summary.counts.total(), summary.lost);
//! # assert!(summary.counts.total() > 0);
//! # std::fs::remove_file(show)?;
//! # Ok::<(), nsscope_capture::Error>(())
//! ```
//!
//! # What is in a recording
//! The kernel's own records of each fork, exec, exit, change of namespaces, new cgroup and move between cgroups, from perf
//! events ([`Backend::Perf`]) or from eBPF programs ([`Backend::Bpf`]); or what changed in /proc between two looks
//! ([`Backend::Proc`]). Beside those, [synthesized](nsscope_codec::synthetic): what runs already, which cgroup each
//! process is in, and what the container runtimes of the machine call their containers. What a container is, this crate
//! does not know; `nsscope-timeline` does.
//!
//! # Rights
//! perf wants `CAP_PERFMON`, eBPF `CAP_BPF` too, /proc nothing. [`check::checks`] says what works here, and each
//! [`Error`] what to do about it. What is less than an error, such as threads that may not be looked at, is said by the
//! crate [`log`] at its level `warn`.
//!
//! # Loss
//! A file is complete after each write: a recorder that is killed leaves one that perf reads. Records that the kernel had
//! no room for are counted in the file (`PERF_RECORD_LOST`) and in [`Statistics::lost`].
//!
//! # Features
//! `bpf` has the eBPF programs in it; without, [`Backend::Bpf`] says so.

mod backend;
#[cfg(feature = "bpf")]
mod bpf;
#[cfg(not(feature = "bpf"))]
#[path = "no_bpf.rs"]
mod bpf;
pub mod check;
mod clock;
mod command;
mod compress;
mod error;
mod events;
mod features;
mod file;
mod flight;
mod handle;
mod hotplug;
mod import;
mod kept;
mod limits;
mod live;
mod machine;
mod mounts;
mod names;
mod perf;
mod plan;
mod proc;
mod recorder;
mod recording;
mod snapshot;
mod source;
mod statistics;
mod synth;
mod sys;
mod target;
mod task;
mod tracefs;

pub use backend::Backend;
pub use clock::now;
pub use error::{Error, Result, reason};
pub use events::EventDesc;
pub use handle::Handle;
pub use import::{Imported, import};
pub use live::Live;
pub use machine::own_namespaces;
pub use perf::perf_cgroup;
pub use recorder::Recorder;
pub use recording::Recording;
pub use snapshot::{Snapshot, snapshot, snapshot_to_file, snapshot_to_pipe};
pub use source::{Chunk, Source};
pub use statistics::{Statistics, Summary};
pub use synth::Synthesizer;
pub use sys::namespace_id;
pub use target::Target;
pub use tracefs::Tracepoint;
