//! `perf script`'s format, byte for byte, and with it perf's idea of which name a thread has
//! (`tools/perf/util/machine.c`, `thread.c`). Not here: which events are wanted.

use super::print::{Context, Print};
use nsscope_codec::perf_data::{Event, Session};
use nsscope_codec::wire::attr::{AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::wire::sample_id::{SampleId, SampleType};
use nsscope_codec::{Endian, Order, RawRecord, Record};
use rustc_hash::FxHashMap;
use std::io::Write;

#[derive(Debug, Default)]
pub(crate) struct Perf {
    threads: FxHashMap<u32, Thread>,
    /// Which fields lines begin with, by attr type; found with the first event.
    columns: Option<FxHashMap<u32, Columns>>,
    /// Width of the longest event name.
    name_width: usize,
}

#[derive(Debug)]
struct Thread {
    pid: u32,
    comm: Box<[u8]>,
    /// Whether the name comes from a record, not from the id.
    known: bool,
}

#[derive(Clone, Copy, Debug)]
struct Columns {
    tid: bool,
    cpu: bool,
    time: bool,
}

impl Perf {
    /// `machine__findnew_thread()`: by thread id alone.
    fn thread(&mut self, pid: u32, tid: u32) -> &mut Thread {
        let thread = self.threads.entry(tid).or_insert_with(|| {
            // perf knows the idle task from the start.
            let known = tid == 0;
            let comm = if known { "swapper".into() } else { format!(":{}", tid as i32) };
            Thread { pid, comm: comm.into_bytes().into(), known }
        });
        if thread.pid == u32::MAX {
            thread.pid = pid;
        }
        thread
    }

    /// `machine__process_fork_event()`: a new thread has its parent's name, if that is known.
    fn fork(&mut self, (pid, tid): (u32, u32), (ppid, ptid): (u32, u32)) {
        if self.thread(ppid, ptid).pid != ppid {
            self.threads.remove(&ptid);
        }
        let parent = self.thread(ppid, ptid);
        let comm = parent.known.then(|| parent.comm.clone());
        self.threads.remove(&tid);
        let thread = self.thread(pid, tid);
        if let Some(comm) = comm {
            *thread = Thread { pid, comm, known: true };
        }
    }

    fn columns(&mut self, session: &Session, kind: u32) -> Columns {
        let all = self.columns.get_or_insert_with(|| {
            let mut all: FxHashMap<u32, Columns> = FxHashMap::default();
            // perf looks at the first event of each type, and never at a dummy.
            let dummy =
                |event: &&Event| (event.attr.kind.get(), event.attr.config.get()) == (TYPE_SOFTWARE, CONFIG_DUMMY);
            for event in session.events().iter().filter(|event| !dummy(event)) {
                let has = |bit| event.sample.sample_type.has(bit);
                let (tid, cpu, time) = (has(SampleType::TID), has(SampleType::CPU), has(SampleType::TIME));
                all.entry(event.attr.kind.get()).or_insert(Columns { tid, cpu, time });
            }
            all
        });
        all.get(&kind).copied().unwrap_or(Columns { tid: true, cpu: true, time: true })
    }

    /// `perf_sample__fprintf_start()`.
    fn start(&mut self, (columns, width): (Columns, usize), (pid, tid): (u32, u32), id: &SampleId, out: &mut Vec<u8>) {
        let comm = &self.thread(pid, tid).comm;
        pad(width.saturating_sub(comm.len()), out);
        out.extend_from_slice(comm);
        out.push(b' ');
        if columns.tid {
            let start = out.len();
            signed(id.tid.unwrap_or(u32::MAX), out);
            right_align(start, 5, out);
            out.push(b' ');
        }
        if columns.cpu {
            let _ = write!(out, "[{:03}] ", id.cpu.unwrap_or(u32::MAX) as i32);
        }
        if columns.time {
            let time = id.time.unwrap_or(u64::MAX);
            let start = out.len();
            decimal(time / 1_000_000_000, out);
            out.push(b'.');
            let micros = time % 1_000_000_000 / 1000;
            let digits = [100_000, 10_000, 1_000, 100, 10, 1].map(|unit| b'0' + (micros / unit % 10) as u8);
            out.extend_from_slice(&digits);
            right_align(start, 12, out);
            out.extend_from_slice(b": ");
        }
    }
}

impl Print for Perf {
    const SAMPLES: bool = false;

    fn event<O: Order>(
        &mut self,
        context: &mut Context,
        session: &Session,
        record: &RawRecord<'_, O>,
        out: &mut Vec<u8>,
    ) {
        let Some(event) = session.event_of(record) else { return };
        let columns = self.columns(session, event.attr.kind.get());
        // perf does not align names where stacks follow the samples.
        let width = if event.sample.sample_type.has(SampleType::CALLCHAIN) { 0 } else { 16 };
        let columns = (columns, width);
        let mut id = session.sample_id(record);
        let own_ids = (id.pid.unwrap_or(u32::MAX), id.tid.unwrap_or(u32::MAX));
        // Without trailers perf takes what the record itself says.
        let without_trailer = !event.attr.flags().has(AttrFlags::SAMPLE_ID_ALL);
        let stand_in = |id: &mut SampleId, pid, tid, time| {
            if without_trailer {
                *id = SampleId { pid: Some(pid), tid: Some(tid), time: Some(time), cpu: Some(0), ..*id };
            }
        };
        let Ok(parsed) = record.parse() else { return };
        match parsed {
            Record::Namespaces(ns) => {
                let ids = (ns.pid(), ns.tid());
                stand_in(&mut id, ids.0, ids.1, 0);
                self.start(columns, ids, &id, out);
                out.extend_from_slice(b"PERF_RECORD_NAMESPACES ");
                signed(ids.0, out);
                out.push(b'/');
                signed(ids.1, out);
                out.extend_from_slice(b" - nr_namespaces: ");
                let count = ns.links.len();
                decimal(count as u64, out);
                out.extend_from_slice(b"\n\t\t[");
                for (index, link) in ns.links.iter().enumerate() {
                    if index > 0 && index % 4 == 0 {
                        out.extend_from_slice(b"\n\t\t ");
                    }
                    decimal(index as u64, out);
                    out.push(b'/');
                    out.extend_from_slice(NsKind::RECORDED.get(index).map_or("UNKNOWN", |kind| kind.name()).as_bytes());
                    out.extend_from_slice(b": ");
                    decimal(link.dev.get(), out);
                    out.push(b'/');
                    hex(link.ino.get(), out);
                    out.extend_from_slice(if index + 1 < count { b", " } else { b"]\n" });
                }
            }
            Record::Fork(fork) => {
                let (ids, parent) = ((fork.pid.get(), fork.tid.get()), (fork.ppid.get(), fork.ptid.get()));
                self.fork(ids, parent);
                stand_in(&mut id, ids.0, ids.1, fork.time.get());
                self.start(columns, ids, &id, out);
                task("FORK", ids, parent, out);
            }
            Record::Exit(exit) => {
                let (ids, parent) = ((exit.pid.get(), exit.tid.get()), (exit.ppid.get(), exit.ptid.get()));
                stand_in(&mut id, ids.0, ids.1, exit.time.get());
                self.start(columns, ids, &id, out);
                task("EXIT", ids, parent, out);
            }
            Record::Comm(comm) => {
                let ids = (comm.fixed.pid.get(), comm.fixed.tid.get());
                let thread = self.thread(ids.0, ids.1);
                thread.comm = comm.comm.into();
                thread.known = true;
                stand_in(&mut id, ids.0, ids.1, 0);
                self.start(columns, ids, &id, out);
                out.extend_from_slice(b"PERF_RECORD_COMM");
                if record.misc() & MISC_COMM_EXEC != 0 {
                    out.extend_from_slice(b" exec");
                }
                out.extend_from_slice(b": ");
                out.extend_from_slice(comm.comm);
                out.push(b':');
                signed(ids.0, out);
                out.push(b'/');
                signed(ids.1, out);
                out.push(b'\n');
            }
            Record::Cgroup(cgroup) => {
                stand_in(&mut id, own_ids.0, own_ids.1, 0);
                self.start(columns, own_ids, &id, out);
                out.extend_from_slice(b"PERF_RECORD_CGROUP cgroup: ");
                decimal(cgroup.fixed.id.get(), out);
                out.push(b' ');
                out.extend_from_slice(cgroup.path);
                out.push(b'\n');
            }
            Record::Lost(lost) => {
                stand_in(&mut id, own_ids.0, own_ids.1, 0);
                self.start(columns, own_ids, &id, out);
                out.extend_from_slice(b"PERF_RECORD_LOST lost ");
                decimal(lost.lost.get(), out);
                out.push(b'\n');
            }
            Record::Switch | Record::SwitchCpuWide(_) => {
                stand_in(&mut id, own_ids.0, own_ids.1, 0);
                self.start(columns, own_ids, &id, out);
                let other = match parsed {
                    Record::SwitchCpuWide(other) => Some((other.next_prev_pid.get(), other.next_prev_tid.get())),
                    _ => None,
                };
                switch(record.misc(), other, out);
            }
            Record::Sample => {
                if self.name_width == 0 {
                    let names = session.events().iter().map(|event| context.event_name(session, event).len());
                    self.name_width = names.max().unwrap_or(0);
                }
                let Ok(sample) = event.sample.parse(record) else { return };
                self.start(columns, own_ids, &id, out);
                let _ = write!(out, "{:>1$}: ", context.event_name(session, event), self.name_width);
                if let (Some(printer), Some(raw)) = (context.tracepoint(session, event), sample.raw) {
                    printer.print(raw, O::ENDIAN == Endian::Big, out);
                }
                out.push(b'\n');
            }
            _ => {}
        }
    }
}

/// `PERF_RECORD_SWITCH`, with the other task where the record has it (`perf_event__fprintf_switch()`).
fn switch(misc: u16, other: Option<(u32, u32)>, out: &mut Vec<u8>) {
    let leaves = misc & MISC_SWITCH_OUT != 0;
    out.extend_from_slice(if other.is_some() { b"PERF_RECORD_SWITCH_CPU_WIDE " } else { b"PERF_RECORD_SWITCH " });
    out.extend_from_slice(match (leaves, misc & MISC_SWITCH_OUT_PREEMPT != 0) {
        (false, _) => b"IN         ",
        (true, false) => b"OUT        ",
        (true, true) => b"OUT preempt",
    });
    if let Some((pid, tid)) = other {
        let which = if leaves { "next" } else { "prev" };
        let _ = write!(out, "  {which} pid/tid: {:>5}/{:<5}", pid as i32, tid as i32);
    }
    out.push(b'\n');
}

/// `PERF_RECORD_FORK(pid:tid):(ppid:ptid)`.
fn task(name: &str, (pid, tid): (u32, u32), (ppid, ptid): (u32, u32), out: &mut Vec<u8>) {
    out.extend_from_slice(b"PERF_RECORD_");
    out.extend_from_slice(name.as_bytes());
    out.push(b'(');
    signed(pid, out);
    out.push(b':');
    signed(tid, out);
    out.extend_from_slice(b"):(");
    signed(ppid, out);
    out.push(b':');
    signed(ptid, out);
    out.extend_from_slice(b")\n");
}

/// `%d` of a number the kernel has as `u32`.
fn signed(number: u32, out: &mut Vec<u8>) {
    if (number as i32) < 0 {
        out.push(b'-');
    }
    decimal(u64::from((number as i32).unsigned_abs()), out);
}

/// `%lu`.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `%#lx`, which has no prefix for 0.
fn hex(number: u64, out: &mut Vec<u8>) {
    if number == 0 {
        return out.push(b'0');
    }
    out.extend_from_slice(b"0x");
    let digits = 16 - number.leading_zeros() / 4;
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (digit * 4)) as usize & 15]);
    }
}

fn pad(count: usize, out: &mut Vec<u8>) {
    out.extend(std::iter::repeat_n(b' ', count));
}

/// Moves what was written from `start` on to the right, to be at least `width` wide.
fn right_align(start: usize, width: usize, out: &mut Vec<u8>) {
    let missing = width.saturating_sub(out.len() - start);
    if missing > 0 {
        pad(missing, out);
        out[start..].rotate_right(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_printf_has_them() {
        let text = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut out = vec![];
            f(&mut out);
            String::from_utf8(out).expect("ascii")
        };
        for number in [0, 1, 9, 10, 0xf000_0001, u64::MAX, 1 << 60] {
            assert_eq!(text(&|out| decimal(number, out)), number.to_string());
            let want = if number == 0 { "0".into() } else { format!("{number:#x}") };
            assert_eq!(text(&|out| hex(number, out)), want);
        }
        assert_eq!(text(&|out| signed(u32::MAX, out)), "-1");
        assert_eq!(text(&|out| signed(1 << 31, out)), "-2147483648");
        assert_eq!(
            text(&|out| {
                out.extend(b"ab");
                right_align(1, 4, out);
            }),
            "a   b"
        );
    }
}
