//! Tasks that ended and are only counted, by the sequence of places they were in: storms repeat the same few.

use crate::{Place, Since, Task};
use alloc::collections::{BTreeMap, BTreeSet};
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
    known: BTreeSet<u32>,
}

/// Counts of tasks by the sequence of their places (numbers of the timeline's).
#[derive(Debug, Default)]
pub(crate) struct Gone {
    groups: BTreeMap<Vec<u32>, Group>,
    tasks: u64,
}

impl Gone {
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Vec<u32>, &Group)> {
        self.groups.iter()
    }

    /// A task that stayed in `places`, from and to the times of `stays`.
    pub(crate) fn add(&mut self, places: Vec<u32>, stays: &[(Place, u64, u64)], task: &Task) {
        self.tasks += 1;
        let group = self.groups.entry(places).or_default();
        group.tasks += 1;
        group.processes += u64::from(task.leads());
        if group.stays.is_empty() {
            group.stays.extend(stays.iter().map(|_| (u64::MAX, 0, false)));
        }
        for (position, (known, &(_, from, to))) in group.stays.iter_mut().zip(stays).enumerate() {
            if from < known.0 {
                *known = (from, known.1, task.start_exact || position > 0);
            }
            known.1 = known.1.max(to);
        }
        for &Since { time, value, .. } in &task.names {
            if group.names.len() < NAMES && group.known.insert(value) {
                group.names.push((time, value));
            }
        }
    }
}
