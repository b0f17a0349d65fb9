//! Containers: a definition applied to the facts.

use crate::definition::Definition;
use crate::runtime::{self, Runtime};
use crate::{Named, NsSet, Place, Timeline, gather, label};
use alloc::collections::{BTreeMap, BTreeSet};
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
    /// Tasks that were in it: indices for [`Timeline::at`]. Those that are only counted are not among them.
    pub tasks: BTreeSet<usize>,
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
        let host = self.host();
        let mut keys = Keys::new(self, definition, &host);
        let mut found: BTreeMap<Key, Vec<Stay>> = BTreeMap::new();
        for (index, task) in self.tasks() {
            // The tracepoint tells of moves on the whole machine: of this one a recording of others tells nothing else.
            if task.names.is_empty() && task.namespaces.is_empty() {
                continue;
            }
            for (place, from, to) in task.states() {
                let Some(key) = keys.of(place) else { continue };
                let exact = task.start_exact || from > task.start;
                let who = Who::Task(index);
                found.entry(key).or_default().push(Stay { who, place, from, to, exact });
            }
        }
        for (number, (places, group)) in self.gone.groups().enumerate() {
            if group.names.is_empty() && places.iter().all(|&place| self.places.get(place).namespaces.is_none()) {
                continue;
            }
            for (&place, &(from, to, exact)) in places.iter().zip(&group.stays) {
                let place = *self.places.get(place);
                let Some(key) = keys.of(place) else { continue };
                let who = Who::Gone(number);
                found.entry(key).or_default().push(Stay { who, place, from, to: Some(to), exact });
            }
        }
        let mut containers: Vec<_> = found
            .into_iter()
            .flat_map(|(key, stays)| lives(&key, stays).into_iter().map(move |stays| (key.clone(), stays)))
            .map(|(key, stays)| self.finished(key, &stays, &mut keys))
            .collect();
        containers.sort_unstable_by(|a, b| a.first.cmp(&b.first).then_with(|| a.key.cmp(&b.key)));
        containers
    }

    /// The pods among some containers, in order of appearance.
    pub fn pods(&self, containers: &[Container]) -> Vec<Pod> {
        let mut by_uid: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut by_net: BTreeMap<(NsId, NsId), Vec<usize>> = BTreeMap::new();
        for (index, container) in containers.iter().enumerate() {
            let own = |kind| container.differs.contains(&kind).then(|| container.namespaces.get(kind));
            if let Some(uid) = container.pod_uid() {
                by_uid.entry(uid).or_default().push(index);
            } else if let Some(shared) = own(NsKind::Net).zip(own(NsKind::Ipc)) {
                by_net.entry(shared).or_default().push(index);
            }
        }
        by_net.retain(|_, members| members.len() > 1);
        let mut pods: Vec<Pod> = by_uid
            .into_iter()
            .map(|(uid, containers)| Pod {
                id: uid.into(),
                why: format!("its containers' cgroup paths name pod {uid}"),
                containers,
            })
            .collect();
        let mut lives = self.lives_of(&by_net);
        for ((net, ipc), members) in by_net {
            // The kernel gives a number again: those who share it at different times share nothing.
            let lives = lives.remove(&(net, ipc)).unwrap_or_default();
            let mut together: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for member in members {
                let life = lives.partition_point(|&(_, end)| end < containers[member].first);
                together.entry(life).or_default().push(member);
            }
            let why = format!("its containers share {} and {}", label(NsKind::Net, net), label(NsKind::Ipc, ipc));
            let pod = |containers| Pod { id: label(NsKind::Net, net), why: why.clone(), containers };
            pods.extend(together.into_values().filter(|members| members.len() > 1).map(pod));
        }
        pods.sort_unstable_by_key(|pod| pod.containers[0]);
        pods
    }

    /// When there was anybody in each of some pairs of net and ipc namespaces, in order of time.
    fn lives_of<T>(&self, pairs: &BTreeMap<(NsId, NsId), T>) -> BTreeMap<(NsId, NsId), Vec<(u64, u64)>> {
        let mut stays: BTreeMap<(NsId, NsId), Vec<(u64, u64)>> = BTreeMap::new();
        if pairs.is_empty() {
            return stays;
        }
        let tasks = self.tasks().flat_map(|(_, task)| task.states());
        let tasks = tasks.map(|(place, from, to)| (place, from, to.unwrap_or(u64::MAX)));
        let gone = self.gone.groups().flat_map(|(places, group)| places.iter().zip(&group.stays));
        let gone = gone.map(|(&place, &(from, to, _))| (*self.places.get(place), from, to));
        for (place, from, to) in tasks.chain(gone) {
            let Some(set) = place.namespaces.map(|number| self.ns_sets.get(number)) else { continue };
            let pair = (set.get(NsKind::Net), set.get(NsKind::Ipc));
            if pairs.contains_key(&pair) {
                stays.entry(pair).or_default().push((from, to));
            }
        }
        for stays in stays.values_mut() {
            stays.sort_unstable();
            stays.dedup_by(|next, life| {
                let joins = next.0 <= life.1;
                life.1 = if joins { life.1.max(next.1) } else { life.1 };
                joins
            });
        }
        stays
    }

    /// What tells the container that a task is in now, if it is in one.
    pub fn container_of(&self, task: usize, definition: &Definition) -> Option<Key> {
        let host = self.host();
        let place = *self.places.get(self.tasks[task].place);
        Keys::new(self, definition, &host).of(place)
    }

    /// What tells the container of each place, by its number.
    pub fn containers_of_places(&self, definition: &Definition) -> Vec<Option<Key>> {
        let host = self.host();
        let mut keys = Keys::new(self, definition, &host);
        self.places.values().iter().map(|&place| keys.of(place)).collect()
    }

    /// What a container's runtime calls it, where the recorder asked.
    pub fn named(&self, key: &Key) -> Option<&Named> {
        match key {
            Key::Cgroup(runtime) => self.container_names.get(&runtime.id),
            Key::Namespaces(_) => None,
        }
    }

    /// Tasks that at some time had namespaces of their own while in no container.
    pub fn namespaced(&self, definition: &Definition) -> Vec<Namespaced> {
        let host = self.host();
        let mut keys = Keys::new(self, definition, &host);
        let mut found = Vec::new();
        for (index, task) in self.tasks() {
            // The kernel's own threads (parent kthreadd) are not anybody's container.
            if task.ppid == Some(2) {
                continue;
            }
            let outside = task.states().filter(|&(place, ..)| keys.of(place).is_none());
            let sets = outside.filter_map(|(place, ..)| Some(*self.ns_sets.get(place.namespaces?)));
            let differs: BTreeSet<NsKind> = gather(sets.flat_map(|set| set.differences(&host)));
            if !differs.is_empty() {
                found.push(Namespaced { task: index, differs: differs.into_iter().collect() });
            }
        }
        found
    }

    fn finished(&self, key: Key, stays: &[Stay], keys: &mut Keys<'_>) -> Container {
        let host = keys.host;
        let first_stay = stays.iter().min_by_key(|stay| stay.from);
        let still = stays.iter().any(|stay| stay.to.is_none());
        let tasks: BTreeSet<usize> = gather(stays.iter().filter_map(|stay| stay.who.task()));
        let groups: BTreeSet<usize> = gather(stays.iter().filter_map(|stay| stay.who.gone()));
        let gone: Vec<_> = self.gone.groups().map(|(_, group)| group).collect();
        let gone: Vec<_> = groups.into_iter().map(|number| gone[number]).collect();
        let processes: BTreeSet<(u32, u64)> =
            gather(tasks.iter().map(|&t| (self.tasks[t].pid, self.tasks[t].process_start)));
        let places: BTreeSet<Place> = gather(stays.iter().map(|stay| stay.place));
        let usage = places.iter().filter_map(|place| self.usage.get(self.places.number(place)? as usize));
        let usage: Vec<_> = usage.collect();
        let seen_peak = usage.iter().map(|usage| usage.peak as usize).max().unwrap_or(0);

        let mut commands: Vec<(u64, u32)> = gone.iter().flat_map(|group| group.names.iter().copied()).collect();
        for stay in stays {
            let Some(task) = stay.who.task().map(|index| &self.tasks[index]) else { continue };
            for (position, name) in task.names.iter().enumerate() {
                let until = task.names.get(position + 1).map(|next| next.time);
                let during = stay.to.is_none_or(|to| name.time < to) && until.is_none_or(|until| until > stay.from);
                if during {
                    commands.push((name.time.max(stay.from), name.value));
                }
            }
        }
        commands.sort_unstable();
        let mut seen = BTreeSet::new();
        let commands = commands.into_iter().filter(|&(_, name)| seen.insert(name));

        let namespaces = self.namespaces_of_init(stays, host);
        let differs: Vec<NsKind> = namespaces.differences(host).collect();
        let cgroup = places.iter().find_map(|place| self.cgroup_path(*place, &key));
        let inferred = tasks.iter().filter(|&&task| {
            let cgroups = &self.tasks[task].cgroups;
            matches!(key, Key::Cgroup(_)) && cgroups.last().is_some_and(|since| !since.source.is_exact())
        });
        Container {
            named: self.named(&key).cloned(),
            why: why(&key, cgroup.as_deref(), &namespaces, &differs),
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
            commands: commands.map(|(_, name)| String::from_utf8_lossy(self.names.get(name)).into_owned()).collect(),
            key,
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
        let paths = set.0.iter().map(|&(root, path)| (root, self.paths.get(path)));
        let path = match key {
            Key::Cgroup(ours) => {
                paths.map(|(_, path)| path).find(|path| runtime::recognise(path).as_ref() == Some(ours))
            }
            Key::Namespaces(_) => paths.max_by_key(|(root, path)| (*root == 0, path.len())).map(|(_, path)| path),
        };
        Some(String::from_utf8_lossy(path?).into_owned())
    }
}

