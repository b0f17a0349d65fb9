//! `nsscope doctor`: what this kernel and this user can record, and what to do about what is missing. Not here: the checks
//! themselves, which are capture's.

use crate::args;
use crate::error::{Failure, Outcome};
use nsscope_capture::check::{CAPABILITIES, Check, State, checks};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::{Command, ExitCode, ExitStatus};

/// Exit code 0 where recording works, 1 where it does not.
pub(crate) fn run(args: &args::Doctor) -> Outcome {
    if args.fix || args.undo {
        return change(args);
    }
    let checks = checks();
    let records = !checks.iter().any(|check| check.state == State::Fails);
    let text = if args.json { format!("{:#}\n", as_json(&checks, records)) } else { as_text(&checks, records) };
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(if records { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets who may run this program record without sudo, or no longer.
fn change(args: &args::Doctor) -> Outcome {
    let program = std::env::current_exe()?.display().to_string();
    let mut steps: Vec<Vec<String>> = Vec::new();
    let mut step = |words: &[&str]| steps.push(words.iter().map(ToString::to_string).collect());
    if args.undo {
        step(&["setcap", "-r", &program]);
        step(&["chmod", "a+rx", &program]);
    } else {
        // The group first: at no moment may others run it with capabilities. A change of owner takes those away, too.
        if let Some(group) = &args.group {
            step(&["chgrp", group, &program]);
            step(&["chmod", "u=rwx,g=rx,o=", &program]);
        }
        step(&["setcap", CAPABILITIES, &program]);
    }
    let root = rustix::process::geteuid().is_root();
    let who = args.group.as_ref().map_or("everybody".to_string(), |group| format!("the group {group}"));
    let mut err = anstream::stderr().lock();
    writeln!(
        err,
        "This lets {who} {} what runs on this machine with this program:",
        if args.undo { "no longer record" } else { "record" }
    )?;
    for words in &mut steps {
        if !root {
            words.insert(0, "sudo".into());
        }
        writeln!(err, "  {}", words.join(" "))?;
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            writeln!(err, "Nothing was done: this is no terminal to ask at. --yes does it without asking.")?;
            return Ok(ExitCode::SUCCESS);
        }
        write!(err, "Do it? [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            writeln!(err, "Nothing was done.")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    for words in &steps {
        let status = Command::new(&words[0]).args(&words[1..]).status();
        if !status.as_ref().is_ok_and(ExitStatus::success) {
            let why = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Failure::new(format!(
                "{}: {why}\n  setcap is in the package libcap2-bin; a file system that is mounted nosuid keeps no capabilities",
                words.join(" ")
            )));
        }
    }
    writeln!(
        err,
        "Done. {}",
        if args.undo { "Recording needs sudo again." } else { "To undo it: nsscope doctor --undo" }
    )?;
    Ok(ExitCode::SUCCESS)
}

fn as_text(checks: &[Check], records: bool) -> String {
    let mut out = String::new();
    for check in checks {
        let (color, mark) = match check.state {
            State::Works => (anstyle::AnsiColor::Green, "ok"),
            State::Limited => (anstyle::AnsiColor::Yellow, "limited"),
            State::Fails => (anstyle::AnsiColor::Red, "FAILS"),
        };
        let style = color.on_default();
        let _ = writeln!(out, "{style}{mark:<8}{style:#} {:<20} {}", check.name, check.found);
        if let Some(help) = &check.help {
            let _ = writeln!(out, "         {:<20} -> {help}", "");
        }
    }
    let _ = writeln!(
        out,
        "\n{}",
        if records {
            "nsscope record works here."
        } else {
            "nsscope record does not work here; nsscope snapshot does."
        }
    );
    out
}

fn as_json(checks: &[Check], records: bool) -> Value {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| {
            let state = match check.state {
                State::Works => "ok",
                State::Limited => "limited",
                State::Fails => "fails",
            };
            json!({ "check": check.name, "state": state, "found": check.found, "help": check.help })
        })
        .collect();
    json!({ "can_record": records, "checks": checks })
}
