//! The switches of the CPUs as memory that the page reads. Not here: what is drawn and added up of them, which is the page's.

use crate::lanes::{Lanes, NOWHERE};
use crate::model::Kind;
use crate::trace::Trace;
use nsscope_codec::{BigEndian, Endian, LittleEndian};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Trace {
    /// Takes the switches and wake-ups that came since this was called last, in order. Three words, which hold until anything
    /// here is called again: how many; where their times are in the module's memory, in bytes
    /// (`new Float64Array(memory.buffer, at, count)`, ns of the recording's clock); and where there are three words for each
    /// (`Uint32Array`): the CPU's number, the thread's id, its membership. Take after each [`push`](Self::push): of what is
    /// left here, four million are held.
    ///
    /// A thread runs on a CPU from its time to that CPU's next. Id 0 is the idle task, 2^32-1 one that has ended, 2^32-2 says
    /// that records are missing. To other ids 2^30 is added where the thread before would have run on; to the CPU's number
    /// 2^31 where the thread was only woken up, to run there.
    #[wasm_bindgen(js_name = takeSwitches)]
    pub fn take_switches(&mut self) -> Vec<u32> {
        self.taken = match &mut self.placed {
            Some(placed) => placed.ordered.visitor_mut().lanes.take(),
            None => self.facts.lanes.take(),
        };
        self.taken_at()
    }

    /// Where in the file the switches of which time are, once all was read: five numbers for each part of about a MiB that
    /// has some, the offset of the first and of the end of the last, in bytes, their earliest and their latest time, ns of
    /// the recording's clock, and how many there are. None where the records are compressed.
    #[wasm_bindgen(js_name = switchBlocks)]
    pub fn switch_blocks(&self) -> Vec<f64> {
        self.blocks.as_flattened().to_vec()
    }

    /// The switches among a part of the file's records, as [`take_switches`](Self::take_switches) gives them, but without
    /// memberships, and in order only for each CPU.
    #[wasm_bindgen(js_name = switchesOf)]
    pub fn switches_of(&mut self, records: &[u8]) -> Vec<u32> {
        let session = self.reader.session();
        let mut lanes = Lanes::default();
        match session.endian() {
            Some(Endian::Big) => lanes.read::<BigEndian>(session, records),
            _ => lanes.read::<LittleEndian>(session, records),
        }
        self.taken = lanes.take();
        self.taken_at()
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

impl Trace {
    fn taken_at(&self) -> Vec<u32> {
        let (times, words) = &self.taken;
        vec![times.len() as u32, times.as_ptr() as u32, words.as_ptr() as u32]
    }
}
