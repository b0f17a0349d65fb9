//! `nsscope`: capture the kernel's namespace records, print them, and tell which containers they reveal. Not here: what
//! the commands do.

#![forbid(unsafe_code)]

mod archive;
mod args;
mod commands;
mod confine;
mod deliver;
mod error;
mod events;
mod folder;
mod input;
mod json;
mod loaded;
mod packed;
mod pager;
mod safe;
mod select;
mod ship;
mod signals;
mod table;
mod text;
mod time;

use args::Command;
use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};
use error::Failure;
use std::io::Write;
use std::process::ExitCode;

/// The arguments are wrong, or help was asked for: says so and ends.
fn refused(error: &clap::Error) -> ! {
    let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let instead = flag.filter(|_| error.kind() == ErrorKind::UnknownArgument).and_then(|flag| args::instead(&flag));
    // A pipe that is closed is no error.
    let _ = error.print();
    if let Some(instead) = instead {
        error::note(instead);
    }
    std::process::exit(error.exit_code())
}

fn main() -> ExitCode {
    error::show_warnings();
    // Rust ignores SIGPIPE; writes to a closed pipe come back as errors and end the program quietly (`Failure`).
    let args = args::Args::try_parse().unwrap_or_else(|error| refused(&error));
    error::be_quiet(args.quiet);
    if args.verbose {
        error::be_verbose();
    }
    if let Some(threads) = args.threads {
        deliver::use_threads(threads.into());
    }
    let Some(command) = args.command else {
        // A pipe that is closed is no error.
        let _ = writeln!(std::io::stdout(), "{}", args::WELCOME);
        return ExitCode::SUCCESS;
    };
    // Before programs can no longer be started. It is waited for when everything is said.
    let _pager = (command.is_long() && !args.no_pager).then(pager::Pager::start).flatten();
    if command.only_reads() {
        confine::to_reading();
    }
    let result = match command {
        Command::Record(args) => commands::record::run(&args),
        Command::Snapshot(args) => commands::snapshot::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Recover(args) => commands::recover::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Query(args) => commands::query::run(&args),
        Command::Script(args) => commands::script::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Ps(args) => commands::ps::run(&args),
        Command::Tree(args) => commands::tree::run(&args),
        Command::Stat(args) => commands::stat::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Events(args) => commands::events::run(&args),
        Command::Top(args) => commands::top::run(&args),
        Command::View(args) => commands::view::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut args::Args::command(), "nsscope", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { directory } => clap_mangen::generate_to(args::Args::command(), &directory)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::file("write", &directory, &error)),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Demo => commands::demo::run(),
    };
    result.unwrap_or_else(Failure::report)
}
