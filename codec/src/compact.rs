//! A compact form for slow links: postcard (varints), a CRC-32, COBS framing. Not here: the serial line, and files.
//!
//! A NAMESPACES record with a trailer of three fields is 160 bytes in a ring and 58 here, as `codec/examples/cortex-m`
//! sends it. Frames end with a zero byte and hold none, so that a reader that starts in the middle, or meets garbage,
//! finds the next frame.
//!
//! ```
//! use nsscope_codec::compact::{self, Frame, Frames, Message};
//! use nsscope_codec::encode::TaskIds;
//! use nsscope_codec::wire::sample_id::SampleId;
//!
//! let fork = TaskIds { pid: 2, ppid: 1, tid: 2, ptid: 1, time: 9 };
//! let frame = Frame { misc: 0, id: SampleId { time: Some(9), ..SampleId::default() }, message: Message::Fork(fork) };
//! let mut link = [0u8; 128];
//! let sent = compact::write(&frame, &mut link)?;
//!
//! let mut frames = Frames::<256>::new();
//! let mut got = 0;
//! frames.push(b"line noise\0", |_| unreachable!());
//! frames.push(sent, |received| got += usize::from(received == frame));
//! assert_eq!((got, frames.damaged()), (1, 1));
//! # Ok::<(), nsscope_codec::Error>(())
//! ```

use crate::encode::{self, Encode, TaskIds};
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::record::Record;
use crate::wire::namespaces::{NsId, NR_NAMESPACES};
use crate::wire::sample_id::{SampleId, SampleIdLayout};
use crate::wire::Order;
use serde::{Deserialize, Serialize};

/// CRC-32 as Ethernet and zlib have it, over the postcard bytes, little-endian behind them.
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// A record and its trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'a> {
    /// The header's flags.
    pub misc: u16,
    /// The trailer's values.
    pub id: SampleId,
    /// The record.
    #[serde(borrow)]
    pub message: Message<'a>,
}

/// One of the records that tell of tasks and containers. The order of the variants is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Message<'a> {
    /// Which namespaces a task is in; of a kernel that has more types, the first 7.
    Namespaces {
        /// Process id.
        pid: u32,
        /// Thread id.
        tid: u32,
        /// One a namespace type, in the order of [`NsKind`](crate::wire::namespaces::NsKind).
        links: [NsId; NR_NAMESPACES],
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
        comm: &'a [u8],
    },
    /// A cgroup's path.
    Cgroup {
        /// The cgroup's id.
        id: u64,
        /// Its path.
        path: &'a [u8],
    },
    /// Records are missing.
    Lost(encode::Lost),
}

impl<'a> Frame<'a> {
    /// A record in this form; `None` where it is of none of these types.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub fn of<O: Order>(raw: &RawRecord<'a, O>, layout: SampleIdLayout) -> Result<Option<Self>, Error> {
        let message = match raw.parse()? {
            Record::Namespaces(ns) => {
                let mut links = [NsId::default(); NR_NAMESPACES];
                for (to, from) in links.iter_mut().zip(ns.links) {
                    *to = (*from).into();
                }
                Message::Namespaces { pid: ns.pid(), tid: ns.tid(), links }
            }
            Record::Fork(task) => Message::Fork(task.into()),
            Record::Exit(task) => Message::Exit(task.into()),
            Record::Comm(comm) => {
                Message::Comm { pid: comm.fixed.pid.get(), tid: comm.fixed.tid.get(), comm: comm.comm }
            }
            Record::Cgroup(cgroup) => Message::Cgroup { id: cgroup.fixed.id.get(), path: cgroup.path },
            Record::Lost(lost) => Message::Lost(encode::Lost { id: lost.id.get(), lost: lost.lost.get() }),
            _ => return Ok(None),
        };
        Ok(Some(Self { misc: raw.misc(), id: raw.sample_id(layout)?, message }))
    }

    /// Writes the record in its ordinary form: see [`Encode::encode`].
    ///
    /// # Errors
    /// As for [`Encode::encode`].
    pub fn encode<O: Order>(&self, layout: SampleIdLayout, buf: &mut [u8]) -> Result<usize, Error> {
        let (misc, id) = (self.misc, &self.id);
        match self.message {
            Message::Namespaces { pid, tid, ref links } => {
                encode::Namespaces { pid, tid, links }.encode::<O>(misc, layout, id, buf)
            }
            Message::Fork(task) => encode::Fork(task).encode::<O>(misc, layout, id, buf),
            Message::Exit(task) => encode::Exit(task).encode::<O>(misc, layout, id, buf),
            Message::Comm { pid, tid, comm } => encode::Comm { pid, tid, comm }.encode::<O>(misc, layout, id, buf),
            Message::Cgroup { id: cgroup, path } => {
                encode::Cgroup { id: cgroup, path }.encode::<O>(misc, layout, id, buf)
            }
            Message::Lost(lost) => lost.encode::<O>(misc, layout, id, buf),
        }
    }
}

