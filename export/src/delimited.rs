//! Rows as lines of text: CSV (RFC 4180) and JSON objects. Not here: what is in them.

use crate::table::{Rows, Table, Value};
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, SystemTime};

/// Comma-separated values, with a line of names first. Null is an empty field.
pub struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    /// Writes the names of the table's columns.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn new(table: &Table, out: W) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(table.columns.iter().map(|column| column.name))?;
        Ok(Self(writer))
    }
}

impl<W: Write + Send> Rows for Csv<W> {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        for value in row {
            match value {
                Value::Null => self.0.write_field("")?,
                Value::Text(text) => self.0.write_field(text)?,
                Value::Unsigned(number) => self.0.write_field(number.to_string())?,
                Value::Time(ns) => self.0.write_field(rfc3339(*ns).to_string())?,
                Value::Bool(is) => self.0.write_field(is.to_string())?,
            }
        }
        Ok(self.0.write_record(None::<&[u8]>)?)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

/// A JSON object a line. Null values are left out.
pub struct Jsonl<W: Write> {
    names: Vec<String>,
    out: BufWriter<W>,
}

impl<W: Write> Jsonl<W> {
    /// Writes rows of this table.
    pub fn new(table: &Table, out: W) -> Self {
        let names = table.columns.iter().map(|column| json!(column.name).to_string());
        Self { names: names.collect(), out: BufWriter::new(out) }
    }
}

impl<W: Write + Send> Rows for Jsonl<W> {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        let out = &mut self.out;
        let mut before = '{';
        for (name, value) in self.names.iter().zip(row) {
            match value {
                Value::Null => continue,
                Value::Text(text) => {
                    write!(out, "{before}{name}:")?;
                    serde_json::to_writer(&mut *out, text)?;
                }
                Value::Unsigned(number) => write!(out, "{before}{name}:{number}")?,
                Value::Time(ns) => write!(out, "{before}{name}:\"{}\"", rfc3339(*ns))?,
                Value::Bool(is) => write!(out, "{before}{name}:{is}")?,
            }
            before = ',';
        }
        writeln!(out, "{}", if before == '{' { "{}" } else { "}" })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// A time of the wall clock with its nanoseconds.
fn rfc3339(ns: u64) -> impl std::fmt::Display {
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + Duration::from_nanos(ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Kind};

    const PAIR: Table = Table {
        name: "pair",
        about: "",
        columns: &[
            Column { name: "text", kind: Kind::Text, about: "" },
            Column { name: "number", kind: Kind::Unsigned, about: "" },
        ],
    };

    #[test]
    fn what_separates_is_kept_apart_from_what_is_said() {
        let mut out = Vec::new();
        let mut csv = Box::new(Csv::new(&PAIR, &mut out).unwrap());
        csv.row(&[Value::Text("a,\"b\"\nc"), Value::Unsigned(7)]).unwrap();
        csv.row(&[Value::Null, Value::Null]).unwrap();
        csv.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "text,number\n\"a,\"\"b\"\"\nc\",7\n,\n");
        let mut out = Vec::new();
        let mut json = Box::new(Jsonl::new(&PAIR, &mut out));
        json.row(&[Value::Text("a\n\u{1b}"), Value::Unsigned(u64::MAX)]).unwrap();
        json.row(&[Value::Null, Value::Null]).unwrap();
        json.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"text\":\"a\\n\\u001b\",\"number\":18446744073709551615}\n{}\n");
    }
}
