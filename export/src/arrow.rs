//! Rows as Arrow files (IPC, "Feather 2"), which pandas, Polars and DuckDB map without a copy. Not here: what is in them.

use crate::columnar::{Batches, Dictionaries};
use crate::table::{Rows, Table, Value};
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::ArrowError;
use std::io::{self, Write};

/// Writes an Arrow file. Memory is that of one batch, and of each text once.
pub struct Arrow<W: Write> {
    writer: FileWriter<W>,
    batches: Batches,
}

fn other(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

impl<W: Write> Arrow<W> {
    /// Writes rows of this table. Its name and the version of its schema are in the file's metadata.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn new(table: &Table, out: W) -> io::Result<Self> {
        let batches = Batches::new(table, Dictionaries::Growing);
        // A dictionary grows from batch to batch: what is new of it is written, not all of it again.
        let options = IpcWriteOptions::default().with_dictionary_handling(arrow_ipc::writer::DictionaryHandling::Delta);
        let writer = FileWriter::try_new_with_options(out, &batches.schema, options).map_err(other)?;
        Ok(Self { writer, batches })
    }
}

impl<W: Write + Send> Rows for Arrow<W> {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        match self.batches.row(row)? {
            Some(batch) => self.writer.write(&batch).map_err(other),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.write(&self.batches.rest()?).map_err(other)?;
        self.writer.finish().map_err(other)
    }
}
