//! The metadata of a recording: perf.data's feature sections. Not here: the layouts of the sections, which are the
//! codec's.

use crate::clock::{self, CLOCK};
use crate::events::EventDesc;
use crate::machine;
use crate::tracefs::Tracepoint;
use nsscope_codec::perf_data::{Feature, tracing};
use nsscope_codec::wire::attr::Attr;
use nsscope_codec::{Native, synthetic};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use zerocopy::IntoBytes;

/// Sections in ascending order, as the file wants them.
pub(crate) fn sections(described: &[EventDesc], tracepoints: &[Tracepoint]) -> Vec<(Feature, Vec<u8>)> {
    let uname = rustix::system::uname();
    let version = concat!("nsscope ", env!("CARGO_PKG_VERSION"));
    vec![
        (Feature::TRACING_DATA, tracing_data(tracepoints)),
        (Feature::HOSTNAME, text(uname.nodename().to_bytes())),
        (Feature::OSRELEASE, text(uname.release().to_bytes())),
        (Feature::VERSION, text(version.as_bytes())),
        (Feature::ARCH, text(uname.machine().to_bytes())),
        (Feature::NRCPUS, cpus()),
        (Feature::CMDLINE, command_line()),
        (Feature::EVENT_DESC, event_desc(described)),
        (Feature::SAMPLE_TIME, sample_time(None)),
        (Feature::CLOCKID, clock_resolution()),
        (Feature::CLOCK_DATA, clock_data()),
    ]
}

/// `u64` first and last time, ns.
pub(crate) fn sample_time(span: Option<(u64, u64)>) -> Vec<u8> {
    let (first, last) = span.unwrap_or_default();
    [first.to_ne_bytes(), last.to_ne_bytes()].concat()
}

fn tracing_data(tracepoints: &[Tracepoint]) -> Vec<u8> {
    let mut kernel: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for tracepoint in tracepoints {
        kernel.entry(&tracepoint.format.system).or_default().push(&tracepoint.text);
    }
    let own = synthetic::EVENTS.map(|event| event.format);
    let mut systems: Vec<(&str, &[&str])> = kernel.iter().map(|(system, texts)| (*system, texts.as_slice())).collect();
    systems.push((synthetic::SYSTEM, &own));
    tracing::write(machine::page_size() as u32, &systems)
}

/// `u32 len; char[len]`, NUL-terminated and padded to 64 bytes as perf does (`NAME_ALIGN`).
fn text(text: &[u8]) -> Vec<u8> {
    let len = (text.len() + 1).next_multiple_of(64);
    let mut out = (len as u32).to_ne_bytes().to_vec();
    out.extend_from_slice(text);
    out.resize(4 + len, 0);
    out
}

fn cpus() -> Vec<u8> {
    let count = |name| std::fs::read_dir(name).map_or(0, |entries| entries.flatten().filter(is_cpu).count() as u32);
    let online = machine::online_cpus().map_or(1, |cpus| cpus.len() as u32);
    let configured = count("/sys/devices/system/cpu").max(online);
    [configured.to_ne_bytes(), online.to_ne_bytes()].concat()
}

fn is_cpu(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_str().and_then(|name| name.strip_prefix("cpu")).is_some_and(|n| n.parse::<u32>().is_ok())
}

fn command_line() -> Vec<u8> {
    let args: Vec<_> = std::env::args_os().collect();
    let mut out = (args.len() as u32).to_ne_bytes().to_vec();
    for arg in &args {
        out.extend(text(arg.as_bytes()));
    }
    out
}

/// `u32 count, attr_size; { attr; u32 nr_ids; string; u64 ids[] } [count]`.
fn event_desc(described: &[EventDesc]) -> Vec<u8> {
    let mut out = (described.len() as u32).to_ne_bytes().to_vec();
    out.extend((size_of::<Attr<Native>>() as u32).to_ne_bytes());
    for event in described {
        out.extend(event.attr.as_bytes());
        out.extend((event.ids.len() as u32).to_ne_bytes());
        out.extend(text(event.name.as_bytes()));
        out.extend(event.ids.iter().flat_map(|id| id.to_ne_bytes()));
    }
    out
}

fn clock_resolution() -> Vec<u8> {
    let resolution = rustix::time::clock_getres(CLOCK);
    (resolution.tv_sec as u64 * 1_000_000_000 + resolution.tv_nsec as u64).to_ne_bytes().to_vec()
}

/// `u32` version 1, `u32` clockid, `u64` wall clock ns, `u64` the same moment in our clock.
fn clock_data() -> Vec<u8> {
    // The pair read with the least between them is the best of a few.
    let pairs = (0..8).map(|_| {
        let before = clock::now();
        let wall = clock::wall_clock();
        let after = clock::now();
        (after - before, wall, before + (after - before) / 2)
    });
    let (_, wall, clock) = pairs.min().unwrap_or_default();
    let mut out = 1u32.to_ne_bytes().to_vec();
    out.extend((CLOCK as u32).to_ne_bytes());
    out.extend(wall.to_ne_bytes());
    out.extend(clock.to_ne_bytes());
    out
}
