//! The events that a recording has, as its file describes them. Not here: rings and file descriptors.

use crate::clock::CLOCK;
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_CPU_CLOCK, CONFIG_DUMMY, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use nsscope_codec::{Native, synthetic};

/// An event as the file describes it.
#[derive(Debug)]
pub struct EventDesc {
    /// Its `perf_event_attr`.
    pub attr: Attr<Native>,
    /// Its name, such as `cgroup:cgroup_mkdir`.
    pub name: String,
    /// Ids of its instances, one for each CPU: its records carry one of them.
    pub ids: Vec<u64>,
}

/// What every event of ours puts into its records' trailers.
const SAMPLE_TYPE: SampleType =
    SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0 | SampleType::IDENTIFIER.0);

/// The side-band event as a file describes it.
pub(crate) fn side_band(attr: Attr<Native>, ids: Vec<u64>) -> EventDesc {
    EventDesc { attr, name: "dummy:u".into(), ids }
}

/// The side-band event: counts nothing, carries the records.
pub(crate) fn side_band_attr(switches: bool) -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.sample_type.set(SAMPLE_TYPE.0);
    attr.set_flags(
        AttrFlags::DISABLED
            | AttrFlags::INHERIT
            | AttrFlags::COMM
            | AttrFlags::COMM_EXEC
            | AttrFlags::TASK
            | AttrFlags::SAMPLE_ID_ALL
            | AttrFlags::NAMESPACES
            | AttrFlags::CGROUP
            | AttrFlags::EXCLUDE_KERNEL
            | AttrFlags::EXCLUDE_HV
            | AttrFlags::USE_CLOCKID,
    );
    if switches {
        attr.set_flags(attr.flags() | AttrFlags::CONTEXT_SWITCH);
    }
    attr.clockid.set(CLOCK as i32);
    attr
}

/// A sample of what runs, so often a second.
pub(crate) fn clock_attr(frequency: u32) -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_CPU_CLOCK);
    attr.sample_type.set((SAMPLE_TYPE | SampleType::IP | SampleType::PERIOD | SampleType::CGROUP).0);
    attr.sample_period.set(u64::from(frequency));
    attr.set_flags(
        AttrFlags::DISABLED | AttrFlags::INHERIT | AttrFlags::FREQ | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID,
    );
    attr.clockid.set(CLOCK as i32);
    attr
}

/// A tracepoint, by its id in tracefs.
pub(crate) fn tracepoint_attr(id: u64) -> Attr<Native> {
    let mut attr = Attr::<Native>::new(TYPE_TRACEPOINT, id);
    attr.sample_type.set((SAMPLE_TYPE | SampleType::RAW).0);
    attr.sample_period.set(1);
    attr.set_flags(AttrFlags::DISABLED | AttrFlags::SAMPLE_ID_ALL | AttrFlags::USE_CLOCKID);
    attr.clockid.set(CLOCK as i32);
    attr
}

/// Id of the samples of a synthesized event. The kernel counts its ids up from small numbers.
pub(crate) fn synthetic_id(event: synthetic::Event) -> u64 {
    u64::MAX - (1 << 16) + event.id
}

/// The synthesized events.
pub(crate) fn synthetic_events() -> impl Iterator<Item = EventDesc> {
    synthetic::EVENTS.into_iter().map(|event| EventDesc {
        attr: tracepoint_attr(event.id),
        name: event.name.into(),
        ids: vec![synthetic_id(event)],
    })
}

/// The events of a recording that is synthesized altogether.
pub(crate) fn without_kernel() -> Vec<EventDesc> {
    let side_band = side_band(side_band_attr(false), vec![1]);
    std::iter::once(side_band).chain(synthetic_events()).collect()
}

/// The id that synthesized records of the kernel's types carry: that of the first event.
pub(crate) fn first_id(described: &[EventDesc]) -> u64 {
    described.first().and_then(|event| event.ids.first()).copied().unwrap_or(0)
}

/// The trailer of the records.
pub(crate) fn layout(described: &[EventDesc]) -> SampleIdLayout {
    SampleIdLayout::new(SampleType(described.first().map_or(0, |event| event.attr.sample_type.get())))
}
