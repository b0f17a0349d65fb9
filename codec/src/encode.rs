//! Records written in place into a caller's buffer: exact size known beforehand, no copy in between. Not here: who
//! wants a record, and where the buffer is.
//!
//! ```
//! use nsscope_codec::encode::{Encode, Namespaces};
//! use nsscope_codec::wire::namespaces::NsId;
//! use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
//! use nsscope_codec::LittleEndian;
//!
//! let layout = SampleIdLayout::new(SampleType::TID | SampleType::TIME);
//! let id = SampleId { pid: Some(7), tid: Some(7), time: Some(1_000), ..SampleId::default() };
//! let links = [NsId { dev: 4, ino: 0xf000_0001 }; 7];
//! let record = Namespaces { pid: 7, tid: 7, links: &links };
//!
//! let mut buf = [0u8; 256];
//! let size = record.encode::<LittleEndian>(0, layout, &id, &mut buf)?;
//! assert_eq!(size, 136 + 16);
//! # Ok::<(), nsscope_codec::Error>(())
//! ```

use crate::error::{Error, ErrorKind};
pub use crate::sink::Sink;
use crate::wire::cgroup::CgroupFixed;
use crate::wire::comm::CommFixed;
use crate::wire::header::{Header, RecordType, HEADER_SIZE, MAX_RECORD_SIZE};
use crate::wire::lost;
use crate::wire::mmap::MmapFixed;
use crate::wire::namespaces::{NamespacesFixed, NsId, NsLink};
use crate::wire::sample_id::{SampleId, SampleIdLayout};
use crate::wire::task;
use crate::wire::{Native, Order};
use zerocopy::byteorder::{U16, U32, U64};
use zerocopy::IntoBytes;

/// A record's content, ready to be written.
pub trait Encode {
    /// Type of the record.
    const KIND: RecordType;

    /// Size of the body in bytes, a multiple of 8, without header and trailer.
    fn body_size(&self) -> usize;

    /// Writes exactly [`body_size`](Self::body_size) bytes.
    fn write_body<O: Order, S: Sink>(&self, to: &mut S);

    /// Size of the whole record in bytes.
    #[inline]
    fn size(&self, layout: SampleIdLayout) -> usize {
        self.body_size().saturating_add(HEADER_SIZE).saturating_add(layout.size())
    }

    /// Size of the whole record in bytes, if its header can state it.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`] where the size is over 65,535 bytes.
    #[inline]
    fn checked_size(&self, layout: SampleIdLayout) -> Result<usize, Error> {
        match self.size(layout) {
            size @ 0..=MAX_RECORD_SIZE => Ok(size),
            size => Err(Error::new(0, ErrorKind::TooLong { size: size as u32 })),
        }
    }

    /// Writes header, body and trailer to the front of `buf` and returns the record's size in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Space`] where `buf` is too small, [`ErrorKind::TooLong`] where the record would not fit its
    /// header's 16-bit size. `buf` is then unchanged.
    #[inline]
    fn encode<O: Order>(
        &self,
        misc: u16,
        layout: SampleIdLayout,
        id: &SampleId,
        buf: &mut [u8],
    ) -> Result<usize, Error> {
        let size = self.checked_size(layout)?;
        let room = buf.len();
        let Some(mut to) = buf.get_mut(..size) else {
            return Err(Error::new(0, ErrorKind::Space { needed: size as u32, room: room as u32 }));
        };
        self.write::<O, _>(misc, layout, id, &mut to);
        Ok(size)
    }

    /// Writes header, body and trailer to a sink that has room for [`checked_size`](Self::checked_size) bytes.
    #[inline]
    fn write<O: Order, S: Sink>(&self, misc: u16, layout: SampleIdLayout, id: &SampleId, to: &mut S) {
        let size = self.size(layout) as u16;
        to.put(Header::<O> { kind: U32::new(Self::KIND.0), misc: U16::new(misc), size: U16::new(size) }.as_bytes());
        self.write_body::<O, S>(to);
        layout.write::<O, S>(id, to);
    }
}

/// NAMESPACES: see [`wire::namespaces`](crate::wire::namespaces).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Namespaces<'a> {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// One a namespace type, in the order of [`NsKind`](crate::wire::namespaces::NsKind).
    pub links: &'a [NsId],
}

