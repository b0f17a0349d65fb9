//! `nsscope`: capture the kernel's namespace records, print them, and tell which containers they reveal.

mod args;
mod capture;
mod demo;
mod diff;
mod doctor;
mod error;
mod input;
mod ps;
mod record;
mod report;
mod safe;
mod script;
mod select;
mod serve;
mod stat;
mod sys;
mod time;
mod top;
mod tree;
mod view;

use args::Command;
use clap::{CommandFactory, Parser};
use error::Failure;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust ignores SIGPIPE; writes to a closed pipe come back as errors and end the program quietly (`Failure`).
    let Some(command) = args::Args::parse().command else {
        // A pipe that is closed is no error.
        let _ = writeln!(std::io::stdout(), "{}", args::WELCOME);
        return ExitCode::SUCCESS;
    };
    let result = match command {
        Command::Record(args) => record::command::run(&args),
        Command::Snapshot(args) => record::snapshot::snapshot(&args),
        Command::Import(args) => record::import::run(&args),
        Command::Script(args) => script::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Ps(args) => ps::run(&args),
        Command::Tree(args) => tree::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Events(args) => script::follow(&args),
        Command::Top(args) => top::run(&args),
        Command::View(args) => serve::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut args::Args::command(), "nsscope", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { directory } => clap_mangen::generate_to(args::Args::command(), &directory)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| Failure::file("write", &directory, &error)),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo => demo::run(),
    };
    result.unwrap_or_else(Failure::report)
}
