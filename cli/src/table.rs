//! How things are shown to people: tables, trees, colours, and what a name may not do to a terminal. Not here: what is
//! shown.

use crate::pager;
use crate::safe::safe;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};

/// Longer words, ids for instance, are broken before a column is left without room.
const WORD: usize = 16;

/// Characters in a line of a terminal that has room for all.
const WIDE: u16 = 110;

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

    /// A table with a header. It is printed by [`fitted`](Self::fitted).
    pub(crate) fn table(self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(if self.unicode { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING });
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(pager::width().unwrap_or(160)).enforce_styling();
        table.set_header(header.iter().map(|text| self.cell(text, None, true)));
        for column in table.column_iter_mut() {
            column.set_padding(self.padding());
        }
        table
    }

    fn padding(self) -> (u16, u16) {
        if self.unicode { (0, 1) } else { (1, 1) }
    }

    /// The table as it is printed: what is too wide is wrapped, and no word of a header or of up to [`WORD`] characters is
    /// broken where that can be helped.
    pub(crate) fn fitted(self, table: &mut Table) -> String {
        let longest = |cell: &Cell| cell.content().split_whitespace().map(|word| word.chars().count()).max();
        let of_row = |row: &Row| row.cell_iter().map(|cell| longest(cell).unwrap_or(0)).collect::<Vec<_>>();
        let header = table.header().map(of_row).unwrap_or_default();
        let mut words = vec![0; header.len()];
        for row in table.row_iter() {
            words.iter_mut().zip(of_row(row)).for_each(|(word, own)| *word = own.max(*word));
        }
        let padding = usize::from(self.padding().0 + self.padding().1);
        let width = usize::from(table.width().unwrap_or(u16::MAX));
        let least = |most: usize| -> Vec<usize> {
            header.iter().zip(&words).map(|(&header, &word)| header.max(word.min(most)) + padding).collect()
        };
        // Between columns there is one more.
        let fits = |least: &Vec<usize>| least.iter().map(|own| own + 1).sum::<usize>() <= width + 1;
        if let Some(least) = (0..=WORD).rev().map(least).find(fits) {
            for (column, least) in table.column_iter_mut().zip(least) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least as u16)));
            }
        }
        table.trim_fmt()
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

/// Whether standard output is a terminal that has no room for all there is to say.
pub(crate) fn is_narrow() -> bool {
    pager::width().is_some_and(|width| width < WIDE)
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
