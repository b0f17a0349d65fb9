//! SPEC.md says what the types are: every table of it is taken apart and compared.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]

use nsscope_codec::perf_data::{Feature, FileHeader, Section};
use nsscope_codec::wire::attr::{Attr, AttrFlags, ATTR_SIZES};
use nsscope_codec::wire::cgroup::CgroupFixed;
use nsscope_codec::wire::comm::CommFixed;
use nsscope_codec::wire::header::{Header, RecordType};
use nsscope_codec::wire::lost::{Lost, LostSamples, Throttle};
use nsscope_codec::wire::misc::{Aux, AuxOutputHwId, BpfEvent, ItraceStart, KsymbolFixed, TextPoke};
use nsscope_codec::wire::mmap::{Mmap2Fixed, MmapFixed};
use nsscope_codec::wire::namespaces::{NamespacesFixed, NsLink};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_codec::wire::switch::SwitchCpuWide;
use nsscope_codec::wire::task::Task;
use nsscope_codec::wire::task_namespaces::TaskNamespaces;
use nsscope_codec::wire::user::{Auxtrace, Compressed2, EventUpdate, HeaderFeature, TracingData};
use nsscope_codec::wire::{mmap_page, Layout, LittleEndian};
use std::collections::BTreeMap;

const SPEC: &str = include_str!("../SPEC.md");

type Fields = &'static [(&'static str, usize)];

fn types() -> BTreeMap<&'static str, (usize, Fields)> {
    fn entry<T: Layout>() -> (&'static str, (usize, Fields)) {
        (T::NAME, (T::SIZE, T::FIELDS))
    }
    macro_rules! entries {
        ($($name:ident),* $(,)?) => { BTreeMap::from([$(entry::<$name<LittleEndian>>()),*]) };
    }
    entries!(
        Attr,
        Aux,
        AuxOutputHwId,
        Auxtrace,
        BpfEvent,
        CgroupFixed,
        CommFixed,
        Compressed2,
        EventUpdate,
        FileHeader,
        Header,
        HeaderFeature,
        ItraceStart,
        KsymbolFixed,
        Lost,
        LostSamples,
        Mmap2Fixed,
        MmapFixed,
        NamespacesFixed,
        NsLink,
        Section,
        SwitchCpuWide,
        Task,
        TaskNamespaces,
        TextPoke,
        Throttle,
        TracingData,
    )
}

/// Cells of the table rows below a heading, up to the next heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let start = SPEC.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = &SPEC[start + 1..].split_once('\n').unwrap().1;
    let end = section.find("\n#").unwrap_or(section.len());
    let lines = section[..end].lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

fn size_of_type(name: &str, types: &BTreeMap<&str, (usize, Fields)>) -> usize {
    match name {
        "u16" => 2,
        "u32" | "i32" => 4,
        "u64" => 8,
        _ => match name.strip_prefix('[').and_then(|array| array.strip_suffix(']')?.split_once("; ")) {
            Some(("u8", count)) => count.parse().unwrap(),
            Some((element, count)) => size_of_type(element, types) * count.parse::<usize>().unwrap(),
            None => types.get(name).unwrap_or_else(|| panic!("type {name}")).0,
        },
    }
}

#[test]
fn the_layouts_of_the_spec_are_those_of_the_types() {
    let types = types();
    for (name, (size, fields)) in &types {
        let rows = rows(&format!("### `{name}`: {size} bytes"));
        let stated: Vec<_> = rows.iter().map(|row| (row[3], row[0].parse::<usize>().unwrap())).collect();
        assert_eq!(&stated[..], *fields, "{name}");
        let mut end = 0;
        for row in rows {
            let (at, len) = (row[0].parse::<usize>().unwrap(), row[1].parse::<usize>().unwrap());
            assert_eq!(at, end, "{name}.{}: a gap before it", row[3]);
            let of_type = if row[2].starts_with("[u8") { len } else { size_of_type(row[2], &types) };
            assert_eq!(len, of_type, "{name}.{}", row[3]);
            end = at + len;
        }
        assert_eq!(end, *size, "{name}");
    }
    let stated = SPEC.lines().filter(|line| line.starts_with("### `")).count();
    assert_eq!(stated, types.len(), "a layout of the spec has no type");
}

#[test]
fn the_numbers_of_the_spec_are_those_of_the_constants() {
    let stated = |heading: &str| -> Vec<(u64, &str)> {
        rows(heading).into_iter().map(|row| (row[0].parse().unwrap(), row[1])).collect()
    };
    let records: Vec<_> = RecordType::ALL.iter().map(|kind| (u64::from(kind.0), kind.name().unwrap())).collect();
    assert_eq!(stated("## Record types"), records);
    let numbers: Vec<_> = records.iter().map(|(number, _)| *number).collect();
    assert!(numbers.iter().copied().eq((1..=22).chain(64..=86)));

    let bits = |names: &[(u64, &'static str)]| -> Vec<(u64, &str)> {
        names.iter().map(|&(bit, name)| (u64::from(bit.trailing_zeros()), name)).collect()
    };
    let fields: Vec<_> = SampleType::NAMES.iter().map(|&(field, name)| (field.0, name)).collect();
    assert_eq!(stated("## sample_type bits"), bits(&fields));
    let flags: Vec<_> = AttrFlags::NAMES.iter().map(|&(flag, name)| (flag.0, name)).collect();
    assert_eq!(stated("### Flags of `raw_flags`"), bits(&flags));
    assert_eq!(AttrFlags::NAMESPACES.0, 1 << 28);
    let sizes = ATTR_SIZES.map(|size| size.to_string());
    let (last, most) = sizes.split_last().unwrap();
    assert!(SPEC.contains(&format!("{} or {last}.", most.join(", "))));

    let features = stated("### Features");
    assert!(features.len() > 30);
    for (number, name) in features {
        assert_eq!(Feature(number as u16).name(), Some(name));
    }
    let ring = [
        (mmap_page::DATA_HEAD, "data_head"),
        (mmap_page::DATA_TAIL, "data_tail"),
        (mmap_page::DATA_OFFSET, "data_offset"),
        (mmap_page::DATA_SIZE, "data_size"),
    ];
    let stated: Vec<_> = rows("## The mmap ring").into_iter().map(|row| (row[0].parse().unwrap(), row[3])).collect();
    assert_eq!(stated, ring);
}
