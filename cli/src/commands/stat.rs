//! `nsscope stat`: what a capture holds, counted. Not here: what the records mean.

use crate::args;
use crate::deliver::Consumer;
use crate::error::{Outcome, note};
use crate::input;
use crate::json::print_json;
use crate::table::Style;
use crate::time::seconds;
use nsscope_codec::RecordCounts;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC, RecordType};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Order, RawRecord, Record};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Default)]
struct Counts {
    kinds: RecordCounts,
    span: Option<(u64, u64)>,
    lost: u64,
    unreadable: u64,
    execs: u64,
    synthesized: u64,
    namespaces: BTreeMap<NsKind, BTreeSet<NsId>>,
    /// Most records in any one second, and which.
    second: (u64, u64),
    busiest: (u64, u64),
}

impl Consumer for Counts {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.kinds.add(record.kind());
        if let Some(time) = known_time(session.time(record)) {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
            let second = time.saturating_sub(first) / 1_000_000_000;
            self.second = if second == self.second.0 { (second, self.second.1 + 1) } else { (second, 1) };
            if self.second.1 > self.busiest.1 {
                self.busiest = self.second;
            }
        }
        match record.parse() {
            Ok(Record::Namespaces(ns)) => {
                for (kind, &link) in NsKind::RECORDED.into_iter().zip(ns.links) {
                    let id = NsId::from(link);
                    if id.ino != 0 {
                        self.namespaces.entry(kind).or_default().insert(id);
                    }
                }
            }
            Ok(Record::Lost(lost)) => self.lost += lost.lost.get(),
            Ok(Record::LostSamples(lost)) => self.lost += lost.lost.get(),
            Ok(Record::Comm(_)) => self.execs += u64::from(record.misc() & MISC_COMM_EXEC != 0),
            Ok(Record::Fork(_)) => self.synthesized += u64::from(record.misc() & MISC_FORK_EXEC != 0),
            Ok(_) => {}
            Err(_) => self.unreadable += 1,
        }
        Ok(())
    }
}

pub(crate) fn run(args: &args::Stat) -> Outcome {
    let mut counts = Counts::default();
    input::read(args.input.path(), &mut counts)?;
    let (first, last) = counts.span.unwrap_or_default();
    let length = last - first;
    let rate = |count: u64| if length == 0 { 0.0 } else { count as f64 * 1e9 / length as f64 };
    let forks = counts.kinds.of(RecordType::FORK) - counts.synthesized;
    let kinds: BTreeMap<String, u64> = counts.kinds.counts().collect();
    if args.json {
        let kinds: BTreeMap<_, _> =
            kinds.iter().map(|(kind, &count)| (kind, json!({ "count": count, "per_second": rate(count) }))).collect();
        let namespaces: BTreeMap<_, _> = counts.namespaces.iter().map(|(kind, ids)| (kind.name(), ids.len())).collect();
        let document = json!({
            "first": first, "last": last, "seconds": length as f64 / 1e9, "kinds": kinds, "forks": forks,
            "running_before": counts.synthesized, "execs": counts.execs, "namespaces": namespaces, "lost": counts.lost,
            "unreadable_records": counts.unreadable,
            "busiest_second": { "second": counts.busiest.0, "records": counts.busiest.1 },
        });
        print_json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    let style = Style::of_stdout();
    let mut table = style.table(&["KIND", "RECORDS", "PER SECOND"]);
    for (kind, &count) in &kinds {
        table.add_row([kind.clone(), count.to_string(), format!("{:.1}", rate(count))]);
    }
    let total = counts.kinds.total();
    table.add_row(["all".into(), total.to_string(), format!("{:.1}", rate(total))]);
    writeln!(out, "{}\n", style.fitted(&mut table))?;
    writeln!(
        out,
        "{} s; at most {} records in a second (second {})",
        seconds(length),
        counts.busiest.1,
        counts.busiest.0
    )?;
    writeln!(out, "{forks} forks, {} execs, {} tasks that ran before", counts.execs, counts.synthesized)?;
    let namespaces = counts.namespaces.iter().map(|(kind, ids)| format!("{} {}", ids.len(), kind.name()));
    writeln!(out, "namespaces seen: {}", namespaces.collect::<Vec<_>>().join(", "))?;
    writeln!(out, "{} records lost", counts.lost)?;
    out.flush()?;
    if counts.unreadable > 0 {
        note(format_args!("{} records could not be read", counts.unreadable));
    }
    Ok(ExitCode::SUCCESS)
}
