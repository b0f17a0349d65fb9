//! How things are shown to people: tables, trees, colours, and what a name may not do to a terminal. Not here: what is
//! shown.

use crate::pager;
use crate::safe::safe;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Whether standard output is a terminal that is looked at, and what it can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    unicode: bool,
    colour: bool,
}

impl Style {
    /// Box drawing and colour where they are looked at; plain text where it is processed.
    pub(crate) fn of_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
        let terminal = pager::is_terminal();
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Self {
            unicode: terminal && locale.is_some_and(|locale| locale.to_uppercase().contains("UTF")),
            colour: terminal && !dumb && !set("NO_COLOR"),
        }
    }

    /// A table with a header.
    pub(crate) fn table(self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(if self.unicode { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING });
        table.set_content_arrangement(ContentArrangement::Dynamic);
        let width = pager::width().unwrap_or(160);
        table.set_width(width).enforce_styling();
        table.set_header(header.iter().map(|text| self.cell(text, None, true)));
        let padding = if self.unicode { (0, 1) } else { (1, 1) };
        let least =
            |text: &str| -> u16 { text.split(' ').map(str::len).max().unwrap_or(0) as u16 + padding.0 + padding.1 };
        // What is too wide is wrapped; no word of the header is broken where that can be helped.
        let fits = header.iter().map(|text| least(text) + 1).sum::<u16>() <= width;
        for (column, text) in table.column_iter_mut().zip(header) {
            column.set_padding(padding);
            if fits {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least(text))));
            }
        }
        table
    }

    /// A cell, in colour and bold where that can be seen.
    pub(crate) fn cell(self, text: &str, colour: Option<Color>, bold: bool) -> Cell {
        let mut cell = Cell::new(text);
        if let Some(colour) = colour.filter(|_| self.colour) {
            cell = cell.fg(colour);
        }
        if bold && self.colour {
            cell = cell.add_attribute(Attribute::Bold);
        }
        cell
    }

    /// What stands before a child in a tree: `below` for its own children.
    pub(crate) fn branch(self, last: bool) -> (&'static str, &'static str) {
        match (self.unicode, last) {
            (true, false) => ("├─ ", "│  "),
            (true, true) => ("└─ ", "   "),
            (false, false) => ("|- ", "|  "),
            (false, true) => ("`- ", "   "),
        }
    }
}

impl Style {
    /// What stands before an entry of this depth in a tree; `behind` are the depths of those that follow.
    pub(crate) fn branches(self, following: impl Iterator<Item = usize>, depth: usize) -> String {
        // Whether more children of an ancestor come: an entry of its depth before any that is less deep.
        let mut more = vec![false; depth + 1];
        let mut floor = depth + 1;
        for next in following {
            if next < floor {
                floor = next;
                if let Some(more) = more.get_mut(next) {
                    *more = true;
                }
            }
            if floor == 0 {
                break;
            }
        }
        let above = (1..depth).map(|level| self.branch(!more[level]).1);
        let own = (depth > 0).then(|| self.branch(!more[depth]).0);
        above.chain(own).collect()
    }
}

/// A noun, in the plural where there are none or several.
pub(crate) fn plural(noun: &str, count: usize) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

/// The first few, and how many more. Names are hostile: control characters are shown, not sent.
pub(crate) fn list(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| safe(name.as_bytes())).collect();
    let more = names.len().saturating_sub(most);
    if more > 0 { format!("{}, and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
