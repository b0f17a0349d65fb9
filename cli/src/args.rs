//! The command line. Not here: what a command does.

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};
use nsscope_codec::wire::header::RecordType;
use nsscope_timeline::Definition;
use nsscope_timeline::filter::{Field, Filter};
use percent_encoding::percent_decode_str;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a filter is written, for the help of all commands that take one.
macro_rules! filter_help {
    () => {
        "\
Filters: terms that must all hold, such as 'container=web comm~nginx pid!=1'.
  = is one of, != is none of, ~ contains; values with commas between; a* is all that begin with a.
  container (name, id or title; host), kind, image, cgroup, comm, pid (outside or inside), ns (net:[4026532000]);
  what a runtime says: pod, namespace, compose, service, job, task, unit"
    };
}

/// See what containers do on a Linux machine, from the kernel's own records.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// Without one, a few lines say what there is to begin with
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Print nothing but errors to standard error
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more to standard error: what is tried, opened and given up
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Read captures with so many threads; by default with one for each CPU, and never with more than two. It changes
    /// nothing but the time
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Print to the terminal without a pager (NSSCOPE_PAGER, PAGER or less): nsscope --no-pager report
    #[arg(long)]
    pub(crate) no_pager: bool,
}

/// Flags of perf that make no sense here, and what to do instead.
const OF_PERF: [(&[&str], &str); 8] = [
    (
        &["-e", "--event", "-g", "--call-graph", "-b", "--branch-any", "-W", "--weight", "-d", "--data"],
        "nsscope records what containers do; for other events: perf record -e EVENT --namespaces --all-cgroups, whose files \
         nsscope reads",
    ),
    (&["-c", "--count"], "samples are taken by time: -F HZ"),
    (&["-t", "--tid"], "-p PID records a process with all its threads"),
    (&["-u", "--uid"], "record the whole machine, and choose afterwards: nsscope report --filter 'comm=NAME'"),
    (
        &["-C", "--cpu"],
        "namespaces change on any CPU, so all are recorded; nsscope report --waits --json has each CPU's time",
    ),
    (&["-G", "--cgroup"], "--container NAME records one container, by its id, name or title"),
    (&["--namespaces", "--all-cgroups"], "they are always recorded: leave it out"),
    (&["-k", "--clockid"], "times are of CLOCK_MONOTONIC, and the file says what the wall clock was"),
];

/// What to do instead of a flag that is perf's.
pub(crate) fn instead(flag: &str) -> Option<&'static str> {
    let name = flag.split('=').next()?;
    OF_PERF.iter().find(|(flags, _)| flags.contains(&name)).map(|&(_, instead)| instead)
}

/// What `nsscope` alone prints.
pub(crate) const WELCOME: &str = "\
nsscope shows what containers do on this machine, from the kernel's own records.

  nsscope demo                        see it work, in a few seconds
  nsscope ps                          the containers that run now
  sudo nsscope record -- COMMAND      record a command, or the whole machine without one; then nsscope report
  sudo nsscope top                    what the containers do, live
  nsscope help                        everything else";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Capture namespace, task, name and cgroup records from the kernel into a perf.data file
    #[command(after_help = "\
Examples:
  nsscope record                                  the whole system, until Ctrl-C
  nsscope record --duration 10s -o boot.data      the whole system for ten seconds
  nsscope record -- unshare -n -p -f --mount sh   a command and all it starts
  nsscope record -p 4242                          running processes and their future children
  nsscope record --container web                  one container, by id or name
  nsscope record --backend bpf                    by eBPF programs, with time namespaces and pids inside
  nsscope record --backend proc                   without privileges, by looking at /proc
  nsscope record --summary 10s -z                 for days: who ran and waited, every ten seconds
  nsscope record --max-size 64M --max-files 8     for as long as you like, in files of 64 MiB
  nsscope record --snapshot                       keeps the latest in memory; pkill -USR2 nsscope writes it
  nsscope record -F 99 --duration 10s             with CPU time, for nsscope report --cpu
  nsscope record -o - -- make | nsscope script -  through a pipe, no file

