//! What aya's errors say, and maps of programs. Not here: what is in the maps.

use crate::error::{Error, Result};
use aya::Ebpf;
use aya::maps::{Map, MapError};

/// An error of aya's as one of ours.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: MapError) -> Error {
    Error::other(chain(&error))
}

/// Takes a map away from its programs.
pub(super) fn map<M: TryFrom<Map, Error = MapError>>(programs: &mut Ebpf, name: &str) -> Result<M> {
    let map = programs.take_map(name).ok_or_else(|| Error::other(format!("no map {name}")))?;
    M::try_from(map).map_err(failed)
}

/// How the lines begin that the verifier ends its log with (`print_verification_stats()` in kernel/bpf/verifier.c).
const FIGURES: [&str; 3] = ["verification time", "stack depth", "processed "];

/// An error and what is behind it, in one line. The verifier's log is long: its end says why.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Behind the reason are the verifier's figures.
        let is_figure = |line: &str| FIGURES.iter().any(|figure| line.starts_with(figure));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_figure(line));
        let lines: Vec<&str> = lines.collect();
        let part = match lines.as_slice() {
            [first, .., end] if lines.len() > 3 => format!("{first} ... {end}"),
            _ => lines.join(" "),
        };
        // Some errors tell what is behind them themselves.
        if parts.last().is_none_or(|before| !before.contains(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts.join(": ")
}
