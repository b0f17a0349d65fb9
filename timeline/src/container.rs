//! Containers: a definition applied to the facts. Not here: who is a member, and what came before the container.

use crate::definition::Definition;
use crate::keys::{Key, Keys};
use crate::members::{Members, Stay, Who, lives, peak};
use crate::membership::{Membership, NsSet};
use crate::order::{distinct, sorted};
use crate::registry::Named;
use crate::runtime::{self, GroupId};
use crate::timeline::Timeline;
use crate::why::{names_why, title_of, why};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::NsKind;

/// A container and what was seen of it.
#[derive(Clone, Debug)]
pub struct Container {
    /// What it is known by.
    pub key: Key,
    /// What its runtime calls it, where the recorder asked: of several answers that of the source that knows best.
    pub named: Option<Named>,
    /// Why it is one and has its name, a sentence for each piece of evidence.
    pub why: Vec<String>,
    /// A cgroup path of its processes, where known.
    pub cgroup: Option<String>,
    /// The namespaces of its init: of the first process that is in a pid namespace of its own, once it has set itself
    /// up; where there is none, of the first process.
    pub namespaces: NsSet,
    /// The types in which those differ from the host's.
    pub differs: Vec<NsKind>,
    /// Who made it, and how long that took, where the recording has seen it.
    pub created: Option<Created>,
    /// The thread that is its root: its first, once it is made. An index for [`Timeline::task_at`].
    pub root: Option<usize>,
    /// Of the types in which its namespaces differ from the host's: the numbers that the kernel never gives again
    /// (`NS_GET_ID` of ioctl_nsfs(2)), where the recording has them.
    #[cfg(feature = "full")]
    pub unique: Vec<(NsKind, u64)>,
    /// All that were first in its pid namespace, the root among them: it may have been started again.
    pub inits: Vec<usize>,
    /// The root's pid, and the first program that it started there.
    pub root_pid: Option<u32>,
    /// See [`root_pid`](Self::root_pid); empty where it is not known.
    pub command: String,
    /// Tasks that were in it, in order: indices for [`Timeline::task_at`]. Those that are only counted are not among them, nor
    /// are those of a runtime that only set it up, or entered it to start a program there.
    pub tasks: Vec<usize>,
    /// Of those, the ones that came into it from outside, each with the first of a program: `docker exec`, `nsenter`.
    pub entered: Vec<usize>,
    /// How many programs were started in it from outside.
    pub execs: usize,
    /// Tasks that ran something else before they started a program in it: since when they run that, ns.
    began: Vec<(u64, u64)>,
    /// Of [`entered`](Self::entered), those that its runtime runs to see whether it is well.
    pub checks: Vec<usize>,
    /// How many of those there were.
    pub health_checks: usize,
    /// The memberships of its tasks, as [`Timeline::membership_of`] has them. Where nothing was counted in a membership, an
    /// earlier container with the same namespaces may have had the same number.
    pub memberships: Vec<u32>,
    /// Processes of a runtime that only set it up, or entered it, and are not counted among its own.
    pub helpers: usize,
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
    pub start: u64,
    /// Whether `start` is its beginning; otherwise it was already there.
    pub start_exact: bool,
    /// When its last process ended or left, ns; `None` while there is one.
    pub end: Option<u64>,
    /// Names its processes had, in the order of appearance.
    pub commands: Vec<String>,
}