impl Encode for Namespaces<'_> {
    const KIND: RecordType = RecordType::NAMESPACES;

    #[inline]
    fn body_size(&self) -> usize {
        size_of_val(self.links).saturating_add(16)
    }

    #[inline]
    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        let fixed = NamespacesFixed::<O> {
            pid: U32::new(self.pid),
            tid: U32::new(self.tid),
            nr_namespaces: U64::new(self.links.len() as u64),
        };
        to.put(fixed.as_bytes());
        if O::ENDIAN == Native::ENDIAN {
            // What is in memory is what is on the wire.
            to.put(self.links.as_bytes());
        } else {
            for link in self.links {
                to.put(NsLink::<O>::from(*link).as_bytes());
            }
        }
    }
}

/// FORK: see [`wire::task`](crate::wire::task).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fork(pub TaskIds);

/// EXIT: see [`wire::task`](crate::wire::task).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Exit(pub TaskIds);

/// What FORK and EXIT carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "postcard", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TaskIds {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub ppid: u32,
    /// Thread id.
    pub tid: u32,
    /// Parent's thread id.
    pub ptid: u32,
    /// When, in ns of the event's clock.
    pub time: u64,
}

impl<O: Order> From<&task::Task<O>> for TaskIds {
    fn from(task: &task::Task<O>) -> Self {
        Self {
            pid: task.pid.get(),
            ppid: task.ppid.get(),
            tid: task.tid.get(),
            ptid: task.ptid.get(),
            time: task.time.get(),
        }
    }
}

impl TaskIds {
    fn write<O: Order, S: Sink>(&self, to: &mut S) {
        let task = task::Task::<O> {
            pid: U32::new(self.pid),
            ppid: U32::new(self.ppid),
            tid: U32::new(self.tid),
            ptid: U32::new(self.ptid),
            time: U64::new(self.time),
        };
        to.put(task.as_bytes());
    }
}

impl Encode for Fork {
    const KIND: RecordType = RecordType::FORK;

    fn body_size(&self) -> usize {
        24
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        self.0.write::<O, S>(to);
    }
}

impl Encode for Exit {
    const KIND: RecordType = RecordType::EXIT;

    fn body_size(&self) -> usize {
        24
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        self.0.write::<O, S>(to);
    }
}

/// COMM: see [`wire::comm`](crate::wire::comm). Use misc
/// [`MISC_COMM_EXEC`](crate::wire::header::MISC_COMM_EXEC) for an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Comm<'a> {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The name; ends at its first NUL, if it has one.
    pub comm: &'a [u8],
}

impl Encode for Comm<'_> {
    const KIND: RecordType = RecordType::COMM;

    fn body_size(&self) -> usize {
        text_size(self.comm).saturating_add(8)
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        let fixed = CommFixed::<O> { pid: U32::new(self.pid), tid: U32::new(self.tid) };
        to.put(fixed.as_bytes());
        put_text(to, self.comm);
    }
}

/// CGROUP: see [`wire::cgroup`](crate::wire::cgroup).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cgroup<'a> {
    /// The cgroup's id.
    pub id: u64,
    /// Its path; ends at its first NUL, if it has one.
    pub path: &'a [u8],
}

impl Encode for Cgroup<'_> {
    const KIND: RecordType = RecordType::CGROUP;

    fn body_size(&self) -> usize {
        text_size(self.path).saturating_add(8)
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        to.put(CgroupFixed::<O> { id: U64::new(self.id) }.as_bytes());
        put_text(to, self.path);
    }
}

/// MMAP: see [`wire::mmap`](crate::wire::mmap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mmap<'a> {
    /// Process id; `u32::MAX` for the kernel.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Address.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// Offset in the file in bytes.
    pub pgoff: u64,
    /// File name; ends at its first NUL, if it has one.
    pub filename: &'a [u8],
}

impl Encode for Mmap<'_> {
    const KIND: RecordType = RecordType::MMAP;

    fn body_size(&self) -> usize {
        text_size(self.filename).saturating_add(32)
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        let fixed = MmapFixed::<O> {
            pid: U32::new(self.pid),
            tid: U32::new(self.tid),
            addr: U64::new(self.addr),
            len: U64::new(self.len),
            pgoff: U64::new(self.pgoff),
        };
        to.put(fixed.as_bytes());
        put_text(to, self.filename);
    }
}

/// LOST: see [`wire::lost`](crate::wire::lost).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "postcard", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lost {
    /// Id of the event.
    pub id: u64,
    /// How many records are missing.
    pub lost: u64,
}

impl Encode for Lost {
    const KIND: RecordType = RecordType::LOST;

    fn body_size(&self) -> usize {
        16
    }

    fn write_body<O: Order, S: Sink>(&self, to: &mut S) {
        to.put(lost::Lost::<O> { id: U64::new(self.id), lost: U64::new(self.lost) }.as_bytes());
    }
}

