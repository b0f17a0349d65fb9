//! Numbers by number: of a thread by its tid, for instance. Not here: what they are of.

/// Each record asks several of these. The viewer has the tree that it has for other things, which is slower: this one would
/// be kilobytes of wasm.
#[cfg(feature = "full")]
pub(crate) type Numbers = hashbrown::HashMap<u64, u32>;
#[cfg(not(feature = "full"))]
pub(crate) type Numbers = alloc::collections::BTreeMap<u64, u32>;