/// How a container came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The program that set it up: `runc`, `unshare`.
    pub by: String,
    /// From its first sign to the start of its own program, ns.
    pub ns: u64,
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

    /// The runtime, where it or the cgroup path tells it.
    pub fn runtime(&self) -> Option<&'static str> {
        let Key::Runtime(runtime) = &self.key else { return None };
        let by_runtime = self.named.as_ref().map(|named| named.runtime).filter(|&name| name != runtime::UNKNOWN);
        Some(by_runtime.unwrap_or(runtime.name))
    }

    /// What the cgroup path says that it is part of.
    pub(crate) fn runtime_group(&self) -> Option<&GroupId> {
        match &self.key {
            Key::Runtime(runtime) => runtime.group.as_ref(),
            Key::Namespaces(_) => None,
        }
    }

    /// A label that its runtime has for it.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.named.as_ref().and_then(|named| named.label(key))
    }

    /// Since when a task runs a program that was started in this container, ns; 0: all along.
    pub fn since(&self, task: usize) -> u64 {
        let at = self.began.partition_point(|&(of, _)| of < task as u64);
        self.began.get(at).filter(|&&(of, _)| of == task as u64).map_or(0, |&(_, since)| since)
    }

    /// What it is in a word: the runtime, or what its processes and cgroup tell of who made it.
    pub fn kind(&self) -> String {
        if let Some(runtime) = self.runtime() {
            return runtime.into();
        }
        let by = self.created.as_ref().map(|created| created.by.as_str());
        let runs =
            |names: &[&str]| self.commands.iter().map(String::as_str).chain(by).any(|command| names.contains(&command));
        if runs(&["bwrap"]) {
            return "bubblewrap".into();
        }
        if runs(&["chrome", "chromium", "firefox", "Web Content", "Isolated Web Co", "WebKitWebProces"]) {
            return "browser sandbox".into();
        }
        let unit = self.cgroup.as_ref().and_then(|path| runtime::systemd_unit(path.as_bytes()));
        match unit {
            Some((unit, "service")) => format!("{unit}.service"),
            _ if runs(&["unshare"]) => "unshare".into(),
            _ => "namespaces".into(),
        }
    }
}

/// A task that has namespaces of its own but is in no container.
#[derive(Clone, Debug)]
pub struct Namespaced {
    /// Index for [`Timeline::task_at`].
    pub task: usize,
    /// The types in which it differs from the host.
    pub differs: Vec<NsKind>,
}

/// A number that a membership has or had, and until when.
struct Numbered {
    number: u32,
    /// The one that it has.
    latest: u64,
    /// Until when there were any tasks, ns.
    until: u64,
}

