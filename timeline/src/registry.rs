//! The containers that runtimes manage: what they are called, which cgroup paths and which namespaces are theirs, and
//! when. Not here: any task.
//!
//! A pid or mount namespace belongs to the container whose cgroup a task in it is in. So a task that a runtime has put
//! into the namespaces of a container, and not yet into its cgroup, is known to be that container's. The kernel gives
//! the number of a namespace again once nobody is in it: each life has its own owners.

use crate::intern::Interner;
use crate::membership::{Membership, NsSet};
use crate::runtime::{self, Runtime};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use zerocopy::IntoBytes;

/// What somebody calls a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its image; empty where that is not known.
    pub image: String,
    /// The runtime that manages it, one of [`runtime::CGROUP_PATTERNS`].
    pub runtime: &'static str,
    /// Who says so: a socket or a file.
    pub source: String,
    /// How well the source knows: what manages a container more than what runs it. Larger is better.
    pub rank: u32,
    /// What else it is known by, such as `compose` and `service`.
    pub labels: Vec<(String, String)>,
}

impl Named {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(its, _)| its == key).map(|(_, value)| value.as_str())
    }
}

/// A container, and what is said of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) runtime: Runtime,
    /// The container around it.
    outer: Option<u32>,
    /// By source, the best first.
    pub(crate) names: Vec<Named>,
}

/// A pid or mount namespace that is not the host's.
#[derive(Debug, Default)]
struct Space {
    /// Tasks in it.
    live: u32,
    /// Since when there are any, ns.
    since: u64,
    /// The first of them.
    first: u32,
    /// Containers whose tasks are in it.
    owners: Vec<u32>,
    /// Lives that are over and had owners: from, to, owners.
    past: Vec<(u64, u64, Vec<u32>)>,
}

/// The number of no space and no container.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Of identities.
    numbers: Interner<Vec<u8>>,
    known: Vec<Known>,
    /// By the number of a path and of a cgroup set; [`NONE`]: in no container.
    paths: Vec<u32>,
    sets: Vec<u32>,
    /// Of paths that a runtime has named, which may have any shape, to the container's number.
    declared: BTreeMap<u64, u32>,
    /// Of kind, device and inode, as bytes.
    space_numbers: Interner<Vec<u8>>,
    spaces: Vec<Space>,
    /// By the number of a namespace set: its mount and its pid namespace, the host's too.
    set_spaces: Vec<[u32; 2]>,
    /// The host's pid namespace.
    host: NsId,
}

impl Registry {
    pub(crate) fn get(&self, number: u32) -> &Known {
        &self.known[number as usize]
    }

    /// The number of a container.
    fn number(&mut self, runtime: Runtime, outer: Option<u32>) -> u32 {
        let number = self.numbers.intern(runtime.identity().as_slice());
        match self.known.get_mut(number as usize) {
            None => self.known.push(Known { runtime, outer, names: Vec::new() }),
            Some(known) => {
                known.outer = known.outer.or(outer).filter(|&outer| outer != number);
                known.runtime.group = known.runtime.group.take().or(runtime.group);
                if known.runtime.name == runtime::UNKNOWN {
                    known.runtime.name = runtime.name;
                }
            }
        }
        number
    }

    /// Looks which container a cgroup set is of, a list of hierarchies and the numbers of paths. `number_of` gives the
    /// number of a path, where it has one.
    pub(crate) fn look_at(
        &mut self,
        set: u32,
        sets: &Interner<Vec<[u32; 2]>>,
        paths: &[Vec<u8>],
        number_of: impl Fn(&[u8]) -> Option<u32>,
    ) {
        for path in paths.iter().skip(self.paths.len()) {
            let container = self.look_at_path(path, &number_of);
            self.paths.push(container.unwrap_or(NONE));
        }
        for set in self.sets.len()..=set as usize {
            let found = sets.get(set as u32).iter().map(|&[_, path]| self.paths[path as usize]);
            let container = self.innermost(found.filter(|&container| container != NONE));
            self.sets.push(container.unwrap_or(NONE));
        }
    }

    /// The same for all of them, as paths may be other containers' than before.
    pub(crate) fn look_again(
        &mut self,
        sets: &Interner<Vec<[u32; 2]>>,
        paths: &[Vec<u8>],
        number_of: impl Fn(&[u8]) -> Option<u32>,
    ) {
        (self.paths, self.sets) = (Vec::new(), Vec::new());
        if let Some(last) = (sets.values().len() as u32).checked_sub(1) {
            self.look_at(last, sets, paths, number_of);
        }
    }

    /// The innermost container of a path, by its number.
    pub(crate) fn of_path(&self, path: u32) -> Option<u32> {
        self.paths.get(path as usize).copied().filter(|&container| container != NONE)
    }

