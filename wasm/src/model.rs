//! The rows of the picture, and what is to be drawn in them. Not here: how a file is read.

use crate::draw::{Curve, Draw, View};
use crate::facts::{Event, Facts, What};
use nsscope_timeline::filter::{Field, Filter};
use nsscope_timeline::order::sorted;
use nsscope_timeline::select::{Selection, of_key, of_task, passes, title};
use nsscope_timeline::{Container, Definition, Group, Interner, Key, Keys, Process, Task, Timeline};

/// What a row stands for; the numbers are the page's, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// All that is in no container.
    Host = 0,
    /// Containers that belong together, such as a pod: index into the selection's.
    Group = 1,
    /// A container: index into the selection's.
    Container = 2,
    /// A process: index into [`Model::processes`].
    Process = 3,
    /// A thread: index for [`Timeline::task_at`].
    Thread = 4,
}

/// A row of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) depth: u8,
    /// What it stands for, by its kind.
    pub(crate) of: u32,
    /// The row it belongs to; `u32::MAX`: none.
    pub(crate) parent: u32,
    /// The row behind all that belong to it.
    pub(crate) end: u32,
    pub(crate) open: bool,
    /// How many lived in it at a time, and its samples: its place among [`Model::curves`]; `u32::MAX`: it has none.
    curve: u32,
}

const NONE: u32 = u32::MAX;

/// Rows by a definition and a filter.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) selection: Selection,
    pub(crate) processes: Vec<Process>,
    pub(crate) rows: Vec<Row>,
    /// Rows that are not folded away.
    pub(crate) visible: Vec<u32>,
    curves: Vec<Curve>,
    /// The container of each process, an index into the selection's.
    pub(crate) container_of: Vec<Option<u32>>,
    /// Events that pass, by their number; `None`: all.
    events: Option<Vec<u32>>,
    last: u64,
}

/// Up to how many processes are unfolded at first.
const UNFOLDED: usize = 200;

/// Groups of containers of one kind, or of one image; whoever has none is in no group.
fn alike(containers: &[Container], kind: &'static str) -> Vec<Group> {
    let mut ids: Interner<Vec<u8>> = Interner::default();
    let mut groups: Vec<Group> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let image = || container.named.as_ref().map(|named| named.image.clone()).filter(|image| !image.is_empty());
        let Some(id) = (if kind == "kind" { Some(container.kind()) } else { image() }) else { continue };
        match groups.get_mut(ids.intern(id.as_bytes()) as usize) {
            None => {
                groups.push(Group { kind, name: id.clone(), id, why: "grouped by it".into(), containers: vec![index] });
            }
            Some(group) => group.containers.push(index),
        }
    }
    groups
}

impl Model {
    /// Containers are in the order of their ranks, those without one last, those that are alike together. `by`: `kind` or
    /// `image`; empty: as a runtime has it, in pods and projects; else none are together.
    pub(crate) fn new(facts: &Facts, definition: &Definition, filter: &Filter, by: &str, ranks: &[u32]) -> Self {
        let timeline = &facts.timeline;
        let selection = Selection::of(timeline, definition, filter, (0, u64::MAX), |_| {});
        let last = timeline.span().map_or(0, |(_, last)| last);
        let mut model = Self { selection, last, ..Self::default() };
        // Whoever was ever in a container is none of the host's, whether it passes or not.
        let mut inside = Vec::new();
        for container in timeline.containers(definition) {
            for &task in &container.tasks {
                if inside.len() <= task {
                    inside.resize(task + 1, false);
                }
                inside[task] = true;
            }
        }
        let outside = timeline.tasks().filter(|&(index, _)| inside.get(index) != Some(&true));
        let mut host = timeline.processes(outside.map(|(index, _)| index));
        if !filter.is_empty() {
            host.retain(|process| passes(filter, timeline, None, None, Some(process)));
        }
        match by {
            "" => {}
            "kind" => model.selection.groups = alike(&model.selection.containers, "kind"),
            "image" => model.selection.groups = alike(&model.selection.containers, "image"),
            _ => model.selection.groups.clear(),
        }
        let in_order = |all| sorted(all, |&at: &usize| (ranks.get(at).map_or(u64::MAX, |&rank| rank.into()), 0));
        for group in &mut model.selection.groups {
            group.containers = in_order(std::mem::take(&mut group.containers));
        }
        let members = std::mem::take(&mut model.selection.members);
        let unfolded = members.iter().map(Vec::len).sum::<usize>() <= UNFOLDED;
        let of_each = Group::of_each(&model.selection.groups, members.len());
        for container in in_order((0..members.len()).collect()) {
            let Some(group) = of_each[container] else {
                model.container(timeline, container, NONE, &members, unfolded);
                continue;
            };
            // It stands where the first of its containers does.
            let together = model.selection.groups[group].containers.clone();
            if together.first() == Some(&container) {
                let row = model.row(Kind::Group, group, NONE, by.is_empty() || unfolded);
                let mut all: Vec<&Process> = Vec::new();
                for member in together {
                    all.extend(&members[member]);
                    model.container(timeline, member, row, &members, unfolded);
                }
                model.curve(row, Curve::of(all.into_iter()));
                model.close(row);
            }
        }
        model.selection.members = members;
        if !host.is_empty() {
            let row = model.row(Kind::Host, 0, NONE, false);
            model.curve(row, Curve::of(host.iter()));
            for process in &host {
                model.process(timeline, process, row, None);
            }
            model.close(row);
        }
        model.samples(facts, definition);
        model.limits(facts);
        model.unfold();
        model
    }