/// Room for a NUL-terminated text padded to a multiple of 8 bytes.
const fn text_size(text: &[u8]) -> usize {
    (text.len() & !7).saturating_add(8)
}

/// Writes a text and fills what is left of its [`text_size`] with NULs.
#[inline]
fn put_text<S: Sink>(to: &mut S, text: &[u8]) {
    to.put(text);
    to.put([0u8; 8].get(text.len() & 7..).unwrap_or(&[]));
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::items_after_statements
)]
mod tests {
    use super::*;
    use crate::raw::{RawRecord, Records};
    use crate::record::Record;
    use crate::wire::sample_id::SampleType;
    use crate::wire::{BigEndian, LittleEndian};
    use proptest::prelude::*;

    fn sample_ids() -> impl Strategy<Value = (SampleIdLayout, SampleId)> {
        (any::<u64>(), any::<[u32; 3]>(), any::<[u64; 3]>()).prop_map(|(bits, [pid, tid, cpu], [time, id, stream])| {
            let fields = SampleType(bits & SampleType::TRAILER.0);
            let when = |bit, value: u64| fields.has(bit).then_some(value);
            let sample_id = SampleId {
                pid: when(SampleType::TID, 0).map(|_| pid),
                tid: when(SampleType::TID, 0).map(|_| tid),
                time: when(SampleType::TIME, time),
                id: when(SampleType::ID, id).or(when(SampleType::IDENTIFIER, id)),
                stream_id: when(SampleType::STREAM_ID, stream),
                cpu: when(SampleType::CPU, 0).map(|_| cpu),
            };
            (SampleIdLayout::new(fields), sample_id)
        })
    }

