//! The table `events`: a row for each record of the kernel. Not here: what is known once the capture is over.

use crate::follow::Follow;
use crate::table::{Rows, Value, table};
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{
    MISC_COMM_EXEC, MISC_FORK_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT, RecordType,
};
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Order, RawRecord, Record};
use std::borrow::Cow;
use std::io;

/// Writes the table `events`.
pub struct Events<'o> {
    follow: Follow,
    rows: Box<dyn Rows + 'o>,
    written: u64,
}

/// A row by name, most of whose columns are null.
#[derive(Default)]
struct Row<'a> {
    cpu: Option<u32>,
    pid: Option<u32>,
    tid: Option<u32>,
    ppid: Option<u32>,
    namespaces: [Option<u64>; 7],
    path: Option<Cow<'a, str>>,
    other_tid: Option<u32>,
    out: Option<bool>,
    preempted: Option<bool>,
    event: Option<&'a str>,
    period: Option<u64>,
    lost: Option<u64>,
}

impl<'o> Events<'o> {
    /// Writes to `rows`, which are of the table `events`.
    pub fn new(follow: Follow, rows: Box<dyn Rows + 'o>) -> Self {
        Self { follow, rows, written: 0 }
    }

    /// Takes the next record of the capture; they have to come in the order of their times. Records that are not in the
    /// table, or cannot be read, are left out.
    ///
    /// # Errors
    /// Where the row cannot be written.
    pub fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        let seen = self.follow.take(session, record);
        let Ok(parsed) = record.parse() else { return Ok(()) };
        let id = session.sample_id(record);
        let (kind, row) = match parsed {
            // What a recorder says of those that ran before is no event.
            Record::Fork(_) if record.misc() & MISC_FORK_EXEC != 0 => return Ok(()),
            Record::Fork(task) | Record::Exit(task) => {
                let kind = if record.kind() == RecordType::FORK { "fork" } else { "exit" };
                let (pid, tid, ppid) = (task.pid.get(), task.tid.get(), task.ppid.get());
                (kind, Row { pid: Some(pid), tid: Some(tid), ppid: Some(ppid), ..Row::default() })
            }
            Record::Comm(comm) => {
                let kind = if record.misc() & MISC_COMM_EXEC == 0 { "comm" } else { "exec" };
                (kind, Row { pid: Some(comm.fixed.pid.get()), tid: Some(comm.fixed.tid.get()), ..Row::default() })
            }
            Record::Namespaces(ns) => {
                let mut row = Row { pid: Some(ns.pid()), tid: Some(ns.tid()), ..Row::default() };
                for (column, &link) in row.namespaces.iter_mut().zip(ns.links.iter()) {
                    *column = Some(NsId::from(link).ino);
                }
                ("namespaces", row)
            }
            Record::Cgroup(cgroup) => {
                ("cgroup", Row { path: Some(String::from_utf8_lossy(cgroup.path)), ..Row::default() })
            }
            Record::Switch | Record::SwitchCpuWide(_) => {
                let out = record.misc() & MISC_SWITCH_OUT != 0;
                let other_tid = match parsed {
                    Record::SwitchCpuWide(other) => Some(other.next_prev_tid.get()),
                    _ => None,
                };
                let preempted = out && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
                let (out, preempted) = (Some(out), Some(preempted));
                ("switch", Row { pid: id.pid, tid: id.tid, other_tid, out, preempted, ..Row::default() })
            }
            Record::Sample => {
                let Some(event) = session.event_of(record) else { return Ok(()) };
                let Ok(sample) = event.sample.parse(record) else { return Ok(()) };
                let event = event.name.as_deref();
                ("sample", Row { pid: sample.pid, tid: sample.tid, event, period: sample.period, ..Row::default() })
            }
            Record::Lost(lost) => ("lost", Row { lost: Some(lost.lost.get()), ..Row::default() }),
            Record::LostSamples(lost) => ("lost", Row { lost: Some(lost.lost.get()), ..Row::default() }),
            _ => return Ok(()),
        };
        let row = Row { cpu: id.cpu, ..row };
        // A cgroup is made by somebody, and not in its maker's container.
        let seen = seen.filter(|_| kind != "cgroup" && kind != "lost");
        let comm = seen.as_ref().and_then(|seen| self.follow.comm(seen));
        let container = seen.as_ref().and_then(|seen| seen.container.as_ref()).map(nsscope_timeline::Key::id);
        let time = known_time(id.time);
        let mut values = vec![
            Value::Text(self.follow.host()),
            time.into(),
            time.and_then(|time| session.wall_clock(time)).map_or(Value::Null, Value::Time),
            row.cpu.into(),
            kind.into(),
            row.pid.into(),
            row.tid.into(),
            row.ppid.into(),
            comm.as_deref().into(),
            container.as_deref().into(),
        ];
        values.extend(row.namespaces.map(Value::from));
        values.extend::<[Value<'_>; 7]>([
            row.path.as_deref().into(),
            row.other_tid.into(),
            row.out.into(),
            row.preempted.into(),
            row.event.into(),
            row.period.into(),
            row.lost.into(),
        ]);
        debug_assert_eq!(values.len(), table("events").map_or(0, |table| table.columns.len()));
        self.written += 1;
        self.rows.row(&values)
    }

    /// There are no more. Returns how many rows were written.
    ///
    /// # Errors
    /// Where what is left cannot be written.
    pub fn finish(self) -> io::Result<u64> {
        self.rows.finish()?;
        Ok(self.written)
    }
}
