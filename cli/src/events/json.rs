//! One JSON object a line. Not here: which events are wanted.

use super::object::Object;
use super::print::{Context, Print};
use super::tracepoint::text_of;
use nsscope_codec::perf_data::Session;
use nsscope_codec::perf_data::tracing::Field;
use nsscope_codec::wire::attr::AttrFlags;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Endian, Order, RawRecord, Record};

/// Room for the objects of an event, which the next uses again.
#[derive(Debug, Default)]
pub(crate) struct Json {
    event: Object,
    inner: Object,
    innermost: Object,
}

impl Print for Json {
    const SAMPLES: bool = true;

    fn event<O: Order>(
        &mut self,
        context: &mut Context,
        session: &Session,
        record: &RawRecord<'_, O>,
        out: &mut Vec<u8>,
    ) {
        let whole = self.fill(context, session, record).is_some();
        if let Some(seen) = context.seen.as_ref().filter(|_| whole) {
            self.event.put("container", &seen.container);
            self.event.put("container_name", &seen.name);
            if !self.event.has("comm") {
                self.event.put("comm", &seen.comm);
            }
        }
        let before = out.len();
        self.event.write(out);
        out.push(b'\n');
        if !whole {
            out.truncate(before);
        }
    }
}

impl Json {
    /// Puts a record's fields into the event; `None` where it cannot be read.
    fn fill<O: Order>(&mut self, context: &mut Context, session: &Session, record: &RawRecord<'_, O>) -> Option<()> {
        let Self { event, inner, innermost } = self;
        let id = session.sample_id(record);
        let parsed = record.parse().ok()?;
        event.put("kind", record.kind().to_string().to_lowercase());
        let time = known_time(id.time);
        event.put("time", time);
        if let Some(wall) = time.and_then(|time| session.wall_clock(time)) {
            event.put("wall", crate::time::rfc3339(wall));
        }
        event.put("cpu", id.cpu);
        match parsed {
            Record::Namespaces(ns) => {
                event.put("pid", ns.pid());
                event.put("tid", ns.tid());
                event.put("by_tid", id.tid);
                // What the eighth is, only the event tells that asked for it.
                let time = ns.links.len() > NsKind::RECORDED.len()
                    && session.event_of(record).is_some_and(|event| event.attr.flags().has(AttrFlags::NAMESPACES_TIME));
                for (index, &link) in ns.links.iter().enumerate() {
                    let NsId { dev, ino } = NsId::from(link);
                    innermost.put("dev", dev);
                    innermost.put("ino", ino);
                    match NsKind::ALL.get(index).filter(|&&kind| time || kind != NsKind::Time) {
                        Some(kind) => inner.put_object(kind.name(), innermost),
                        None => inner.put_object(index.to_string(), innermost),
                    }
                }
                event.put_object("namespaces", inner);
            }
            Record::Comm(comm) => {
                event.put("pid", comm.fixed.pid.get());
                event.put("tid", comm.fixed.tid.get());
                event.put("comm", String::from_utf8_lossy(comm.comm));
                event.put("exec", record.misc() & MISC_COMM_EXEC != 0);
            }
            Record::Fork(task) | Record::Exit(task) => {
                event.put("pid", task.pid.get());
                event.put("tid", task.tid.get());
                event.put("ppid", task.ppid.get());
                event.put("ptid", task.ptid.get());
                event.put("synthesized", record.misc() & MISC_FORK_EXEC != 0);
            }
            Record::Cgroup(cgroup) => {
                event.put("id", cgroup.fixed.id.get());
                event.put("path", String::from_utf8_lossy(cgroup.path));
            }
            Record::Lost(lost) => event.put("lost", lost.lost.get()),
            Record::LostSamples(lost) => event.put("lost", lost.lost.get()),
            Record::Switch | Record::SwitchCpuWide(_) => {
                let leaves = record.misc() & MISC_SWITCH_OUT != 0;
                event.put("pid", id.pid);
                event.put("tid", id.tid);
                event.put("out", leaves);
                event.put("preempted", leaves && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0);
                if let Record::SwitchCpuWide(other) = parsed {
                    event.put("other_pid", other.next_prev_pid.get());
                    event.put("other_tid", other.next_prev_tid.get());
                }
            }
            Record::Sample => {
                let sampled = session.event_of(record)?;
                let sample = sampled.sample.parse(record).ok()?;
                event.put("event", context.event_name(session, sampled));
                event.put("pid", sample.pid);
                event.put("tid", sample.tid);
                for (name, value) in [("ip", sample.ip), ("period", sample.period), ("cgroup", sample.cgroup)] {
                    if let Some(value) = value {
                        event.put(name, value);
                    }
                }
                let big = O::ENDIAN == Endian::Big;
                if let (Some(printer), Some(raw)) = (context.tracepoint(session, sampled), sample.raw) {
                    for field in printer.format.own_fields() {
                        put_field(inner, field, raw, big);
                    }
                    event.put_object("fields", inner);
                }
            }
            _ => {}
        }
        Some(())
    }
}

/// A field of a tracepoint: its text, or the numbers of an array such as `unsigned int pids[9]`, or its number.
fn put_field(fields: &mut Object, field: &Field, raw: &[u8], big: bool) {
    let name = field.name.clone();
    if let Some(text) = text_of(field, raw, big) {
        return fields.put(name, String::from_utf8_lossy(text));
    }
    let number = |field: &Field| field.number(raw, big);
    let Some(count) = array_len(field) else {
        match number(field) {
            Some(number) if field.signed => fields.put(name, number as i64),
            number => fields.put(name, number),
        }
        return;
    };
    let size = field.size / count;
    let one = |at| number(&Field { offset: field.offset + at * size, size, ..field.clone() });
    let all = (0..count).map(one);
    if field.signed {
        fields.put(name, all.map(|number| number.map(|number| number as i64)).collect::<Vec<_>>());
    } else {
        fields.put(name, all.collect::<Vec<_>>());
    }
}

/// How many numbers an array has.
fn array_len(field: &Field) -> Option<usize> {
    let (_, count) = field.declaration.split_once('[')?;
    count.strip_suffix(']')?.parse().ok().filter(|&count| count > 0)
}