The kernel's own records need CAP_PERFMON, which root has. Without it nsscope looks at /proc instead, and misses what is
over between two looks; the file says so. See also: nsscope doctor.")]
    Record(Record),
    /// Write the namespaces of all running processes to a perf.data file; needs no privileges
    #[command(after_help = "\
Examples:
  nsscope snapshot && nsscope report              which containers run now

What /proc does not show you (other users' namespaces, unless you are root) is left out and counted.")]
    Snapshot(Snapshot),
    /// Convert the compact frames that a small machine sent over a slow link to a perf.data file
    Import(Import),
    /// Print a capture's events in time order
    #[command(after_help = concat!("\
Examples:
  nsscope script                                  nsscope.data, for people
  nsscope script --format perf perf.data          exactly as perf script prints it
  nsscope script --format json --kind namespaces | jq .namespaces.net.ino
  nsscope script --container web                  what happened in one container
  nsscope script --longer-than 20ms               who waited that long for a CPU, and for whom
  nsscope script --longer-than 20ms               who waited that long for a CPU, and for whom

", filter_help!()))]
    Script(Script),
    /// Write captures as tables, traces and stacks that other tools read
    #[command(after_help = "\
Examples:
  nsscope export --format perfetto -o trace.pftrace      open it at https://ui.perfetto.dev
  nsscope export --format folded | inferno-flamegraph    CPU time by container, of record -F 99
  nsscope export --format csv --table containers -o -    one table, to standard output
  nsscope export --format parquet -o data *.data         all tables of many captures, for DuckDB or Spark
  nsscope export --format parquet --partition-by host,date -o data a.data
  nsscope export --tables                                which tables and columns there are

A table goes to DIR/TABLE/HOST-TIME.EXT. A file appears there when it is whole; a capture that is exported
again replaces its own files.")]
    Export(Export),
    /// Query captures in SQL, with DuckDB
    #[command(after_help = "\
Examples:
  nsscope query                                          a prompt over nsscope.data
  nsscope query a.data 'SELECT title, cpu_ns FROM containers ORDER BY cpu_ns DESC'
  nsscope query *.data 'FROM neighbours'                 a ready-made view: who waited, and for whom
  nsscope query data 'FROM forks'                        a directory that nsscope export --format parquet wrote
  nsscope query a.data --format json 'FROM processes'
  nsscope query a.data \"COPY (FROM events) TO 'events.parquet'\"

The tables are those of nsscope export --tables. The program duckdb has to be on the machine: pip install duckdb-cli.")]
    Query(Query),
    /// Repair a capture that was cut off or damaged, so that perf opens it
    #[command(after_help = "\
Examples:
  nsscope recover cut.data -o whole.data          all records before the damage

nsscope itself reads such files as they are.")]
    Recover(Recover),
    /// Show the containers in a capture, with their pods and processes
    #[command(after_help = concat!("\
Examples:
  nsscope report                                  nsscope.data
  nsscope report --json perf.data                 any perf.data with namespace records
  nsscope report --container web --processes all  one container, every process of it
  nsscope report --definition by:net              one for each network namespace
  nsscope report --since 2 --until 3.5            what was there in this second and a half
  nsscope report --cpu                            where the CPU time went, of record -F 99

", filter_help!()))]
    Report(Report),
    /// List the containers that run now, with the namespaces they share; needs no privileges
    #[command(after_help = concat!("\
Examples:
  nsscope ps                                      containers, and which namespaces are the host's
  nsscope ps --processes 5                        with up to five processes each
  nsscope ps --inodes                             with the number of each namespace
  nsscope ps --filter compose=shop                the services of a compose project
  nsscope ps --definition by:net --json           by network namespace, for a program

", filter_help!()))]
    Ps(Ps),
    /// Show the container that a process is in, its ancestors and its descendants
    #[command(after_help = "\
Examples:
  nsscope tree 4242                               of the running system, by the pid outside or inside
  nsscope tree 4242 -i nsscope.data               of a capture, with when each came and went")]
    Tree(Tree),
    /// Count the records in a capture, by kind and per second, what was lost, and the namespaces that were made
    #[command(after_help = "\
Examples:
  nsscope stat                                    nsscope.data
  nsscope stat --json perf.data")]
    Stat(Stat),
    /// Show what appeared, vanished or changed namespaces between two captures
    #[command(after_help = "\
Examples:
  nsscope snapshot -o before.data; sleep 60; nsscope snapshot -o after.data
  nsscope diff before.data after.data")]
    Diff(Diff),
    /// Follow events live: forks, execs, exits, namespaces and cgroups, with the container of each
    #[command(after_help = concat!("\
Examples:
  nsscope events                                  until Ctrl-C
  nsscope events --kind namespaces                only who gets which namespaces
  nsscope events --filter 'container!=host' --json | jq .comm

Needs CAP_PERFMON, as nsscope record does.

", filter_help!()))]
    Events(Events),
    /// Watch running containers: processes, forks, namespace changes; what is new and what is gone
    #[command(after_help = concat!("\
Examples:
  nsscope top                                     q quits, s sorts, space pauses
  nsscope top --definition by:net                 by network namespace
  nsscope top --json --interval 10s               a line every ten seconds, for a program

Needs CAP_PERFMON, as nsscope record does.

", filter_help!()))]
    Top(Top),
    /// Show captures in a browser: a timeline of containers, processes and threads
    #[command(after_help = "\
Examples:
  nsscope view                                    nsscope.data
  nsscope view perf.data.gz                       packed with gzip or zstd, or in a tar archive
  nsscope view web-1.data web-2.data              two machines, one above the other
  nsscope view --no-browser                       prints the address only

Nothing leaves this machine: the page is served on 127.0.0.1, at an address that nobody can guess. Whoever may see the
arguments of your processes can see it there while the browser starts.")]
    View(View),
    /// Print a script that completes this command line in a shell
    #[command(after_help = "\
Examples:
  nsscope completions bash > /etc/bash_completion.d/nsscope
  nsscope completions zsh > ~/.zfunc/_nsscope")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages to a directory
    #[command(after_help = "\
Examples:
  nsscope man ~/.local/share/man/man1 && man nsscope-report")]
    Man {
        /// The directory, which must exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Check what this user can record on this kernel, and how to fix what is missing
    Doctor(Doctor),
    /// Start a few short-lived containers, record them, and show what the kernel recorded
    Demo,
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
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
    /// Record one container that runs, by id or name, and what will start in it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "pid", "command"])]
    pub(crate) container: Option<String>,
    /// Where the records come from
    #[arg(long, value_enum, default_value_t)]
    pub(crate) backend: Backend,
    /// Stop after this time, such as 10s or 2min; a command is then ended with SIGTERM
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Ring buffer per CPU, such as 512K or 8M; rounded up to a power of two pages
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) mmap_size: Option<usize>,
    /// Compress with zstd, at this level
    #[arg(
        short = 'z', long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "1",
        value_parser = clap::value_parser!(i32).range(1..=22)
    )]
    pub(crate) compress: Option<i32>,
    /// Also sample what runs on each CPU this many times a second, with its cgroup: for report --cpu
    #[arg(short = 'F', long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) frequency: Option<u32>,
    /// Also record each context switch: for report --cpu, exact, and report --waits
    #[arg(long)]
    pub(crate) switch_events: bool,
    /// Also record each wake-up, with the context switches: how long tasks that slept waited for a CPU
    #[arg(long)]
    pub(crate) wakeups: bool,
    /// Also record how long each container ran and waited, and for whom, summed in the kernel over intervals of this
    /// length: for recordings of days. By eBPF programs alone
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with_all = ["switch_events", "wakeups"])]
    pub(crate) summary: Option<Duration>,
    /// Begin a new file when this one reaches this size, such as 64M; FILE.1 is the one before, FILE.2 the one before
    /// that. Each can be read by itself
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<usize>,
    /// Keep at most this many files, FILE included; by default all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_files: Option<u32>,
    /// Run this command for each complete file, with `{}` replaced by its name, FILE.TIME. A file that is still there when
    /// the command has ended with 0 becomes FILE.TIME.sent. A command that fails is run again until it succeeds, files in
    /// order; nothing is deleted
    #[arg(long, value_name = "CMD", requires = "max_size", conflicts_with = "max_files")]
    pub(crate) on_file: Option<String>,
    /// Keep only the latest records, in memory, and write them to FILE on SIGUSR2 and at the end
    #[arg(long, conflicts_with = "max_size")]
    pub(crate) snapshot: bool,
    /// Do not record what already runs
    #[arg(long)]
    pub(crate) no_synth: bool,
    /// Whether to record what containers are called
    #[arg(long, value_enum, default_value_t)]
    pub(crate) names: Names,
    /// Command to run and record
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// Where records come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// perf where the kernel lets us, else bpf, else proc; with --wakeups and --summary bpf first
    #[default]
    Auto,
    /// The kernel's own records, exact
    Perf,
    /// The same by eBPF programs, exact, with time namespaces, reasons and the pids inside; of a container, the kernel
    /// passes on nothing else
    Bpf,
    /// A look at /proc many times a second: needs no privileges, misses what is over in between
    Proc,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    /// Where to write; `-` is standard output, in perf's pipe mode. An existing file moves to FILE.old
    #[arg(short, long, value_name = "FILE", default_value = "nsscope.data")]
    pub(crate) output: PathBuf,
    /// Whether to record what containers are called
    #[arg(long, value_enum, default_value_t)]
    pub(crate) names: Names,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What came over the link: nsscope-codec's compact frames, with or without garbage between them; `-` is standard input
    #[arg(value_name = "FRAMES")]
    pub(crate) frames: PathBuf,
    /// Where to write; `-` is standard output, in perf's pipe mode. An existing file moves to FILE.old
    #[arg(short, long, value_name = "FILE", default_value = "nsscope.data")]
    pub(crate) output: PathBuf,
}

