//! Which thread had which CPU from when on, from context switches, as memory that the page reads. Not here: what is
//! drawn and added up of it, which is the page's.

use crate::model::Kind;
use crate::trace::Trace;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::{Order, RawRecord, Record};
use nsscope_timeline::Timeline;
use wasm_bindgen::prelude::*;

/// Switches that are kept, the first; the others are counted. 16 bytes each.
const SWITCHES: usize = 4_000_000;
/// CPUs that have lanes; Linux has 8192 at most.
const CPUS: usize = 8192;
/// No place: the idle task, or one of which nothing is known.
const NOWHERE: u32 = u32::MAX;
/// The thread id where records are missing: that of a thread that has ended is one more.
const MISSING: u32 = u32::MAX - 1;

/// Beside a thread's id: who left the CPU for it would have run on. Ids of threads are below.
const PREEMPTS: u32 = 1 << 30;

/// What was seen of the CPUs.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// For each CPU by its number: times in ns, and for each time thread id and place.
    cpus: Vec<(Vec<f64>, Vec<u32>)>,
    kept: usize,
    pub(crate) left: u64,
}

impl Lanes {
    /// Takes what a record says of a CPU.
    pub(crate) fn add<O: Order>(&mut self, timeline: &Timeline, session: &Session, record: &RawRecord<'_, O>) {
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
        if self.kept >= SWITCHES {
            self.left += 1;
            return;
        }
        self.kept += 1;
        times.push(time as f64);
        let preempts = tid < PREEMPTS && record.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
        who.extend([
            if preempts { tid | PREEMPTS } else { tid },
            timeline.current(tid).map_or(NOWHERE, |(task, _)| timeline.placement_of(task)),
        ]);
    }
}

#[wasm_bindgen]
impl Trace {
    /// For each CPU by its number: how many switches it has, where their times are in the module's memory, in bytes
    /// (`new Float64Array(memory.buffer, at, count)`, ns of the recording's clock), and where there are two words for
    /// each, the thread's id and its place (`Uint32Array`). Valid until the next call of anything here.
    ///
    /// A thread runs from its time to the next. Id 0 is the idle task, 2^32-1 one that has ended, 2^32-2 says that records
    /// are missing. To other ids 2^30 is added where the thread before would have run on.
    pub fn lanes(&self) -> Vec<u32> {
        let lanes = self.known().lanes.cpus.iter();
        lanes.flat_map(|(times, who)| [times.len() as u32, times.as_ptr() as u32, who.as_ptr() as u32]).collect()
    }

    /// When the recording began, ns of its clock.
    pub fn begin(&self) -> f64 {
        self.span().0 as f64
    }

    /// What a place is, two words: the row of the container, 2^32-1 where it is none's, and the number that spans give its
    /// namespaces, 0 where they are not known.
    pub fn place(&self, place: u32) -> Vec<u32> {
        if place == NOWHERE {
            return vec![NOWHERE, 0];
        }
        let timeline = &self.known().timeline;
        let mut keys = timeline.keys(&self.definition);
        let key = keys.of_placement(place);
        let containers = &self.model.selection.containers;
        let row = self.rows_of(Kind::Container).find(|&(of, _)| Some(keys.number(&containers[of].key)) == key);
        vec![row.map_or(NOWHERE, |(_, row)| row), timeline.at_placement(place).0.map_or(0, |set| set + 1)]
    }

    /// The row of a thread, or of its process where it has none of its own, that lived at a time (ns since the beginning).
    pub fn thread(&self, tid: u32, time: f64) -> Option<u32> {
        let timeline = &self.known().timeline;
        let at = time as u64 + self.span().0;
        let lived = |index: usize| {
            let task = timeline.at(index);
            task.tid == tid && task.start <= at && task.end.is_none_or(|end| end >= at)
        };
        let thread = self.rows_of(Kind::Thread).find(|&(of, _)| lived(of));
        let process = || self.rows_of(Kind::Process).find(|&(of, _)| lived(self.model.processes[of].leader));
        thread.or_else(process).map(|(_, row)| row)
    }
}
