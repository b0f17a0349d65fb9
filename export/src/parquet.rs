//! Rows as Parquet files (zstd, dictionaries for text, statistics by row group). Not here: what is in them.

use crate::table::{Kind, Rows, SCHEMA_VERSION, Table, Value};
use arrow_array::builder::{BooleanBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder, UInt64Builder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows that are held before they become part of a row group.
const BATCH: usize = 1 << 16;
/// Rows of a row group.
const GROUP: usize = 1 << 20;

/// Writes a Parquet file. Memory is that of one row group, encoded.
pub struct Parquet<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
    columns: Vec<Builder>,
    rows: usize,
}

enum Builder {
    Text(StringDictionaryBuilder<Int32Type>),
    Unsigned(UInt64Builder),
    Time(TimestampNanosecondBuilder),
    Bool(BooleanBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringDictionaryBuilder::new()),
            Kind::Unsigned => Self::Unsigned(UInt64Builder::with_capacity(BATCH)),
            Kind::Time => Self::Time(TimestampNanosecondBuilder::with_capacity(BATCH).with_timezone("UTC")),
            Kind::Bool => Self::Bool(BooleanBuilder::with_capacity(BATCH)),
        }
    }

    fn put(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Text(column), Value::Text(text)) => column.append_value(text),
            (Self::Text(column), _) => column.append_null(),
            (Self::Unsigned(column), Value::Unsigned(number)) => column.append_value(*number),
            (Self::Unsigned(column), _) => column.append_null(),
            (Self::Time(column), Value::Time(ns)) => column.append_value(*ns as i64),
            (Self::Time(column), _) => column.append_null(),
            (Self::Bool(column), Value::Bool(is)) => column.append_value(*is),
            (Self::Bool(column), _) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(column) => Arc::new(column.finish()),
            Self::Unsigned(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
            Self::Bool(column) => Arc::new(column.finish()),
        }
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        Kind::Unsigned => DataType::UInt64,
        Kind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Kind::Bool => DataType::Boolean,
    }
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
        let fields = table.columns.iter().map(|column| Field::new(column.name, data_type(column.kind), true));
        let metadata = [("nsscope.table", table.name.to_string()), ("nsscope.schema", SCHEMA_VERSION.to_string())];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value));
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), HashMap::from(metadata)));
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP));
        // Times are nearly in order, each a little later than the one before.
        for column in table.columns.iter().filter(|column| matches!(column.name, "time" | "wall")) {
            properties = properties
                .set_column_dictionary_enabled(column.name.into(), false)
                .set_column_encoding(column.name.into(), Encoding::DELTA_BINARY_PACKED);
        }
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties.build())).map_err(other)?;
        Ok(Self { writer, schema, columns: table.columns.iter().map(|c| Builder::new(c.kind)).collect(), rows: 0 })
    }

    fn flush(&mut self) -> io::Result<()> {
        let columns = self.columns.iter_mut().map(Builder::finish).collect();
        self.rows = 0;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(other)
    }
}

impl<W: Write + Send> Rows for Parquet<W> {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.put(value);
        }
        self.rows += 1;
        if self.rows == BATCH { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()?;
        self.writer.close().map_err(other)?;
        Ok(())
    }
}
