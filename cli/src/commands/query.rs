//! `nsscope query`: SQL over captures, answered by DuckDB. Not here: what is in the tables, which `nsscope export` writes.
//!
//! The captures' tables that a query names are exported into a folder that goes away; DuckDB's own program reads them, has
//! the prompt and prints. It is run and not linked: it has 62 MB, and takes longer to build than all of nsscope.

use super::export;
use crate::args::{self, ExportFormat, QueryFormat};
use crate::error::{Failure, Outcome, note};
use crate::signals;
use nsscope_export::{Column, Kind, QUERIES, Query, TABLES, Table};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// `nsscope query`.
pub(crate) fn run(args: &args::Query) -> Outcome {
    let (files, sql) = split(&args.what);
    let wanted = |table: &&Table| sql.is_none_or(|sql| names(sql, table.name));
    let tables: Vec<&Table> = TABLES.iter().filter(wanted).collect();
    let data = tempfile::tempdir()?;
    let mut views: Vec<(&str, String)> = match files.as_slice() {
        [dir] if dir.is_dir() && is_data_set(dir) => {
            let there = TABLES.iter().filter(|table| dir.join(table.name).is_dir());
            there.map(|table| (table.name, view_of_parquet(table, dir))).collect()
        }
        _ => {
            export_tables(args, &files, &tables, data.path())?;
            tables.iter().map(|table| (table.name, view_of_csv(table, data.path()))).collect()
        }
    };
    // A view can be made only of tables that are there.
    let is_there = |table: &Table| views.iter().any(|(name, _)| *name == table.name);
    let has_all = |query: &&Query| TABLES.iter().filter(|table| names(query.sql, table.name)).all(is_there);
    let ready: Vec<&Query> = QUERIES.iter().filter(has_all).collect();
    views.extend(ready.iter().map(|query| (query.name, query.sql.into())));
    let mut statements = String::new();
    for (name, select) in &views {
        let _ = writeln!(statements, "CREATE VIEW {name} AS {select};");
    }
    let setup = data.path().join("views.sql");
    fs::write(&setup, &statements).map_err(|error| Failure::file("write", &setup, &error))?;
    let mut duckdb = Command::new("duckdb");
    duckdb.args(["-no-init", "-bail", "-cmd"]).arg(format!(".read {}", quoted(&setup)));
    if let Some(sql) = sql {
        duckdb.arg(match args.format {
            QueryFormat::Table => "-box",
            QueryFormat::Csv => "-csv",
            QueryFormat::Json => "-json",
            QueryFormat::Jsonl => "-jsonlines",
        });
        duckdb.args(["-c", sql]);
    } else {
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        let ready: Vec<&str> = ready.iter().map(|query| query.name).collect();
        note(format_args!("tables: {}; ready-made views: {}", tables.join(", "), ready.join(", ")));
    }
    ask(&mut duckdb)
}

/// The captures, and the query: the last argument where it has more than one word and no file is called so.
fn split(what: &[PathBuf]) -> (Vec<PathBuf>, Option<&str>) {
    let is_sql = |last: &&str| last.trim().contains(char::is_whitespace) && !Path::new(last).exists();
    let sql = what.last().and_then(|last| last.to_str()).filter(is_sql);
    let files = &what[..what.len() - usize::from(sql.is_some())];
    (if files.is_empty() { vec!["nsscope.data".into()] } else { files.to_vec() }, sql)
}

/// Whether a statement has this name as a word, by itself or by a ready-made view of its.
fn names(sql: &str, table: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let has = |sql: &str, name: &str| sql.split(|c| !is_word(c)).any(|word| word.eq_ignore_ascii_case(name));
    let by_view = |query: &Query| has(sql, query.name) && has(query.sql, table);
    has(sql, table) || QUERIES.iter().any(by_view)
}

/// Whether a directory is one that `nsscope export` wrote: perf's are captures.
fn is_data_set(dir: &Path) -> bool {
    TABLES.iter().any(|table| dir.join(table.name).is_dir())
}

fn export_tables(args: &args::Query, files: &[PathBuf], tables: &[&Table], to: &Path) -> Outcome<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let tables = args::Export {
        files: files.to_vec(),
        format: ExportFormat::Csv,
        output: to.to_path_buf(),
        table: tables.iter().map(|table| table.name.to_string()).collect(),
        partition_by: Vec::new(),
        tables: false,
        definition: args.definition.clone(),
    };
    export::write(&tables, drop)
}

fn view_of_parquet(table: &Table, data: &Path) -> String {
    let files = quoted(&data.join(table.name).join("**/*.parquet"));
    // A host whose name is a number is no number.
    format!("SELECT * FROM read_parquet({files}, union_by_name = true, hive_types_autocast = false)")
}

/// A table's columns have the types that they have in Parquet.
fn view_of_csv(table: &Table, data: &Path) -> String {
    let column = |column: &Column| {
        let kind = match column.kind {
            Kind::Text => "VARCHAR",
            Kind::Unsigned => "UBIGINT",
            Kind::Time => "TIMESTAMPTZ",
            Kind::Bool => "BOOLEAN",
        };
        format!("'{}': '{kind}'", column.name)
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let files = quoted(&data.join(table.name).join("*.csv"));
    format!(
        "SELECT * FROM read_csv({files}, header = true, auto_detect = false, delim = ',', quote = '\"', \
         escape = '\"', max_line_size = 16777216, columns = {{{}}})",
        columns.join(", ")
    )
}

/// As a text of SQL.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}

/// Runs DuckDB to its end. Ctrl-C is for the query that it runs; what ends us ends it, so that the folder is removed.
fn ask(duckdb: &mut Command) -> Outcome {
    signals::on(&[SIGINT], || {})?;
    let mut child = duckdb.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(
            "there is no program duckdb, which answers queries\n  to get it: pip install duckdb-cli, or \
             https://duckdb.org/install; without it: nsscope export --format csv has the same tables",
        ),
        _ => Failure::new(format!("duckdb cannot be run: {error}")),
    })?;
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        signals::on(&[SIGTERM, SIGHUP], move || {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        })?;
    }
    Ok(if child.wait()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_the_last_argument_if_it_is_no_file() {
        let split = |what: &[&str]| {
            let what: Vec<PathBuf> = what.iter().map(PathBuf::from).collect();
            let (files, sql) = split(&what);
            (files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("|"), sql.map(String::from))
        };
        assert_eq!(split(&[]), ("nsscope.data".into(), None));
        assert_eq!(split(&["a.data", "b.data"]), ("a.data|b.data".into(), None));
        assert_eq!(split(&["FROM events"]), ("nsscope.data".into(), Some("FROM events".into())));
        assert_eq!(split(&["a.data", "SELECT 1"]), ("a.data".into(), Some("SELECT 1".into())));
    }

    #[test]
    fn only_tables_that_are_named_are_wanted() {
        assert!(names("select * from EVENTS", "events"));
        assert!(!names("select * from events_of", "events"));
        // By a ready-made view.
        assert!(names("FROM neighbours", "waits") && names("FROM neighbours", "containers"));
        assert!(!names("FROM neighbours", "events"));
    }
}
