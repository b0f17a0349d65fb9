//! The perf.data container: file header, attrs, feature sections; file mode and pipe mode. Not here: what kernel
//! records say.
//!
//! Source: `tools/perf/Documentation/perf.data-file-format.txt` and what Debian's perf writes and reads.
//!
//! ```text
//! file mode  FileHeader | anything | data: records | {offset, size} of each feature section
//! pipe mode  magic, u64 16 | records, among them HEADER_ATTR and HEADER_FEATURE
//! ```

#[cfg(feature = "alloc")]
mod decoder;
mod header;
// The decompressor does not compile for soft-float x86-64, where kernels live.
#[cfg(feature = "alloc")]
#[cfg_attr(not(all(feature = "zstd", not(all(target_arch = "x86_64", target_os = "none")))), path = "no_inflate.rs")]
mod inflate;
#[cfg(feature = "alloc")]
mod input;
#[cfg(feature = "alloc")]
mod layout;
#[cfg(feature = "alloc")]
mod metadata;
#[cfg(feature = "alloc")]
mod ordered;
#[cfg(feature = "alloc")]
mod reader;
#[cfg(feature = "alloc")]
mod search;
#[cfg(feature = "alloc")]
mod session;
#[cfg(feature = "alloc")]
mod state;
#[cfg(all(test, feature = "alloc"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests;
#[cfg(feature = "alloc")]
pub mod tracing;
#[cfg(feature = "alloc")]
mod visitor;
mod writer;

#[cfg(feature = "alloc")]
pub use decoder::Decoder;
pub use header::{Feature, FileHeader, Section, FILE_HEADER_SIZE, MAGIC_BE, MAGIC_LE, PIPE_HEADER_SIZE};
#[cfg(feature = "alloc")]
pub use ordered::Ordered;
#[cfg(feature = "alloc")]
pub use reader::Reader;
#[cfg(feature = "alloc")]
pub use session::{Event, Session};
#[cfg(feature = "alloc")]
pub use visitor::Visitor;
pub use writer::{AttrIds, FileWriter, Output, MAX_FEATURES};
