//! The `TRACING_DATA` section: formats of the tracepoints in a file. Not here: the samples that the formats are of.
//!
//! ```text
//! 0x17 0x08 0x44 "tracing" | version "0.6\0" | u8 big-endian | u8 sizeof(long) | u32 page size
//! "header_page\0"  u64 size, text          | "header_event\0" u64 size, text
//! u32 count, { u64 size, text }            formats of ftrace itself
//! u32 systems, { name\0, u32 count, { u64 size, text } }
//! u32 size, kallsyms | u32 size, printk formats | u64 size, saved command lines (version 0.6)
//! ```
//! Source: `tools/perf/util/trace-event-info.c` writes it, `trace-event-read.c` reads it.

use alloc::string::String;
use alloc::vec::Vec;

/// What the section begins with.
pub const MAGIC: [u8; 10] = *b"\x17\x08\x44tracing";

/// A field of a tracepoint's raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its declaration, with the name: `__data_loc char[] path`.
    pub declaration: String,
    /// Offset in the raw bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// Whether it is a signed number.
    pub signed: bool,
}

impl Field {
    /// Whether the field holds offset and length of text elsewhere in the raw bytes.
    pub fn is_data_loc(&self) -> bool {
        self.declaration.starts_with("__data_loc")
    }

    /// The field as a number, sign-extended, from the raw bytes of a little-endian (`big == false`) or big-endian machine.
    pub fn number(&self, raw: &[u8], big: bool) -> Option<u64> {
        let bytes = raw.get(self.offset..self.offset.checked_add(self.size)?)?;
        if !matches!(bytes.len(), 1 | 2 | 4 | 8) {
            return None;
        }
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        let value = if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
        let unused = 64u32.checked_sub((bytes.len() as u32).checked_mul(8)?)?;
        Some(if self.signed { ((value.checked_shl(unused)? as i64) >> unused) as u64 } else { value })
    }

    /// The text of a `__data_loc` field, without its NUL.
    pub fn text<'a>(&self, raw: &'a [u8], big: bool) -> Option<&'a [u8]> {
        let location = Self { size: 4, signed: false, ..self.clone() }.number(raw, big)?;
        let (offset, len) = (location as usize & 0xffff, location as usize >> 16);
        Some(crate::wire::until_nul(raw.get(offset..offset.checked_add(len)?)?))
    }
}

/// A tracepoint's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Group, such as `cgroup`.
    pub system: String,
    /// Name, such as `cgroup_attach_task`.
    pub name: String,
    /// What `attr.config` holds.
    pub id: u64,
    /// Its fields, the common ones first.
    pub fields: Vec<Field>,
    /// `print fmt`: a quoted printf format and its arguments.
    pub print: String,
}

impl Format {
    /// Reads the text of a tracepoint's `format` file. `None` where name, id or fields cannot be found in it.
    pub fn parse(system: &str, text: &str) -> Option<Self> {
        let (mut name, mut id, mut print, mut fields) = (None, None, "", Vec::new());
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("name:") {
                name = Some(rest.trim());
            } else if let Some(rest) = line.strip_prefix("ID:") {
                id = rest.trim().parse().ok();
            } else if let Some(rest) = line.strip_prefix("print fmt:") {
                print = rest.trim();
            } else if let Some(rest) = line.strip_prefix("field:") {
                fields.push(parse_field(rest)?);
            }
        }
        Some(Self { system: system.into(), name: name?.into(), id: id?, fields, print: print.into() })
    }

    /// The fields that are not common to all tracepoints.
    pub fn own_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| !field.name.starts_with("common_"))
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// `int pid; offset:4; size:4; signed:1;`
fn parse_field(text: &str) -> Option<Field> {
    let mut parts = text.split(';').map(str::trim);
    let declaration = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", value)) => offset = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            Some(("signed", value)) => signed = value == "1",
            _ => {}
        }
    }
    let name = declaration.rsplit([' ', '*']).next()?;
    let name = name.split('[').next()?;
    Some(Field { name: name.into(), declaration: declaration.into(), offset: offset?, size: size?, signed })
}

/// Layout of an ftrace ring's page: of no use to a reader of perf.data, but perf wants it to be there.
const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;
";