impl Timeline {
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
            for (membership, from, to) in task.states(&self.registry) {
                let Some(key) = keys.look(membership) else { continue };
                let exact = task.start_exact || from > task.start;
                put(key, Stay { who: Who::Task(index), membership, from, to, exact });
            }
        }
        for (number, group) in self.ended_groups.groups().iter().enumerate() {
            if group.names.is_empty()
                && group.memberships.iter().all(|&membership| self.sets_of_membership(membership).0.is_none())
            {
                continue;
            }
            for (&membership, &(from, to, exact)) in group.memberships.iter().zip(&group.stays) {
                let Some(key) = keys.of_membership(membership) else { continue };
                let membership = self.usage[membership as usize].membership;
                put(key, Stay { who: Who::Ended(number as u32), membership, from, to: Some(to), exact });
            }
        }
        let mut containers = Vec::new();
        for number in keys.in_order() {
            let stays = found.get_mut(number as usize).map(core::mem::take).unwrap_or_default();
            if stays.is_empty() {
                continue;
            }
            let key = keys.key(number).clone();
            let mut memberships = self.memberships_of(&stays);
            let mut lives = lives(&key, stays, &|ino, from, to| self.unique(ino, from, to)).into_iter().peekable();
            while let Some(stays) = lives.next() {
                let end = stays.iter().map(|stay| stay.to.unwrap_or(u64::MAX)).max().unwrap_or(0);
                let own = memberships.partition_point(|membership| membership.until <= end);
                let later = if lives.peek().is_some() { memberships.split_off(own) } else { Vec::new() };
                containers.push(self.finished(&mut keys, number, &key, stays, &memberships));
                memberships = later;
            }
        }
        sorted(containers, |container| (container.start, 0))
    }

    /// The numbers that memberships have, in order, each with a 0.
    fn numbers_of(&self, stays: &[Stay]) -> Vec<(u64, u64)> {
        distinct(stays.iter().filter_map(|stay| Some((self.memberships.get(stay.membership)?.into(), 0))))
    }

    /// All numbers that memberships have or had, in order of when they were left.
    fn memberships_of(&self, stays: &[Stay]) -> Vec<Numbered> {
        let mut memberships = Vec::new();
        for (latest, _) in self.numbers_of(stays) {
            let mut number = latest as u32;
            let of = self.usage[latest as usize].membership;
            // One that had no owner may have got one since: what it was before was not this.
            while let Some(usage) = self.usage.get(number as usize).filter(|usage| usage.membership == of) {
                memberships.push(Numbered { latest, number, until: usage.until() });
                number = usage.earlier;
            }
        }
        sorted(memberships, |membership| (membership.until, 0))
    }

    /// Tells when anybody was where: membership, from, to.
    pub(crate) fn all_stays(&self, each: &mut dyn FnMut(Membership, u64, u64)) {
        for (_, task) in self.tasks() {
            for (membership, from, to) in task.states(&self.registry) {
                each(membership, from, to.unwrap_or(u64::MAX));
            }
        }
        for group in self.ended_groups.groups() {
            for (&membership, &(from, to, _)) in group.memberships.iter().zip(&group.stays) {
                each(self.usage[membership as usize].membership, from, to);
            }
        }
    }

    /// What a container's runtime calls it, where the recorder asked: the answer of the source that knows best, with the
    /// image and the labels that others add.
    pub fn named(&self, key: &Key) -> Option<Named> {
        let names = self.names_of(key);
        let mut named = names.iter().find(|named| !named.name.is_empty()).or(names.first())?.clone();
        for other in names {
            if named.image.is_empty() {
                named.image.clone_from(&other.image);
            }
            for label in &other.labels {
                if named.labels.iter().all(|(known, _)| *known != label.0) {
                    named.labels.push(label.clone());
                }
            }
        }
        Some(named)
    }

    /// All that sources call a container, the best first.
    fn names_of(&self, key: &Key) -> &[Named] {
        let Key::Runtime(runtime) = key else { return &[] };
        self.registry.find(&runtime.identity()).map_or(&[], |number| &self.registry.get(number).names)
    }

    /// Tasks that at some time had namespaces of their own while in no container.
    pub fn namespaced(&self, definition: &Definition) -> Vec<Namespaced> {
        let mut keys = self.keys(definition);
        let host = keys.host;
        let mut found = Vec::new();
        for (index, task) in self.tasks() {
            // The kernel's own threads (parent kthreadd) are not anybody's container, nor is a runtime on its way into one.
            let helper = task.names.last().is_some_and(|name| self.is_helper(name.value));
            if task.ppid == Some(2) || (task.end.is_some() && helper) {
                continue;
            }
            let states = task.states(&self.registry);
            let outside = states.filter(|&(membership, ..)| keys.look(membership).is_none());
            let sets = outside.filter_map(|(membership, ..)| Some(*self.ns_sets.get(membership.namespaces?)));
            let mut differs = [false; NsKind::ALL.len()];
            sets.flat_map(|set| set.differences(&host)).for_each(|kind| differs[kind.index()] = true);
            if differs.contains(&true) {
                let differs = NsKind::ALL.into_iter().filter(|kind| differs[kind.index()]).collect();
                found.push(Namespaced { task: index, differs });
            }
        }
        found
    }

    /// `memberships`: the numbers of the memberships of this life.
    fn finished(
        &self,
        keys: &mut Keys<'_>,
        number: u32,
        key: &Key,
        mut stays: Vec<Stay>,
        memberships: &[Numbered],
    ) -> Container {
        let host = keys.host;
        let first_stay = stays.iter().min_by_key(|stay| stay.from);
        let (first, first_exact) = first_stay.map_or((0, false), |stay| (stay.from, stay.exact));
        let still = stays.iter().any(|stay| stay.to.is_none());
        let last = if still { None } else { stays.iter().filter_map(|stay| stay.to).max() };
        let all = Members::of(self, keys, number, &stays);
        let namespaces = self.namespaces_of_init(&stays, &host);
        let helpers = self.without_helpers(&all, &mut stays);

        let tasks = distinct(stays.iter().filter_map(|stay| Some((stay.who.task()? as u64, 0))));
        let tasks: Vec<usize> = tasks.into_iter().map(|(task, _)| task as usize).collect();
        let groups = distinct(stays.iter().filter_map(|stay| Some((u64::from(stay.who.ended()?), 0))));
        let ended: Vec<_> =
            groups.into_iter().map(|(number, _)| (number, self.ended_groups.group(number as u32))).collect();
        let process = |t: usize| (u64::from(self.tasks[t].pid), self.tasks[t].process_start);
        let processes = distinct(tasks.iter().map(|&t| process(t)));
        let numbers = self.numbers_of(&stays);
        let peaks = numbers.iter().map(|&(membership, _)| self.usage[membership as usize].peak as usize);
        let seen_peak = peaks.max().unwrap_or(0);
        // Those of its helpers alone are none of its own.
        let own = memberships.iter().filter(|membership| numbers.binary_search(&(membership.latest, 0)).is_ok());
        let own: Vec<u32> = own.map(|membership| membership.number).collect();
        let usage = || own.iter().map(|&number| &self.usage[number as usize]);

        // Name and when anybody had it.
        let mut commands: Vec<(u64, u64)> = Vec::new();
        for &(number, group) in &ended {
            let since = all.phase_of(Who::Ended(number as u32));
            let names = group.names.iter().filter(|&&(.., phase)| phase >= since);
            commands.extend(names.map(|&(time, name, _)| (u64::from(name), time)));
        }
        for stay in &stays {
            let Some(task) = stay.who.task().map(|index| &self.tasks[index]) else { continue };
            let from = stay.from.max(all.since(stay.who).unwrap_or(0));
            for (position, name) in task.names.iter().enumerate() {
                let until = task.names.get(position + 1).map(|next| next.time);
                let during = stay.to.is_none_or(|to| name.time < to) && until.is_none_or(|until| until > from);
                if during {
                    commands.push((u64::from(name.value), name.time.max(from)));
                }
            }
        }
        let mut commands = distinct(commands);
        commands.dedup_by_key(|&mut (name, _)| name);
        let commands = distinct(commands.into_iter().map(|(name, time)| (time, name)));
        let name = |name: u64| String::from_utf8_lossy(self.names.get(name as u32)).into_owned();

        let differs: Vec<NsKind> = namespaces.differences(&host).collect();
        let memberships = stays.iter().map(|stay| stay.membership);
        let cgroup = memberships.clone().find_map(|membership| self.cgroup_path(membership, key));
        let inferred = tasks.iter().filter(|&&task| {
            let cgroups = &self.tasks[task].cgroups;
            matches!(key, Key::Runtime(_)) && cgroups.last().is_some_and(|since| !since.source.is_exact())
        });
        let root = self.root(&tasks, &stays);
        // A child may have been seen before its parent, which was there all along.
        let first_exact = first_exact && root.is_none_or(|root| self.tasks[root].start_exact);
        let created = all
            .created
            .filter(|_| first_exact)
            .map(|(time, who)| Created { by: self.maker(&self.tasks[who], time), ns: time.saturating_sub(first) });
        let is_init = |&task: &usize| self.is_init(&self.tasks[task], &host);
        let inits: Vec<usize> = tasks.iter().copied().filter(is_init).chain(root).collect();
        let entered = self.entered(&all, &tasks, &inits);
        let named = self.named(key);
        let health = named.as_ref().and_then(|named| named.label(HEALTH_CHECK)).map(String::from);
        let is_health_check = |&&task: &&usize| {
            let since = all.since(Who::Task(task)).unwrap_or(0);
            let name = self.tasks[task].names.iter().find(|name| name.time >= since);
            let name = name.map(|name| self.names.get(name.value).as_slice());
            health.as_ref().is_some_and(|command| name.is_some_and(|name| is_program(command, name)))
        };
        let checks: Vec<usize> = entered.iter().filter(is_health_check).copied().collect();
        let why = why(key, cgroup.as_deref(), &namespaces, &differs);
        Container {
            #[cfg(feature = "full")]
            unique: {
                let until = stays.iter().map(|stay| stay.to.unwrap_or(u64::MAX)).max().unwrap_or(0);
                let number = |kind: NsKind| Some((kind, self.unique(namespaces.get(kind).ino, first, until)?));
                differs.iter().copied().filter_map(number).collect()
            },
            why: why.into_iter().chain(names_why(self.names_of(key))).collect(),
            named,
            cgroup,
            differs,
            namespaces,
            created,
            root,
            root_pid: root.map(|root| self.tasks[root].pid),
            command: root
                .and_then(|root| self.first_name(root, all.since(Who::Task(root)).unwrap_or(0)))
                .unwrap_or_default(),
            execs: entered.len() + all.entered_ended(&ended),
            inits,
            health_checks: checks.len(),
            checks,
            began: all.began(&tasks),
            entered,
            helpers,
            threads: tasks.len() + ended.iter().map(|(_, group)| group.tasks as usize).sum::<usize>(),
            inferred: inferred.count(),
            processes: processes.len() + ended.iter().map(|(_, group)| group.processes as usize).sum::<usize>(),
            peak_processes: peak(self, &stays).max(if ended.is_empty() { 0 } else { seen_peak }),
            samples: usage().map(|usage| usage.samples).sum(),
            cpu: self.exact_cpu(&own).unwrap_or_else(|| usage().map(|usage| usage.cpu).sum()),
            memberships: own,
            tasks,
            start: first,
            start_exact: first_exact,
            end: last,
            commands: commands.into_iter().map(|(_, of)| name(of)).collect(),
            key: key.clone(),
        }
    }

    /// A task's first name from a time on.
    fn first_name(&self, task: usize, since: u64) -> Option<String> {
        let names = &self.tasks[task].names;
        let name = names.iter().find(|name| name.time >= since).or(names.last())?;
        Some(String::from_utf8_lossy(self.names.get(name.value)).into_owned())
    }

    /// What a container is called that no recording need be over for: as [`title`](crate::select::title) has it.
    pub fn title_of(&self, key: &Key) -> String {
        let root = key.namespace(NsKind::Pid).and_then(|pid| self.registry.first_in(pid)).and_then(|tid| self.has(tid));
        let root = root.map(|index| {
            let task = &self.tasks[index];
            let since = task.ran.first().map_or(0, |&(time, _)| time);
            (task.pid, self.first_name(index, since).unwrap_or_default())
        });
        title_of(key, self.named(key).as_ref(), root.as_ref().map(|(pid, name)| (*pid, name.as_str())))
    }

    /// The number that the kernel never gives again of the namespace that had an inode in a time, ns.
    #[cfg(feature = "full")]
    fn unique(&self, ino: u64, from: u64, to: u64) -> Option<u64> {
        let all = self.uniques.get(&ino)?;
        all.iter().find(|&&(time, _)| from <= time && time <= to).map(|&(_, unique)| unique)
    }

    #[cfg(not(feature = "full"))]
    #[expect(clippy::unused_self, reason = "without the feature nothing is known")]
    fn unique(&self, _: u64, _: u64, _: u64) -> Option<u64> {
        None
    }

    /// CPU time in some memberships, where context switches tell it, ns.
    #[cfg(feature = "full")]
    fn exact_cpu(&self, memberships: &[u32]) -> Option<u64> {
        let of = |&membership: &u32| {
            self.switches.counted.get(&u64::from(membership)).map_or(0, |counted| counted.on_cpu.values().sum())
        };
        self.has_switches().then(|| memberships.iter().map(of).sum())
    }

    #[cfg(not(feature = "full"))]
    #[expect(clippy::unused_self, reason = "without the feature nothing is known")]
    fn exact_cpu(&self, _: &[u32]) -> Option<u64> {
        None
    }

    /// The path in a membership that names a runtime's container, where that is the key; else that of the unified hierarchy,
    /// or else the longest.
    fn cgroup_path(&self, membership: Membership, key: &Key) -> Option<String> {
        let set = self.cgroup_sets.get(membership.cgroups?);
        let path = match key {
            Key::Runtime(ours) => {
                let number = self.registry.find(&ours.identity())?;
                set.iter().map(|&[_, path]| path).find(|&path| self.registry.of_path(path) == Some(number))?
            }
            Key::Namespaces(_) => {
                let longest = |&&[root, path]: &&[u32; 2]| (root == 0, self.paths.get(path).len());
                set.iter().max_by_key(longest)?[1]
            }
        };
        Some(String::from_utf8_lossy(self.paths.get(path)).into_owned())
    }
}

/// The label that has the program by which a runtime sees whether a container is well.
const HEALTH_CHECK: &str = "health_check";

/// Whether a command's program goes by this name: the kernel keeps 15 bytes of it.
fn is_program(command: &str, name: &[u8]) -> bool {
    let program = command.rsplit('/').next().unwrap_or_default().as_bytes();
    !program.is_empty() && &program[..program.len().min(15)] == name
}