    fn row(&mut self, kind: Kind, of: usize, parent: u32, open: bool) -> u32 {
        let depth = self.rows.get(parent as usize).map_or(0, |parent| parent.depth + 1);
        self.rows.push(Row { kind, depth, of: of as u32, parent, end: 0, open, curve: NONE });
        self.rows.len() as u32 - 1
    }

    fn curve(&mut self, row: u32, curve: Curve) {
        self.rows[row as usize].curve = self.curves.len() as u32;
        self.curves.push(curve);
    }

    fn close(&mut self, row: u32) {
        self.rows[row as usize].end = self.rows.len() as u32;
    }

    fn container(&mut self, timeline: &Timeline, at: usize, parent: u32, members: &[Vec<Process>], open: bool) {
        let row = self.row(Kind::Container, at, parent, open);
        self.curve(row, Curve::of(members[at].iter()));
        for process in &members[at] {
            self.process(timeline, process, row, Some(at as u32));
        }
        self.close(row);
    }

    fn process(&mut self, timeline: &Timeline, process: &Process, parent: u32, container: Option<u32>) {
        let row = self.row(Kind::Process, self.processes.len(), parent, false);
        self.processes.push(process.clone());
        self.container_of.push(container);
        if process.threads.len() > 1 {
            let key = |&thread: &usize| (timeline.task_at(thread).start, timeline.task_at(thread).tid);
            for thread in sorted(process.threads.clone(), key) {
                let row = self.row(Kind::Thread, thread, row, false);
                self.close(row);
            }
        }
        self.close(row);
    }

    fn samples(&mut self, facts: &Facts, definition: &Definition) {
        if facts.samples.is_empty() {
            return;
        }
        let mut keys = facts.timeline.keys(definition);
        let host = self.rows.iter().find(|row| row.kind == Kind::Host).map(|row| row.curve);
        let mut curves = Vec::new();
        for row in self.rows.iter().filter(|row| row.kind == Kind::Container) {
            for &membership in &self.selection.containers[row.of as usize].memberships {
                let membership = membership as usize;
                curves.resize(curves.len().max(membership + 1), NONE);
                curves[membership] = row.curve;
            }
        }
        for &(time, membership) in &facts.samples {
            let of = curves.get(membership as usize).copied().filter(|&curve| curve != NONE);
            let of = of.or_else(|| host.filter(|_| keys.of_membership(membership).is_none()));
            if let Some(curve) = of {
                self.curves[curve as usize].samples.push(time);
            }
        }
    }

    fn limits(&mut self, facts: &Facts) {
        for row in self.rows.iter().filter(|row| row.kind == Kind::Container) {
            let container = &self.selection.containers[row.of as usize];
            let Some(limit) = facts.timeline.limit(&container.key) else { continue };
            let times = facts.throttled.iter().filter(|time| time.path == limit.path);
            self.curves[row.curve as usize].throttled = times.copied().collect();
        }
    }

