//! Who is in a container, and since when: since a task of it started a program inside, or descends from one that did.
//! Not here: what tells containers apart.

use crate::ended::Group;
use crate::keys::{Key, Keys};
use crate::membership::Membership;
use crate::order::{distinct, sorted};
use crate::registry::NONE;
use crate::timeline::Timeline;
use alloc::vec;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::NsKind;

/// Since when each task of a container runs a program that was started there.
pub(crate) struct Members {
    /// By task, in order: since when; [`NEVER`].
    pub(crate) tasks: Vec<(u64, u64)>,
    /// By group, in order: since which of its programs; [`NEVER`].
    pub(crate) ended: Vec<(u64, u64)>,
    /// When the first program was started in it by who came from outside, and by which task.
    pub(crate) created: Option<(u64, usize)>,
}

const NEVER: u64 = u64::MAX;

impl Members {
    pub(crate) fn of(timeline: &Timeline, keys: &mut Keys<'_>, number: u32, stays: &[Stay]) -> Self {
        let mut inside = |membership: u32| membership == NONE || keys.of_membership(membership) == Some(number);
        let mut all = Self { tasks: Vec::new(), ended: Vec::new(), created: None };
        for stay in stays {
            match stay.who {
                Who::Task(index) => {
                    let task = &timeline.tasks[index];
                    // Of one whose parent was not known yet, its name has to do.
                    let stray = task.born == NONE
                        && task.start_exact
                        && task.names.first().is_some_and(|name| timeline.is_helper(name.value));
                    let since = if inside(task.born) && !stray {
                        0
                    } else {
                        let own =
                            |&&(time, membership): &&(u64, u32)| inside(membership) && !timeline.helps(task, time);
                        let ran = task.ran.iter().find(own).map(|&(time, _)| time);
                        if let Some(time) = ran.filter(|&time| all.created.is_none_or(|(first, _)| time < first)) {
                            all.created = Some((time, index));
                        }
                        ran.unwrap_or(NEVER)
                    };
                    all.tasks.push((index as u64, since));
                }
                Who::Ended(group) => {
                    let of = timeline.ended_groups.group(group);
                    let stray = of.born == NONE
                        && of.stays.first().is_some_and(|&(.., exact)| exact)
                        && of.names.first().is_some_and(|&(_, name, _)| timeline.is_helper(name));
                    let since = if inside(of.born) && !stray {
                        0
                    } else {
                        let helps = |at: usize| {
                            let mut names = of.names.iter().filter(|&&(.., phase)| phase as usize == at + 1);
                            names.next().is_some_and(|&(_, name, _)| timeline.is_helper(name))
                        };
                        let ran =
                            of.ran.iter().enumerate().find(|&(at, &(_, membership))| inside(membership) && !helps(at));
                        ran.map_or(NEVER, |(at, _)| at as u64 + 1)
                    };
                    all.ended.push((u64::from(group), since));
                }
            }
        }
        all.tasks = distinct(all.tasks);
        all.ended = distinct(all.ended);
        all
    }

    pub(crate) fn find(&self, who: Who) -> u64 {
        let (all, number) = match who {
            Who::Task(index) => (&self.tasks, index as u64),
            Who::Ended(group) => (&self.ended, u64::from(group)),
        };
        let at = all.partition_point(|&(of, _)| of < number);
        all.get(at).filter(|&&(of, _)| of == number).map_or(0, |&(_, since)| since)
    }

    /// Since when a task runs a program of the container's own (0: all along); of a group, since which. `None`: never.
    pub(crate) fn since(&self, who: Who) -> Option<u64> {
        Some(self.find(who)).filter(|&since| since != NEVER)
    }

    /// Of these tasks, those that have not run a program of the container's own all along, with since when they do.
    pub(crate) fn began(&self, tasks: &[usize]) -> Vec<(u64, u64)> {
        let since = |&task: &usize| Some((task as u64, self.since(Who::Task(task)).filter(|&since| since > 0)?));
        tasks.iter().filter_map(since).collect()
    }

    /// From which of their programs on the tasks of a group are the container's own.
    pub(crate) fn phase_of(&self, who: Who) -> u32 {
        self.since(who).unwrap_or(0) as u32
    }

    /// How many processes that are only counted came in from outside.
    pub(crate) fn entered_ended(&self, ended: &[(u64, &Group)]) -> usize {
        let came =
            ended.iter().filter(|&&(number, _)| self.since(Who::Ended(number as u32)).is_some_and(|since| since > 0));
        came.map(|(_, group)| group.processes as usize).sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Task(usize),
    /// A group of tasks that are only counted, by number.
    Ended(u32),
}

impl Who {
    pub(crate) fn task(self) -> Option<usize> {
        match self {
            Self::Task(index) => Some(index),
            Self::Ended(_) => None,
        }
    }

