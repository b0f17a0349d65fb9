//! What tells containers from one another, by a definition. Not here: who is in a container.

use crate::definition::Definition;
use crate::intern::Interner;
use crate::membership::{Membership, MembershipNumbers, NsSet, label};
use crate::runtime::Runtime;
use crate::task::Since;
use crate::timeline::Timeline;
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::{Order, RawRecord};

/// What tells one container from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A runtime manages it: its cgroup's path says so, or the runtime does.
    Runtime(Runtime),
    /// Its processes have these namespaces.
    Namespaces(Vec<(NsKind, NsId)>),
}

impl Key {
    /// The runtime's id, or the namespaces with their inodes.
    pub fn id(&self) -> String {
        match self {
            Self::Runtime(runtime) => runtime.id.clone(),
            Self::Namespaces(namespaces) => {
                let names: Vec<_> = namespaces.iter().map(|&(kind, ns)| label(kind, ns)).collect();
                names.join("+")
            }
        }
    }

    /// What differs from key to key, as bytes in the keys' order.
    pub fn identity(&self) -> Vec<u8> {
        match self {
            Self::Runtime(runtime) => runtime.identity(),
            Self::Namespaces(namespaces) => {
                let ids = namespaces.iter().flat_map(|&(kind, NsId { dev, ino })| [kind.index() as u64, dev, ino]);
                // Behind all names.
                [u8::MAX].into_iter().chain(ids.flat_map(u64::to_be_bytes)).collect()
            }
        }
    }

    /// The namespace of this type, where it is part of the key.
    pub(crate) fn namespace(&self, kind: NsKind) -> Option<NsId> {
        self.namespaces().iter().find(|(its, _)| *its == kind).map(|&(_, id)| id)
    }

    /// The namespaces that its processes have, where those tell it.
    pub(crate) fn namespaces(&self) -> &[(NsKind, NsId)] {
        match self {
            Self::Runtime(_) => &[],
            Self::Namespaces(all) => all,
        }
    }
}

/// What tells the containers of a timeline by a definition, numbered as they are found; each membership is looked at once.
pub struct Keys<'t> {
    timeline: &'t Timeline,
    definition: Definition,
    pub(crate) host: NsSet,
    /// The keys by number.
    found: Vec<Key>,
    /// Of the keys' bytes.
    numbers: Interner<Vec<u8>>,
    /// Places, and the number of each one's key; [`OUTSIDE`]: it has none.
    memberships: MembershipNumbers,
    known: Vec<u32>,
}

/// The number of no key.
const OUTSIDE: u32 = u32::MAX;

impl Keys<'_> {
    /// The number of the key of a membership (what [`Timeline::membership_of`] gives); `None`: it is in no container.
    pub fn of_membership(&mut self, membership: u32) -> Option<u32> {
        self.look(self.timeline.usage.get(membership as usize)?.membership)
    }

    /// A key by its number.
    pub fn key(&self, number: u32) -> &Key {
        &self.found[number as usize]
    }

    /// The number of a key, which it gets if it has none.
    pub fn number(&mut self, key: &Key) -> u32 {
        let number = self.numbers.intern(key.identity().as_slice());
        if number as usize == self.found.len() {
            self.found.push(key.clone());
        }
        number
    }

    /// The numbers of all keys, in the keys' order.
    pub(crate) fn in_order(&self) -> Vec<u32> {
        self.numbers.in_order().collect()
    }

    pub(crate) fn look(&mut self, membership: Membership) -> Option<u32> {
        let (number, new) = self.memberships.number(membership);
        if new {
            let key = find(self.timeline, &self.definition, &self.host, membership);
            let key = key.map_or(OUTSIDE, |key| self.number(&key));
            self.known.push(key);
        }
        let key = self.known[number as usize];
        (key != OUTSIDE).then_some(key)
    }
}

