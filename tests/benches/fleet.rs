//! A fleet's captures as one data set: 10 hosts and 100 of a million records each, asked by DuckDB and by Spark. They are one
//! real recording under a hundred names.
//!
//! `cargo bench -p nsscope-tests --bench fleet`

use nsscope_tests::{actor, cannot_record, count_records, fleet, missing, no_python, not_root, nsscope, run};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const HOSTS: [usize; 2] = [10, 100];
const RECORDS: u64 = 1_000_000;

/// The name of a host, as long as every other's.
fn name(host: usize) -> String {
    format!("fleet-host-{host:03}")
}

/// Records containers by unshare(1) that start children, and wait for each other, until there are enough records.
fn recorded(file: &Path) -> u64 {
    let named = format!("printf {} > /proc/sys/kernel/hostname; exec \"$@\"", name(0));
    let storm = format!("unshare -m -n -p -f {} storm 35000 2 > /dev/null &", actor().display());
    let mut record = Command::new("unshare");
    record.args(["-u", "sh", "-c", &named, "sh"]).arg(nsscope().get_program());
    record.args(["record", "-q", "-a", "--switch-events", "-m", "32M", "-o"]).arg(file);
    run(record.args(["--", "sh", "-c", &format!("{} wait", storm.repeat(4))]));
    count_records(file)
}

/// Gives a capture another host's name, in its feature HOSTNAME behind the records.
fn rename(capture: &mut [u8], from: &str, to: &str) {
    let at = capture.windows(from.len()).rposition(|bytes| bytes == from.as_bytes()).expect("the host's name");
    capture[at..at + to.len()].copy_from_slice(to.as_bytes());
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() }).sum()
}

fn main() {
    let java = missing("java", "openjdk-17-jre-headless");
    if let Some(why) = cannot_record().or_else(not_root).or_else(no_python).or(java) {
        println!("SKIPPED: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("host.data"), dir.path().join("data"));
    let records = recorded(&file);
    assert!(records >= RECORDS, "{records} records");
    println!("{records} records a host, {:.1} MB", fs::metadata(&file).unwrap().len() as f64 / 1e6);
    let (mut done, mut exporting, mut first) = (0, 0.0, None);
    println!(
        "{:>6} {:>13} {:>13} {:>10} {:>11} {:>10}",
        "hosts", "records", "data set, GB", "export, s", "DuckDB, s", "Spark, s"
    );
    for hosts in HOSTS {
        while done < hosts {
            let mut capture = fs::read(&file).unwrap();
            rename(&mut capture, &name(done.saturating_sub(1)), &name(done));
            fs::write(&file, capture).unwrap();
            let begun = Instant::now();
            let partitions = ["--partition-by", "host,date", "-o"];
            run(nsscope().args(["export", "--format", "parquet"]).args(partitions).arg(&data).arg(&file));
            exporting += begun.elapsed().as_secs_f64();
            done += 1;
        }
        let begun = Instant::now();
        let duckdb = fleet::by_duckdb(&data);
        let by_duckdb = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let spark = fleet::by_spark(&data);
        let by_spark = begun.elapsed().as_secs_f64();
        fleet::assert_same(&spark, &duckdb);
        // Each host is in the answers, with as many as every other.
        let forks = &duckdb["forks"];
        assert!(
            forks.iter().any(|row| row[0] == name(hosts - 1).as_str()) && forks.len().is_multiple_of(hosts),
            "{}",
            forks.len()
        );
        println!(
            "{hosts:>6} {:>13} {:>13.2} {exporting:>10.1} {by_duckdb:>11.1} {by_spark:>10.1}",
            records * hosts as u64,
            size(&data) as f64 / 1e9
        );
        if let Some((few, duckdb, spark)) = first {
            let ratio = |now: f64, then: f64| now / then / (hosts as f64 / few as f64);
            println!(
                "time a host, of the first line's: DuckDB {:.2}, Spark {:.2}   <= 1",
                ratio(by_duckdb, duckdb),
                ratio(by_spark, spark)
            );
        }
        first = Some((hosts, by_duckdb, by_spark));
    }
    println!("the ten answers of Spark and DuckDB are the same");
}
