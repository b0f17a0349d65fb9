//! Rows as Parquet files (zstd, dictionaries for text, statistics by row group). Not here: what is in them.

use crate::columnar::{Batches, Dictionaries};
use crate::table::{Rows, Table, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};

/// Rows of a row group.
const GROUP: usize = 1 << 20;

/// Writes a Parquet file. Memory is that of one row group, encoded.
pub struct Parquet<W: Write + Send> {
    writer: ArrowWriter<W>,
    batches: Batches,
}

fn other(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

impl<W: Write + Send> Parquet<W> {
    /// Writes rows of this table. Its name and the version of its schema are in the file's metadata.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn new(table: &Table, out: W) -> io::Result<Self> {
        let batches = Batches::new(table, Dictionaries::OfABatch);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP));
        // Times are nearly in order, each a little later than the one before.
        for column in table.columns.iter().filter(|column| matches!(column.name, "time" | "wall")) {
            properties = properties
                .set_column_dictionary_enabled(column.name.into(), false)
                .set_column_encoding(column.name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        let writer = ArrowWriter::try_new(out, batches.schema.clone(), Some(properties.build())).map_err(other)?;
        Ok(Self { writer, batches })
    }
}

impl<W: Write + Send> Rows for Parquet<W> {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        match self.batches.row(row)? {
            Some(batch) => self.writer.write(&batch).map_err(other),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.write(&self.batches.rest()?).map_err(other)?;
        self.writer.close().map_err(other)?;
        Ok(())
    }
}
