//! `nsscope export`: captures as tables, traces and stacks that other tools read. Not here: what is in them, which is
//! `nsscope-export`'s.

use crate::args::{self, ExportFormat, PartitionKey};
use crate::deliver::Consumer;
use crate::error::{Failure, Outcome, note};
use crate::input;
use crate::loaded::Capture;
use nsscope_codec::perf_data::{Feature, Session};
use nsscope_codec::{Order, RawRecord};
use nsscope_export::{
    Csv, Events, Firefox, Folded, Follow, Jsonl, Perfetto, Rows, TABLES, Table, Value, table, write_facts, write_otlp,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Spans of a request: a collector takes 20 MiB at most if nobody has said otherwise.
#[cfg(feature = "remote")]
const SPANS: usize = 10_000;

/// What Hive writes as `%` and two digits in a path, and a little more; readers take it back.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// `nsscope export`.
pub(crate) fn run(args: &args::Export) -> Outcome {
    if args.tables {
        return list();
    }
    let to_stdout = args.output == Path::new("-");
    let by_arrow = matches!(args.format, ExportFormat::Parquet | ExportFormat::Arrow);
    let is_tables = args.format.is_tables();
    if !is_tables && args.files.len() > 1 {
        return Err(Failure::Usage("only tables are of several captures: name one file".into()));
    }
    let of_tables = !args.table.is_empty() || !args.partition_by.is_empty();
    if of_tables && !is_tables {
        return Err(Failure::Usage("--table and --partition-by are for tables: csv, jsonl, parquet, arrow".into()));
    }
    if is_tables && to_stdout && (args.table.len() > 1 || !args.partition_by.is_empty()) {
        return Err(Failure::Usage(
            "standard output takes one --table, and no partitions: name a directory with -o".into(),
        ));
    }
    if collector(&args.output).is_some() && args.format != ExportFormat::Otlp {
        return Err(Failure::Usage("a collector takes spans alone: --format otlp".into()));
    }
    if url(&args.output).is_some() && !cfg!(feature = "remote") {
        return Err(Failure::new(
            "this nsscope was built without what reaches object stores and collectors\n  \
             to build it in: cargo install --path cli --features remote; what is exported to a directory can be copied there",
        ));
    }
    if by_arrow && !cfg!(feature = "parquet") {
        return Err(Failure::new(
            "this nsscope was built without Parquet and Arrow\n  \
             to build it in: cargo install --path cli --features parquet; CSV and JSON lines have the same tables",
        ));
    }
    write(args, note)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes what is asked for of each capture. `told` gets what there is to say of tables.
pub(crate) fn write(args: &args::Export, mut told: impl FnMut(String)) -> Outcome<()> {
    let is_tables = args.format.is_tables();
    for file in &args.files {
        // Records are read again once all is known of their tasks: standard input is put aside for that.
        let spool = if file == Path::new("-") {
            let mut spool = tempfile::NamedTempFile::new()?;
            io::copy(&mut io::stdin().lock(), &mut spool)?;
            Some(spool)
        } else {
            None
        };
        let file = spool.as_ref().map_or(file.as_path(), tempfile::NamedTempFile::path);
        let capture = Capture::read(file)?;
        if is_tables {
            Tables { args, file, capture: &capture }.write(&mut told)?;
        } else {
            write_one(args, file, &capture)?;
        }
    }
    Ok(())
}

/// Prints the tables with their columns.
fn list() -> Outcome {
    let mut out = anstream::stdout().lock();
    for table in &TABLES {
        writeln!(out, "{}: {}", table.name, table.about)?;
        for column in table.columns {
            let kind = format!("{:?}", column.kind).to_lowercase();
            writeln!(out, "  {:<15} {kind:<9} {}", column.name, column.about)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn host(session: &Session) -> String {
    session.text(Feature::HOSTNAME).unwrap_or_else(|| "unknown".into())
}

/// Hands records on to what may fail at each.
struct Each<F>(F);

trait Sink: Send {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()>;
}

impl<S: Sink> Consumer for Each<S> {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        Ok(self.0.record(session, record)?)
    }
}

impl Sink for Events<'_> {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        Events::record(self, session, record)
    }
}

impl<W: Write + Send> Sink for Perfetto<W> {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        Perfetto::record(self, session, record)
    }
}

impl Sink for Firefox {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        Firefox::record(self, session, record);
        Ok(())
    }
}

