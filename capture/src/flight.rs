//! The flight recorder: which facts the records tell that rings which are overwritten hold. Not here: the rings and the
//! file.

use crate::source::Source;
use crate::synth::Fact;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::sample::SampleFormat;
use nsscope_codec::{Native, RawRecord, Record, Records};
use std::collections::BTreeSet;

/// Which facts these records of a source tell, by thread.
pub(crate) fn facts_in(source: &dyn Source, records: &[u8]) -> BTreeSet<(u32, Fact)> {
    let attach = source.tracepoints().iter().find(|tracepoint| tracepoint.format.name == "cgroup_attach_task");
    let tid = attach.and_then(|tracepoint| tracepoint.format.field("pid"));
    let id = source.events().iter().find(|event| event.name == "cgroup:cgroup_attach_task");
    let layout = id.map(|event| SampleFormat::from(&event.attr));
    let moved = |record: &RawRecord<'_, Native>| {
        let sample = layout?.parse(record).ok()?;
        id?.ids.contains(&sample.id?).then_some(())?;
        Some(tid?.number(sample.raw?, cfg!(target_endian = "big"))? as u32)
    };
    let mut facts = BTreeSet::new();
    for record in Records::<Native>::new(records, 0).map_while(Result::ok) {
        if record.kind() == RecordType::SAMPLE {
            facts.extend(moved(&record).map(|tid| (tid, Fact::Cgroup)));
            continue;
        }
        facts.extend(match record.parse() {
            Ok(Record::Fork(task)) => Some((task.tid.get(), Fact::Birth)),
            Ok(Record::Comm(comm)) => Some((comm.fixed.tid.get(), Fact::Name)),
            Ok(Record::Namespaces(ns)) => Some((ns.tid(), Fact::Namespaces)),
            _ => None,
        });
    }
    facts
}
