//! `record --snapshot`: what rings that are overwritten hold.

use super::events::Events;
use super::synth::Fact;
use crate::error::Outcome;
use nsscope_codec::wire::header::RecordType;
use nsscope_codec::wire::sample::SampleFormat;
use nsscope_codec::{Native, RawRecord, Record, Records};
use std::collections::BTreeSet;

impl Events {
    /// The records in all rings, of each the oldest first.
    pub(super) fn latest(&mut self) -> Outcome<Vec<u8>> {
        let mut out = Vec::new();
        for (owner, ring) in &mut self.rings {
            let event = &self.open[*owner];
            event.pause_output(true)?;
            let available = ring.backward();
            let mut newest_first = [available.first, available.second].concat();
            newest_first.truncate(available.whole());
            event.pause_output(false)?;
            let records: Vec<RawRecord<'_, Native>> = Records::new(&newest_first, 0).map_while(Result::ok).collect();
            records.iter().rev().for_each(|record| out.extend_from_slice(record.bytes()));
        }
        Ok(out)
    }
}

/// Which facts the records of these events tell, by thread.
pub(super) fn told(events: &Events, records: &[u8]) -> BTreeSet<(u32, Fact)> {
    let attach = events.tracepoints.iter().find(|tracepoint| tracepoint.format.name == "cgroup_attach_task");
    let tid = attach.and_then(|tracepoint| tracepoint.format.field("pid"));
    let id = events.described.iter().find(|event| event.name == "cgroup:cgroup_attach_task");
    let layout = id.map(|event| SampleFormat::from(&event.attr));
    let moved = |record: &RawRecord<'_, Native>| {
        let sample = layout?.parse(record).ok()?;
        id?.ids.contains(&sample.id?).then_some(())?;
        Some(tid?.number(sample.raw?, cfg!(target_endian = "big"))? as u32)
    };
    let mut told = BTreeSet::new();
    for record in Records::<Native>::new(records, 0).map_while(Result::ok) {
        if record.kind() == RecordType::SAMPLE {
            told.extend(moved(&record).map(|tid| (tid, Fact::Cgroup)));
            continue;
        }
        told.extend(match record.parse() {
            Ok(Record::Fork(task)) => Some((task.tid.get(), Fact::Birth)),
            Ok(Record::Comm(comm)) => Some((comm.fixed.tid.get(), Fact::Name)),
            Ok(Record::Namespaces(ns)) => Some((ns.tid(), Fact::Namespaces)),
            _ => None,
        });
    }
    told
}