/// The same for an event in such a page; perf skips it.
const HEADER_EVENT: &str = "# compressed entry header\n";

/// Writes a section, in the byte order of this machine. `formats` are tracepoints' `format` texts by system.
pub fn write(page_size: u32, formats: &[(&str, &[&str])]) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_ne_bytes());
        out.extend(text.as_bytes());
    }
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(b"0.6\0");
    out.push(u8::from(cfg!(target_endian = "big")));
    out.push(size_of::<usize>() as u8);
    out.extend(page_size.to_ne_bytes());
    out.extend(b"header_page\0");
    text(&mut out, HEADER_PAGE);
    out.extend(b"header_event\0");
    text(&mut out, HEADER_EVENT);
    out.extend(0u32.to_ne_bytes());
    out.extend((formats.len() as u32).to_ne_bytes());
    for (system, texts) in formats {
        out.extend(system.as_bytes());
        out.push(0);
        out.extend((texts.len() as u32).to_ne_bytes());
        for format in *texts {
            text(&mut out, format);
        }
    }
    out.extend(0u32.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend(0u64.to_ne_bytes());
    out
}

/// The formats in a section, as many as can be read.
pub fn read(bytes: &[u8]) -> Vec<Format> {
    let mut formats = Vec::new();
    let mut reader = Reader { rest: bytes, big: false };
    let _ = reader.section(&mut formats);
    formats
}

struct Reader<'a> {
    rest: &'a [u8],
    big: bool,
}

impl<'a> Reader<'a> {
    fn section(&mut self, formats: &mut Vec<Format>) -> Option<()> {
        (self.take(MAGIC.len() as u64)? == MAGIC).then_some(())?;
        self.name()?;
        self.big = self.take(1)? == [1];
        self.take(1 + 4)?;
        for _ in ["header_page", "header_event"] {
            self.name()?;
            self.text()?;
        }
        let count = self.number(4)?;
        for _ in 0..count {
            self.text()?;
        }
        let systems = self.number(4)?;
        for _ in 0..systems {
            let system = self.name()?;
            let count = self.number(4)?;
            for _ in 0..count {
                let text = self.text()?;
                formats.extend(Format::parse(&String::from_utf8_lossy(system), &String::from_utf8_lossy(text)));
            }
        }
        Some(())
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self, len: u64) -> Option<u64> {
        let bytes = self.take(len)?;
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(if self.big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().position(|&b| b == 0)?;
        let name = self.take(len as u64)?;
        self.take(1)?;
        Some(name)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number(8)?;
        self.take(len)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const ATTACH: &str = "name: cgroup_attach_task\nID: 538\nformat:\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:int dst_root;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:__data_loc char[] dst_path;\toffset:12;\tsize:4;\tsigned:0;\n\n\
        print fmt: \"dst_root=%d dst_path=%s\", REC->dst_root, __get_str(dst_path)\n";

    #[test]
    fn what_is_written_is_read() {
        let bytes = write(4096, &[("cgroup", &[ATTACH, ATTACH]), ("other", &[ATTACH])]);
        let formats = read(&bytes);
        assert_eq!(formats.len(), 3);
        assert_eq!(
            (formats[2].system.as_str(), formats[2].name.as_str(), formats[2].id),
            ("other", "cgroup_attach_task", 538)
        );
        // Cut anywhere, it gives what is whole.
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).len() <= 3);
        }
    }

    #[test]
    fn fields_are_read_in_both_orders_and_never_outside() {
        let format = Format::parse("cgroup", ATTACH).unwrap();
        let raw = b"\0\0\0\0\x01\0\0\0\xff\xff\xff\xff\x10\0\x05\0/abc\0";
        assert_eq!(format.field("dst_root").unwrap().number(raw, false), Some(u64::MAX));
        assert_eq!(format.field("common_pid").unwrap().number(raw, true), Some(1 << 24));
        let path = format.field("dst_path").unwrap();
        assert!(path.is_data_loc());
        assert_eq!(path.text(raw, false), Some(&b"/abc"[..]));
        assert_eq!(path.text(&raw[..20], false), None);
        assert_eq!(path.text(&raw[..13], false), None);
    }
}
