//! Containers: a definition applied to the facts.

use crate::definition::Definition;
use crate::order::{distinct, sorted};
use crate::runtime::{self, Runtime};
use crate::{Interner, Named, NsSet, Place, Timeline, label};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use nsscope_codec::wire::namespaces::{NsId, NsKind};

/// What tells one container from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A cgroup path names the runtime and the id.
    Cgroup(Runtime),
    /// Its processes have these namespaces.
    Namespaces(Vec<(NsKind, NsId)>),
}

impl Key {
    /// The runtime's id, or the namespaces with their inodes.
    pub fn id(&self) -> String {
        match self {
            Self::Cgroup(runtime) => runtime.id.clone(),
            Self::Namespaces(namespaces) => {
                let names: Vec<_> = namespaces.iter().map(|&(kind, ns)| label(kind, ns)).collect();
                names.join("+")
            }
        }
    }

    /// What differs from key to key, as bytes in the keys' order.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Cgroup(Runtime { name, id, pod }) => {
                let parts = [name, id.as_str(), pod.as_deref().unwrap_or_default()];
                parts.iter().flat_map(|part| part.bytes().chain([0])).collect()
            }
            Self::Namespaces(namespaces) => {
                let ids = namespaces.iter().flat_map(|&(kind, NsId { dev, ino })| [kind.index() as u64, dev, ino]);
                // Behind all names.
                [u8::MAX].into_iter().chain(ids.flat_map(u64::to_be_bytes)).collect()
            }
        }
    }
}

/// A container and what was seen of it.
#[derive(Clone, Debug)]
pub struct Container {
    /// What it is known by.
    pub key: Key,
    /// What its runtime calls it, where the recorder asked.
    pub named: Option<Named>,
    /// Why it is one, a sentence for each piece of evidence.
    pub why: Vec<String>,
    /// A cgroup path of its processes, where known.
    pub cgroup: Option<String>,
    /// The namespaces of its init: of the first process that is in a pid namespace of its own, once it has set itself
    /// up; where there is none, of the first process.
    pub namespaces: NsSet,
    /// The types in which those differ from the host's.
    pub differs: Vec<NsKind>,
    /// Tasks that were in it, in order: indices for [`Timeline::at`]. Those that are only counted are not among them.
    pub tasks: Vec<usize>,
    /// Threads that were in it.
    pub threads: usize,
    /// Of those, in how many cases the cgroup that says so was inherited, not seen.
    pub inferred: usize,
    /// Processes that were in it.
    pub processes: usize,
    /// Most processes in it at one time. At least so many, where some are only counted.
    pub peak_processes: usize,
    /// Samples taken in it.
    pub samples: u64,
    /// CPU time that they stand for, ns; 0 where they count something else.
    pub cpu: u64,
    /// When it was first seen, ns.
    pub first: u64,
    /// Whether `first` is its beginning; otherwise it was already there.
    pub first_exact: bool,
    /// When its last process ended or left, ns; `None` while there is one.
    pub last: Option<u64>,
    /// Names its processes had, in the order of appearance.
    pub commands: Vec<String>,
}

impl Container {
    /// The runtime's id, or the namespaces that it is known by.
    pub fn id(&self) -> String {
        self.key.id()
    }

    /// The namespaces in which it differs from the host, as `/proc/PID/ns` names them: `net:[4026532000]`.
    pub fn own_namespaces(&self) -> impl Iterator<Item = String> {
        self.differs.iter().map(|&kind| self.namespaces.label(kind))
    }

