//! Records that own their bytes, of fixed capacity: for queues and tables where there is no allocator. Not here: how
//! records are read and written.
//!
//! ```
//! use nsscope_codec::encode::Encode;
//! use nsscope_codec::owned::OwnedRecord;
//! use nsscope_codec::{LittleEndian, Records};
//! # use nsscope_codec::{encode, wire::{namespaces::NsId, sample_id::{SampleId, SampleIdLayout}}};
//! # let mut bytes = [0u8; 136];
//! # let links = [NsId { dev: 4, ino: 7 }; 7];
//! # encode::Namespaces { pid: 1, tid: 2, links: &links }
//! #     .encode::<LittleEndian>(0, SampleIdLayout::NONE, &SampleId::default(), &mut bytes)?;
//! // Room for 8 namespaces, and 16 bytes of a name or a path.
//! let mut queue = heapless::Deque::<OwnedRecord<8, 16>, 4>::new();
//! for record in Records::<LittleEndian>::new(&bytes, 0) {
//!     if let Some(owned) = OwnedRecord::copy(&record?)? {
//!         let _ = queue.push_back(owned);
//!     }
//! }
//! assert!(matches!(queue.pop_front(), Some(OwnedRecord::Namespaces { tid: 2, .. })));
//! # Ok::<(), nsscope_codec::Error>(())
//! ```

use crate::encode::{self, Encode, TaskIds};
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::record::Record;
use crate::wire::namespaces::NsId;
use crate::wire::sample_id::{SampleId, SampleIdLayout};
use crate::wire::Order;
use heapless::Vec;

/// One of the records that tell of tasks and containers, with room for `N` namespaces and `T` bytes of text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OwnedRecord<const N: usize, const T: usize> {
    /// Which namespaces a task is in.
    Namespaces {
        /// Process id.
        pid: u32,
        /// Thread id.
        tid: u32,
        /// One a namespace type, in the order of [`NsKind`](crate::wire::namespaces::NsKind).
        links: Vec<NsId, N>,
    },
    /// A task was created.
    Fork(TaskIds),
    /// A task ended.
    Exit(TaskIds),
    /// A task's name.
    Comm {
        /// Process id.
        pid: u32,
        /// Thread id.
        tid: u32,
        /// The name.
        comm: Vec<u8, T>,
    },
    /// A cgroup's path.
    Cgroup {
        /// The cgroup's id.
        id: u64,
        /// Its path.
        path: Vec<u8, T>,
    },
    /// Records are missing.
    Lost(encode::Lost),
}

impl<const N: usize, const T: usize> OwnedRecord<N, T> {
    /// A copy of a record; `None` where it is of none of these types.
    ///
    /// # Errors
    /// Where the record cannot be read, or is larger than `N` or `T` ([`ErrorKind::Space`], in elements).
    pub fn copy<O: Order>(raw: &RawRecord<'_, O>) -> Result<Option<Self>, Error> {
        let space =
            |needed: usize, room: usize| raw.error(ErrorKind::Space { needed: needed as u32, room: room as u32 });
        let text = |bytes: &[u8]| Vec::from_slice(bytes).map_err(|()| space(bytes.len(), T));
        Ok(Some(match raw.parse()? {
            Record::Namespaces(ns) => {
                let mut links = Vec::new();
                for link in ns.links {
                    links.push((*link).into()).map_err(|_| space(ns.links.len(), N))?;
                }
                Self::Namespaces { pid: ns.pid(), tid: ns.tid(), links }
            }
            Record::Fork(task) => Self::Fork(task.into()),
            Record::Exit(task) => Self::Exit(task.into()),
            Record::Comm(comm) => {
                Self::Comm { pid: comm.fixed.pid.get(), tid: comm.fixed.tid.get(), comm: text(comm.comm)? }
            }
            Record::Cgroup(cgroup) => Self::Cgroup { id: cgroup.fixed.id.get(), path: text(cgroup.path)? },
            Record::Lost(lost) => Self::Lost(encode::Lost { id: lost.id.get(), lost: lost.lost.get() }),
            _ => return Ok(None),
        }))
    }

