//! The questions of `fleet/`, asked of a data set by the engines that people have. Not here: who makes the data set, and
//! what the answers should be.

use crate::{python, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a query gives: a row is a list.
pub type Rows = Vec<Vec<Value>>;

/// The folder of the questions.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet")
}

/// The questions, by their names.
///
/// # Panics
/// Where they are not there.
pub fn questions() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let sql = files.filter(|path| path.extension().is_some_and(|kind| kind == "sql"));
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    sql.map(|path| (name(&path), fs::read_to_string(&path).expect("a question"))).collect()
}

/// One query's answer, by DuckDB.
///
/// # Panics
/// Where Python or DuckDB is not there, or the query fails.
pub fn query(data: &Path, sql: &str) -> Rows {
    let script = r#"
import duckdb, glob, json, os, sys
data, sql = sys.argv[1:]
db = duckdb.connect()
# It would be drawn amid the rows.
db.execute("SET enable_progress_bar = false")
for table in os.listdir(data):
    files = glob.glob(f"{data}/{table}/**/*.parquet", recursive=True)
    db.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files})")
print(json.dumps(db.execute(sql).fetchall(), default=str))
"#;
    let output = run(Command::new(python().expect("Python")).args(["-c", script]).arg(data).arg(sql));
    serde_json::from_slice(&output.stdout).expect("rows")
}

/// All questions' answers, by DuckDB.
///
/// # Panics
/// As [`query`].
pub fn by_duckdb(data: &Path) -> BTreeMap<String, Rows> {
    questions().into_iter().map(|(name, sql)| (name, query(data, &sql))).collect()
}

/// The same by Spark, in two worker processes.
///
/// # Panics
/// Where Python or Spark is not there, or a question fails.
pub fn by_spark(data: &Path) -> BTreeMap<String, Rows> {
    let mut spark = Command::new(python().expect("Python"));
    spark.arg(folder().join("spark.py")).args(["--master", "local-cluster[2,1,1024]"]).arg(data);
    spark.env("SPARK_LOCAL_IP", "127.0.0.1").stdin(Stdio::null());
    let lines = String::from_utf8(run(&mut spark).stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str::<(String, Rows)>(line).expect("a question and its rows")).collect()
}

/// Compares all answers of two engines. Numbers may differ in their last digits, as sums do that are added up in another
/// order.
///
/// # Panics
/// Where they differ.
pub fn assert_same(spark: &BTreeMap<String, Rows>, duckdb: &BTreeMap<String, Rows>) {
    assert!(spark.keys().eq(duckdb.keys()), "{:?}, {:?}", spark.keys(), duckdb.keys());
    for (name, rows) in spark {
        assert_eq!(rows.len(), duckdb[name].len(), "{name}");
        for (spark, duckdb) in rows.iter().zip(&duckdb[name]) {
            assert_eq!(spark.len(), duckdb.len(), "{name}");
            let same = |(one, other): (&Value, &Value)| match (one.as_f64(), other.as_f64()) {
                (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs(),
                _ => one == other,
            };
            assert!(spark.iter().zip(duckdb).all(same), "{name}: {spark:?} by Spark, {duckdb:?} by DuckDB");
        }
    }
}
