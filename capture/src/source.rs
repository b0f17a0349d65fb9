//! What a source of records is. Not here: which sources there are, and which one is used.

use crate::error::{Error, Result};
use crate::events::EventDesc;
use crate::synth::Synthesizer;
use crate::tracefs::Tracepoint;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Records in two pieces, as they lie in a ring: a record may begin in the first and end in the second.
pub type Chunk<'a> = [&'a [u8]; 2];

/// Where the records of a recording come from. Records are whole `perf_event_header`s with their bodies, in this
/// machine's byte order, with the trailer that the first of [`events`](Self::events) asks for.
pub trait Source: Send {
    /// What the recording calls it.
    fn name(&self) -> &'static str;

    /// How far apart the source's looks at the system are; zero where it is told of each change.
    fn poll_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// The events whose records it has, for the file's header.
    fn events(&self) -> &[EventDesc];

    /// Formats of the tracepoints among them.
    fn tracepoints(&self) -> &[Tracepoint] {
        &[]
    }

    /// Whether it reports what the kernel's own records leave out: time namespaces, pids inside, and the cgroup that a
    /// process is born into.
    fn is_complete(&self) -> bool {
        true
    }

    /// Begins to record.
    ///
    /// # Errors
    /// Where the kernel does not let it.
    fn enable(&mut self) -> Result<()>;

    /// Stops recording. What it holds can still be drained.
    fn disable(&mut self);

    /// Describes a process that runs already.
    fn describe_process(&mut self, pid: u32, synth: &mut Synthesizer) {
        synth.process(pid);
    }

    /// Looks after itself, several times a second while it records: after CPUs that come back, for instance.
    fn tick(&mut self) {}

    /// Hands out what there is, in pieces of bounded size, and forgets it. Returns whether there was anything.
    ///
    /// # Errors
    /// What `take` returns, or where the source cannot be read.
    fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool>;

    /// Descriptors one of which is readable when there is something to drain.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// Whether all that was to be recorded has ended. `hung_up`: all of [`fds`](Self::fds) say `POLLHUP`.
    fn ended(&self, hung_up: bool) -> bool;

    /// For a flight recorder: a copy of the latest records.
    ///
    /// # Errors
    /// Where the source keeps none.
    fn latest(&mut self) -> Result<Vec<u8>> {
        Err(Error::Invalid(format!("the backend {} keeps no records: a flight recorder needs perf", self.name())))
    }
}