impl Command {
    /// Whether it prints much at once, and then ends.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Script(_) | Self::Report(_) | Self::Stat(_) | Self::Diff(_) | Self::Tree(_) | Self::Ps(_))
    }

    /// Whether all it does is to read captures, which may come from anybody, and to print.
    pub(crate) fn only_reads(&self) -> bool {
        match self {
            Self::Script(_) | Self::Report(_) | Self::Stat(_) | Self::Diff(_) => true,
            Self::Tree(tree) => tree.input.is_some(),
            _ => false,
        }
    }
}

/// The capture that a command reads.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Input {
    /// A perf.data file, perhaps packed by gzip or zstd, or in a tar archive; `-` is standard input
    #[arg(default_value = "nsscope.data", value_name = "FILE")]
    file: PathBuf,
    /// The same, as perf has it
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    input: Option<PathBuf>,
}

impl Input {
    pub(crate) fn of(path: &Path) -> Self {
        Self { file: path.into(), input: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.input.as_ref().unwrap_or(&self.file)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Script {
    #[command(flatten)]
    pub(crate) input: Input,
    /// How to print events
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Only these kinds of event; all by default
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) kind: Vec<Kind>,
    /// Instead, each wait for a CPU that took longer than this, such as 20ms, and who ran meanwhile
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "kind")]
    pub(crate) longer_than: Option<Duration>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// perf.data files; `-` is standard input
    #[arg(default_value = "nsscope.data")]
    pub(crate) files: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
    /// Where to: a directory for tables, a file for a trace or stacks; `-` is standard output. Also s3://BUCKET/NAME and
    /// gs://BUCKET/NAME, and for spans a collector's http://HOST:4318/v1/traces
    #[arg(short, long, default_value = "-", value_name = "PATH|URL", value_parser = place)]
    pub(crate) output: PathBuf,
    /// Only these tables; all by default, `events` where they go to standard output
    #[arg(long, value_delimiter = ',', value_name = "TABLE", value_parser = table_name())]
    pub(crate) table: Vec<String>,
    /// Partition as Hive, Spark and DuckDB do: host=HOST/date=DATE between table and file
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KEY")]
    pub(crate) partition_by: Vec<PartitionKey>,
    /// List the tables and their columns
    #[arg(long)]
    pub(crate) tables: bool,
    /// What makes a container: see nsscope report
    #[arg(short, long, value_name = "RULE", default_value_t)]
    pub(crate) definition: Definition,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Query {
    /// perf.data files, or one directory of Parquet files; then the query. Without a query: a prompt
    #[arg(value_name = "FILE|SQL")]
    pub(crate) what: Vec<PathBuf>,
    /// How to print what a query gives
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
    /// What makes a container: see nsscope report
    #[arg(short, long, value_name = "RULE", default_value_t)]
    pub(crate) definition: Definition,
}

/// How DuckDB prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// For people
    Table,
    /// Comma-separated values
    Csv,
    /// A JSON array
    Json,
    /// A JSON object a line
    Jsonl,
}

