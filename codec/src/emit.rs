//! The producer's side: who wants a NAMESPACES record, what goes into it, one output per event. Not here: the ring that
//! an output writes to, and how a task's namespaces are found.
//!
//! What `perf_event_namespaces()` and its callees in `kernel/events/core.c` do, for anyone who produces the record: a
//! kernel module, an eBPF program, a hypervisor, a simulator. The caller supplies its tasks, its events and the
//! context it runs in as traits; nothing here allocates, blocks or panics.
//!
//! ```
//! use nsscope_codec::emit::NamespaceEvents;
//! use nsscope_codec::wire::attr::AttrFlags;
//!
//! static EVENTS: NamespaceEvents = NamespaceEvents::new();
//!
//! assert!(!EVENTS.wanted());
//! EVENTS.account(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL); // an event was opened
//! assert!(EVENTS.wanted());
//! EVENTS.unaccount(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL); // and closed
//! assert!(!EVENTS.wanted());
//! ```

use crate::encode::{Encode, Namespaces, Sink};
use crate::wire::attr::{Attr, AttrFlags};
use crate::wire::namespaces::{NsId, NsKind, NR_NAMESPACES};
use crate::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use crate::wire::Native;
#[cfg(target_has_atomic = "32")]
use core::sync::atomic::{AtomicU32, Ordering};

/// A task that a record is about.
pub trait Task {
    /// A pid namespace to look from.
    type PidNs: ?Sized;
    /// A reference to a namespace; dropping it releases the reference.
    type Namespace: Namespace;

    /// Process and thread id as seen from a pid namespace; 0 where the task is not visible there.
    fn ids(&self, from: &Self::PidNs) -> (u32, u32);

    /// The task's namespace of this type; `None` where the system was built without the type, or the task has none
    /// any more.
    fn namespace(&self, kind: NsKind) -> Option<Self::Namespace>;
}

/// A namespace that is held while it is looked at.
pub trait Namespace {
    /// Device (see [`new_encode_dev`](crate::wire::namespaces::new_encode_dev)) and inode of its file in nsfs.
    fn id(&self) -> NsId;
}

/// Where and when a record is made: what its trailer tells.
pub trait Context {
    /// The system's tasks.
    type Task: Task;

    /// The task that runs, which is not always the one the record is about: a child's first record is made by its
    /// parent.
    fn current(&self) -> &Self::Task;

    /// The time in ns of a clock (`CLOCK_*`), or of the default clock where the attr names none.
    fn now(&self, clock: Option<i32>) -> u64;

    /// The CPU.
    fn cpu(&self) -> u32;
}

/// An event that records are written for.
pub trait Event {
    /// A pid namespace to look from.
    type PidNs: ?Sized;
    /// Room that was reserved.
    type Output<'a>: Output
    where
        Self: 'a;

    /// What the event was asked to record.
    fn requested(&self) -> Requested;

    /// Id of the event.
    fn id(&self) -> u64;

    /// Id of the event's stream: of the event itself, where [`id`](Self::id) is that of its parent.
    fn stream_id(&self) -> u64;

    /// The pid namespace of the event's owner.
    fn pid_ns(&self) -> &Self::PidNs;

    /// Reserves `size` bytes (`perf_output_begin()`). `None` where there is no room: the event then counts a record
    /// as lost, and tells so with a LOST record, with this trailer, once there is.
    fn begin(&mut self, size: usize, trailer: &Trailer) -> Option<Self::Output<'_>>;
}

/// What of an event's attr a record depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Requested {
    /// The attr's flags.
    pub flags: AttrFlags,
    /// The attr's `sample_type`.
    pub sample_type: SampleType,
    /// The attr's `clockid`, which counts with [`AttrFlags::USE_CLOCKID`] alone.
    pub clockid: i32,
}

impl From<&Attr<Native>> for Requested {
    #[inline]
    fn from(attr: &Attr<Native>) -> Self {
        Self { flags: attr.flags(), sample_type: SampleType(attr.sample_type.get()), clockid: attr.clockid.get() }
    }
}

/// Reserved room: takes exactly the bytes that were reserved, then is committed.
pub trait Output: Sink {
    /// Makes the record visible to the reader (`perf_output_end()`).
    fn commit(self);
}