/// Writes a frame to the front of `buf` and returns its bytes, the zero at its end included.
///
/// # Errors
/// [`ErrorKind::Space`] where it does not fit.
pub fn write<'b>(frame: &Frame<'_>, buf: &'b mut [u8]) -> Result<&'b [u8], Error> {
    use postcard::ser_flavors::{crc::CrcModifier, Cobs, Slice};
    let room = buf.len() as u32;
    let no_space = |_| Error::new(0, ErrorKind::Space { needed: room.saturating_add(1), room });
    let to = CrcModifier::new(Cobs::try_new(Slice::new(buf)).map_err(no_space)?, CRC.digest());
    Ok(postcard::serialize_with_flavor(frame, to).map_err(no_space)?)
}

/// Finds frames in a stream of bytes that may begin anywhere and hold garbage.
///
/// `N` is the size of the longest frame, in bytes; a longer one counts as damaged.
#[derive(Clone, Debug)]
pub struct Frames<const N: usize> {
    buf: [u8; N],
    len: usize,
    /// The frame is longer than `buf`: what is left of it is dropped.
    overlong: bool,
    damaged: u64,
}

impl<const N: usize> Default for Frames<N> {
    fn default() -> Self {
        Self { buf: [0; N], len: 0, overlong: false, damaged: 0 }
    }
}

impl<const N: usize> Frames<N> {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, any number of them, and gives `out` each whole and undamaged frame.
    pub fn push(&mut self, bytes: &[u8], mut out: impl FnMut(Frame<'_>)) {
        for &byte in bytes {
            if byte != 0 {
                match self.buf.get_mut(self.len) {
                    Some(place) => {
                        *place = byte;
                        self.len = self.len.saturating_add(1);
                    }
                    None => self.overlong = true,
                }
                continue;
            }
            let frame = self.buf.get_mut(..self.len).unwrap_or(&mut []);
            // Zeros in a row are no frame: a sender may begin with one to end what garbage came before.
            if !frame.is_empty() {
                match decode(frame).filter(|_| !self.overlong) {
                    Some(frame) => out(frame),
                    None => self.damaged = self.damaged.saturating_add(1),
                }
            }
            self.len = 0;
            self.overlong = false;
        }
    }

    /// How many stretches between zeros were not a frame.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

/// A frame without the zero at its end.
fn decode(frame: &mut [u8]) -> Option<Frame<'_>> {
    let len = cobs::decode_in_place(frame).ok()?;
    let (bytes, crc) = frame.get(..len)?.split_last_chunk::<4>()?;
    if CRC.checksum(bytes) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (frame, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(frame)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::wire::sample_id::SampleType;
    use crate::wire::LittleEndian;
    use proptest::prelude::*;

    fn message(kind: u8, [a, b]: [u32; 2], words: [u64; 7], text: &[u8]) -> Message<'_> {
        let task = TaskIds { pid: a, ppid: b, tid: a, ptid: b, time: words[0] };
        match kind % 6 {
            0 => Message::Namespaces { pid: a, tid: b, links: words.map(|word| NsId { dev: word & 0xff, ino: word }) },
            1 => Message::Fork(task),
            2 => Message::Exit(task),
            3 => Message::Comm { pid: a, tid: b, comm: text },
            4 => Message::Cgroup { id: words[0], path: text },
            _ => Message::Lost(encode::Lost { id: words[0], lost: words[1] }),
        }
    }

    const LAYOUT: SampleIdLayout =
        SampleIdLayout::new(SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0));

