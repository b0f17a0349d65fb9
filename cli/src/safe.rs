//! Text of a capture, for a terminal. Not here: tables and colours.

/// A process chooses its own name: nothing in it may move the cursor.
pub(crate) fn safe(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(hostile) {
        text.chars().map(|c| if hostile(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(safe(b"\x1b[2Jevil\n"), "\\u{1b}[2Jevil\\n");
        assert_eq!(safe("\u{202e}gpj".as_bytes()), "\\u{202e}gpj");
        assert_eq!(safe("héllo".as_bytes()), "héllo");
    }
}
