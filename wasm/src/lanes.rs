//! Which thread had which CPU from when on, and which would have run from when on: from context switches and wake-ups, in
//! order, for the page to take. Not here: what is made of it.

use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT, RecordType};
use nsscope_codec::{Order, RawRecord, Record, Records};
use nsscope_timeline::{Timeline, Wakeup};

/// Switches and wake-ups that are held until the page takes them; what comes beyond is dropped. 20 bytes each.
const HELD: usize = 4_000_000;
/// CPUs that have lanes; Linux has 8192 at most.
const CPUS: usize = 8192;
/// No membership: the idle task, or one of which nothing is known.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// The thread id where records are missing: that of a thread that has ended is one more.
const MISSING: u32 = u32::MAX - 1;

/// Beside a thread's id: who left the CPU for it would have run on. Ids of threads are below.
const PREEMPTS: u32 = 1 << 30;
/// Beside a CPU's number: the thread was woken up, and is to run there.
const WAKES: u32 = 1 << 31;

/// What was seen of the CPUs.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// ns.
    pub(crate) times: Vec<f64>,
    /// For each time CPU, thread id and membership.
    pub(crate) words: Vec<u32>,
    /// The thread that runs, by CPU.
    running: Vec<Option<u32>>,
}

impl Lanes {
    /// Gives what is held, and goes on.
    pub(crate) fn take(&mut self) -> (Vec<f64>, Vec<u32>) {
        (std::mem::take(&mut self.times), std::mem::take(&mut self.words))
    }

    fn hold(&mut self, time: u64, words: [u32; 3]) {
        if self.times.len() < HELD {
            self.times.push(time as f64);
            self.words.extend(words);
        }
    }

    /// Takes the switches among records that were read before; where their threads are is not told again.
    pub(crate) fn read<O: Order>(&mut self, session: &Session, bytes: &[u8]) {
        let nothing = Timeline::default();
        for record in Records::<O>::new(bytes, 0).map_while(Result::ok) {
            self.add(&nothing, session, &record);
        }
    }

    /// Takes a wake-up.
    pub(crate) fn wakeup(&mut self, Wakeup { time, tid, cpu }: Wakeup) {
        self.hold(time, [cpu | WAKES, tid, NOWHERE]);
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
        let index = cpu as usize;
        if index >= CPUS {
            return;
        }
        if self.running.len() <= index {
            self.running.resize(index + 1, None);
        }
        // That one comes is mostly said by who leaves, too.
        if self.running[index].replace(tid) == Some(tid) {
            return;
        }
        let preempts = tid < PREEMPTS && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
        let membership = timeline.task_of_tid(tid).map_or(NOWHERE, |(task, _)| timeline.membership_of(task));
        self.hold(time, [cpu, if preempts { tid | PREEMPTS } else { tid }, membership]);
    }
}
