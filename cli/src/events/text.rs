//! The format for people: one line an event, times from the first, namespaces by what changed. Not here: which events
//! are wanted.

use super::print::{Context, Print};
use crate::safe::safe;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Endian, Order, RawRecord, Record};
use rustc_hash::FxHashMap;
use std::fmt::Write as _;
use std::io::Write;

#[derive(Debug, Default)]
pub(crate) struct Text {
    first: Option<u64>,
    namespaces: FxHashMap<u32, [NsId; 7]>,
}

impl Text {
    /// Times count from the first record that has one.
    fn time(&mut self, time: Option<u64>) -> String {
        match known_time(time) {
            Some(time) => crate::time::seconds(time.saturating_sub(*self.first.get_or_insert(time))),
            None => "-".into(),
        }
    }

    fn namespaces(&mut self, tid: u32, now: [NsId; 7]) -> String {
        let before = self.namespaces.insert(tid, now);
        let changed = |kind: &NsKind| before.is_none_or(|before| before[kind.index()] != now[kind.index()]);
        let mut text = String::new();
        for kind in NsKind::RECORDED.iter().filter(|kind| changed(kind)) {
            let _ = write!(text, " {}:[{}]", kind.name(), now[kind.index()].ino);
        }
        if text.is_empty() { " as before".into() } else { text }
    }
}

impl Print for Text {
    const SAMPLES: bool = true;

    fn event<O: Order>(
        &mut self,
        context: &mut Context,
        session: &Session,
        record: &RawRecord<'_, O>,
        out: &mut Vec<u8>,
    ) {
        let id = session.sample_id(record);
        let Ok(parsed) = record.parse() else { return };
        let (pid, tid, what) = match parsed {
            Record::Namespaces(ns) => {
                let now = std::array::from_fn(|i| ns.links.get(i).map_or(NsId::default(), |&link| link.into()));
                (ns.pid(), ns.tid(), format!("namespaces{}", self.namespaces(ns.tid(), now)))
            }
            Record::Comm(comm) => {
                context.names.insert(comm.fixed.tid.get(), comm.comm.to_vec());
                let verb = if record.misc() & MISC_COMM_EXEC == 0 { "is named" } else { "execs" };
                (comm.fixed.pid.get(), comm.fixed.tid.get(), format!("comm       {verb} {}", safe(comm.comm)))
            }
            Record::Fork(fork) => {
                let (tid, ptid) = (fork.tid.get(), fork.ptid.get());
                if let Some(name) = context.names.get(&ptid).cloned() {
                    context.names.entry(tid).or_insert(name);
                }
                if let Some(&parent) = self.namespaces.get(&ptid) {
                    self.namespaces.insert(tid, parent);
                }
                let verb = if record.misc() & MISC_FORK_EXEC == 0 { "begins, from" } else { "is there, from" };
                (fork.pid.get(), tid, format!("fork       {verb} {}/{ptid}", fork.ppid.get()))
            }
            Record::Exit(exit) => (exit.pid.get(), exit.tid.get(), "exit".into()),
            Record::Cgroup(cgroup) => (
                id.pid.unwrap_or(0),
                id.tid.unwrap_or(0),
                format!("cgroup     id {} is {}", cgroup.fixed.id.get(), safe(cgroup.path)),
            ),
            Record::Lost(lost) => (
                id.pid.unwrap_or(0),
                id.tid.unwrap_or(0),
                format!("lost       {} records are missing", lost.lost.get()),
            ),
            Record::LostSamples(lost) => (
                id.pid.unwrap_or(0),
                id.tid.unwrap_or(0),
                format!("lost       {} samples are missing", lost.lost.get()),
            ),
            Record::Switch | Record::SwitchCpuWide(_) => {
                let what = match (record.misc() & MISC_SWITCH_OUT != 0, record.misc() & MISC_SWITCH_OUT_PREEMPT != 0) {
                    (false, _) => "comes to the CPU",
                    (true, false) => "leaves the CPU",
                    (true, true) => "is preempted",
                };
                let other = match parsed {
                    Record::SwitchCpuWide(other) if record.misc() & MISC_SWITCH_OUT == 0 => {
                        format!(", after {}", other.next_prev_tid.get() as i32)
                    }
                    Record::SwitchCpuWide(other) => format!(", to {}", other.next_prev_tid.get() as i32),
                    _ => String::new(),
                };
                (id.pid.unwrap_or(0), id.tid.unwrap_or(0), format!("switch     {what}{other}"))
            }
            Record::Sample => {
                let Some(event) = session.event_of(record) else { return };
                let Ok(sample) = event.sample.parse(record) else { return };
                let mut text = Vec::new();
                let what = match (context.tracepoint(session, event), sample.raw) {
                    (Some(printer), Some(raw)) => {
                        text.extend_from_slice(printer.format.name.as_bytes());
                        text.push(b' ');
                        printer.print(raw, O::ENDIAN == Endian::Big, &mut text);
                        format!("{:<10} {}", printer.format.system, safe(&text))
                    }
                    _ => format!("sample     {}", safe(context.event_name(session, event).as_bytes())),
                };
                (sample.pid.unwrap_or(0), sample.tid.unwrap_or(0), what)
            }
            _ => return,
        };
        let time = self.time(id.time);
        let name = match tid {
            0 => "-".into(),
            _ => context.names.get(&tid).map_or_else(|| format!(":{tid}"), |name| safe(name)),
        };
        let cpu = id.cpu.filter(|&cpu| cpu != u32::MAX).map_or("-".into(), |cpu| cpu.to_string());
        if let Some(seen) = &context.seen {
            let _ = write!(out, "{:<20} ", seen.title());
        }
        let _ = writeln!(out, "{time:>12} {cpu:>3} {name:<16} {:>15} {what}", format!("{pid}/{tid}"));
        if matches!(parsed, Record::Exit(_)) {
            context.names.remove(&tid);
            self.namespaces.remove(&tid);
        }
    }
}
