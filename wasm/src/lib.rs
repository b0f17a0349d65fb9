//! The decoder and the timeline for the browser and Node. Not here: the picture, which the page draws.
//!
//! A caller asks for the offset that is [`wanted`](Trace::wanted), pushes the bytes that are there, and repeats until
//! nothing is wanted any more; nothing here reads files or knows about pages. At any time [`layout`](Trace::layout)
//! makes rows of what is known, which the other functions tell about. Times are ns since the recording's beginning.

mod blocks;
mod cpus;
mod details;
mod draw;
mod facts;
mod js;
mod lanes;
mod model;
mod tables;
mod trace;
mod types;
mod unzstd;

pub use trace::Trace;