    /// Writes the record: see [`Encode::encode`].
    ///
    /// # Errors
    /// As for [`Encode::encode`].
    pub fn encode<O: Order>(
        &self,
        misc: u16,
        layout: SampleIdLayout,
        id: &SampleId,
        buf: &mut [u8],
    ) -> Result<usize, Error> {
        match self {
            &Self::Namespaces { pid, tid, ref links } => {
                encode::Namespaces { pid, tid, links }.encode::<O>(misc, layout, id, buf)
            }
            Self::Fork(task) => encode::Fork(*task).encode::<O>(misc, layout, id, buf),
            Self::Exit(task) => encode::Exit(*task).encode::<O>(misc, layout, id, buf),
            &Self::Comm { pid, tid, ref comm } => encode::Comm { pid, tid, comm }.encode::<O>(misc, layout, id, buf),
            &Self::Cgroup { id: cgroup, ref path } => {
                encode::Cgroup { id: cgroup, path }.encode::<O>(misc, layout, id, buf)
            }
            Self::Lost(lost) => lost.encode::<O>(misc, layout, id, buf),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::wire::{BigEndian, LittleEndian};
    use proptest::prelude::*;

    /// A record of every type, of any content that fits.
    fn records() -> impl Strategy<Value = OwnedRecord<9, 24>> {
        let task =
            any::<([u32; 4], u64)>().prop_map(|([pid, ppid, tid, ptid], time)| TaskIds { pid, ppid, tid, ptid, time });
        let text = || proptest::collection::vec(1u8.., 0..=24).prop_map(|text| Vec::from_slice(&text).unwrap());
        let links = proptest::collection::vec(any::<(u64, u64)>(), 0..=9)
            .prop_map(|links| links.into_iter().map(|(dev, ino)| NsId { dev, ino }).collect());
        prop_oneof![
            (any::<u32>(), any::<u32>(), links).prop_map(|(pid, tid, links)| OwnedRecord::Namespaces {
                pid,
                tid,
                links
            }),
            task.clone().prop_map(OwnedRecord::Fork),
            task.prop_map(OwnedRecord::Exit),
            (any::<u32>(), any::<u32>(), text()).prop_map(|(pid, tid, comm)| OwnedRecord::Comm { pid, tid, comm }),
            (any::<u64>(), text()).prop_map(|(id, path)| OwnedRecord::Cgroup { id, path }),
            any::<(u64, u64)>().prop_map(|(id, lost)| OwnedRecord::Lost(encode::Lost { id, lost })),
        ]
    }

    fn there_and_back<O: Order>(record: &OwnedRecord<9, 24>) {
        let mut buf = [0u8; 256];
        let size = record.encode::<O>(0, SampleIdLayout::NONE, &SampleId::default(), &mut buf).unwrap();
        let (raw, _) = RawRecord::<O>::split(&buf[..size], 0).unwrap();
        assert_eq!(OwnedRecord::copy(&raw).unwrap().as_ref(), Some(record));
    }

    proptest! {
        #[test]
        fn a_copy_is_the_record(record in records()) {
            there_and_back::<LittleEndian>(&record);
            there_and_back::<BigEndian>(&record);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_says_how_much() {
        let mut buf = [0u8; 256];
        let links = [NsId::default(); 7];
        let id = SampleId::default();
        encode::Namespaces { pid: 1, tid: 1, links: &links }
            .encode::<LittleEndian>(0, SampleIdLayout::NONE, &id, &mut buf)
            .unwrap();
        let (raw, _) = RawRecord::<LittleEndian>::split(&buf, 8).unwrap();
        assert!(OwnedRecord::<7, 0>::copy(&raw).unwrap().is_some());
        let error = OwnedRecord::<6, 0>::copy(&raw).unwrap_err();
        assert_eq!(error, Error::new(8, ErrorKind::Space { needed: 7, room: 6 }));
        encode::Comm { pid: 1, tid: 1, comm: b"seventeen letters" }
            .encode::<LittleEndian>(0, SampleIdLayout::NONE, &id, &mut buf)
            .unwrap();
        let (raw, _) = RawRecord::<LittleEndian>::split(&buf, 0).unwrap();
        assert!(OwnedRecord::<0, 17>::copy(&raw).unwrap().is_some());
        assert!(OwnedRecord::<0, 16>::copy(&raw).is_err());
    }
}
