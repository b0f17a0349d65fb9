//! Containers that belong together: a pod, a compose project, a task or job. Not here: how a container is told from
//! others.

use crate::container::Container;
use crate::intern::Interner;
use crate::membership::label;
use crate::order::{distinct, sorted};
use crate::timeline::Timeline;
use crate::why::short;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use nsscope_codec::wire::namespaces::{NsId, NsKind};

/// Containers that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `pod`, `compose`, `task`, `job`.
    pub kind: &'static str,
    /// What tells it from others of its kind: a uid, an id, a name, or the net namespace that its containers share.
    pub id: String,
    /// What people call it; the id where it has no name.
    pub name: String,
    /// Why it is one.
    pub why: String,
    /// Its containers: positions in the list they came from.
    pub containers: Vec<usize>,
}

/// Labels that name a group: the group's kind, the label of its id and that of its name.
const LABELS: [(&str, &str, &str); 4] =
    [("pod", "pod_id", "pod"), ("compose", "compose", "compose"), ("job", "job", "job"), ("task", "task", "task")];

impl Group {
    /// The group of each of so many containers: a position in `groups`.
    pub fn of_each(groups: &[Self], containers: usize) -> Vec<Option<usize>> {
        let mut of = vec![None; containers];
        for (number, group) in groups.iter().enumerate() {
            group.containers.iter().for_each(|&container| of[container] = Some(number));
        }
        of
    }

    /// What it is called, with its kind: `pod shop`.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, short(&self.name))
    }
}

/// What says of a container that it is part of a group: kind, id, name and why.
fn membership(container: &Container) -> Option<(&'static str, String, String, String)> {
    let label = |key: &str| container.label(key).filter(|value| !value.is_empty());
    if let Some(group) = container.runtime_group() {
        let name = label(group.kind).unwrap_or(&group.id);
        let why = format!("its containers' cgroup paths name {} {}", group.kind, group.id);
        return Some((group.kind, group.id.clone(), name.into(), why));
    }
    LABELS.iter().find_map(|&(kind, id, name)| {
        let id = label(id).or_else(|| label(name))?;
        let source = container.named.as_ref().map_or("", |named| named.source.as_str());
        Some((kind, id.into(), label(name).unwrap_or(id).into(), format!("{source} says {kind}: {id}")))
    })
}

impl Timeline {
    /// The groups among some containers, in order of appearance: what a runtime says, else containers that share a net
    /// and an ipc namespace of their own.
    pub fn groups(&self, containers: &[Container]) -> Vec<Group> {
        let mut names: Interner<Vec<u8>> = Interner::default();
        let mut groups: Vec<Group> = Vec::new();
        // Net and ipc namespaces.
        let mut shared: Interner<[NsId; 2]> = Interner::default();
        let mut of_shared: Vec<Vec<usize>> = Vec::new();
        for (index, container) in containers.iter().enumerate() {
            let own = |kind| container.differs.contains(&kind).then(|| container.namespaces.get(kind));
            if let Some((kind, id, name, why)) = membership(container) {
                let number = names.intern(format!("{kind}\0{id}").as_bytes()) as usize;
                match groups.get_mut(number) {
                    None => groups.push(Group { kind, id, name, why, containers: vec![index] }),
                    Some(group) => {
                        group.containers.push(index);
                        // Not all of its containers need have told the name.
                        if group.name == group.id {
                            group.name = name;
                        }
                    }
                }
            } else if let Some((net, ipc)) = own(NsKind::Net).zip(own(NsKind::Ipc)) {
                let number = shared.intern(&[net, ipc]) as usize;
                if of_shared.len() == number {
                    of_shared.push(Vec::new());
                }
                of_shared[number].push(index);
            }
        }
        let wanted: Vec<bool> = of_shared.iter().map(|members| members.len() > 1).collect();
        let lives = self.lives_of(&shared, &wanted);
        for (number, members) in of_shared.into_iter().enumerate().filter(|&(number, _)| wanted[number]) {
            let [net, ipc] = *shared.get(number as u32);
            let why = format!("its containers share {} and {}", label(NsKind::Net, net), label(NsKind::Ipc, ipc));
            // The kernel gives a number again: those who share it at different times share nothing.
            let together = distinct(members.into_iter().map(|member| {
                let life = lives[number].partition_point(|&(_, end)| end < containers[member].start);
                (life as u64, member as u64)
            }));
            for members in together.chunk_by(|a, b| a.0 == b.0).filter(|members| members.len() > 1) {
                let containers = members.iter().map(|&(_, member)| member as usize).collect();
                let id = label(NsKind::Net, net);
                groups.push(Group { kind: "pod", name: id.clone(), id, why: why.clone(), containers });
            }
        }
        sorted(groups, |group| (group.containers[0] as u64, 0))
    }

    /// When there was anybody in each of some pairs of net and ipc namespaces, of those that are wanted, in order of
    /// time.
    fn lives_of(&self, pairs: &Interner<[NsId; 2]>, wanted: &[bool]) -> Vec<Vec<(u64, u64)>> {
        let mut stays = vec![Vec::new(); wanted.len()];
        if !wanted.contains(&true) {
            return stays;
        }
        self.all_stays(&mut |membership, from, to| {
            let Some(set) = membership.namespaces.map(|number| self.ns_sets.get(number)) else { return };
            let pair = pairs.number(&[set.get(NsKind::Net), set.get(NsKind::Ipc)]).map(|pair| pair as usize);
            if let Some(pair) = pair.filter(|&pair| wanted[pair]) {
                stays[pair].push((from, to));
            }
        });
        let joined = stays.into_iter().map(|stays| {
            let mut stays = distinct(stays);
            stays.dedup_by(|next, life| {
                let joins = next.0 <= life.1;
                life.1 = if joins { life.1.max(next.1) } else { life.1 };
                joins
            });
            stays
        });
        joined.collect()
    }
}
