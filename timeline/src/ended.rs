//! Tasks that ended and are only counted, by the sequence of their memberships: storms repeat the same few. Not here:
//! tasks that still run.

use crate::intern::Interner;
use crate::registry::NONE;
use crate::task::{Since, Task};
use alloc::vec::Vec;

/// How many names are kept of tasks of one kind.
const NAMES: usize = 64;

/// The tasks that went the same way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) tasks: u64,
    pub(crate) processes: u64,
    /// Their memberships, in order.
    pub(crate) memberships: Vec<u32>,
    /// For each of those: first and last time any of them was there, ns; and whether that began in the recording for
    /// the first.
    pub(crate) stays: Vec<(u64, u64, bool)>,
    /// As [`Task::born`] and [`Task::ran`], with the time of the first of them.
    pub(crate) born: u32,
    pub(crate) ran: Vec<(u64, u32)>,
    /// Names: when the first of them had it, which, and how many of `ran` were behind.
    pub(crate) names: Vec<(u64, u32, u32)>,
}

/// Counts of tasks by the sequence of their memberships (numbers of the timeline's), and where they started programs.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    ways: Interner<Vec<u32>>,
    /// Of each way, by number.
    groups: Vec<Group>,
    tasks: u64,
}

impl Ended {
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// The groups, by number.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn group(&self, number: u32) -> &Group {
        &self.groups[number as usize]
    }

    /// A task that had these memberships, each from and until when, ns. `memberships` is changed.
    pub(crate) fn add(&mut self, memberships: &mut Vec<u32>, stays: impl Iterator<Item = (u64, u64)>, task: &Task) {
        self.tasks += 1;
        let len = memberships.len();
        // No membership has this number.
        memberships.extend([NONE, task.born]);
        memberships.extend(task.ran.iter().map(|&(_, membership)| membership));
        let number = self.ways.intern(memberships.as_slice()) as usize;
        if number == self.groups.len() {
            self.groups.push(Group {
                memberships: memberships[..len].to_vec(),
                stays: (0..len).map(|_| (u64::MAX, 0, false)).collect(),
                born: task.born,
                ran: task.ran.clone(),
                ..Group::default()
            });
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
        for (known, &(time, _)) in group.ran.iter_mut().zip(&task.ran) {
            known.0 = known.0.min(time);
        }
        for &Since { time, value, .. } in &task.names {
            let ran = task.ran.iter().filter(|&&(at, _)| at <= time).count() as u32;
            let known = group.names.iter().any(|&(_, name, phase)| (name, phase) == (value, ran));
            if !known && group.names.len() < NAMES {
                group.names.push((time, value, ran));
            }
        }
    }
}