/// The container of each place by a definition, looked at once.
struct Keys<'t> {
    timeline: &'t Timeline,
    definition: &'t Definition,
    host: &'t NsSet,
    known: BTreeMap<Place, Option<Key>>,
}

impl<'t> Keys<'t> {
    fn new(timeline: &'t Timeline, definition: &'t Definition, host: &'t NsSet) -> Self {
        Self { timeline, definition, host, known: BTreeMap::new() }
    }

    fn of(&mut self, place: Place) -> Option<Key> {
        if let Some(key) = self.known.get(&place) {
            return key.clone();
        }
        let key = self.look(place);
        self.known.insert(place, key.clone());
        key
    }

    fn look(&self, place: Place) -> Option<Key> {
        let Self { timeline, definition, host, .. } = self;
        if definition.cgroup {
            let set = place.cgroups.map(|number| timeline.cgroup_sets.get(number));
            let mut paths = set.iter().flat_map(|set| &set.0).map(|&(_, path)| timeline.paths.get(path));
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
    /// A group of tasks that are only counted.
    Gone(usize),
}

impl Who {
    fn task(self) -> Option<usize> {
        match self {
            Self::Task(index) => Some(index),
            Self::Gone(_) => None,
        }
    }

    fn gone(self) -> Option<usize> {
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
    stays.sort_by_key(since);
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
    let mut steps: Vec<(u64, i32)> =
        leads.flat_map(|stay| [(stay.from, 1), (stay.to.unwrap_or(u64::MAX), -1)]).collect();
    steps.sort_unstable();
    let mut now = 0;
    let counts = steps.into_iter().map(|(_, step)| {
        now += step;
        now
    });
    counts.max().unwrap_or(0) as usize
}
