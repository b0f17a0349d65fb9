//! The types against the C compiler's view of `<linux/perf_event.h>`.

use nsscope_codec::wire::attr::{ATTR_SIZES, Attr, AttrFlags};
use nsscope_codec::wire::header::{Header, RecordType};
use nsscope_codec::wire::namespaces::{NsKind, NsLink};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_codec::wire::{Layout, Native, mmap_page};
use nsscope_tests::{missing, needs, run, text};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

/// Our names of fields, where C's are others; `None`: a bit field, which has no offset.
fn c_name<'a>(structure: &str, field: &'a str) -> Option<&'a str> {
    match (structure, field) {
        ("perf_event_attr" | "perf_event_header", "kind") => Some("type"),
        ("perf_event_attr", "wakeup") => Some("wakeup_events"),
        ("perf_event_attr", "reserved_2") => Some("__reserved_2"),
        ("perf_event_attr", "raw_flags") => None,
        _ => Some(field),
    }
}

/// What a line of C prints, or `None` where this machine's header does not know what it names.
fn ask(dir: &std::path::Path, lines: &BTreeMap<String, String>) -> BTreeMap<String, Option<u64>> {
    let body = |lines: &[(&String, &String)]| {
        let mut program = String::from(
            "#include <linux/perf_event.h>\n#include <stddef.h>\n#include <stdio.h>\n#include <string.h>\n\
             static unsigned long long word(void *at) { unsigned long long w; memcpy(&w, at, 8); return w; }\n\
             int main(void) {\n",
        );
        for (name, line) in lines {
            let _ = writeln!(program, "{{ {line} printf(\"{name} %llu\\n\", (unsigned long long)v); }}");
        }
        program + "return 0; }\n"
    };
    let compile = |lines: &[(&String, &String)]| -> Option<String> {
        let (source, program) = (dir.join("ask.c"), dir.join("ask"));
        fs::write(&source, body(lines)).unwrap();
        let mut cc = Command::new("cc");
        let output = cc.args(["-w", "-o"]).arg(&program).arg(&source).output().unwrap();
        output.status.success().then(|| text(&run(&mut Command::new(&program))))
    };
    let all: Vec<_> = lines.iter().collect();
    let known: Vec<_> = if compile(&all).is_some() {
        all
    } else {
        // The header is older than the crate: leave out, one by one, what it does not know.
        all.into_iter().filter(|line| compile(&[*line]).is_some()).collect()
    };
    let printed = compile(&known).expect("what compiles alone compiles together");
    let printed = printed.lines().map(|line| line.rsplit_once(' ').expect("name and number"));
    let mut answers: BTreeMap<_, _> = lines.keys().map(|name| (name.clone(), None)).collect();
    answers.extend(printed.map(|(name, value)| (name.into(), Some(value.parse().unwrap()))));
    answers
}

#[test]
fn layouts_and_numbers_are_those_of_the_c_header() {
    needs!("layouts_and_numbers_are_those_of_the_c_header", missing("cc", "gcc"));
    let dir = tempfile::tempdir().unwrap();
    let mut ours: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let mut say = |name: String, value: u64, line: String| {
        lines.insert(name.clone(), line);
        ours.insert(name, value);
    };

    for (structure, fields) in [
        ("perf_event_attr", Attr::<Native>::FIELDS),
        ("perf_event_header", Header::<Native>::FIELDS),
        ("perf_ns_link_info", NsLink::<Native>::FIELDS),
    ] {
        for &(field, offset) in fields {
            if let Some(name) = c_name(structure, field) {
                let line = format!("size_t v = offsetof(struct {structure}, {name});");
                say(format!("{structure}.{field}"), offset as u64, line);
            }
        }
    }
    for (structure, size) in
        [("perf_event_header", Header::<Native>::SIZE), ("perf_ns_link_info", NsLink::<Native>::SIZE)]
    {
        say(structure.into(), size as u64, format!("size_t v = sizeof(struct {structure});"));
    }
    for (version, size) in ATTR_SIZES.into_iter().enumerate() {
        say(format!("attr size {version}"), size as u64, format!("int v = PERF_ATTR_SIZE_VER{version};"));
    }
    for kind in RecordType::ALL.iter().filter(|kind| !kind.is_user()) {
        let name = kind.name().unwrap();
        say(format!("PERF_RECORD_{name}"), kind.0.into(), format!("int v = PERF_RECORD_{name};"));
    }
    for &(field, name) in SampleType::NAMES {
        say(format!("PERF_SAMPLE_{name}"), field.0, format!("unsigned long long v = PERF_SAMPLE_{name};"));
    }
    for &(flag, name) in AttrFlags::NAMES {
        let mut attr = Attr::<Native>::new(0, 0);
        attr.set_flags(flag);
        let name = name.to_lowercase();
        let line = format!(
            "struct perf_event_attr a; memset(&a, 0, sizeof a); a.{name} = 1; \
             unsigned long long v = word((char *)&a + offsetof(struct perf_event_attr, read_format) + 8);"
        );
        say(format!("attr.{name}"), attr.raw_flags.get(), line);
    }
    let kinds = NsKind::RECORDED.iter().map(|kind| (kind.name().to_uppercase(), kind.index()));
    for (name, index) in kinds {
        say(format!("{name}_NS_INDEX"), index as u64, format!("int v = {name}_NS_INDEX;"));
    }
    say("NR_NAMESPACES".into(), NsKind::RECORDED.len() as u64, "int v = NR_NAMESPACES;".into());
    for (name, offset) in [
        ("data_head", mmap_page::DATA_HEAD),
        ("data_tail", mmap_page::DATA_TAIL),
        ("data_offset", mmap_page::DATA_OFFSET),
        ("data_size", mmap_page::DATA_SIZE),
    ] {
        let line = format!("size_t v = offsetof(struct perf_event_mmap_page, {name});");
        say(format!("mmap page {name}"), offset as u64, line);
    }

    let theirs = ask(dir.path(), &lines);
    let unknown: Vec<_> = theirs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    println!("not in this machine's header: {}", unknown.join(", "));
    for (name, value) in &theirs {
        assert!(value.is_none_or(|value| value == ours[name]), "{name}: C says {value:?}, we say {}", ours[name]);
    }
    // What the project is about is in every header since 4.12.
    for name in ["PERF_RECORD_NAMESPACES", "attr.namespaces", "perf_ns_link_info.ino", "perf_event_attr.config1"] {
        assert!(theirs[name].is_some(), "{name}");
    }
    assert!(theirs.len() - unknown.len() > 120, "{} of {} are known", theirs.len() - unknown.len(), theirs.len());
}
