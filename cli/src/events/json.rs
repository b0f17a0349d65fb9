//! One JSON object a line.

use super::print::{Context, Print};
use nsscope_codec::perf_data::Session;
use nsscope_codec::perf_data::tracing::Field;
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec::{Endian, Order, RawRecord, Record};
use serde_json::{Map, Value, json};

pub(crate) struct Json;

impl Print for Json {
    const SAMPLES: bool = true;

    fn event<O: Order>(
        &mut self,
        context: &mut Context,
        session: &Session,
        record: &RawRecord<'_, O>,
        out: &mut Vec<u8>,
    ) {
        let Some(mut event) = object(context, session, record) else { return };
        if let Some(seen) = &context.seen {
            event.insert("container".into(), seen.container.clone().into());
            event.insert("container_name".into(), seen.name.clone().into());
            if !event.contains_key("comm") {
                event.insert("comm".into(), seen.comm.clone().into());
            }
        }
        out.extend_from_slice(Value::Object(event).to_string().as_bytes());
        out.push(b'\n');
    }
}

/// A record as an object; `None` where it cannot be read.
fn object<O: Order>(context: &mut Context, session: &Session, record: &RawRecord<'_, O>) -> Option<Map<String, Value>> {
    let id = session.sample_id(record);
    let parsed = record.parse().ok()?;
    let mut event = Map::new();
    event.insert("kind".into(), record.kind().to_string().to_lowercase().into());
    let time = known_time(id.time);
    event.insert("time".into(), time.into());
    if let Some(wall) = time.and_then(|time| session.wall_clock(time)) {
        event.insert("wall".into(), crate::time::rfc3339(wall).into());
    }
    event.insert("cpu".into(), id.cpu.into());
    let mut put = |fields: Value| {
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
    };
    match parsed {
        Record::Namespaces(ns) => {
            let link = |(index, &link): (usize, &_)| {
                let NsId { dev, ino } = NsId::from(link);
                let name = NsKind::RECORDED.get(index).map_or_else(|| index.to_string(), |kind| kind.name().into());
                (name, json!({ "dev": dev, "ino": ino }))
            };
            let namespaces: Map<_, _> = ns.links.iter().enumerate().map(link).collect();
            put(json!({ "pid": ns.pid(), "tid": ns.tid(), "by_tid": id.tid, "namespaces": namespaces }));
        }
        Record::Comm(comm) => put(json!({
            "pid": comm.fixed.pid.get(), "tid": comm.fixed.tid.get(),
            "comm": String::from_utf8_lossy(comm.comm), "exec": record.misc() & MISC_COMM_EXEC != 0,
        })),
        Record::Fork(task) | Record::Exit(task) => put(json!({
            "pid": task.pid.get(), "tid": task.tid.get(), "ppid": task.ppid.get(), "ptid": task.ptid.get(),
            "synthesized": record.misc() & MISC_FORK_EXEC != 0,
        })),
        Record::Cgroup(cgroup) => {
            put(json!({ "id": cgroup.fixed.id.get(), "path": String::from_utf8_lossy(cgroup.path) }));
        }
        Record::Lost(lost) => put(json!({ "lost": lost.lost.get() })),
        Record::LostSamples(lost) => put(json!({ "lost": lost.lost.get() })),
        Record::Switch | Record::SwitchCpuWide(_) => {
            let leaves = record.misc() & MISC_SWITCH_OUT != 0;
            put(json!({
                "pid": id.pid, "tid": id.tid, "out": leaves,
                "preempted": leaves && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0,
            }));
            if let Record::SwitchCpuWide(other) = parsed {
                put(json!({ "other_pid": other.next_prev_pid.get(), "other_tid": other.next_prev_tid.get() }));
            }
        }
        Record::Sample => {
            let sampled = session.event_of(record)?;
            let sample = sampled.sample.parse(record).ok()?;
            put(json!({ "event": context.event_name(session, sampled), "pid": sample.pid, "tid": sample.tid }));
            for (name, value) in [("ip", sample.ip), ("period", sample.period), ("cgroup", sample.cgroup)] {
                if let Some(value) = value {
                    put(json!({ name: value }));
                }
            }
            let big = O::ENDIAN == Endian::Big;
            if let (Some(printer), Some(raw)) = (context.tracepoint(session, sampled), sample.raw) {
                let mut fields = Map::new();
                for field in printer.format.own_fields() {
                    let value = match field.text(raw, big).filter(|_| field.is_data_loc()) {
                        Some(text) => String::from_utf8_lossy(text).into(),
                        None => array(field, raw, big).unwrap_or_else(|| number(field, raw, big)),
                    };
                    fields.insert(field.name.clone(), value);
                }
                put(json!({ "fields": fields }));
            }
        }
        _ => {}
    }
    Some(event)
}

fn number(field: &Field, raw: &[u8], big: bool) -> Value {
    let number = field.number(raw, big);
    if field.signed { number.map(|number| number as i64).into() } else { number.into() }
}

/// The numbers of an array such as `unsigned int pids[9]`, or the text of one of characters.
fn array(field: &Field, raw: &[u8], big: bool) -> Option<Value> {
    let (kind, count) = field.declaration.split_once('[')?;
    let count: usize = count.strip_suffix(']')?.parse().ok().filter(|&count| count > 0)?;
    if kind.starts_with("char ") {
        let text = raw.get(field.offset..)?.get(..count)?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        return Some(String::from_utf8_lossy(text).into());
    }
    let size = field.size / count;
    let one = |at| number(&Field { offset: field.offset + at * size, size, ..field.clone() }, raw, big);
    Some((0..count).map(one).collect())
}