/// A trailer: layout and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Trailer {
    /// The fields that the event's attr asks for.
    pub layout: SampleIdLayout,
    /// Their values.
    pub id: SampleId,
}

impl Trailer {
    /// The trailer of an event's record made now (`perf_event_header__init_id()`).
    #[inline]
    pub fn new<E, C>(event: &E, context: &C) -> Self
    where
        E: Event,
        C: Context<Task: Task<PidNs = E::PidNs>>,
    {
        let Requested { flags, sample_type, clockid } = event.requested();
        if !flags.has(AttrFlags::SAMPLE_ID_ALL) {
            return Self { layout: SampleIdLayout::NONE, id: SampleId::default() };
        }
        let layout = SampleIdLayout::new(sample_type);
        let has = |bit| layout.fields().has(bit);
        let ids = has(SampleType::TID).then(|| context.current().ids(event.pid_ns()));
        let clock = flags.has(AttrFlags::USE_CLOCKID).then_some(clockid);
        Self {
            layout,
            id: SampleId {
                pid: ids.map(|(pid, _)| pid),
                tid: ids.map(|(_, tid)| tid),
                time: has(SampleType::TIME).then(|| context.now(clock)),
                id: Some(event.id()),
                stream_id: has(SampleType::STREAM_ID).then(|| event.stream_id()),
                cpu: has(SampleType::CPU).then(|| context.cpu()),
            },
        }
    }
}

/// What became of an emission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Emitted {
    /// Records written.
    pub written: u32,
    /// Events that had no room.
    pub lost: u32,
}

/// How many events want NAMESPACES records (`nr_namespaces_events`): with none, emitting costs one load and one
/// branch.
#[cfg(target_has_atomic = "32")]
#[derive(Debug, Default)]
pub struct NamespaceEvents {
    count: AtomicU32,
}

#[cfg(target_has_atomic = "32")]
impl NamespaceEvents {
    /// Nobody is interested.
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0) }
    }

    /// An event with these flags was opened.
    #[inline]
    pub fn account(&self, flags: AttrFlags) {
        if flags.has(AttrFlags::NAMESPACES) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An event that was accounted is closed.
    #[inline]
    pub fn unaccount(&self, flags: AttrFlags) {
        if flags.has(AttrFlags::NAMESPACES) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether any event is interested.
    #[inline]
    pub fn wanted(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// The namespaces of `task` are new (fork) or changed (unshare, setns): reads them, where any event is interested.
    #[inline]
    pub fn emission<'a, T: Task>(&self, task: &'a T) -> Option<Emission<'a, T>> {
        self.wanted().then(|| Emission::new(task))
    }

    /// The namespaces of `task` are new (fork) or changed (unshare, setns): tells every event of `events`, which are
    /// those whose CPU and task fit. With nobody interested, `events` is not asked for.
    #[inline]
    pub fn emit<E, C, T, I>(&self, task: &T, context: &C, events: impl FnOnce() -> I) -> Emitted
    where
        E: Event,
        T: Task<PidNs = E::PidNs>,
        C: Context<Task: Task<PidNs = E::PidNs>>,
        I: IntoIterator<Item = E>,
    {
        if !self.wanted() {
            return Emitted::default();
        }
        emit_namespaces(task, context, events())
    }
}

/// Writes a task's NAMESPACES record for each of the events that has `attr.namespaces`.
pub fn emit_namespaces<E, C, T>(task: &T, context: &C, events: impl IntoIterator<Item = E>) -> Emitted
where
    E: Event,
    T: Task<PidNs = E::PidNs>,
    C: Context<Task: Task<PidNs = E::PidNs>>,
{
    let emission = Emission::of(task, NsKind::RECORDED);
    let mut emitted = Emitted::default();
    for mut event in events {
        match emission.output(&mut event, context) {
            Some(true) => emitted.written = emitted.written.wrapping_add(1),
            Some(false) => emitted.lost = emitted.lost.wrapping_add(1),
            None => {}
        }
    }
    emitted
}

/// A task's NAMESPACES record before it is written, for a caller that is called back for each event, and for events that
/// want the time namespace: it is read once, whoever wants to know it.
#[derive(Debug)]
pub struct Emission<'a, T, const KINDS: usize = { NsKind::ALL.len() }> {
    task: &'a T,
    links: [NsId; KINDS],
}

