//! Captures as others read them: tables for SQL engines, traces for Perfetto, stacks for flame graphs. Not here: reading
//! captures, and the command line.
//!
//! [`Events`] takes a capture's records in the order of their times and writes a row of the table `events` for each;
//! [`write_facts`] writes the tables that are known once the capture is over. Both write to [`Rows`]: [`Csv`], [`Jsonl`]
//! or, with the feature `parquet`, `Parquet` and `Arrow`. [`Perfetto`], [`Firefox`] and [`Folded`] take records as
//! [`Events`] does; [`write_otlp`] writes spans of a capture that is over.
//!
//! With the feature `remote`, an `Object` of an object store is what they can be written to, and a `Collector` takes spans.
//!
//! The tables and their columns are data: [`TABLES`]. So are questions over them in SQL: [`QUERIES`].

#[cfg(feature = "parquet")]
mod arrow;
#[cfg(feature = "parquet")]
mod columnar;
mod delimited;
mod events;
mod facts;
mod firefox;
mod folded;
mod follow;
mod otlp;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
mod protos;
mod queries;
#[cfg(feature = "remote")]
mod remote;
mod table;

#[cfg(feature = "parquet")]
pub use arrow::Arrow;
pub use delimited::{Csv, Jsonl};
pub use events::Events;
pub use facts::write_facts;
pub use firefox::Firefox;
pub use folded::Folded;
pub use follow::{Follow, Seen};
pub use otlp::{spans_of, write_otlp};
#[cfg(feature = "parquet")]
pub use parquet::Parquet;
pub use perfetto::Perfetto;
pub use queries::{QUERIES, Query};
#[cfg(feature = "remote")]
pub use remote::{Collector, Object};
pub use table::{Column, Kind, Rows, SCHEMA_VERSION, TABLES, Table, Value, table};
