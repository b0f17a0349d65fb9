//! Rows gathered as batches of Arrow's columns. Not here: the files that batches go to.

use crate::table::{Kind, SCHEMA_VERSION, Table, Value};
use arrow_array::builder::{BooleanBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder, UInt64Builder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// Rows of a batch.
const BATCH: usize = 1 << 16;

/// Gathers rows.
pub(crate) struct Batches {
    pub(crate) schema: Arc<Schema>,
    columns: Vec<Builder>,
    rows: usize,
    dictionaries: Dictionaries,
}

/// How far a dictionary of text reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dictionaries {
    /// Each batch has its own.
    OfABatch,
    /// That of a batch has the text of those before it, too, and begins with it.
    Growing,
}

impl Batches {
    /// Rows of this table. Its name and the version of its schema are in the metadata.
    pub(crate) fn new(table: &Table, dictionaries: Dictionaries) -> Self {
        let fields = table.columns.iter().map(|column| Field::new(column.name, data_type(column.kind), true));
        let metadata = [("nsscope.table", table.name.to_string()), ("nsscope.schema", SCHEMA_VERSION.to_string())];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value));
        let schema = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), HashMap::from(metadata)));
        let columns = table.columns.iter().map(|column| Builder::new(column.kind)).collect();
        Self { schema, columns, rows: 0, dictionaries }
    }

    /// Takes a row. Returns a batch that is full.
    pub(crate) fn row(&mut self, row: &[Value<'_>]) -> io::Result<Option<RecordBatch>> {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.put(value);
        }
        self.rows += 1;
        if self.rows == BATCH { self.rest().map(Some) } else { Ok(None) }
    }

    /// What there is.
    pub(crate) fn rest(&mut self) -> io::Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(|column| column.finish(self.dictionaries)).collect();
        self.rows = 0;
        RecordBatch::try_new(self.schema.clone(), columns).map_err(io::Error::other)
    }
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

    fn finish(&mut self, dictionaries: Dictionaries) -> ArrayRef {
        match self {
            Self::Text(column) if dictionaries == Dictionaries::Growing => Arc::new(column.finish_preserve_values()),
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