impl<'a, T: Task> Emission<'a, T> {
    /// Reads the task's namespaces, the time namespace among them.
    #[inline]
    pub fn new(task: &'a T) -> Self {
        Self::of(task, NsKind::ALL)
    }
}

impl<'a, T: Task, const KINDS: usize> Emission<'a, T, KINDS> {
    #[inline]
    fn of(task: &'a T, kinds: [NsKind; KINDS]) -> Self {
        // Each reference lives until its identity is read, whatever happens to the record.
        let id = |kind| task.namespace(kind).map_or(NsId::default(), |namespace| namespace.id());
        Self { task, links: kinds.map(id) }
    }

    /// Writes the record for one event. `None` where the event does not have `attr.namespaces`, else whether there was
    /// room.
    ///
    /// The ids and the size are this event's own: events look from different pid namespaces and have trailers of
    /// different sizes.
    #[inline]
    pub fn output<E, C>(&self, event: &mut E, context: &C) -> Option<bool>
    where
        E: Event<PidNs = T::PidNs>,
        C: Context<Task: Task<PidNs = T::PidNs>>,
    {
        let flags = event.requested().flags;
        if !flags.has(AttrFlags::NAMESPACES) {
            return None;
        }
        let (pid, tid) = self.task.ids(event.pid_ns());
        let all = KINDS <= NR_NAMESPACES || flags.has(AttrFlags::NAMESPACES_TIME);
        let links = if all { &self.links[..] } else { self.links.get(..NR_NAMESPACES).unwrap_or(&self.links) };
        Some(emit(event, &Namespaces { pid, tid, links }, 0, context))
    }
}

/// Writes a record for one event, with the trailer it wants. Returns whether there was room.
#[inline]
pub fn emit<E, C, R>(event: &mut E, record: &R, misc: u16, context: &C) -> bool
where
    E: Event,
    C: Context<Task: Task<PidNs = E::PidNs>>,
    R: Encode,
{
    let trailer = Trailer::new(event, context);
    let Ok(size) = record.checked_size(trailer.layout) else { return false };
    let Some(mut output) = event.begin(size, &trailer) else { return false };
    record.write::<Native, _>(misc, trailer.layout, &trailer.id, &mut output);
    output.commit();
    true
}

/// Events may be lent.
impl<E: Event> Event for &mut E {
    type PidNs = E::PidNs;
    type Output<'a>
        = E::Output<'a>
    where
        Self: 'a;

    fn requested(&self) -> Requested {
        (**self).requested()
    }

    fn id(&self) -> u64 {
        (**self).id()
    }

    fn stream_id(&self) -> u64 {
        (**self).stream_id()
    }

    fn pid_ns(&self) -> &Self::PidNs {
        (**self).pid_ns()
    }

    fn begin(&mut self, size: usize, trailer: &Trailer) -> Option<Self::Output<'_>> {
        (**self).begin(size, trailer)
    }
}

#[cfg(target_has_atomic = "64")]
mod ring_event {
    use super::{Event, Output, Requested, Trailer};
    use crate::encode::{Encode, Lost};
    use crate::ring::{Memory, Producer, Reservation};
    use crate::wire::attr::Attr;
    use crate::wire::Native;

    /// An event whose records go into a perf ring.
    #[derive(Debug)]
    pub struct RingEvent<N, M> {
        /// What the event was asked to record.
        pub attr: Attr<Native>,
        /// Its id.
        pub id: u64,
        /// Its owner's pid namespace.
        pub pid_ns: N,
        /// Where its records go.
        pub ring: Producer<M>,
    }

    impl<N, M: Memory> Event for RingEvent<N, M> {
        type PidNs = N;
        type Output<'a>
            = Reservation<'a, M>
        where
            Self: 'a;

        #[inline]
        fn requested(&self) -> Requested {
            Requested::from(&self.attr)
        }

        fn id(&self) -> u64 {
            self.id
        }

        fn stream_id(&self) -> u64 {
            self.id
        }

        fn pid_ns(&self) -> &N {
            &self.pid_ns
        }

