//! Captures as others read them: tables for SQL engines, traces for Perfetto, stacks for flame graphs. Not here: reading
//! captures, and the command line.
//!
//! [`Events`] takes a capture's records in the order of their times and writes a row of the table `events` for each;
//! [`write_facts`] writes the tables that are known once the capture is over. Both write to [`Rows`]: [`Csv`], [`Jsonl`]
//! or, with the feature `parquet`, `Parquet`. [`Perfetto`] and [`Folded`] take records as [`Events`] does.
//!
//! The tables and their columns are data: [`TABLES`].

mod delimited;
mod events;
mod facts;
mod folded;
mod follow;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
mod protos;
mod table;

pub use delimited::{Csv, Jsonl};
pub use events::Events;
pub use facts::write_facts;
pub use folded::Folded;
pub use follow::{Follow, Seen};
#[cfg(feature = "parquet")]
pub use parquet::Parquet;
pub use perfetto::Perfetto;
pub use table::{Column, Kind, Rows, SCHEMA_VERSION, TABLES, Table, Value, table};
