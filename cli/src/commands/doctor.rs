//! `nsscope doctor`: what this kernel and this user can record, and how to mend what is missing. Not here: the checks
//! themselves, which are capture's.

use crate::args;
use crate::error::Outcome;
use nsscope_capture::check::{Check, State, checks};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

/// Exit code 0 where recording works, 1 where it does not.
pub(crate) fn run(args: &args::Doctor) -> Outcome {
    let checks = checks();
    let records = !checks.iter().any(|check| check.state == State::Fails);
    let text = if args.json { format!("{:#}\n", as_json(&checks, records)) } else { as_text(&checks, records) };
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(if records { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
        if let Some(mend) = &check.mend {
            let _ = writeln!(out, "         {:<20} -> {mend}", "");
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
            json!({ "check": check.name, "state": state, "found": check.found, "mend": check.mend })
        })
        .collect();
    json!({ "can_record": records, "checks": checks })
}