/// A path, or a URL that is one or is reached over a network.
fn place(text: &str) -> Result<PathBuf, String> {
    match text.split_once("://") {
        None | Some(("s3" | "gs" | "http" | "https", _)) => Ok(text.into()),
        Some(("file", path)) if path.starts_with('/') => {
            Ok(OsString::from_vec(percent_decode_str(path).collect()).into())
        }
        Some((scheme, _)) => Err(format!(
            "{scheme}:// is not known here: file:///PATH, s3://BUCKET/NAME, gs://BUCKET/NAME, http(s)://..."
        )),
    }
}

fn table_name() -> PossibleValuesParser {
    nsscope_export::TABLES.map(|table| table.name).into()
}

#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    /// The capture
    pub(crate) file: PathBuf,
    /// Where to write what can be read of it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// The format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Tables: comma-separated values
    Csv,
    /// Tables: a JSON object a line
    Jsonl,
    /// Tables: Parquet files
    Parquet,
    /// Tables: Arrow files
    Arrow,
    /// A trace for ui.perfetto.dev
    Perfetto,
    /// A profile for profiler.firefox.com
    Firefox,
    /// Containers and processes as spans of OpenTelemetry (OTLP/JSON)
    Otlp,
    /// Samples by container and command, for flame graphs
    Folded,
}

