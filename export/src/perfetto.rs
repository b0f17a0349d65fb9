//! A trace for Perfetto: a track for each group, container and process with its life as a slice, changes of namespaces
//! as instants, context switches as scheduling of each CPU. Not here: the messages' layouts.

use crate::follow::Follow;
use crate::protos::{
    DebugAnnotation, FtraceEvent, FtraceEventBundle, INSTANT, ProcessDescriptor, SLICE_BEGIN, SLICE_END, SchedSwitch,
    ThreadDescriptor, Trace, TracePacket, TrackDescriptor, TrackEvent,
};
use nsscope_codec::perf_data::Session;
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::{Order, RawRecord, Record};
use nsscope_timeline::select::title;
use nsscope_timeline::{Container, Definition, Group, Process, Timeline};
use prost::Message;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// How many switches of a CPU stand in one packet.
const BUNDLE: usize = 512;
/// `TASK_INTERRUPTIBLE` of a thread that sleeps; 0 of one that would run on.
const SLEEPS: i64 = 1;

/// Writes a trace.
pub struct Perfetto<W> {
    follow: Follow,
    out: W,
    bundles: BTreeMap<u32, Vec<FtraceEvent>>,
    /// Which thread has each CPU.
    running: BTreeMap<u32, u32>,
    /// Changes of namespaces: time, tid, what.
    changes: Vec<(u64, u32, String)>,
    packets: u64,
}

impl<W: Write> Perfetto<W> {
    /// Writes the trace of a stream.
    pub fn new(follow: Follow, out: W) -> Self {
        Self { follow, out, bundles: BTreeMap::new(), running: BTreeMap::new(), changes: Vec::new(), packets: 0 }
    }