    fn unfold(&mut self) {
        self.visible.clear();
        let mut at = 0;
        while let Some(row) = self.rows.get(at) {
            self.visible.push(at as u32);
            at = if row.open { at + 1 } else { row.end as usize };
        }
    }

    /// Folds a row, or unfolds it.
    pub(crate) fn toggle(&mut self, row: u32) {
        if let Some(row) = self.rows.get_mut(row as usize) {
            row.open = !row.open;
            self.unfold();
        }
    }

    /// Folds or unfolds all that have others below them.
    pub(crate) fn toggle_all(&mut self, open: bool) {
        for row in &mut self.rows {
            row.open = open && row.kind != Kind::Process;
        }
        self.unfold();
    }

    /// Unfolds all that a row belongs to. Returns where it is among those that are visible.
    pub(crate) fn reveal(&mut self, row: u32) -> Option<u32> {
        let mut at = self.rows.get(row as usize)?.parent;
        while let Some(parent) = self.rows.get_mut(at as usize) {
            parent.open = true;
            at = parent.parent;
        }
        self.unfold();
        self.visible.binary_search(&row).ok().map(|position| position as u32)
    }

    /// The rows in which a text is found, no more than so many.
    pub(crate) fn search(&self, timeline: &Timeline, text: &str, most: usize) -> Vec<u32> {
        let text = text.to_ascii_lowercase();
        let has = |value: &str| value.to_ascii_lowercase().contains(&text);
        let found = self.rows.iter().enumerate().filter(|(_, row)| match row.kind {
            Kind::Host => has("host"),
            Kind::Group => {
                let group = &self.selection.groups[row.of as usize];
                has(&group.id) || has(&group.title())
            }
            Kind::Container => {
                let container = &self.selection.containers[row.of as usize];
                has(&title(container))
                    || has(&container.id())
                    || container.cgroup.as_deref().is_some_and(has)
                    || has(&container.kind())
                    || container.own_namespaces().any(|ns| has(&ns))
            }
            Kind::Process => {
                let process = &self.processes[row.of as usize];
                let leader = timeline.task_at(process.leader);
                of_task(timeline, leader, Field::Pid).contains(&text)
                    || names(timeline, leader).iter().any(|n| has(n))
                    || (text.contains(':') && of_task(timeline, leader, Field::Namespace).iter().any(|ns| has(ns)))
            }
            Kind::Thread => {
                let thread = timeline.task_at(row.of as usize);
                thread.tid.to_string() == text
            }
        });
        found.map(|(number, _)| number as u32).take(most).collect()
    }

    /// What is to be drawn of some of the visible rows.
    pub(crate) fn spans(&self, timeline: &Timeline, from: usize, count: usize, view: View, out: &mut Vec<i32>) {
        out.clear();
        if !(view.to > view.from && view.pixels >= 1.0) {
            return;
        }
        for (position, &number) in self.visible.iter().enumerate().skip(from).take(count) {
            let row = &self.rows[number as usize];
            let mut draw = Draw { out, row: position as i32, view };
            match row.kind {
                Kind::Host => draw.life((view.from as u64, None, false), 0),
                Kind::Group => {
                    let all = self.selection.groups[row.of as usize].containers.iter();
                    let all: Vec<_> = all.map(|&at| &self.selection.containers[at]).collect();
                    let first = all.iter().map(|container| container.start).min().unwrap_or(0);
                    let last = all.iter().map(|container| container.end).collect::<Option<Vec<_>>>();
                    let last = last.and_then(|ends| ends.into_iter().max());
                    draw.life((first, last, all.iter().all(|container| container.start_exact)), 0);
                }
                Kind::Container => {
                    let container = &self.selection.containers[row.of as usize];
                    let set = timeline.ns_sets().number(&container.namespaces).map_or(0, |number| number + 1);
                    draw.life((container.start, container.end, container.start_exact), set);
                }
                Kind::Process => {
                    let process = &self.processes[row.of as usize];
                    draw.task(timeline.task_at(process.leader), process.end);
                }
                Kind::Thread => {
                    let thread = timeline.task_at(row.of as usize);
                    draw.task(thread, thread.end);
                }
            }
            if let Some(curve) = self.curves.get(row.curve as usize) {
                draw.curve(curve, self.last);
            }
        }
    }