impl ExportFormat {
    /// Whether it is of tables; others are one file of one capture.
    pub(crate) fn is_tables(self) -> bool {
        matches!(self, Self::Csv | Self::Jsonl | Self::Parquet | Self::Arrow)
    }
}

/// What tables are partitioned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionKey {
    /// The machine's name
    Host,
    /// The day (UTC) on which the recording began
    Date,
}

/// Which containers and processes.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Which {
    /// What makes a container: auto (a runtime's cgroup, else own pid and mnt namespaces), runtime (only the cgroup),
    /// perf (each cgroup namespace, as perf report --sort cgroup_id), by:NS,... (each set of namespaces of these types)
    #[arg(short, long, value_name = "RULE", default_value_t)]
    pub(crate) definition: Definition,
    /// Only what passes this filter
    #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    pub(crate) filter: Filter,
    /// Only these containers, by id or name; short for --filter container=...
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) container: Vec<String>,
    /// Only processes of these names; short for --filter comm=...
    #[arg(long, value_name = "COMM", value_delimiter = ',')]
    pub(crate) comm: Vec<String>,
}

impl Which {
    /// All that was asked for as one filter.
    pub(crate) fn filter(&self) -> Filter {
        let mut filter = self.filter.clone();
        for (field, values) in [(Field::Container, &self.container), (Field::Comm, &self.comm)] {
            if !values.is_empty() {
                filter.and(Filter::only(field, values.iter().cloned()));
            }
        }
        filter
    }
}

