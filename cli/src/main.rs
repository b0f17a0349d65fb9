//! `nsscope`: capture the kernel's namespace records, print them, and tell which containers they reveal.

mod args;
mod demo;
mod doctor;
mod error;
mod input;
mod record;
mod report;
mod script;
mod sys;
mod time;

use args::Command;
use clap::Parser;
use error::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust ignores SIGPIPE; writes to a closed pipe come back as errors and end the program quietly (`Failure`).
    let result = match args::Args::parse().command {
        Command::Record(args) => record::run(&args),
        Command::Snapshot(args) => record::snapshot(&args),
        Command::Import(args) => record::import(&args),
        Command::Script(args) => script::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo => demo::run(),
    };
    result.unwrap_or_else(Failure::report)
}