    /// The runtime, where the cgroup path tells it.
    pub fn runtime(&self) -> Option<&'static str> {
        match &self.key {
            Key::Cgroup(runtime) => Some(runtime.name),
            Key::Namespaces(_) => None,
        }
    }

    /// The uid of the kubernetes pod, where the cgroup path tells it.
    pub fn pod_uid(&self) -> Option<&str> {
        match &self.key {
            Key::Cgroup(runtime) => runtime.pod.as_deref(),
            Key::Namespaces(_) => None,
        }
    }

    /// What it is in a word: the runtime, or what its processes and cgroup tell of who made it.
    pub fn kind(&self) -> String {
        if let Some(runtime) = self.runtime() {
            return runtime.into();
        }
        let runs = |names: &[&str]| self.commands.iter().any(|command| names.contains(&command.as_str()));
        if runs(&["bwrap"]) {
            return "bubblewrap".into();
        }
        if runs(&["chrome", "chromium", "firefox", "Web Content", "Isolated Web Co", "WebKitWebProces"]) {
            return "browser sandbox".into();
        }
        let unit = self.cgroup.as_ref().and_then(|path| runtime::unit(path.as_bytes()));
        match unit {
            Some((unit, "service")) => format!("{unit}.service"),
            _ if runs(&["unshare"]) => "unshare".into(),
            _ => "namespaces".into(),
        }
    }
}

/// Containers that share a net and an ipc namespace, or a kubernetes pod's uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The uid, or the net namespace.
    pub id: String,
    /// Why it is one.
    pub why: String,
    /// Its containers: positions in the list they came from.
    pub containers: Vec<usize>,
}

impl Pod {
    /// The pod of each of so many containers: a position in `pods`.
    pub fn of_each(pods: &[Self], containers: usize) -> Vec<Option<usize>> {
        let mut of = vec![None; containers];
        for (number, pod) in pods.iter().enumerate() {
            pod.containers.iter().for_each(|&container| of[container] = Some(number));
        }
        of
    }
}

/// A task that has namespaces of its own but is in no container.
#[derive(Clone, Debug)]
pub struct Namespaced {
    /// Index for [`Timeline::at`].
    pub task: usize,
    /// The types in which it differs from the host.
    pub differs: Vec<NsKind>,
}