/// How many processes of a container are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Most(pub(crate) usize);

impl std::str::FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(usize::MAX)),
            _ => text.parse().map(Self).map_err(|_| "a number, or all".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By first appearance
    #[default]
    First,
    /// By the pid of its first process
    Root,
    /// Most processes first
    Processes,
    /// Most CPU time or samples first
    Cpu,
    /// By name
    Name,
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only what was there at this time or later: seconds from the beginning, or as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only what was there before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Order of the containers
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: Sort,
    /// Show at most this many processes of each container, or all
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) processes: Most,
    /// Show the evidence that each is a container
    #[arg(long)]
    pub(crate) why: bool,
    /// Show CPU time, exact where context switches were recorded, else from samples; and sort by it
    #[arg(long)]
    pub(crate) cpu: bool,
    /// Show how long each container waited for a CPU, and for whom (record --switch-events)
    #[arg(long)]
    pub(crate) waits: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show at most this many processes of each container, or all
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) processes: Most,
    /// Show the inode of each namespace
    #[arg(long)]
    pub(crate) inodes: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Tree {
    /// Process id, as the host has it or as its container has it
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// A perf.data file instead of the running system
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// What makes a container, as for report
    #[arg(short, long, value_name = "RULE", default_value_t)]
    pub(crate) definition: Definition,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct View {
    /// perf.data files, plain, packed with gzip or zstd, or in tar archives
    #[arg(default_value = "nsscope.data")]
    pub(crate) files: Vec<PathBuf>,
    /// Only print the address
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// The port to listen on; any by default
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stat {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The earlier capture
    pub(crate) before: PathBuf,
    /// The later one
    pub(crate) after: PathBuf,
    /// What makes a container, as for report
    #[arg(short, long, value_name = "RULE", default_value_t)]
    pub(crate) definition: Definition,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only these kinds of event; all by default
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) kind: Vec<Kind>,
    /// Instead, each wait for a CPU that took longer than this, such as 20ms, and who ran meanwhile
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "kind")]
    pub(crate) longer_than: Option<Duration>,
    /// Stop after this time, such as 10s or 2min
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) which: Which,
    /// How often to refresh
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) interval: Duration,
    /// Stop after this time, such as 10s or 2min
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether to ask what containers are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Names {
    /// From the sockets of Docker and podman, which are followed, and the files of Docker, podman, cri-o, containerd, runc,
    /// crun and systemd-machined, as far as they may be read
    #[default]
    Auto,
    /// Not at all
    Off,
}

/// A point in time that a user names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    /// Since the recording's beginning.
    After(Duration),
    /// Wall clock, ns since 1970.
    Wall(u64),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(after) = text.parse::<f64>().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok()) {
            return Ok(Self::After(after));
        }
        let wall = humantime::parse_rfc3339_weak(text).map_err(|_| "seconds, or a time as 2026-01-02T03:04:05Z")?;
        let wall = wall.duration_since(std::time::UNIX_EPOCH).map_err(|_| "a time before 1970")?;
        Ok(Self::Wall(wall.as_nanos() as u64))
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Print one JSON object
    #[arg(long, conflicts_with = "change")]
    pub(crate) json: bool,
    /// Give this program the capabilities to record, so that it needs no sudo: asks first, and elsewhere than on a
    /// terminal only says what it would run
    #[arg(long, group = "change")]
    pub(crate) fix: bool,
    /// Take them away again
    #[arg(long, group = "change")]
    pub(crate) undo: bool,
    /// With --fix or --undo, do it without asking
    #[arg(short, long, requires = "change")]
    pub(crate) yes: bool,
    /// With --fix, only for this group: nobody else may run the program then
    #[arg(long, requires = "fix", value_name = "GROUP")]
    pub(crate) group: Option<String>,
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
    /// A task came to a CPU or left it
    Switch,
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
            RecordType::SWITCH | RecordType::SWITCH_CPU_WIDE => Self::Switch,
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