    fn names() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8.., 0..40)
    }

    fn round_trip<O: Order, E: Encode>(
        record: &E,
        (layout, id): (SampleIdLayout, SampleId),
        check: impl for<'a> Fn(Record<'a, O>),
    ) {
        let mut buf = [0xaau8; 2048];
        let size = record.encode::<O>(0, layout, &id, &mut buf).unwrap();
        assert_eq!(size, record.size(layout));
        assert_eq!(size % 8, 0);
        assert!(buf[size..].iter().all(|&b| b == 0xaa), "wrote past its size");
        let (raw, rest) = RawRecord::<O>::split(&buf[..size], 0).unwrap();
        assert!(rest.is_empty());
        assert_eq!(raw.kind(), E::KIND);
        assert_eq!(raw.sample_id(layout).unwrap(), id);
        assert_eq!(layout.time::<O>(raw.bytes()), id.time);
        assert_eq!(layout.id::<O>(raw.bytes()), id.id);
        check(raw.parse().unwrap());
        // One byte too few is refused and nothing is written.
        let mut short = [0x55u8; 2048];
        assert!(record.encode::<O>(0, layout, &id, &mut short[..size - 1]).is_err());
        assert!(short.iter().all(|&b| b == 0x55));
    }

    fn both<E: Encode>(
        record: &E,
        id: (SampleIdLayout, SampleId),
        little: impl for<'a> Fn(Record<'a, LittleEndian>),
        big: impl for<'a> Fn(Record<'a, BigEndian>),
    ) {
        round_trip(record, id, little);
        round_trip(record, id, big);
    }

    proptest! {
        #[test]
        fn namespaces(pid: u32, tid: u32, id in sample_ids(), links in proptest::collection::vec(any::<(u64, u64)>(), 0..20)) {
            let links: Vec<NsId> = links.into_iter().map(|(dev, ino)| NsId { dev, ino }).collect();
            fn check<O: Order>(record: Record<'_, O>, pid: u32, tid: u32, links: &[NsId]) {
                let Record::Namespaces(got) = record else { panic!("{record:?}") };
                assert_eq!((got.pid(), got.tid()), (pid, tid));
                assert!(got.links.iter().map(|&l| NsId::from(l)).eq(links.iter().copied()));
            }
            both(&Namespaces { pid, tid, links: &links }, id, |r| check(r, pid, tid, &links), |r| check(r, pid, tid, &links));
        }

        #[test]
        fn tasks(pid: u32, ppid: u32, tid: u32, ptid: u32, time: u64, id in sample_ids()) {
            let ids = TaskIds { pid, ppid, tid, ptid, time };
            fn check<O: Order>(record: Record<'_, O>, want: TaskIds, fork: bool) {
                let t = match record {
                    Record::Fork(t) if fork => t,
                    Record::Exit(t) if !fork => t,
                    other => panic!("{other:?}"),
                };
                assert_eq!(TaskIds::from(t), want);
            }
            both(&Fork(ids), id, |r| check(r, ids, true), |r| check(r, ids, true));
            both(&Exit(ids), id, |r| check(r, ids, false), |r| check(r, ids, false));
        }

        #[test]
        fn comm(pid: u32, tid: u32, name in names(), id in sample_ids()) {
            fn check<O: Order>(record: Record<'_, O>, pid: u32, tid: u32, name: &[u8]) {
                let Record::Comm(got) = record else { panic!("{record:?}") };
                assert_eq!((got.fixed.pid.get(), got.fixed.tid.get(), got.comm), (pid, tid, name));
            }
            both(&Comm { pid, tid, comm: &name }, id, |r| check(r, pid, tid, &name), |r| check(r, pid, tid, &name));
        }

        #[test]
        fn cgroup_and_lost(cgroup: u64, lost: u64, path in names(), id in sample_ids()) {
            both(
                &Cgroup { id: cgroup, path: &path }, id,
                |r| { let Record::Cgroup(c) = r else { panic!() }; assert_eq!((c.fixed.id.get(), c.path), (cgroup, &path[..])); },
                |r| { let Record::Cgroup(c) = r else { panic!() }; assert_eq!((c.fixed.id.get(), c.path), (cgroup, &path[..])); },
            );
            both(
                &Lost { id: cgroup, lost }, id,
                |r| { let Record::Lost(l) = r else { panic!() }; assert_eq!((l.id.get(), l.lost.get()), (cgroup, lost)); },
                |r| { let Record::Lost(l) = r else { panic!() }; assert_eq!((l.id.get(), l.lost.get()), (cgroup, lost)); },
            );
        }

        #[test]
        fn any_bytes_give_records_or_an_error_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            for record in Records::<LittleEndian>::new(&bytes, 0).flatten() {
                let _ = record.parse();
            }
            for record in Records::<BigEndian>::new(&bytes, 0).flatten() {
                let _ = record.parse();
            }
        }

        /// Bytes that at least look like records: a known type, a size that fits.
        #[test]
        fn any_body_of_any_type_is_total(kind in 0u32..90, sample_type: u64, read_format in 0u64..32, body in proptest::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..600)) {
            let mut bytes = vec![];
            bytes.extend(kind.to_le_bytes());
            bytes.extend(0u16.to_le_bytes());
            bytes.extend((body.len() as u16 + 8).to_le_bytes());
            bytes.extend(&body);
            let (raw, _) = RawRecord::<LittleEndian>::split(&bytes, 0).unwrap();
            let _ = raw.parse();
            let format = crate::wire::sample::SampleFormat {
                sample_type: SampleType(sample_type), read_format, branch_sample_type: sample_type, regs_user: 5, regs_intr: 3,
            };
            let _ = format.parse(&raw);
            let _ = format.time(&raw);
            let _ = format.id(&raw);
            let _ = raw.sample_id(SampleIdLayout::new(SampleType(sample_type)));
        }
    }

    proptest! {
        #[test]
        fn mmap(pid: u32, addr: u64, pgoff: u64, filename in names(), id in sample_ids()) {
            let record = Mmap { pid, tid: 1, addr, len: !addr, pgoff, filename: &filename };
            fn check<O: Order>(record: Record<'_, O>, want: Mmap<'_>) {
                let Record::Mmap(m) = record else { panic!("{record:?}") };
                let f = m.fixed;
                let (pid, tid, addr, len, pgoff) = (f.pid.get(), f.tid.get(), f.addr.get(), f.len.get(), f.pgoff.get());
                assert_eq!(Mmap { pid, tid, addr, len, pgoff, filename: m.filename }, want);
            }
            both(&record, id, |r| check(r, record), |r| check(r, record));
        }
    }

    #[test]
    fn a_lying_count_is_an_error_at_its_offset_and_the_next_record_is_read() {
        let links = [NsId { dev: 4, ino: 1 }; 7];
        let mut buf = [0u8; 272];
        let record = Namespaces { pid: 1, tid: 1, links: &links };
        for at in [0, 136] {
            record.encode::<LittleEndian>(0, SampleIdLayout::NONE, &SampleId::default(), &mut buf[at..]).unwrap();
        }
        for lie in [8u64, 5_000_000, u64::MAX, 1 << 60] {
            buf[16..24].copy_from_slice(&lie.to_le_bytes());
            let records: Vec<_> = Records::<LittleEndian>::new(&buf, 1000).map(|r| r.unwrap().parse()).collect();
            let error = *records[0].as_ref().unwrap_err();
            assert_eq!(error, Error::new(1000, ErrorKind::NamespaceCount { count: lie, room: 7 }));
            assert!(records[1].is_ok());
        }
    }
}