    pub(crate) fn ended(self) -> Option<u32> {
        match self {
            Self::Ended(number) => Some(number),
            Self::Task(_) => None,
        }
    }
}

/// The stays in each of the namespaces that had the same inode, one after another. A pid namespace ends with its last
/// process: stays that do not touch are in different ones. Other namespaces may be held open by nobody that is seen. Where
/// the recording has the numbers that are never given again (`unique`: of a namespace in a time, from and to), those
/// decide: a namespace that a mount keeps may have been empty for a while.
pub(crate) fn lives(key: &Key, mut stays: Vec<Stay>, unique: &dyn Fn(u64, u64, u64) -> Option<u64>) -> Vec<Vec<Stay>> {
    // That which ends by itself, else the first that has a number.
    let all = key.namespaces();
    let pid = all.iter().find(|(kind, _)| *kind == NsKind::Pid);
    let Some((_, space)) = pid.or_else(|| {
        let numbered = |ino| stays.iter().any(|stay| unique(ino, stay.from, stay.to.unwrap_or(u64::MAX)).is_some());
        all.iter().find(|(_, id)| numbered(id.ino))
    }) else {
        return vec![stays];
    };
    // Who was there already when first seen may have been there all along: others came and went before it was looked at.
    let since = |stay: &Stay| if stay.exact { stay.from } else { 0 };
    stays = sorted(stays, |stay| (since(stay), 0));
    let mut lives: Vec<Vec<Stay>> = Vec::new();
    let (mut end, mut number) = (None, None);
    for stay in stays {
        let to = stay.to.unwrap_or(u64::MAX);
        let own = unique(space.ino, stay.from, to);
        let touches = pid.is_none() || end.is_some_and(|end| since(&stay) <= end);
        let same = match (number, own) {
            (Some(before), Some(own)) => before == own,
            _ => touches,
        };
        if let Some(life) = lives.last_mut().filter(|_| same) {
            life.push(stay);
        } else {
            lives.push(vec![stay]);
            number = None;
        }
        number = number.or(own);
        end = end.max(Some(to));
    }
    lives
}

/// A task in a container.
pub(crate) struct Stay {
    pub(crate) who: Who,
    pub(crate) membership: Membership,
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
    /// Whether `from` is when it came, not when it was first seen.
    pub(crate) exact: bool,
}

/// Most processes at one time, of those that are kept.
pub(crate) fn peak(timeline: &Timeline, stays: &[Stay]) -> usize {
    let leads = stays.iter().filter(|stay| stay.who.task().is_some_and(|index| timeline.tasks[index].leads()));
    // A change of state that keeps a task in the container ends one stay and begins the next at the same time:
    // ends count first.
    let mut steps: Vec<(u64, u64)> =
        leads.flat_map(|stay| [(stay.from, 1), (stay.to.unwrap_or(u64::MAX), 0)]).collect();
    steps.sort_unstable();
    let mut now = 0i64;
    let counts = steps.into_iter().map(|(_, comes)| {
        now += if comes == 1 { 1 } else { -1 };
        now
    });
    counts.max().unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsscope_codec::wire::namespaces::NsId;

    fn stay(from: u64, to: u64) -> Stay {
        Stay { who: Who::Ended(0), membership: Membership::default(), from, to: Some(to), exact: true }
    }

    #[test]
    fn numbers_that_are_never_given_again_decide_which_namespace_it_was() {
        let key = Key::Namespaces(vec![(NsKind::Pid, NsId { dev: 4, ino: 7 })]);
        let stays = || vec![stay(10, 20), stay(30, 40), stay(35, 50)];
        let count = |unique: &dyn Fn(u64, u64, u64) -> Option<u64>| {
            lives(&key, stays(), unique).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(count(&|_, _, _| None), [1, 2]);
        assert_eq!(count(&|ino, _, _| Some(ino)), [3]);
        assert_eq!(count(&|_, from, _| Some(from)), [1, 1, 1]);
        // Where only one is known, time decides.
        assert_eq!(count(&|_, from, _| (from == 30).then_some(9)), [1, 2]);
    }

    #[test]
    fn a_namespace_of_another_type_may_be_empty_for_a_while() {
        let of = |kind, ino| (kind, NsId { dev: 4, ino });
        let count = |key: Vec<_>, unique: &dyn Fn(u64, u64, u64) -> Option<u64>| {
            let stays = vec![stay(10, 20), stay(30, 40), stay(50, 60)];
            lives(&Key::Namespaces(key), stays, unique).iter().map(Vec::len).collect::<Vec<_>>()
        };
        let net = || vec![of(NsKind::Net, 7)];
        assert_eq!(count(net(), &|_, _, _| None), [3]);
        assert_eq!(count(net(), &|_, from, _| Some(from / 30)), [1, 2]);
        // One that nobody has asked the number of is that which was there before.
        assert_eq!(count(net(), &|_, from, _| (from != 30).then_some(from)), [2, 1]);
        assert_eq!(
            count(vec![of(NsKind::Mnt, 8), of(NsKind::Net, 7)], &|ino, from, _| (ino == 7).then_some(from)),
            [1, 1, 1]
        );
    }
}