impl Timeline {
    /// The host's namespaces: the first init's. Where pid 1 may not be read, the kernel's own thread 2 (`kthreadd`)
    /// has the same; where neither is in the recording, the kernel's fixed inode numbers.
    pub fn host(&self) -> NsSet {
        let of = |pid: u32| {
            let (_, task) = self.current(pid).filter(|(_, task)| !task.namespaces.is_empty())?;
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

    /// The containers there were by a definition, in order of appearance.
    pub fn containers(&self, definition: &Definition) -> Vec<Container> {
        let mut keys = self.keys(definition);
        // By the key's number.
        let mut found: Vec<Vec<Stay>> = Vec::new();
        let mut put = |key: u32, stay: Stay| {
            if found.len() <= key as usize {
                found.resize_with(key as usize + 1, Vec::new);
            }
            found[key as usize].push(stay);
        };
        for (index, task) in self.tasks() {
            // The tracepoint tells of moves on the whole machine: of this one a recording of others tells nothing else.
            if task.names.is_empty() && task.namespaces.is_empty() {
                continue;
            }
            for (place, from, to) in task.states() {
                let Some(key) = keys.look(place) else { continue };
                let exact = task.start_exact || from > task.start;
                put(key, Stay { who: Who::Task(index), place, from, to, exact });
            }
        }
        for (number, (places, group)) in self.gone.groups().enumerate() {
            if group.names.is_empty() && places.iter().all(|&place| self.at_place(place).0.is_none()) {
                continue;
            }
            for (&place, &(from, to, exact)) in places.iter().zip(&group.stays) {
                let Some(key) = keys.of_place(place) else { continue };
                let place = self.usage[place as usize].place;
                put(key, Stay { who: Who::Gone(number as u32), place, from, to: Some(to), exact });
            }
        }
        let mut containers = Vec::new();
        for number in keys.numbers.in_order() {
            let stays = found.get_mut(number as usize).map(core::mem::take).unwrap_or_default();
            let key = keys.key(number);
            containers.extend(lives(key, stays).iter().map(|stays| self.finished(key, stays, &keys.host)));
        }
        sorted(containers, |container| (container.first, 0))
    }

    /// The pods among some containers, in order of appearance.
    pub fn pods(&self, containers: &[Container]) -> Vec<Pod> {
        let mut uids: Interner<Vec<u8>> = Interner::default();
        let mut of_uid: Vec<Vec<usize>> = Vec::new();
        // Net and ipc namespaces.
        let mut shared: Interner<[NsId; 2]> = Interner::default();
        let mut of_shared: Vec<Vec<usize>> = Vec::new();
        for (index, container) in containers.iter().enumerate() {
            let own = |kind| container.differs.contains(&kind).then(|| container.namespaces.get(kind));
            let (of, number) = if let Some(uid) = container.pod_uid() {
                (&mut of_uid, uids.intern(uid.as_bytes()))
            } else if let Some((net, ipc)) = own(NsKind::Net).zip(own(NsKind::Ipc)) {
                (&mut of_shared, shared.intern(&[net, ipc]))
            } else {
                continue;
            };
            if of.len() == number as usize {
                of.push(Vec::new());
            }
            of[number as usize].push(index);
        }
        let by_uid = of_uid.into_iter().map(|members| {
            let uid = containers[members[0]].pod_uid().unwrap_or_default();
            Pod { id: uid.into(), why: format!("its containers' cgroup paths name pod {uid}"), containers: members }
        });
        let mut pods: Vec<Pod> = by_uid.collect();
        let wanted: Vec<bool> = of_shared.iter().map(|members| members.len() > 1).collect();
        let lives = self.lives_of(&shared, &wanted);
        for (number, members) in of_shared.into_iter().enumerate().filter(|&(number, _)| wanted[number]) {
            let [net, ipc] = *shared.get(number as u32);
            let why = format!("its containers share {} and {}", label(NsKind::Net, net), label(NsKind::Ipc, ipc));
            // The kernel gives a number again: those who share it at different times share nothing.
            let together = distinct(members.into_iter().map(|member| {
                let life = lives[number].partition_point(|&(_, end)| end < containers[member].first);
                (life as u64, member as u64)
            }));
            for members in together.chunk_by(|a, b| a.0 == b.0).filter(|members| members.len() > 1) {
                let containers = members.iter().map(|&(_, member)| member as usize).collect();
                pods.push(Pod { id: label(NsKind::Net, net), why: why.clone(), containers });
            }
        }
        sorted(pods, |pod| (pod.containers[0] as u64, 0))
    }

    /// When there was anybody in each of some pairs of net and ipc namespaces, of those that are wanted, in order of
    /// time.
    fn lives_of(&self, pairs: &Interner<[NsId; 2]>, wanted: &[bool]) -> Vec<Vec<(u64, u64)>> {
        let mut stays = vec![Vec::new(); wanted.len()];
        if !wanted.contains(&true) {
            return stays;
        }
        let tasks = self.tasks().flat_map(|(_, task)| task.states());
        let tasks = tasks.map(|(place, from, to)| (place, from, to.unwrap_or(u64::MAX)));
        let gone = self.gone.groups().flat_map(|(places, group)| places.iter().zip(&group.stays));
        let gone = gone.map(|(&place, &(from, to, _))| (self.usage[place as usize].place, from, to));
        for (place, from, to) in tasks.chain(gone) {
            let Some(set) = place.namespaces.map(|number| self.ns_sets.get(number)) else { continue };
            let pair = pairs.number(&[set.get(NsKind::Net), set.get(NsKind::Ipc)]).map(|pair| pair as usize);
            if let Some(pair) = pair.filter(|&pair| wanted[pair]) {
                stays[pair].push((from, to));
            }
        }
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

    /// What tells the container that a task is in now, if it is in one.
    pub fn container_of(&self, task: usize, definition: &Definition) -> Option<Key> {
        let mut keys = self.keys(definition);
        keys.of_place(self.place_of(task)).map(|number| keys.key(number).clone())
    }

    /// What tells the containers of this timeline by a definition.
    pub fn keys(&self, definition: &Definition) -> Keys<'_> {
        Keys {
            timeline: self,
            definition: definition.clone(),
            host: self.host(),
            found: Vec::new(),
            numbers: Interner::default(),
            known: BTreeMap::new(),
        }
    }

    /// What a container's runtime calls it, where the recorder asked.
    pub fn named(&self, key: &Key) -> Option<&Named> {
        match key {
            Key::Cgroup(runtime) => {
                self.container_names.get(self.container_ids.number(runtime.id.as_bytes())? as usize)
            }
            Key::Namespaces(_) => None,
        }
    }

    /// Tasks that at some time had namespaces of their own while in no container.
    pub fn namespaced(&self, definition: &Definition) -> Vec<Namespaced> {
        let mut keys = self.keys(definition);
        let host = keys.host;
        let mut found = Vec::new();
        for (index, task) in self.tasks() {
            // The kernel's own threads (parent kthreadd) are not anybody's container.
            if task.ppid == Some(2) {
                continue;
            }
            let outside = task.states().filter(|&(place, ..)| keys.look(place).is_none());
            let sets = outside.filter_map(|(place, ..)| Some(*self.ns_sets.get(place.namespaces?)));
            let mut differs = [false; NsKind::ALL.len()];
            sets.flat_map(|set| set.differences(&host)).for_each(|kind| differs[kind.index()] = true);
            if differs.contains(&true) {
                let differs = NsKind::ALL.into_iter().filter(|kind| differs[kind.index()]).collect();
                found.push(Namespaced { task: index, differs });
            }
        }
        found
    }

    fn finished(&self, key: &Key, stays: &[Stay], host: &NsSet) -> Container {
        let first_stay = stays.iter().min_by_key(|stay| stay.from);
        let still = stays.iter().any(|stay| stay.to.is_none());
        let tasks = distinct(stays.iter().filter_map(|stay| Some((stay.who.task()? as u64, 0))));
        let tasks: Vec<usize> = tasks.into_iter().map(|(task, _)| task as usize).collect();
        let groups = distinct(stays.iter().filter_map(|stay| Some((u64::from(stay.who.gone()?), 0))));
        let gone: Vec<_> = groups.into_iter().map(|(number, _)| self.gone.group(number as u32)).collect();
        let processes = distinct(tasks.iter().map(|&t| (u64::from(self.tasks[t].pid), self.tasks[t].process_start)));
        let places = distinct(stays.iter().map(|stay| (stay.place.packed(), 0)));
        let usage = places.iter().filter_map(|(place, _)| self.usage.get(*self.places.get(place)? as usize));
        let usage: Vec<_> = usage.collect();
        let seen_peak = usage.iter().map(|usage| usage.peak as usize).max().unwrap_or(0);

        // Name and when anybody had it.
        let names = gone.iter().flat_map(|group| &group.names);
        let mut commands: Vec<(u64, u64)> = names.map(|&(time, name)| (u64::from(name), time)).collect();
        for stay in stays {
            let Some(task) = stay.who.task().map(|index| &self.tasks[index]) else { continue };
            for (position, name) in task.names.iter().enumerate() {
                let until = task.names.get(position + 1).map(|next| next.time);
                let during = stay.to.is_none_or(|to| name.time < to) && until.is_none_or(|until| until > stay.from);
                if during {
                    commands.push((u64::from(name.value), name.time.max(stay.from)));
                }
            }
        }
        let mut commands = distinct(commands);
        commands.dedup_by_key(|&mut (name, _)| name);
        let commands = distinct(commands.into_iter().map(|(name, time)| (time, name)));

        let namespaces = self.namespaces_of_init(stays, host);
        let differs: Vec<NsKind> = namespaces.differences(host).collect();
        let cgroup = places.iter().find_map(|&(place, _)| self.cgroup_path(Place::unpacked(place), key));
        let inferred = tasks.iter().filter(|&&task| {
            let cgroups = &self.tasks[task].cgroups;
            matches!(key, Key::Cgroup(_)) && cgroups.last().is_some_and(|since| !since.source.is_exact())
        });
        Container {
            named: self.named(key).cloned(),
            why: why(key, cgroup.as_deref(), &namespaces, &differs),
            cgroup,
            differs,
            namespaces,
            threads: tasks.len() + gone.iter().map(|group| group.tasks as usize).sum::<usize>(),
            inferred: inferred.count(),
            processes: processes.len() + gone.iter().map(|group| group.processes as usize).sum::<usize>(),
            peak_processes: peak(self, stays).max(if gone.is_empty() { 0 } else { seen_peak }),
            samples: usage.iter().map(|usage| usage.samples).sum(),
            cpu: usage.iter().map(|usage| usage.cpu).sum(),
            tasks,
            first: first_stay.map_or(0, |stay| stay.from),
            first_exact: first_stay.is_some_and(|stay| stay.exact),
            last: if still { None } else { stays.iter().filter_map(|stay| stay.to).max() },
            commands: commands
                .into_iter()
                .map(|(_, name)| String::from_utf8_lossy(self.names.get(name as u32)).into_owned())
                .collect(),
            key: key.clone(),
        }
    }

    /// The namespaces of the container's init.
    fn namespaces_of_init(&self, stays: &[Stay], host: &NsSet) -> NsSet {
        let set = |stay: &Stay| stay.place.namespaces.map_or(NsSet::default(), |number| *self.ns_sets.get(number));
        // A runtime joins the container's cgroup before it makes its namespaces.
        let inside = stays.iter().filter(|stay| set(stay).differences(host).any(|kind| kind == NsKind::Pid));
        let init = inside.min_by_key(|stay| stay.from).or(stays.iter().min_by_key(|stay| stay.from));
        let its = stays.iter().filter(|stay| Some(stay.who) == init.map(|init| init.who));
        its.max_by_key(|stay| stay.from).map_or(NsSet::default(), set)
    }

    /// The path in a place that names a runtime's container, where that is the key; else that of the unified hierarchy,
    /// or else the longest.
    fn cgroup_path(&self, place: Place, key: &Key) -> Option<String> {
        let set = self.cgroup_sets.get(place.cgroups?);
        let paths = set.iter().map(|&[root, path]| (root, self.paths.get(path)));
        let path = match key {
            Key::Cgroup(ours) => {
                paths.map(|(_, path)| path).find(|path| runtime::recognise(path).as_ref() == Some(ours))
            }
            Key::Namespaces(_) => paths.max_by_key(|(root, path)| (*root == 0, path.len())).map(|(_, path)| path),
        };
        Some(String::from_utf8_lossy(path?).into_owned())
    }
}

/// What tells the containers of a timeline by a definition, numbered as they are found; each place is looked at once.
pub struct Keys<'t> {
    timeline: &'t Timeline,
    definition: Definition,
    host: NsSet,
    /// The keys by number.
    found: Vec<Key>,
    /// Of the keys' bytes.
    numbers: Interner<Vec<u8>>,
    /// A place, packed, to its key's number; [`OUTSIDE`]: it has none.
    known: BTreeMap<u64, u32>,
}

/// The number of no key.
const OUTSIDE: u32 = u32::MAX;

impl Keys<'_> {
    /// The number of the key of a place (what [`Timeline::place_of`] gives); `None`: it is in no container.
    pub fn of_place(&mut self, place: u32) -> Option<u32> {
        self.look(self.timeline.usage.get(place as usize)?.place)
    }