    fn look_at_path(&mut self, path: &[u8], number_of: impl Fn(&[u8]) -> Option<u32>) -> Option<u32> {
        let mut innermost = None;
        for runtime in runtime::containers(path) {
            innermost = Some(self.number(runtime, innermost));
        }
        if innermost.is_some() || self.declared.is_empty() {
            return innermost;
        }
        // The path itself, and those it is below.
        let ends = path.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
        let mut ends: Vec<usize> = ends.chain([path.len()]).collect();
        ends.reverse();
        ends.into_iter().find_map(|end| self.declared.get(&u64::from(number_of(&path[..end])?)).copied())
    }

    /// The container that a cgroup set is of.
    pub(crate) fn of_cgroups(&self, set: Option<u32>) -> Option<u32> {
        set.and_then(|set| self.sets.get(set as usize)).copied().filter(|&container| container != NONE)
    }

    /// Namespaces and cgroups at a time, with whom the namespaces are of where the cgroup does not say it.
    pub(crate) fn membership(&self, namespaces: Option<u32>, cgroups: Option<u32>, time: u64) -> Membership {
        let by_cgroup = self.of_cgroups(cgroups);
        let owner = namespaces.and_then(|set| self.owner(set, time));
        let owner = owner.filter(|_| self.resolve(by_cgroup, owner) != by_cgroup);
        Membership { namespaces, cgroups, owner }
    }

    /// The container of the tasks with a membership.
    pub(crate) fn of_membership(&self, membership: Membership) -> Option<u32> {
        self.resolve(self.of_cgroups(membership.cgroups), membership.owner)
    }

    /// A runtime says what it calls a container, and perhaps which path is its cgroup's (a number). Returns the
    /// container, and whether paths may be other containers' than before.
    pub(crate) fn declare(&mut self, runtime: Runtime, named: Named, path: Option<u32>) -> (u32, bool) {
        let number = self.number(runtime, None);
        let names = &mut self.known[number as usize].names;
        // What the same source said before is over: containers are renamed.
        names.retain(|other| other.source != named.source);
        let at = names.partition_point(|other| other.rank > named.rank);
        names.insert(at, named);
        let news = path.is_some_and(|path| self.declared.insert(u64::from(path), number) != Some(number));
        (number, news)
    }

    /// The container that goes by this identity.
    pub(crate) fn find(&self, identity: &[u8]) -> Option<u32> {
        self.numbers.number(identity)
    }

    /// The containers around one, from the inside out.
    fn around(&self, number: u32) -> impl Iterator<Item = u32> {
        // What is said may go in a circle.
        core::iter::successors(self.get(number).outer, |&outer| self.get(outer).outer).take(self.known.len())
    }

    /// How deep a container is within others.
    fn depth(&self, number: u32) -> usize {
        self.around(number).count()
    }

    /// Whether a container is within another.
    fn within(&self, inner: u32, outer: u32) -> bool {
        self.around(inner).any(|around| around == outer)
    }

    /// Of the containers that a task's cgroups name in several hierarchies, the innermost.
    fn innermost(&self, found: impl Iterator<Item = u32>) -> Option<u32> {
        found.reduce(|best, other| if self.depth(other) > self.depth(best) { other } else { best })
    }

    /// Which container a task is in, by its cgroup and by its namespaces: those count where the cgroup names none, or
    /// one around it.
    fn resolve(&self, by_cgroup: Option<u32>, by_namespaces: Option<u32>) -> Option<u32> {
        match (by_cgroup, by_namespaces) {
            (Some(cgroup), Some(namespaces)) if self.within(namespaces, cgroup) => Some(namespaces),
            (Some(cgroup), _) => Some(cgroup),
            (None, namespaces) => namespaces,
        }
    }

    /// The host's pid namespace is this one.
    pub(crate) fn set_host(&mut self, pid: NsId) -> bool {
        core::mem::replace(&mut self.host, pid) != pid
    }

    /// Learns the spaces of namespace sets that are new.
    pub(crate) fn look_at_sets(&mut self, sets: &Interner<NsSet>) {
        for set in &sets.values()[self.set_spaces.len()..] {
            let spaces = [NsKind::Mnt, NsKind::Pid]
                .map(|kind| self.space_numbers.intern(space_key(kind, set.get(kind)).as_bytes()));
            let len = self.spaces.len().max(spaces[0].max(spaces[1]) as usize + 1);
            self.spaces.resize_with(len, Space::default);
            self.set_spaces.push(spaces);
        }
    }

