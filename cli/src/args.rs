//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use nsscope_codec::wire::header::RecordType;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// See what containers do on a Linux machine, from the kernel's own records.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Capture namespace, task, name and cgroup records from the kernel into a perf.data file
    #[command(after_help = "\
Examples:
  nsscope record                                  the whole system, until Ctrl-C
  nsscope record --duration 10s -o boot.data      the whole system for ten seconds
  nsscope record -- unshare -n -p -f --mount sh   a command and all it starts
  nsscope record -p 4242                          running processes and their future children
  nsscope record -o - -- make | nsscope script -  through a pipe, no file

Needs CAP_PERFMON (root has it). Without it: nsscope snapshot. See also: nsscope doctor.")]
    Record(Record),
    /// Write the namespaces of all running processes to a perf.data file; needs no privileges
    #[command(after_help = "\
Examples:
  nsscope snapshot && nsscope report              which containers run now

What /proc does not show you (other users' namespaces, unless you are root) is left out and counted.")]
    Snapshot(Snapshot),
    /// Turn the compact frames that a small machine sent over a slow link into a perf.data file
    Import(Import),
    /// Print a capture's events in time order
    #[command(after_help = "\
Examples:
  nsscope script                                  nsscope.data, for people
  nsscope script --format perf perf.data          exactly as perf script prints it
  nsscope script --format json --kind namespaces | jq .namespaces.net.ino")]
    Script(Script),
    /// Tell which containers a capture reveals
    #[command(after_help = "\
Examples:
  nsscope report                                  nsscope.data
  nsscope report --json perf.data                 any perf.data with namespace records")]
    Report(Report),
    /// Check what this kernel and this user can record, and how to mend what is missing
    Doctor(Doctor),
    /// Start a small container, record it, and show what the kernel said
    Demo,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Record {
    /// Where to write; `-` is standard output, in perf's pipe mode. An existing file moves to FILE.old
    #[arg(short, long, value_name = "FILE", default_value = "nsscope.data")]
    pub(crate) output: PathBuf,
    /// Record the whole system, also while a command runs
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Record these processes and their future children
    #[arg(short, long, value_name = "PID", value_delimiter = ',', conflicts_with_all = ["all", "command"])]
    pub(crate) pid: Vec<u32>,
    /// Stop after this time, such as 10s or 2min; a command is then ended with SIGTERM
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Ring buffer per CPU, such as 512K or 8M; rounded up to a power of two pages
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) mmap_size: Option<usize>,
    /// Do not record what already runs
    #[arg(long)]
    pub(crate) no_synth: bool,
    /// Command to run and record
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    /// Where to write; `-` is standard output, in perf's pipe mode. An existing file moves to FILE.old
    #[arg(short, long, value_name = "FILE", default_value = "nsscope.data")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What came over the link: nsscope-codec's compact frames, garbage between them and all; `-` is standard input
    #[arg(value_name = "FRAMES")]
    pub(crate) frames: PathBuf,
    /// Where to write; `-` is standard output, in perf's pipe mode. An existing file moves to FILE.old
    #[arg(short, long, value_name = "FILE", default_value = "nsscope.data")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Script {
    /// A perf.data file; `-` is standard input
    #[arg(default_value = "nsscope.data")]
    pub(crate) file: PathBuf,
    /// How to print events
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Only these kinds of event; all by default
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) kind: Vec<Kind>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// A perf.data file; `-` is standard input
    #[arg(default_value = "nsscope.data")]
    pub(crate) file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// As perf script prints it, byte for byte
    Perf,
    /// One JSON object a line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A task's namespaces, at fork, unshare and setns
    Namespaces,
    /// A task's name
    Comm,
    /// A task began
    Fork,
    /// A task ended
    Exit,
    /// A cgroup was made, or tasks moved into one
    Cgroup,
    /// Records are missing
    Lost,
}

impl Kind {
    /// The kind that a record type belongs to. Tracepoint samples count as cgroup.
    pub(crate) fn of(record: RecordType) -> Option<Self> {
        Some(match record {
            RecordType::NAMESPACES => Self::Namespaces,
            RecordType::COMM => Self::Comm,
            RecordType::FORK => Self::Fork,
            RecordType::EXIT => Self::Exit,
            RecordType::CGROUP | RecordType::SAMPLE => Self::Cgroup,
            RecordType::LOST | RecordType::LOST_SAMPLES => Self::Lost,
            _ => return None,
        })
    }
}

/// `512K`, `8M`, `1G` or plain bytes.
fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(format!("unknown unit {unit:?}: use K, M or G")),
    };
    let number: usize = number.parse().map_err(|_| "a size such as 512K or 8M is needed".to_string())?;
    match number.checked_mul(1 << shift) {
        Some(size @ 1..=0x4000_0000) => Ok(size),
        _ => Err("between 1 byte and 1G".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("512K"), Ok(512 << 10));
        assert_eq!(parse_size("8MiB"), Ok(8 << 20));
        for bad in ["", "K", "0", "2G", "99999999999999999999", "5X"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
