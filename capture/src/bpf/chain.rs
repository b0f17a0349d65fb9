//! What aya's errors say. Not here: what is to be done about it.

/// An error and what is behind it, in one line. The verifier's log is long: its end says why.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let part = match lines.as_slice() {
            [first, .., end, _] if lines.len() > 3 => format!("{first} ... {end}"),
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