impl Sink for Folded {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        Folded::record(self, session, record);
        Ok(())
    }
}

/// The URL of what is reached over a network.
fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains("://"))
}

/// The same of a collector of spans.
fn collector(path: &Path) -> Option<&str> {
    url(path).filter(|url| url.starts_with("http"))
}

/// Has `write` write to a file or an object that takes its place once it is whole, or to standard output (`-`).
fn whole<T>(path: &Path, write: impl FnOnce(Box<dyn Write + Send>) -> Outcome<T>) -> Outcome<T> {
    if path == Path::new("-") {
        return write(Box::new(BufWriter::new(io::stdout())));
    }
    #[cfg(feature = "remote")]
    if let Some(url) = url(path) {
        let object = nsscope_export::Object::new(url)?;
        let done = write(Box::new(object.clone()))?;
        object.finish()?;
        return Ok(done);
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(".nsscope-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(|error| Failure::file("create", path, &error))?;
    let out = file.reopen().map_err(|error| Failure::file("create", path, &error))?;
    let done = write(Box::new(BufWriter::new(out)))?;
    file.persist(path).map_err(|error| Failure::file("create", path, &error.error))?;
    Ok(done)
}

/// Writes what is of one capture: a trace, a profile, spans or stacks.
fn write_one(args: &args::Export, file: &Path, capture: &Capture) -> Outcome<()> {
    #[cfg(feature = "remote")]
    if let Some(url) = collector(&args.output) {
        return send(url, &args.definition, capture);
    }
    let follow = Follow::new(args.definition.clone(), host(&capture.session));
    whole(&args.output, |out| {
        let Capture { session, timeline } = capture;
        let definition = &args.definition;
        let samples = match args.format {
            ExportFormat::Perfetto => {
                let mut trace = Each(Perfetto::new(follow, out));
                input::read(file, &mut trace)?;
                let packets = trace.0.finish(timeline, definition)?;
                note(format_args!("{packets} packets: open the trace at https://ui.perfetto.dev"));
                return Ok(());
            }
            ExportFormat::Otlp => {
                let spans = write_otlp(&host(session), session, timeline, definition, out)?;
                note(format_args!(
                    "{spans} spans: to send them to a collector in place of a file: -o http://COLLECTOR:4318/v1/traces"
                ));
                return Ok(());
            }
            ExportFormat::Firefox => {
                let mut profile = Each(Firefox::new(follow));
                input::read(file, &mut profile)?;
                let samples = profile.0.finish(session, timeline, definition, out)?;
                note("load the profile at https://profiler.firefox.com");
                samples
            }
            _ => {
                let mut stacks = Each(Folded::new(follow));
                input::read(file, &mut stacks)?;
                stacks.0.finish(out)?
            }
        };
        if samples == 0 {
            note("there are no samples: nsscope record -F 99 takes some");
        }
        Ok(())
    })
}

/// Sends the spans of a capture to a collector.
#[cfg(feature = "remote")]
fn send(url: &str, definition: &nsscope_timeline::Definition, Capture { session, timeline }: &Capture) -> Outcome<()> {
    let collector = nsscope_export::Collector::new(url);
    let take = |request: &[u8]| collector.send(request);
    let spans = nsscope_export::spans_of(&host(session), session, timeline, definition, SPANS, take)?;
    note(format_args!("{spans} spans to {url}"));
    Ok(())
}

/// The tables of a capture.
struct Tables<'a> {
    args: &'a args::Export,
    file: &'a Path,
    capture: &'a Capture,
}

impl Tables<'_> {
    fn write(&self, told: &mut dyn FnMut(String)) -> Outcome<()> {
        if self.args.output == Path::new("-") {
            let name = self.args.table.first().map_or("events", String::as_str);
            return self.table(name, Path::new("-")).map(drop);
        }
        let named =
            |table: &&Table| self.args.table.is_empty() || self.args.table.iter().any(|name| name == table.name);
        let mut counts = Vec::new();
        for table in TABLES.iter().filter(named) {
            let dir = self.directory(table.name);
            if url(&dir).is_none() {
                fs::create_dir_all(&dir).map_err(|error| Failure::file("create", &dir, &error))?;
            }
            let rows = self.table(table.name, &dir.join(self.name()))?;
            counts.push(format!("{rows} {}", table.name));
        }
        told(format!("{}: {} to {}", self.file.display(), counts.join(", "), self.args.output.display()));
        Ok(())
    }

    /// The day on which the recording began, and the time of its clock.
    fn begin(&self) -> (String, u64) {
        let first = self.capture.timeline.span().map_or(0, |(first, _)| first);
        let wall = self.capture.session.wall_clock(first).map(crate::time::rfc3339);
        (wall.and_then(|wall| Some(wall.split_once('T')?.0.to_string())).unwrap_or_else(|| "unknown".into()), first)
    }

    fn directory(&self, table: &str) -> PathBuf {
        let mut dir = self.args.output.join(table);
        for key in &self.args.partition_by {
            dir.push(match key {
                PartitionKey::Host => format!("host={}", as_value(&host(&self.capture.session))),
                PartitionKey::Date => format!("date={}", self.begin().0),
            });
        }
        dir
    }

    /// The same for the same capture: what is exported again takes its own place.
    fn name(&self) -> String {
        let extension = match self.args.format {
            ExportFormat::Csv => "csv",
            ExportFormat::Parquet => "parquet",
            ExportFormat::Arrow => "arrow",
            _ => "jsonl",
        };
        format!("{}-{}.{extension}", as_name(&host(&self.capture.session)), self.begin().1)
    }

    fn table(&self, name: &str, path: &Path) -> Outcome<u64> {
        let Capture { session, timeline } = self.capture;
        let table = table(name).ok_or_else(|| Failure::Usage(format!("there is no table {name}")))?;
        whole(path, |out| {
            let rows = self.rows(table, out)?;
            let host = host(session);
            if name != "events" {
                return Ok(write_facts(name, &host, session, timeline, &self.args.definition, rows)?);
            }
            let mut events = Each(Events::new(Follow::new(self.args.definition.clone(), host), rows));
            input::read(self.file, &mut events)?;
            Ok(events.0.finish()?)
        })
    }

    fn rows(&self, table: &Table, out: Box<dyn Write + Send>) -> Outcome<Box<dyn Rows>> {
        // A reader takes the host from the path, and some take it from nowhere else.
        let is_in_path = self.args.partition_by.contains(&PartitionKey::Host);
        let table = if is_in_path { Table { columns: &table.columns[1..], ..*table } } else { *table };
        let rows: Box<dyn Rows> = match self.args.format {
            ExportFormat::Csv => Box::new(Csv::new(&table, out)?),
            #[cfg(feature = "parquet")]
            ExportFormat::Parquet => Box::new(nsscope_export::Parquet::new(&table, out)?),
            #[cfg(feature = "parquet")]
            ExportFormat::Arrow => Box::new(nsscope_export::Arrow::new(&table, out)?),
            _ => Box::new(Jsonl::new(&table, out)),
        };
        Ok(if is_in_path { Box::new(WithoutHost(rows)) } else { rows })
    }
}

/// Leaves out the first column, which is the host's name in every table.
struct WithoutHost(Box<dyn Rows>);

impl Rows for WithoutHost {
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        self.0.row(&row[1..])
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()
    }
}

/// A host's name as a partition's value, for readers to take back. The kernel has none of more than 64 bytes
/// (`__NEW_UTS_LEN`); a capture may, and a directory's name has no room for it.
fn as_value(host: &str) -> String {
    let fits = host.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 64);
    let host: String = fits.map(|(_, c)| c).collect();
    utf8_percent_encode(&host, IN_A_PATH).to_string()
}

/// A host's name as part of a file's: a capture may have any bytes there.
fn as_name(host: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = host.chars().take(64).map(safe).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::as_value;

    #[test]
    fn a_hosts_name_fits_into_a_path() {
        assert_eq!(as_value("a b/../c.example-1"), "a%20b%2F..%2Fc.example-1");
        assert_eq!(as_value(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(as_value(&"\u{e9}".repeat(1000)), "%C3%A9".repeat(32));
    }
}
