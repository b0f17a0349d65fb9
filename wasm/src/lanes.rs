//! Which thread had which CPU from when on, and which would have run from when on: from context switches and wake-ups, in
//! order. Not here: what is made of it.

use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT, RecordType};
use nsscope_codec::{Order, RawRecord, Record};
use nsscope_timeline::{Timeline, Wakeup};

/// Switches and wake-ups that are kept, the first; the others are counted. 16 bytes each.
const SWITCHES: usize = 4_000_000;
/// CPUs that have lanes; Linux has 8192 at most.
const CPUS: usize = 8192;
/// No membership: the idle task, or one of which nothing is known.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// The thread id where records are missing: that of a thread that has ended is one more.
const MISSING: u32 = u32::MAX - 1;

/// Beside a thread's id: who left the CPU for it would have run on. Ids of threads are below.
const PREEMPTS: u32 = 1 << 30;

/// What was seen of the CPUs.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// For each CPU by its number: times in ns, and for each time thread id and membership.
    pub(crate) cpus: Vec<(Vec<f64>, Vec<u32>)>,
    /// Times in ns, and for each time thread id and CPU.
    pub(crate) wakeups: (Vec<f64>, Vec<u32>),
    kept: usize,
    pub(crate) left: u64,
}

/// Whether one more is kept.
fn keep(kept: &mut usize, left: &mut u64) -> bool {
    let keeps = *kept < SWITCHES;
    *kept += usize::from(keeps);
    *left += u64::from(!keeps);
    keeps
}

impl Lanes {
    /// Takes a wake-up.
    pub(crate) fn wakeup(&mut self, Wakeup { time, tid, cpu }: Wakeup) {
        if keep(&mut self.kept, &mut self.left) {
            self.wakeups.0.push(time as f64);
            self.wakeups.1.extend([tid, cpu]);
        }
    }

    /// Takes what a record says of a CPU.
    pub(crate) fn add<O: Order>(&mut self, timeline: &Timeline, session: &Session, record: &RawRecord<'_, O>) {
        // Most records are none of these: they are not looked into again.
        if !matches!(record.kind(), RecordType::SWITCH_CPU_WIDE | RecordType::LOST) {
            return;
        }
        let id = session.sample_id(record);
        let (Some(time), Some(cpu)) = (id.time, id.cpu) else { return };
        let tid = match record.parse() {
            Ok(Record::SwitchCpuWide(other)) if record.misc() & MISC_SWITCH_OUT != 0 => other.next_prev_tid.get(),
            Ok(Record::SwitchCpuWide(_)) => id.tid.unwrap_or(0),
            Ok(Record::Lost(_)) => MISSING,
            _ => return,
        };
        let cpu = cpu as usize;
        if cpu >= CPUS {
            return;
        }
        if self.cpus.len() <= cpu {
            self.cpus.resize_with(cpu + 1, Default::default);
        }
        let (times, who) = &mut self.cpus[cpu];
        // That one comes is mostly said by who leaves, too.
        if who.len() >= 2 && who[who.len() - 2] & !PREEMPTS == tid & !PREEMPTS {
            return;
        }
        if !keep(&mut self.kept, &mut self.left) {
            return;
        }
        times.push(time as f64);
        let preempts = tid < PREEMPTS && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
        who.extend([
            if preempts { tid | PREEMPTS } else { tid },
            timeline.task_of_tid(tid).map_or(NOWHERE, |(task, _)| timeline.membership_of(task)),
        ]);
    }
}