    /// Lists only the events that pass. `kinds` has a bit for each of [`What::KINDS`].
    pub(crate) fn filter_events(&mut self, facts: &Facts, definition: &Definition, filter: &Filter, kinds: u32) {
        let every = (1 << What::KINDS.len()) - 1;
        if filter.is_empty() && kinds & every == every {
            self.events = None;
            return;
        }
        let timeline = &facts.timeline;
        let mut keys = timeline.keys(definition);
        let containers =
            by_key(&mut keys, self.selection.containers.iter().map(|container| (&container.key, container)));
        let mut passes = |event: &&Event| {
            let number = event.membership.and_then(|membership| keys.of_membership(membership));
            let container = number.and_then(|number| *containers.get(number as usize)?);
            let key = number.map(|number| keys.key(number));
            kinds >> event.what.kind() & 1 == 1
                && filter.passes(|field| match field {
                    Field::Kind => container.map(Container::kind).into_iter().collect(),
                    Field::Container | Field::Image | Field::Group(_) | Field::Label(_) => of_key(timeline, key, field),
                    Field::Comm => {
                        let name = match event.what {
                            What::Name(name) | What::Exec(name) => Some(name),
                            _ => event.name,
                        };
                        name.map(|name| text(timeline.names().get(name))).into_iter().collect()
                    }
                    Field::Pid => vec![event.pid.to_string()],
                    Field::Cgroup => {
                        let set = event.membership.and_then(|membership| timeline.sets_of_membership(membership).1);
                        let paths = set.map(|set| timeline.cgroup_paths(set)).unwrap_or_default();
                        paths.into_iter().map(|(_, path)| path).collect()
                    }
                    Field::Namespace => {
                        let set = event.membership.and_then(|membership| timeline.sets_of_membership(membership).0);
                        let set = set.map(|set| *timeline.ns_sets().get(set)).unwrap_or_default();
                        nsscope_codec::wire::namespaces::NsKind::ALL.map(|kind| set.label(kind)).into()
                    }
                })
        };
        let all = facts.events.iter().enumerate().filter(|(_, event)| passes(event));
        self.events = Some(all.map(|(number, _)| number as u32).collect());
    }

    /// How many events are listed.
    pub(crate) fn event_count(&self, facts: &Facts) -> usize {
        self.events.as_ref().map_or(facts.events.len(), Vec::len)
    }

    /// The events at a place of the list.
    pub(crate) fn events<'f>(&'f self, facts: &'f Facts, from: usize, count: usize) -> impl Iterator<Item = &'f Event> {
        let numbers = from..from.saturating_add(count).min(self.event_count(facts));
        numbers.map(move |at| &facts.events[self.events.as_ref().map_or(at, |events| events[at] as usize)])
    }

    /// The first listed event at this time or later.
    pub(crate) fn event_at(&self, facts: &Facts, time: u64) -> usize {
        match &self.events {
            None => facts.events.partition_point(|event| event.time < time),
            Some(events) => events.partition_point(|&at| facts.events[at as usize].time < time),
        }
    }
}

/// What belongs to the keys of containers, by the keys' numbers.
fn by_key<'k, T: Copy>(keys: &mut Keys<'_>, all: impl Iterator<Item = (&'k Key, T)>) -> Vec<Option<T>> {
    let mut found = Vec::new();
    for (key, value) in all {
        let number = keys.number(key) as usize;
        if found.len() <= number {
            found.resize(number + 1, None);
        }
        found[number] = Some(value);
    }
    found
}

/// A task's names over time.
pub(crate) fn names(timeline: &Timeline, task: &Task) -> Vec<String> {
    let mut names: Vec<String> = task.names.iter().map(|since| text(timeline.names().get(since.value))).collect();
    names.dedup();
    names
}

/// A name of the kernel's, which may be any bytes.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
