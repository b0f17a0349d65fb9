//! Tracepoint samples as text, by the format that the capture carries. Not here: what the fields mean.

use nsscope_codec::perf_data::tracing::{self, Field, Format};
use nsscope_codec::perf_data::{Feature, Session};
use rustc_hash::FxHashMap;
use std::io::Write;

/// Formats by tracepoint id, read once.
#[derive(Debug, Default)]
pub(crate) struct Tracepoints(Option<FxHashMap<u64, Printer>>);

/// A tracepoint's format with its `print fmt` taken apart.
#[derive(Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    /// `None` where the `print fmt` is more than fields put into a text.
    pieces: Option<Vec<Piece>>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// A conversion, how wide it is filled with zeros, and the index of the field it prints.
    Field(Conversion, usize, usize),
    /// Names for the numbers of the field of this index (`__print_symbolic`).
    Names(usize, Vec<(u64, String)>),
}

#[derive(Clone, Copy, Debug)]
enum Conversion {
    Signed,
    Unsigned,
    Hex,
    Text,
}

impl Tracepoints {
    /// The format of the tracepoint with this id.
    pub(crate) fn get(&mut self, session: &Session, id: u64) -> Option<&Printer> {
        if self.0.is_none() {
            let formats = session.feature(Feature::TRACING_DATA).map(tracing::read).unwrap_or_default();
            self.0 = Some(formats.into_iter().map(|format| (format.id, Printer::new(format))).collect());
        }
        self.0.as_ref()?.get(&id)
    }
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { pieces: pieces(&format), format }
    }

    /// Appends the sample as libtraceevent prints it; where its `print fmt` is not understood, all fields by name.
    pub(crate) fn print(&self, raw: &[u8], big: bool, out: &mut Vec<u8>) {
        let Some(pieces) = &self.pieces else {
            for (index, field) in self.format.own_fields().enumerate() {
                let space = if index > 0 { " " } else { "" };
                let _ = write!(out, "{space}{}=", field.name);
                match text_of(field, raw, big) {
                    Some(text) => out.extend_from_slice(text),
                    None => {
                        let _ = write!(out, "{}", field.number(raw, big).unwrap_or(0));
                    }
                }
            }
            return;
        };
        for piece in pieces {
            let (conversion, width, field) = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Field(conversion, width, index) => (conversion, *width, &self.format.fields[*index]),
                Piece::Names(index, names) => {
                    let number = self.format.fields[*index].number(raw, big).unwrap_or(0);
                    let _ = match names.iter().find(|(value, _)| *value == number) {
                        Some((_, name)) => write!(out, "{name}"),
                        None => write!(out, "{number:#x}"),
                    };
                    continue;
                }
            };
            let number = || field.number(raw, big).unwrap_or(0);
            let _ = match conversion {
                Conversion::Signed => write!(out, "{:0width$}", number() as i64),
                Conversion::Unsigned => write!(out, "{:0width$}", number()),
                Conversion::Hex => write!(out, "{:0width$x}", number()),
                Conversion::Text => {
                    out.extend_from_slice(text_of(field, raw, big).unwrap_or_default());
                    Ok(())
                }
            };
        }
    }
}

/// Whether a field is an array of characters.
fn is_text(field: &Field) -> bool {
    field.declaration.starts_with("char ") && field.declaration.ends_with(']')
}

/// A field's text, of a variable length or in an array of characters up to its NUL.
pub(crate) fn text_of<'r>(field: &Field, raw: &'r [u8], big: bool) -> Option<&'r [u8]> {
    if field.is_data_loc() {
        return field.text(raw, big);
    }
    let bytes = raw.get(field.offset..)?.get(..field.size).filter(|_| is_text(field))?;
    bytes.split(|&byte| byte == 0).next()
}

/// Takes `"a=%d b=%s", REC->a, __get_str(b)` apart.
fn pieces(format: &Format) -> Option<Vec<Piece>> {
    let (text, arguments) = format.print.strip_prefix('"')?.split_once('"')?;
    let mut arguments = arguments_of(arguments).into_iter();
    let field = |argument: &str| {
        let name = argument.strip_prefix("REC->").or_else(|| argument.strip_prefix("__get_str(")?.strip_suffix(')'))?;
        format.fields.iter().position(|field| field.name == name)
    };
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, conversion)) = rest.split_once('%') {
        pieces.push(Piece::Text(before.into()));
        // `%03d` is the one form with a width that the kernel's formats have here.
        let digits = conversion.find(|c: char| !c.is_ascii_digit())?;
        let width = match conversion[..digits].strip_prefix('0') {
            Some(width) => width.parse().ok()?,
            None if digits == 0 => 0,
            None => return None,
        };
        let letter = digits + conversion[digits..].find(|c: char| c != 'l' && c != 'h')?;
        let conversion_kind = match conversion.as_bytes()[letter] {
            b'd' | b'i' => Conversion::Signed,
            b'u' => Conversion::Unsigned,
            b'x' => Conversion::Hex,
            b's' => Conversion::Text,
            _ => return None,
        };
        let argument = arguments.next()?;
        pieces.push(match argument.strip_prefix("__print_symbolic(") {
            Some(symbolic) => {
                let (of, names) = symbolic.strip_suffix(')')?.split_once(',')?;
                Piece::Names(field(of.trim())?, names_of(names)?)
            }
            None => Piece::Field(conversion_kind, width, field(argument)?),
        });
        rest = &conversion[letter + 1..];
    }
    pieces.push(Piece::Text(rest.into()));
    arguments.next().is_none().then_some(pieces)
}

/// Takes what commas separate apart, but for those within brackets.
fn arguments_of(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(move |c: char| {
        depth += i32::from("({".contains(c)) - i32::from(")}".contains(c));
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Takes `{ 0, "a" }, { 1, "b" }` apart.
fn names_of(text: &str) -> Option<Vec<(u64, String)>> {
    let one = |part: &str| {
        let (number, name) = part.strip_prefix('{')?.strip_suffix('}')?.split_once(',')?;
        let name = name.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some((number.trim().parse().ok()?, name.into()))
    };
    arguments_of(text).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsscope_codec::synthetic;

    #[test]
    fn a_print_fmt_of_fields_is_followed() {
        let format = Format::parse(synthetic::SYSTEM, synthetic::TASK_CGROUP.format).expect("a format");
        let printer = Printer::new(format);
        let mut out = vec![];
        printer.print(&synthetic::task_cgroup(42, 0, b"/docker/x"), cfg!(target_endian = "big"), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "pid=42 root=0 path=/docker/x");
    }

    #[test]
    fn one_that_is_more_gives_the_fields() {
        let text = synthetic::TASK_CGROUP.format.replace("REC->pid", "REC->pid + 1");
        let printer = Printer::new(Format::parse("x", &text).expect("a format"));
        let mut out = vec![];
        printer.print(&synthetic::task_cgroup(42, 0, b"/a"), cfg!(target_endian = "big"), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "pid=42 root=0 path=/a");
        // Raw bytes cut short print as zeros and nothing, and do not panic.
        for len in 0..24 {
            printer.print(&synthetic::task_cgroup(42, 0, b"/a")[..len.min(23)], false, &mut out);
        }
    }
}
