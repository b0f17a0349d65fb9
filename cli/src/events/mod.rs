//! Events as text: the formats of `nsscope script` and `nsscope events`. Not here: where the events come from.

pub(crate) mod json;
mod object;
pub(crate) mod perf;
pub(crate) mod print;
pub(crate) mod stream;
pub(crate) mod text;
mod tracepoint;
pub(crate) mod watch;