    /// The spaces that tasks with a namespace set are counted in: none where its pid namespace is the host's, as a
    /// container's is not.
    pub(crate) fn spaces_of(&self, number: u32, set: &NsSet) -> [u32; 2] {
        if self.is_host(set.get(NsKind::Pid)) { [NONE; 2] } else { self.set_spaces[number as usize] }
    }

    fn is_host(&self, pid: NsId) -> bool {
        pid.ino == 0 || pid.ino == NsKind::Pid.initial_ino() || pid == self.host
    }

    /// A task comes into a space, or was there before it was seen first (`before`): then so was the space, whoever was seen
    /// to leave it. Returns since when it lives, where a container comes to own it by this, or owns it since earlier.
    pub(crate) fn enter(
        &mut self,
        space: u32,
        container: Option<u32>,
        tid: u32,
        time: u64,
        before: bool,
    ) -> Option<u64> {
        let state = self.spaces.get_mut(space as usize)?;
        if state.live == 0 {
            (state.since, state.first) = (time, tid);
            state.owners.clear();
        }
        // What was seen to end did not, where it was the same container's.
        while before && state.past.last().is_some_and(|(.., owners)| owners.first() == container.as_ref()) {
            state.past.pop();
        }
        let since = state.past.last().map_or(0, |&(_, to, _)| to);
        let earlier = before && since < state.since;
        if earlier {
            (state.since, state.first) = (since, tid);
        }
        state.live += 1;
        let owned = earlier && !state.owners.is_empty();
        container.and_then(|container| self.claim(space, container)).or(owned.then_some(since))
    }

    /// A container is in a space. Returns since when that lives, where the container comes to own it by this.
    pub(crate) fn claim(&mut self, space: u32, container: u32) -> Option<u64> {
        let space = self.spaces.get_mut(space as usize).filter(|space| space.live > 0)?;
        if space.owners.contains(&container) {
            return None;
        }
        space.owners.push(container);
        Some(space.since)
    }

    /// Who is where is to be said anew.
    pub(crate) fn forget_spaces(&mut self) {
        self.spaces.iter_mut().for_each(|space| *space = Space::default());
    }

    /// A task leaves it.
    pub(crate) fn leave(&mut self, space: u32, time: u64) {
        let Some(space) = self.spaces.get_mut(space as usize) else { return };
        space.live = space.live.saturating_sub(1);
        if space.live == 0 && !space.owners.is_empty() {
            space.past.push((space.since, time, core::mem::take(&mut space.owners)));
        }
    }

    /// Whether the life that a space had at a time is over.
    pub(crate) fn is_over(&self, space: u32, time: u64) -> bool {
        self.spaces.get(space as usize).is_some_and(|space| space.live == 0 || space.since > time)
    }

    /// The container that a namespace set is of at a time.
    fn owner(&self, set: u32, time: u64) -> Option<u32> {
        let [mnt, pid] = *self.set_spaces.get(set as usize)?;
        let owners = |space: u32| self.life_at(space, time).map_or(&[][..], |(_, owners)| owners);
        let one = |owners: &[u32]| match owners {
            [] => None,
            [owner] => Some(*owner),
            several => {
                let inner = self.innermost(several.iter().copied())?;
                several.iter().all(|&other| other == inner || self.within(inner, other)).then_some(inner)
            }
        };
        // Containers may share one of them; in one that several share, it is the first's.
        one(owners(mnt)).or_else(|| one(owners(pid))).or_else(|| owners(pid).first().copied())
    }

    /// The number of a pid namespace's space.
    fn space(&self, pid: NsId) -> Option<u32> {
        self.space_numbers.number(space_key(NsKind::Pid, pid).as_bytes())
    }

    /// Since when there has been anybody in a pid namespace at a time, of those that belong to a container.
    pub(crate) fn life(&self, pid: NsId, time: u64) -> Option<u64> {
        Some(self.life_at(self.space(pid)?, time)?.0)
    }

    /// The life of a space at a time: since when, and whose it was.
    fn life_at(&self, space: u32, time: u64) -> Option<(u64, &[u32])> {
        let space = &self.spaces[space as usize];
        if space.live > 0 && time >= space.since {
            return Some((space.since, &space.owners));
        }
        let before = space.past.partition_point(|&(from, ..)| from <= time);
        let (from, to, owners) = &space.past[before.checked_sub(1)?];
        (time <= *to).then_some((*from, owners))
    }

    /// The thread that was the first in a pid namespace, in the life that it has or had last.
    pub(crate) fn first_in(&self, pid: NsId) -> Option<u32> {
        let first = self.spaces[self.space(pid)? as usize].first;
        (first != 0).then_some(first)
    }
}

fn space_key(kind: NsKind, NsId { dev, ino }: NsId) -> [u64; 3] {
    [kind.index() as u64, dev, ino]
}
