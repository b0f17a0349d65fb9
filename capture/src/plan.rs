//! What a recording is to do, all told. Not here: who says so, and who does it.

use crate::file::Older;
use std::path::PathBuf;

/// Where the records go.
pub(crate) enum Output {
    /// A file, and what becomes of one that has its name.
    File(PathBuf, Older),
    /// A stream in pipe mode.
    Pipe(Option<Box<dyn std::io::Write + Send>>),
    /// Memory: whoever follows takes them away.
    Memory,
}

/// What is added to the records, and how they are written.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that is done or left")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Size in bytes at which the next file begins.
    pub(crate) max_size: Option<usize>,
    /// zstd's level.
    pub(crate) compress: Option<i32>,
    /// Whether what already runs is described.
    pub(crate) synthesize: bool,
    /// Whether runtimes are asked what their containers are called.
    pub(crate) names: bool,
    /// Whether the CPU time of cgroups is read, once a second.
    pub(crate) limits: bool,
    /// Whether only the latest records are kept, and written when asked for.
    pub(crate) flight_recorder: bool,
}