fn find(timeline: &Timeline, definition: &Definition, host: &NsSet, membership: Membership) -> Option<Key> {
    if definition.cgroup
        && let Some(container) = timeline.registry.of_membership(membership)
    {
        return Some(Key::Runtime(timeline.registry.get(container).runtime.clone()));
    }
    let namespaces = membership.namespaces.map(|number| *timeline.ns_sets.get(number));
    let known = namespaces.unwrap_or_default();
    let differs: Vec<NsKind> = known.differences(host).collect();
    let mut apart = definition.boundary.iter().map(|kind| differs.contains(kind));
    let inside = if definition.all { !definition.boundary.is_empty() && apart.all(|x| x) } else { apart.any(|x| x) };
    (inside || definition.host)
        .then(|| Key::Namespaces(definition.identity.iter().map(|&kind| (kind, known.get(kind))).collect()))
}

impl Timeline {
    /// What tells the containers of this timeline by a definition.
    pub fn keys(&self, definition: &Definition) -> Keys<'_> {
        Keys {
            timeline: self,
            definition: definition.clone(),
            host: self.host(),
            found: Vec::new(),
            numbers: Interner::default(),
            memberships: MembershipNumbers::default(),
            known: Vec::new(),
        }
    }

    /// Takes the next record, as [`push`](Self::push) does, and finds whose it is: the thread that it tells of or that its
    /// trailer names, as an index for [`task_at`](Self::task_at), and what tells that thread's container.
    pub fn attribute<O: Order>(
        &mut self,
        session: &Session,
        record: &RawRecord<'_, O>,
        definition: &Definition,
    ) -> Option<(usize, Option<Key>)> {
        let of_record = self.push(session, record);
        let current = |tid| self.task_of_tid(tid).map(|(index, _)| index);
        let task = of_record.or_else(|| session.sample_id(record).tid.and_then(current))?;
        Some((task, self.container_of(task, definition)))
    }

    /// What tells the container that a task is in now, if it is in one. A runtime that has made namespaces, and not
    /// started a program in them, is in none yet: what becomes of them is not known.
    pub fn container_of(&self, task: usize, definition: &Definition) -> Option<Key> {
        let task = &self.tasks[task];
        let last = |facts: &[Since<u32>]| facts.last().map(|since| since.value);
        let time = task.end.unwrap_or(self.now);
        let membership = self.registry.membership(last(&task.namespaces), last(&task.cgroups), time);
        let host = self.host();
        let key = find(self, definition, &host, membership)?;
        if matches!(key, Key::Namespaces(_)) && task.names.last().is_some_and(|name| self.is_helper(name.value)) {
            let program = self.usage.get(task.program() as usize)?;
            return Some(key).filter(|key| find(self, definition, &host, program.membership).as_ref() == Some(key));
        }
        Some(key)
    }

    /// The host's namespaces: the first init's. Where pid 1 may not be read, the kernel's own thread 2 (`kthreadd`)
    /// has the same; where neither is in the recording, the kernel's fixed inode numbers.
    pub fn host(&self) -> NsSet {
        let of = |pid: u32| {
            let (_, task) = self.task_of_tid(pid).filter(|(_, task)| !task.namespaces.is_empty())?;
            let kthreadd = task.names.iter().any(|since| self.names.get(since.value) == b"kthreadd");
            (pid == 1 || kthreadd).then(|| *self.ns_sets.get(task.namespaces[0].value))
        };
        of(1).or_else(|| of(2)).unwrap_or_else(|| {
            let dev = self.ns_sets.values().first().map_or(0, |set| set.0[0].dev);
            let initial =
                |set: &&NsSet| NsKind::ALL.iter().filter(|&&kind| set.get(kind).ino == kind.initial_ino()).count();
            // The set that is most like the first one; the earliest of those.
            let host = self.ns_sets.values().iter().rev().max_by_key(initial);
            let mut set = NsSet::default();
            for kind in NsKind::RECORDED {
                set.0[kind.index()] = NsId { dev, ino: kind.initial_ino() };
            }
            if let Some(host) = host {
                // Older kernels number these two at boot.
                for kind in [NsKind::Net, NsKind::Mnt] {
                    set.0[kind.index()] = host.get(kind);
                }
            }
            set
        })
    }
}
