//! The format for people: one line an event, times from the first, namespaces by what changed. Not here: which events
//! are wanted.

use super::print::{Context, Print};
use super::tracepoint::text_of;
use crate::safe::safe;
use nsscope_codec::perf_data::Session;
use nsscope_codec::perf_data::tracing::Format;
use nsscope_codec::synthetic;
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
    tasks: FxHashMap<u32, Task>,
}

#[derive(Clone, Debug, Default)]
struct Task {
    pid: u32,
    /// The cgroups that it was said to be in, the latest last. There is one for each hierarchy, most with the same path.
    cgroups: Vec<Vec<u8>>,
    /// What the kernel's record leaves out of its namespaces: its time namespace, and those for children.
    others: [u64; 3],
}

/// What is known of a thread. Until something says its process, it is its own.
fn task_of(tasks: &mut FxHashMap<u32, Task>, tid: u32) -> &mut Task {
    tasks.entry(tid).or_insert_with(|| Task { pid: tid, ..Task::default() })
}

/// So many hierarchies of cgroups there can be at most, and more.
const HIERARCHIES: usize = 32;

/// What a tracepoint says, for people.
enum Said {
    /// Of a thread.
    Of(u32, String),
    /// What was printed already.
    Again,
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

    /// What the tracepoints say that recordings of containers are full of. `None`: another one.
    fn tracepoint(&mut self, format: &Format, raw: &[u8], big: bool) -> Option<Said> {
        let number = |name| format.field(name)?.number(raw, big);
        let words = |name| text_of(format.field(name)?, raw, big);
        let mut cgroup = |verb: &str, path: &[u8], is_news: fn(&[Vec<u8>], &[u8]) -> bool| {
            let tid = number("pid")? as u32;
            let Task { cgroups, .. } = task_of(&mut self.tasks, tid);
            if !is_news(cgroups, path) {
                return Some(Said::Again);
            }
            if cgroups.len() == HIERARCHIES {
                cgroups.remove(0);
            }
            cgroups.push(path.to_vec());
            Some(Said::Of(tid, format!("cgroup     {verb} {}", safe(path))))
        };
        match (format.system.as_str(), format.name.as_str()) {
            // A hierarchy that nobody uses has all tasks in its root.
            (synthetic::SYSTEM, "task_cgroup") => cgroup("is in", words("path")?, |known, path| {
                known.is_empty() || (path != b"/" && !known.iter().any(|one| one == path))
            }),
            ("cgroup", "cgroup_attach_task") => {
                cgroup("moves to", words("dst_path")?, |known, path| known.last().is_none_or(|last| last != path))
            }
            (synthetic::SYSTEM, "task_namespaces") => {
                let titles = ["time", "for children time", "for children pid"];
                let now = [number("time")?, number("time_for_children")?, number("pid_for_children")?];
                let tid = number("pid")? as u32;
                let before = std::mem::replace(&mut task_of(&mut self.tasks, tid).others, now);
                let mut text = String::from("namespaces");
                for (title, (now, before)) in titles.into_iter().zip(now.into_iter().zip(before)) {
                    if now != before && now != 0 {
                        let _ = write!(text, " {title}:[{now}]");
                    }
                }
                Some(if now == before { Said::Again } else { Said::Of(tid, text) })
            }
            (synthetic::SYSTEM, "task_nspid") => {
                let pids = safe(words("nspid")?).split_whitespace().collect::<Vec<_>>().join(", ");
                Some(Said::Of(number("pid")? as u32, format!("pids       from outside in: {pids}")))
            }
            (synthetic::SYSTEM, "namespace") => {
                let (kind, ino, unique) = (words("type")?, number("ino")?, number("unique")?);
                let what = format!("namespaces {}:[{ino}] has the number {unique}", safe(kind));
                Some(Said::Of(number("pid")? as u32, what))
            }
            (synthetic::SYSTEM, "container") => {
                let [id, name, source] = [words("id")?, words("name")?, words("source")?].map(safe);
                Some(Said::Of(number("pid")? as u32, format!("container  {source} calls {id} {name}")))
            }
            _ => None,
        }
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
                self.tasks.entry(comm.fixed.tid.get()).or_default().pid = comm.fixed.pid.get();
                let verb = if record.misc() & MISC_COMM_EXEC == 0 { "is named" } else { "execs" };
                (comm.fixed.pid.get(), comm.fixed.tid.get(), format!("comm       {verb} {}", safe(comm.comm)))
            }
            Record::Fork(fork) => {
                let (tid, ptid) = (fork.tid.get(), fork.ptid.get());
                if let Some(name) = context.names.get(&ptid).cloned() {
                    context.names.entry(tid).or_insert(name);
                }
                // A child is in its parent's cgroups.
                let parent = self.tasks.get(&ptid).cloned().unwrap_or_default();
                self.tasks.insert(tid, Task { pid: fork.pid.get(), ..parent });
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
                let big = O::ENDIAN == Endian::Big;
                let (pid, tid) = (sample.pid.unwrap_or(0), sample.tid.unwrap_or(0));
                let printed = context.tracepoint(session, event).zip(sample.raw);
                let said = printed.and_then(|(printer, raw)| self.tracepoint(&printer.format, raw, big));
                match (said, printed) {
                    (Some(Said::Again), _) => return,
                    (Some(Said::Of(tid, what)), _) => (self.tasks.get(&tid).map_or(tid, |task| task.pid), tid, what),
                    (None, Some((printer, raw))) => {
                        let mut text = [printer.format.name.as_bytes(), b" "].concat();
                        printer.print(raw, big, &mut text);
                        (pid, tid, format!("{:<10} {}", printer.format.system, safe(&text)))
                    }
                    (None, None) => {
                        let name = context.event_name(session, event);
                        (pid, tid, format!("sample     {}", safe(name.as_bytes())))
                    }
                }
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
            self.tasks.remove(&tid);
        }
    }
}
