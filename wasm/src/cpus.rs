//! The lanes of the CPUs as memory that the page reads. Not here: what is drawn and added up of them, which is the page's.

use crate::lanes::NOWHERE;
use crate::model::Kind;
use crate::trace::Trace;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Trace {
    /// For each CPU by its number: how many switches it has, where their times are in the module's memory, in bytes
    /// (`new Float64Array(memory.buffer, at, count)`, ns of the recording's clock), and where there are two words for
    /// each, the thread's id and its membership (`Uint32Array`). Valid until the next call of anything here.
    ///
    /// A thread runs from its time to the next. Id 0 is the idle task, 2^32-1 one that has ended, 2^32-2 says that records
    /// are missing. To other ids 2^30 is added where the thread before would have run on.
    pub fn lanes(&self) -> Vec<u32> {
        let lanes = self.known().lanes.cpus.iter();
        lanes.flat_map(|(times, who)| [times.len() as u32, times.as_ptr() as u32, who.as_ptr() as u32]).collect()
    }

    /// The wake-ups, in order, as [`lanes`](Self::lanes) has a CPU's switches: of the two words for each, the second is the
    /// CPU's number. Valid until the next call of anything here.
    pub fn wakeups(&self) -> Vec<u32> {
        let (times, who) = &self.known().lanes.wakeups;
        vec![times.len() as u32, times.as_ptr() as u32, who.as_ptr() as u32]
    }

    /// When the recording began, ns of its clock.
    pub fn begin(&self) -> f64 {
        self.span().0 as f64
    }

    /// What a membership is, two words: the row of the container, 2^32-1 where it is none's, and the number that spans give its
    /// namespaces, 0 where they are not known.
    pub fn membership(&self, membership: u32) -> Vec<u32> {
        if membership == NOWHERE {
            return vec![NOWHERE, 0];
        }
        let timeline = &self.known().timeline;
        let mut keys = timeline.keys(&self.definition);
        let key = keys.of_membership(membership);
        let containers = &self.model.selection.containers;
        let row = self.rows_of(Kind::Container).find(|&(of, _)| Some(keys.number(&containers[of].key)) == key);
        vec![row.map_or(NOWHERE, |(_, row)| row), timeline.sets_of_membership(membership).0.map_or(0, |set| set + 1)]
    }

    /// The row of a thread, or of its process where it has none of its own, that lived at a time (ns since the beginning).
    pub fn thread(&self, tid: u32, time: f64) -> Option<u32> {
        let timeline = &self.known().timeline;
        let at = time as u64 + self.span().0;
        let lived = |index: usize| {
            let task = timeline.task_at(index);
            task.tid == tid && task.start <= at && task.end.is_none_or(|end| end >= at)
        };
        let thread = self.rows_of(Kind::Thread).find(|&(of, _)| lived(of));
        let process = || self.rows_of(Kind::Process).find(|&(of, _)| lived(self.model.processes[of].leader));
        thread.or_else(process).map(|(_, row)| row)
    }
}
