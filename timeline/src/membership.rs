//! What a task is a member of at a time: namespaces, cgroups, and the container that its namespaces are of.
//! Not here: a task's name.

use crate::numbers::Numbers;
use alloc::string::String;
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use zerocopy::{Immutable, IntoBytes};

/// Identity of each of a task's namespaces, indexed by [`NsKind`]. `ino` 0: not known, or not in this kernel. The time
/// namespace is known only where [`synthetic::TASK_NAMESPACES`](nsscope_codec::synthetic::TASK_NAMESPACES) is in the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct NsSet(pub [NsId; NsKind::ALL.len()]);

impl NsSet {
    /// The namespace of this type.
    pub fn get(&self, kind: NsKind) -> NsId {
        self.0[kind.index()]
    }

    /// The namespace of this type as `/proc/PID/ns` names it: `net:[4026532000]`.
    pub fn label(&self, kind: NsKind) -> String {
        label(kind, self.get(kind))
    }

    /// The types in which this set is known to differ from `other`.
    pub fn differences(&self, other: &Self) -> impl Iterator<Item = NsKind> + use<> {
        let (ours, theirs) = (*self, *other);
        NsKind::ALL.into_iter().filter(move |&kind| {
            let (a, b) = (ours.get(kind), theirs.get(kind));
            a.ino != 0 && b.ino != 0 && a != b
        })
    }
}

/// A namespace as `/proc/PID/ns` names it.
pub(crate) fn label(kind: NsKind, id: NsId) -> String {
    alloc::format!("{}:[{}]", kind.name(), id.ino)
}

/// Numbers of the namespace set, the cgroup set and the owner of the namespaces, each `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) namespaces: Option<u32>,
    pub(crate) cgroups: Option<u32>,
    /// The container that the namespaces were of at the time.
    pub(crate) owner: Option<u32>,
}

/// Numbers memberships from 0 on.
#[derive(Debug, Default)]
pub(crate) struct MembershipNumbers {
    /// Namespaces and cgroups to the number of the pair.
    pairs: Numbers,
    /// Pair and owner to the number of the membership.
    memberships: Numbers,
    len: u32,
}

fn packed(high: Option<u32>, low: Option<u32>) -> u64 {
    let half = |number: Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
    half(high) << 32 | half(low)
}

impl MembershipNumbers {
    /// The number of a membership, if it has one.
    pub(crate) fn get(&self, membership: Membership) -> Option<u32> {
        let pair = *self.pairs.get(&packed(membership.namespaces, membership.cgroups))?;
        self.memberships.get(&packed(Some(pair), membership.owner)).copied()
    }

    /// The number of a membership, which it gets if it has none, and whether it had none.
    pub(crate) fn number(&mut self, membership: Membership) -> (u32, bool) {
        let key = packed(membership.namespaces, membership.cgroups);
        let next = self.pairs.len() as u32;
        let pair = *self.pairs.entry(key).or_insert(next);
        let key = packed(Some(pair), membership.owner);
        if let Some(&number) = self.memberships.get(&key) {
            return (number, false);
        }
        (self.renew(membership), true)
    }

    /// Gives a membership that has a number another, one behind all others.
    pub(crate) fn renew(&mut self, membership: Membership) -> u32 {
        let pair = self.pairs.get(&packed(membership.namespaces, membership.cgroups)).copied();
        let number = self.len;
        self.len += 1;
        self.memberships.insert(packed(pair, membership.owner), number);
        number
    }

    /// A membership has become another: from now on `new` has the number that `old` had, and `old` the one that it had
    /// before, if any.
    pub(crate) fn change(&mut self, old: Membership, new: Membership, before: Option<u32>) -> bool {
        let pair = |numbers: &Self, membership: Membership| {
            numbers.pairs.get(&packed(membership.namespaces, membership.cgroups)).copied()
        };
        let (from, to) = (pair(self, old), pair(self, new));
        let (from, to) = (packed(from, old.owner), packed(to, new.owner));
        if self.memberships.contains_key(&to) {
            return false;
        }
        if let Some(number) = self.memberships.remove(&from) {
            self.memberships.insert(to, number);
            self.memberships.extend(before.map(|before| (from, before)));
        }
        true
    }
}