        #[inline]
        fn begin(&mut self, size: usize, trailer: &Trailer) -> Option<Reservation<'_, M>> {
            let lost = Lost { id: self.id, lost: self.ring.lost() };
            if lost.lost == 0 {
                return self.ring.reserve(size);
            }
            let both = size.checked_add(lost.size(trailer.layout))?;
            let mut reservation = self.ring.reserve(both)?;
            lost.write::<Native, _>(0, trailer.layout, &trailer.id, &mut reservation);
            reservation.reports_lost(lost.lost);
            Some(reservation)
        }
    }

    impl<M: Memory> Output for Reservation<'_, M> {
        #[inline]
        fn commit(self) {
            Reservation::commit(self);
        }
    }
}

#[cfg(target_has_atomic = "64")]
pub use ring_event::RingEvent;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::raw::Records;
    use crate::record::Record;
    use crate::ring::{Consumer, OwnedMemory, Producer};
    use crate::wire::namespaces::new_encode_dev;
    use core::cell::Cell;

    /// A pid namespace by its depth below the first.
    struct Depth(u32);

    struct Process<'a> {
        pid: u32,
        tid: u32,
        held: &'a Cell<i32>,
        taken: &'a Cell<i32>,
    }

    struct Held<'a>(NsId, &'a Cell<i32>);

    impl Namespace for Held<'_> {
        fn id(&self) -> NsId {
            self.0
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() - 1);
        }
    }

    impl<'a> Task for Process<'a> {
        type PidNs = Depth;
        type Namespace = Held<'a>;

        fn ids(&self, from: &Depth) -> (u32, u32) {
            (self.pid - from.0 * 100, self.tid - from.0 * 100)
        }

        fn namespace(&self, kind: NsKind) -> Option<Held<'a>> {
            // A kernel without CONFIG_TIME_NS knows no such thing; this one has no IPC namespaces either.
            (kind != NsKind::Ipc).then(|| {
                self.held.set(self.held.get() + 1);
                self.taken.set(self.taken.get() + 1);
                Held(NsId { dev: u64::from(new_encode_dev(0, 4)), ino: 0xf000_0000 + kind.index() as u64 }, self.held)
            })
        }
    }

    struct Here<'a>(Process<'a>);

    impl<'a> Context for Here<'a> {
        type Task = Process<'a>;

        fn current(&self) -> &Process<'a> {
            &self.0
        }

        fn now(&self, clock: Option<i32>) -> u64 {
            1000 + clock.map_or(0, |clock| clock as u64)
        }

        fn cpu(&self) -> u32 {
            3
        }
    }

    fn event(flags: AttrFlags, fields: SampleType, depth: u32, id: u64, bytes: usize) -> RingEvent<Depth, OwnedMemory> {
        let mut attr = Attr::<Native>::new(crate::wire::attr::TYPE_SOFTWARE, crate::wire::attr::CONFIG_DUMMY);
        attr.set_flags(flags);
        attr.sample_type.set(fields.0);
        attr.clockid.set(1);
        RingEvent { attr, id, pid_ns: Depth(depth), ring: Producer::new(OwnedMemory::new(bytes)) }
    }

    fn read(event: &RingEvent<Depth, OwnedMemory>) -> Vec<u8> {
        let mut consumer = Consumer::new(event.ring.memory().clone());
        let available = consumer.available();
        let bytes = [available.first, available.second].concat();
        consumer.release(bytes.len());
        bytes
    }

    /// One emission drives events of different trailers; each record has its own size and its own view of the pids.
    /// The seed wrote the first event's size into the next event's header, and kept every namespace's reference.
    #[test]
    fn every_event_gets_its_own_record_and_every_reference_is_released() {
        let (held, taken) = (Cell::new(0), Cell::new(0));
        let task = Process { pid: 301, tid: 302, held: &held, taken: &taken };
        let here = Here(Process { pid: 300, tid: 300, held: &held, taken: &taken });
        let on = AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL;
        let all = SampleType(SampleType::TRAILER.0);
        let mut events = [
            event(on | AttrFlags::USE_CLOCKID, all, 1, 11, 4096),
            event(on, SampleType::TID | SampleType::TIME, 0, 12, 4096),
            event(AttrFlags::NAMESPACES, all, 0, 13, 4096),
            event(AttrFlags::SAMPLE_ID_ALL | AttrFlags::COMM, all, 0, 14, 4096),
        ];
        let wanted = NamespaceEvents::new();
        let asked = Cell::new(false);
        let nobody = wanted.emit(&task, &here, || {
            asked.set(true);
            events.iter_mut()
        });
        assert_eq!((nobody, asked.get(), taken.get()), (Emitted::default(), false, 0));

        for event in &events {
            wanted.account(event.attr.flags());
        }
        let emitted = wanted.emit(&task, &here, || events.iter_mut());
        assert_eq!(emitted, Emitted { written: 3, lost: 0 });
        assert_eq!((taken.get(), held.get()), (6, 0), "a reference is still held");

        let sizes = [136 + 48, 136 + 16, 136, 0];
        for (event, size) in events.iter().zip(sizes) {
            let bytes = read(event);
            assert_eq!(bytes.len(), size, "event {}", event.id);
            let Some(record) = Records::<Native>::new(&bytes, 0).next() else { continue };
            let record = record.unwrap();
            assert_eq!(record.bytes().len(), size);
            let Record::Namespaces(ns) = record.parse().unwrap() else { panic!("{record:?}") };
            let below = event.pid_ns.0 * 100;
            assert_eq!((ns.pid(), ns.tid()), (301 - below, 302 - below));
            assert_eq!(ns.get(NsKind::Ipc), Some(NsId::default()));
            assert_eq!(ns.get(NsKind::Mnt), Some(NsId { dev: 4, ino: 0xf000_0005 }));
            let trailer = Trailer::new(&event_of(event), &here);
            let id = record.sample_id(trailer.layout).unwrap();
            if trailer.layout.fields().has(SampleType::TID) {
                assert_eq!((id.pid, id.tid), (Some(300 - below), Some(300 - below)), "the trailer tells who ran");
            }
            if trailer.layout.fields() == SampleType::TRAILER {
                assert_eq!((id.time, id.id, id.stream_id, id.cpu), (Some(1001), Some(11), Some(11), Some(3)));
            }
        }
        for event in &events {
            wanted.unaccount(event.attr.flags());
        }
        assert!(!wanted.wanted());
    }

    /// The event without its ring: for a trailer of the same attr.
    fn event_of(of: &RingEvent<Depth, OwnedMemory>) -> RingEvent<Depth, OwnedMemory> {
        RingEvent { attr: of.attr, id: of.id, pid_ns: Depth(of.pid_ns.0), ring: Producer::new(OwnedMemory::new(8)) }
    }

    #[test]
    fn a_full_ring_loses_counts_and_tells() {
        let (held, taken) = (Cell::new(0), Cell::new(0));
        let task = Process { pid: 301, tid: 302, held: &held, taken: &taken };
        let here = Here(Process { pid: 300, tid: 300, held: &held, taken: &taken });
        let on = AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL;
        let mut event = event(on, SampleType::TID | SampleType::TIME, 0, 12, 512);
        let emitted: Vec<_> = (0..7).map(|_| emit_namespaces(&task, &here, [&mut event])).collect();
        let lost = emitted.iter().map(|e| e.lost).sum::<u32>();
        assert_eq!((emitted[2].written, lost, event.ring.lost()), (1, 4, 4));
        assert_eq!(held.get(), 0, "a reference is still held");
        assert_eq!(read(&event).len(), 3 * 152);

        // Room again: the loss is told first, once, in the same piece of the ring as the record.
        assert_eq!(emit_namespaces(&task, &here, [&mut event]).written, 1);
        assert_eq!(emit_namespaces(&task, &here, [&mut event]).written, 1);
        let bytes = read(&event);
        let records: Vec<_> = Records::<Native>::new(&bytes, 0).map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), 3);
        let Record::Lost(lost) = records[0].parse().unwrap() else { panic!("{records:?}") };
        assert_eq!((lost.id.get(), lost.lost.get()), (12, 4));
        assert!(records[1..].iter().all(|record| matches!(record.parse(), Ok(Record::Namespaces(_)))));
        assert_eq!(event.ring.lost(), 0);
    }
}