    /// Takes the next record, in the order of their times.
    ///
    /// # Errors
    /// Where the trace cannot be written.
    pub fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> io::Result<()> {
        let id = session.sample_id(record);
        let parsed = record.parse();
        // Those that it had before this record.
        let before = match &parsed {
            Ok(Record::Namespaces(ns)) if id.tid.is_some() => {
                let timeline = self.follow.timeline();
                timeline.task_of_tid(ns.tid()).and_then(|(_, task)| timeline.last_namespaces(task))
            }
            _ => None,
        };
        self.follow.take(session, record);
        match parsed {
            Ok(Record::SwitchCpuWide(other)) if record.misc() & MISC_SWITCH_OUT != 0 => {
                let (Some(cpu), Some(time), Some(tid)) = (id.cpu, id.time, id.tid) else { return Ok(()) };
                let next = other.next_prev_tid.get();
                let preempted = record.misc() & MISC_SWITCH_OUT_PREEMPT != 0;
                self.switch(cpu, time, tid, next, if preempted { 0 } else { SLEEPS })
            }
            // That a thread leaves may be said by who comes alone: of the idle task, and where a record is missing.
            Ok(Record::SwitchCpuWide(other)) => {
                let (Some(cpu), Some(time), Some(tid)) = (id.cpu, id.time, id.tid) else { return Ok(()) };
                let left = other.next_prev_tid.get();
                let state = if left == 0 { 0 } else { SLEEPS };
                if self.running.get(&cpu) == Some(&tid) { Ok(()) } else { self.switch(cpu, time, left, tid, state) }
            }
            Ok(Record::Namespaces(ns)) => {
                let (Some(time), Some(before)) = (id.time.filter(|&time| time > 0), before) else { return Ok(()) };
                let news: Vec<String> = NsKind::RECORDED
                    .iter()
                    .zip(ns.links.iter())
                    .map(|(&kind, &link)| (kind, NsId::from(link).ino))
                    .filter(|&(kind, ino)| before.get(kind).ino != 0 && before.get(kind).ino != ino)
                    .map(|(kind, ino)| format!("{}:[{ino}]", kind.name()))
                    .collect();
                if !news.is_empty() {
                    self.changes.push((time, ns.tid(), news.join(" ")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn switch(&mut self, cpu: u32, time: u64, from: u32, to: u32, state: i64) -> io::Result<()> {
        let before = self.running.insert(cpu, to);
        // A thread that has ended has no id any more.
        let from = if from == u32::MAX { before.unwrap_or(0) } else { from };
        // That it came is in no record: it was there at least now.
        if let Some(before) = before.filter(|&before| before != from) {
            self.push(cpu, time, before, from, SLEEPS)?;
        }
        self.push(cpu, time, from, to, state)
    }

    fn push(&mut self, cpu: u32, time: u64, from: u32, to: u32, state: i64) -> io::Result<()> {
        let comm = |tid: u32| {
            if tid == 0 {
                return "swapper".into();
            }
            let task = self.follow.timeline().task_of_tid(tid).map(|(_, task)| task);
            task.and_then(|task| self.follow.timeline().last_name(task)).unwrap_or_default()
        };
        let event = FtraceEvent {
            timestamp: Some(time),
            pid: Some(from),
            sched_switch: Some(SchedSwitch {
                prev_comm: Some(comm(from)),
                prev_pid: Some(from as i32),
                prev_prio: Some(120),
                prev_state: Some(state),
                next_comm: Some(comm(to)),
                next_pid: Some(to as i32),
                next_prio: Some(120),
            }),
        };
        let bundle = self.bundles.entry(cpu).or_default();
        bundle.push(event);
        if bundle.len() < BUNDLE {
            return Ok(());
        }
        let event = std::mem::take(bundle);
        self.bundle(cpu, event)
    }

    fn bundle(&mut self, cpu: u32, event: Vec<FtraceEvent>) -> io::Result<()> {
        self.packet(TracePacket {
            ftrace_events: Some(FtraceEventBundle { cpu: Some(cpu), event }),
            ..TracePacket::default()
        })
    }

    fn packet(&mut self, packet: TracePacket) -> io::Result<()> {
        let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
        self.packets += 1;
        // Traces behind one another are one trace.
        self.out.write_all(&Trace { packet: vec![packet] }.encode_to_vec())
    }

    fn track(&mut self, descriptor: TrackDescriptor) -> io::Result<u64> {
        let uuid = descriptor.uuid.unwrap_or_default();
        self.packet(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() })?;
        Ok(uuid)
    }

    fn event(&mut self, time: u64, event: TrackEvent) -> io::Result<()> {
        self.packet(TracePacket { timestamp: Some(time), track_event: Some(event), ..TracePacket::default() })
    }

    fn slice(
        &mut self,
        track: u64,
        (from, to): (u64, u64),
        kind: &str,
        name: &str,
        facts: Vec<DebugAnnotation>,
    ) -> io::Result<()> {
        let event = |r#type: i32| TrackEvent { r#type: Some(r#type), track_uuid: Some(track), ..TrackEvent::default() };
        let begin = TrackEvent {
            categories: vec![kind.into()],
            name: Some(name.into()),
            debug_annotations: facts,
            ..event(SLICE_BEGIN)
        };
        self.event(from, begin)?;
        self.event(to.max(from), event(SLICE_END))
    }

    /// Writes what is known once the capture is over: tracks, their slices and instants. Returns how many packets the
    /// trace has.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn finish(mut self, timeline: &Timeline, definition: &Definition) -> io::Result<u64> {
        for (cpu, events) in std::mem::take(&mut self.bundles) {
            self.bundle(cpu, events)?;
        }
        let (_, end) = timeline.span().unwrap_or_default();
        let containers = timeline.containers(definition);
        let groups = timeline.groups(&containers);
        let group_of = Group::of_each(&groups, containers.len());
        let mut uuids = 1..;
        let mut uuid = || uuids.next();
        let mut group_tracks = Vec::new();
        for group in &groups {
            let of = group.containers.iter().map(|&at| &containers[at]);
            let from = of.clone().map(|container| container.start).min().unwrap_or(0);
            let to = of.map(|container| container.end.unwrap_or(end)).max().unwrap_or(end);
            let track = TrackDescriptor { uuid: uuid(), name: Some(group.title()), ..TrackDescriptor::default() };
            let track = self.track(track)?;
            self.slice(track, (from, to), group.kind, &group.title(), vec![text("id", &group.id)])?;
            group_tracks.push(track);
        }
        for (container, group) in containers.iter().zip(group_of) {
            let parent_uuid = group.map(|group| group_tracks[group]);
            let title = title(container);
            let track =
                TrackDescriptor { uuid: uuid(), name: Some(title.clone()), parent_uuid, ..TrackDescriptor::default() };
            let track = self.track(track)?;
            let life = (container.start, container.end.unwrap_or(end));
            self.slice(track, life, "container", &title, facts(container))?;
            for process in timeline.processes(container.tasks.iter().copied()) {
                let name = name(timeline, &process);
                let track = TrackDescriptor {
                    uuid: uuid(),
                    name: Some(format!("{name} {}", process.pid)),
                    parent_uuid: Some(track),
                    ..TrackDescriptor::default()
                };
                let track = self.track(track)?;
                let life = (process.start, process.end.unwrap_or(end));
                self.slice(track, life, "process", &name, vec![number("pid", process.pid)])?;
            }
        }
        // Names for the processes and threads that the CPUs' rows speak of, and the tracks of their changes.
        let mut tracks = BTreeMap::new();
        for process in timeline.processes(timeline.tasks().map(|(index, _)| index)) {
            let pid = Some(process.pid as i32);
            let descriptor = ProcessDescriptor { pid, process_name: Some(name(timeline, &process)) };
            let parent =
                self.track(TrackDescriptor { uuid: uuid(), process: Some(descriptor), ..TrackDescriptor::default() })?;
            for &thread in &process.threads {
                let task = timeline.task_at(thread);
                let thread =
                    ThreadDescriptor { pid, tid: Some(task.tid as i32), thread_name: timeline.last_name(task) };
                let (thread, parent_uuid) = (Some(thread), Some(parent));
                let track = TrackDescriptor { uuid: uuid(), thread, parent_uuid, ..TrackDescriptor::default() };
                tracks.insert(task.tid, self.track(track)?);
            }
        }
        for (time, tid, what) in std::mem::take(&mut self.changes) {
            let Some(&track_uuid) = tracks.get(&tid) else { continue };
            let event = TrackEvent {
                categories: vec!["namespaces".into()],
                name: Some(what),
                r#type: Some(INSTANT),
                track_uuid: Some(track_uuid),
                ..TrackEvent::default()
            };
            self.event(time, event)?;
        }
        self.out.flush()?;
        Ok(self.packets)
    }
}

fn name(timeline: &Timeline, process: &Process) -> String {
    timeline.last_name(timeline.task_at(process.leader)).unwrap_or_default()
}

fn text(name: &str, value: &str) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.into()), string_value: Some(value.into()), ..DebugAnnotation::default() }
}

fn number(name: &str, value: impl Into<u64>) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.into()), uint_value: Some(value.into()), ..DebugAnnotation::default() }
}

fn facts(container: &Container) -> Vec<DebugAnnotation> {
    let mut facts = vec![text("id", &container.id()), text("kind", &container.kind())];
    facts.extend(
        container.named.iter().filter(|named| !named.image.is_empty()).map(|named| text("image", &named.image)),
    );
    facts.extend(container.own_namespaces().map(|namespace| text("own", &namespace)));
    facts.push(number("processes", container.processes as u64));
    facts
}