    /// A key by its number.
    pub fn key(&self, number: u32) -> &Key {
        &self.found[number as usize]
    }

    /// The number of a key, which it gets if it has none.
    pub fn number(&mut self, key: &Key) -> u32 {
        let number = self.numbers.intern(key.bytes().as_slice());
        if number as usize == self.found.len() {
            self.found.push(key.clone());
        }
        number
    }

    fn look(&mut self, place: Place) -> Option<u32> {
        let packed = place.packed();
        let number = self.known.get(&packed).copied().unwrap_or_else(|| {
            let number = self.find(place).map_or(OUTSIDE, |key| self.number(&key));
            self.known.insert(packed, number);
            number
        });
        (number != OUTSIDE).then_some(number)
    }

    fn find(&self, place: Place) -> Option<Key> {
        let Self { timeline, definition, host, .. } = self;
        if definition.cgroup {
            let set = place.cgroups.map(|number| timeline.cgroup_sets.get(number));
            let mut paths = set.into_iter().flatten().map(|&[_, path]| timeline.paths.get(path));
            if let Some(runtime) = paths.find_map(|path| runtime::recognise(path)) {
                return Some(Key::Cgroup(runtime));
            }
        }
        let namespaces = place.namespaces.map(|number| *timeline.ns_sets.get(number));
        let known = namespaces.unwrap_or_default();
        let differs: Vec<NsKind> = known.differences(host).collect();
        let mut apart = definition.boundary.iter().map(|kind| differs.contains(kind));
        let inside =
            if definition.all { !definition.boundary.is_empty() && apart.all(|x| x) } else { apart.any(|x| x) };
        (inside || definition.host)
            .then(|| Key::Namespaces(definition.identity.iter().map(|&kind| (kind, known.get(kind))).collect()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Task(usize),
    /// A group of tasks that are only counted, by number.
    Gone(u32),
}

impl Who {
    fn task(self) -> Option<usize> {
        match self {
            Self::Task(index) => Some(index),
            Self::Gone(_) => None,
        }
    }

    fn gone(self) -> Option<u32> {
        match self {
            Self::Gone(number) => Some(number),
            Self::Task(_) => None,
        }
    }
}

/// A pid namespace ends with its last process, and the kernel gives its number again: stays that do not touch are in
/// different ones. Other namespaces may be held open by nobody that is seen.
fn lives(key: &Key, mut stays: Vec<Stay>) -> Vec<Vec<Stay>> {
    if !matches!(key, Key::Namespaces(namespaces) if namespaces.iter().any(|(kind, _)| *kind == NsKind::Pid)) {
        return vec![stays];
    }
    // Who was there already when first seen may have been there all along: others came and went before it was looked at.
    let since = |stay: &Stay| if stay.exact { stay.from } else { 0 };
    stays = sorted(stays, |stay| (since(stay), 0));
    let mut lives: Vec<Vec<Stay>> = Vec::new();
    let mut end = None;
    for stay in stays {
        let to = stay.to.unwrap_or(u64::MAX);
        match lives.last_mut().filter(|_| end.is_some_and(|end| since(&stay) <= end)) {
            Some(life) => life.push(stay),
            None => lives.push(vec![stay]),
        }
        end = end.max(Some(to));
    }
    lives
}

/// A task in a container.
struct Stay {
    who: Who,
    place: Place,
    from: u64,
    to: Option<u64>,
    /// Whether `from` is when it came, not when it was first seen.
    exact: bool,
}

fn why(key: &Key, cgroup: Option<&str>, namespaces: &NsSet, differs: &[NsKind]) -> Vec<String> {
    let list = |kinds: &mut dyn Iterator<Item = (NsKind, NsId)>| {
        let names: Vec<_> = kinds.map(|(kind, ns)| label(kind, ns)).collect();
        names.join(", ")
    };
    let mut why = vec![match key {
        Key::Cgroup(runtime) => {
            format!("its cgroup {} is one that {} makes for a container", cgroup.unwrap_or_default(), runtime.name)
        }
        Key::Namespaces(ids) => {
            let own: Vec<_> = ids.iter().filter(|(kind, _)| differs.contains(kind)).copied().collect();
            if own.is_empty() {
                format!("its processes share {}, the host's", list(&mut ids.iter().copied()))
            } else {
                format!("its processes share {}, not the host's", list(&mut own.into_iter()))
            }
        }
    }];
    let told = |kind: &NsKind| matches!(key, Key::Namespaces(ids) if ids.iter().any(|(its, _)| its == kind));
    let others: Vec<NsKind> = differs.iter().copied().filter(|kind| !told(kind)).collect();
    if !others.is_empty() {
        why.push(format!(
            "its own besides: {}",
            list(&mut others.into_iter().map(|kind| (kind, namespaces.get(kind))))
        ));
    }
    if let (Key::Namespaces(_), Some((unit, kind))) = (key, cgroup.and_then(|path| runtime::unit(path.as_bytes()))) {
        why.push(format!("started by {unit}.{kind}"));
    }
    why
}

/// Most processes at one time, of those that are kept.
fn peak(timeline: &Timeline, stays: &[Stay]) -> usize {
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
