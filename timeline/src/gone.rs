//! Tasks that ended and are only counted, by the sequence of places they were in: storms repeat the same few.

use crate::{Interner, Since, Task};
use alloc::vec::Vec;

/// How many names are kept of tasks of one kind.
const NAMES: usize = 64;

/// The tasks that went the same way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) tasks: u64,
    pub(crate) processes: u64,
    /// For each place of the sequence: first and last time any of them was there, ns; and whether that began in the
    /// recording for the first.
    pub(crate) stays: Vec<(u64, u64, bool)>,
    /// Names, and when the first of them had it.
    pub(crate) names: Vec<(u64, u32)>,
}

/// Counts of tasks by the sequence of their places (numbers of the timeline's).
#[derive(Debug, Default)]
pub(crate) struct Gone {
    ways: Interner<Vec<u32>>,
    /// Of each way, by number.
    groups: Vec<Group>,
    tasks: u64,
}

impl Gone {
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// The groups by number, each with its places.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Vec<u32>, &Group)> {
        self.ways.values().iter().zip(&self.groups)
    }

    pub(crate) fn group(&self, number: u32) -> &Group {
        &self.groups[number as usize]
    }

    /// A task that was in these places, each with when it came and when it left, ns.
    pub(crate) fn add(&mut self, places: &[u32], stays: impl Iterator<Item = (u64, u64)>, task: &Task) {
        self.tasks += 1;
        let number = self.ways.intern(places) as usize;
        if number == self.groups.len() {
            let stays = places.iter().map(|_| (u64::MAX, 0, false)).collect();
            self.groups.push(Group { stays, ..Group::default() });
        }
        let group = &mut self.groups[number];
        group.tasks += 1;
        group.processes += u64::from(task.leads());
        for (position, (known, (from, to))) in group.stays.iter_mut().zip(stays).enumerate() {
            if from < known.0 {
                *known = (from, known.1, task.start_exact || position > 0);
            }
            known.1 = known.1.max(to);
        }
        for &Since { time, value, .. } in &task.names {
            if group.names.len() < NAMES && group.names.iter().all(|&(_, known)| known != value) {
                group.names.push((time, value));
            }
        }
    }
}