    proptest! {
        /// Whatever lies between the frames and however the stream is cut, every frame behind a zero comes through,
        /// and the record is the same in its ordinary form.
        #[test]
        fn frames_come_through_garbage(
            parts in proptest::collection::vec(
                (any::<u8>(), any::<[u32; 2]>(), any::<[u64; 7]>(), proptest::collection::vec(1u8.., 0..30), proptest::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
            time: u64, cpu: u32, chunk in 1usize..50,
        ) {
            let id = SampleId { pid: Some(1), tid: Some(2), time: Some(time), cpu: Some(cpu), ..SampleId::default() };
            let mut stream = vec![];
            let mut sent = vec![];
            for (kind, ids, words, text, garbage) in &parts {
                stream.extend(garbage);
                stream.push(0);
                let frame = Frame { misc: 0x2000, id, message: message(*kind, *ids, *words, text) };
                let mut buf = [0u8; 512];
                stream.extend(write(&frame, &mut buf).unwrap());
                sent.push(frame);
            }
            let mut frames = Frames::<512>::new();
            let mut received = 0;
            for chunk in stream.chunks(chunk) {
                frames.push(chunk, |frame| {
                    if Some(&frame) == sent.get(received) {
                        received += 1;
                        let mut buf = [0u8; 512];
                        let size = frame.encode::<LittleEndian>(LAYOUT, &mut buf).unwrap();
                        let (raw, _) = RawRecord::<LittleEndian>::split(&buf[..size], 0).unwrap();
                        assert_eq!(Frame::of(&raw, LAYOUT).unwrap(), Some(frame));
                    }
                });
            }
            prop_assert_eq!(received, sent.len());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut frames = Frames::<64>::new();
            frames.push(&bytes, |_| ());
        }

        /// A frame that any one bit of is turned is never taken for another.
        #[test]
        fn a_turned_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
            let frame = Frame { misc: 0, id: SampleId::default(), message: Message::Comm { pid: 1, tid: 1, comm: b"sh" } };
            let mut buf = [0u8; 64];
            let mut sent = write(&frame, &mut buf).unwrap().to_vec();
            let at = at.index(sent.len());
            sent[at] ^= 1 << bit;
            sent.push(0);
            let mut frames = Frames::<64>::new();
            frames.push(&sent, |_| panic!("a damaged frame came through"));
            prop_assert!(frames.damaged() > 0);
        }
    }

    #[test]
    fn what_is_too_long_is_dropped_to_its_end_and_what_does_not_fit_refused() {
        let frame = Frame { misc: 0, id: SampleId::default(), message: Message::Cgroup { id: 1, path: &[b'x'; 100] } };
        let mut buf = [0u8; 200];
        let sent = write(&frame, &mut buf).unwrap().to_vec();
        let mut frames = Frames::<50>::new();
        frames.push(&sent, |_| panic!("longer than there is room for"));
        assert_eq!(frames.damaged(), 1);
        let fits = Frame { message: Message::Lost(encode::Lost { id: 1, lost: 2 }), ..frame };
        let mut count = 0;
        frames.push(write(&fits, &mut [0u8; 50]).unwrap(), |_| count += 1);
        assert_eq!((count, frames.damaged()), (1, 1));
        for room in 0..sent.len() {
            assert!(write(&frame, &mut buf[..room]).is_err(), "{room}");
        }
    }
}
