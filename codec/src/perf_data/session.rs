//! What a stream has told about itself: byte order, events with their ids, feature sections. Not here: the records
//! themselves.

use super::header::Feature;
use crate::raw::RawRecord;
use crate::wire::attr::{Attr, AttrFlags};
use crate::wire::header::RecordType;
use crate::wire::sample::SampleFormat;
use crate::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use crate::wire::{Endian, LittleEndian, Order};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use zerocopy::byteorder::{U32, U64};
use zerocopy::FromBytes;

/// An event of the stream.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its attr, in little-endian form whatever the stream's order.
    pub attr: Attr<LittleEndian>,
    /// Its name, where the stream tells (`EVENT_DESC`, `EVENT_UPDATE`).
    pub name: Option<String>,
    /// The trailer of its records.
    pub trailer: SampleIdLayout,
    /// The fields of its samples.
    pub sample: SampleFormat,
}

/// Events and features of a perf.data stream, as far as it has been read.
#[derive(Clone, Debug, Default)]
pub struct Session {
    endian: Option<Endian>,
    pipe: bool,
    events: Vec<Event>,
    /// Event id to index in `events`.
    ids: BTreeMap<u64, u32>,
    /// The trailer that all events share.
    uniform: Option<SampleIdLayout>,
    /// In order.
    features: Vec<(Feature, Vec<u8>)>,
}

impl Session {
    /// Byte order, known after the first 8 bytes.
    pub fn endian(&self) -> Option<Endian> {
        self.endian
    }

    /// Whether the stream is in pipe mode.
    pub fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// The events, in the stream's order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The id in a record, by the first event's layout.
    fn id_of<O: Order>(&self, record: &RawRecord<'_, O>) -> Option<u64> {
        let first = self.events.first()?;
        match record.kind() {
            RecordType::SAMPLE => first.sample.id(record),
            _ => first.trailer.id::<O>(record.bytes()),
        }
    }

    /// Whether a record has no id of an event, where records of this stream have one. Of those that are whole, only what perf
    /// synthesizes has none.
    pub(super) fn lacks_id<O: Order>(&self, record: &RawRecord<'_, O>) -> bool {
        !record.kind().is_user() && !self.ids.is_empty() && self.id_of(record) == Some(0)
    }

    /// Whether a record of the kernel's has an id of this stream's events, where these have ids. Records that perf synthesizes
    /// have id 0.
    pub(crate) fn has_id_of<O: Order>(&self, record: &RawRecord<'_, O>) -> bool {
        self.ids.is_empty() || self.id_of(record).is_none_or(|id| id == 0 || self.ids.contains_key(&id))
    }

    /// The event that a record belongs to: by its id, else the first.
    pub fn event_of<O: Order>(&self, record: &RawRecord<'_, O>) -> Option<&Event> {
        let first = self.events.first()?;
        if self.events.len() == 1 {
            return Some(first);
        }
        let id = self.id_of(record);
        // Records that perf synthesizes carry id 0.
        id.and_then(|id| self.ids.get(&id)).and_then(|&index| self.events.get(index as usize)).or(Some(first))
    }

    /// A record's time in ns, from its trailer or sample. perf's own records have none.
    #[inline]
    pub fn time<O: Order>(&self, record: &RawRecord<'_, O>) -> Option<u64> {
        match record.kind() {
            kind if kind.is_user() => None,
            RecordType::SAMPLE => self.event_of(record)?.sample.time(record),
            _ => match self.uniform {
                Some(layout) => layout.time::<O>(record.bytes()),
                None => self.event_of(record)?.trailer.time::<O>(record.bytes()),
            },
        }
    }

    /// A record's trailer; of a SAMPLE, the same fields out of the sample. Empty where there is none.
    pub fn sample_id<O: Order>(&self, record: &RawRecord<'_, O>) -> SampleId {
        if let Some(layout) = self.uniform.filter(|_| record.kind() != RecordType::SAMPLE) {
            return record.sample_id(layout).unwrap_or_default();
        }
        let Some(event) = self.event_of(record) else { return SampleId::default() };
        if record.kind() == RecordType::SAMPLE {
            return event.sample.parse(record).map_or_else(
                |_| SampleId::default(),
                |s| SampleId { pid: s.pid, tid: s.tid, time: s.time, id: s.id, stream_id: s.stream_id, cpu: s.cpu },
            );
        }
        record.sample_id(event.trailer).unwrap_or_default()
    }

    /// A feature section's bytes.
    pub fn feature(&self, feature: Feature) -> Option<&[u8]> {
        let at = self.features.binary_search_by_key(&feature, |&(feature, _)| feature).ok()?;
        self.features.get(at).map(|(_, bytes)| bytes.as_slice())
    }

    /// The features there are.
    pub fn features(&self) -> impl Iterator<Item = Feature> + '_ {
        self.features.iter().map(|&(feature, _)| feature)
    }

    /// A feature that is one string, such as [`Feature::HOSTNAME`].
    pub fn text(&self, feature: Feature) -> Option<String> {
        let mut reader = self.reader(feature)?;
        reader.text()
    }

    /// A feature that is a list of strings, such as [`Feature::CMDLINE`].
    pub fn texts(&self, feature: Feature) -> Vec<String> {
        let Some(mut reader) = self.reader(feature) else { return Vec::new() };
        let count = reader.u32().unwrap_or(0);
        (0..count).map_while(|_| reader.text()).collect()
    }

    /// Wall clock (ns since 1970) of a time in the stream's clock, where [`Feature::CLOCK_DATA`] tells.
    pub fn wall_clock(&self, time: u64) -> Option<u64> {
        let mut reader = self.reader(Feature::CLOCK_DATA)?;
        let (_version, _clockid) = (reader.u32()?, reader.u32()?);
        let (wall, clock) = (reader.u64()?, reader.u64()?);
        wall.checked_add_signed(i64::try_from(i128::from(time).checked_sub(i128::from(clock))?).ok()?)
    }

    /// First and last time of the records, ns, as [`Feature::SAMPLE_TIME`] tells.
    pub fn sample_time(&self) -> Option<(u64, u64)> {
        let mut reader = self.reader(Feature::SAMPLE_TIME)?;
        Some((reader.u64()?, reader.u64()?)).filter(|&(first, last)| first <= last)
    }

    fn reader(&self, feature: Feature) -> Option<Reader<'_>> {
        Some(Reader { rest: self.feature(feature)?, endian: self.endian? })
    }

    pub(super) fn start(&mut self, endian: Endian, pipe: bool) {
        self.endian = Some(endian);
        self.pipe = pipe;
        self.events.clear();
        self.ids.clear();
        self.uniform = None;
    }

    pub(super) fn add_event<O: Order>(&mut self, attr: &Attr<O>, ids: impl Iterator<Item = u64>) {
        let sample_type = SampleType(attr.sample_type.get());
        let trailer = if attr.flags().has(AttrFlags::SAMPLE_ID_ALL) {
            SampleIdLayout::new(sample_type)
        } else {
            SampleIdLayout::NONE
        };
        let index = self.events.len() as u32;
        for id in ids {
            self.ids.insert(id, index);
        }
        self.uniform = if self.events.is_empty() { Some(trailer) } else { self.uniform.filter(|&of| of == trailer) };
        self.events.push(Event { attr: attr.to_order(), name: None, trailer, sample: attr.into() });
    }

    pub(super) fn add_feature(&mut self, feature: Feature, bytes: Vec<u8>) {
        match self.features.binary_search_by_key(&feature, |&(feature, _)| feature) {
            Ok(at) => {
                if let Some((_, known)) = self.features.get_mut(at) {
                    *known = bytes;
                }
            }
            // No header has a bit for others (`HEADER_FEAT_BITS`).
            Err(_) if feature.0 >= 256 => {}
            Err(at) => self.features.insert(at, (feature, bytes)),
        }
        if feature == Feature::EVENT_DESC {
            self.name_events();
        }
    }

    pub(super) fn name_event(&mut self, id: u64, name: &[u8]) {
        if let Some(event) = self.ids.get(&id).and_then(|&index| self.events.get_mut(index as usize)) {
            event.name = Some(String::from_utf8_lossy(name).into_owned());
        }
    }

    /// Gives events their names out of `EVENT_DESC`:
    /// `u32 count, attr_size; { attr; u32 nr_ids; string; u64 ids[] } [count]`.
    pub(super) fn name_events(&mut self) {
        let Some(mut reader) = self.reader(Feature::EVENT_DESC) else { return };
        let (Some(count), Some(attr_size)) = (reader.u32(), reader.u32()) else { return };
        let mut names = Vec::new();
        for _ in 0..count {
            let Some(_attr) = reader.take(attr_size as usize) else { break };
            let Some(ids) = reader.u32() else { break };
            let Some(name) = reader.text() else { break };
            names.push(name);
            let Some(_ids) = reader.take((ids as usize).saturating_mul(8)) else { break };
        }
        // perf lists them in the order of the attrs.
        for (event, name) in self.events.iter_mut().zip(names) {
            event.name.get_or_insert(name);
        }
    }
}

/// Reads a feature section.
struct Reader<'a> {
    rest: &'a [u8],
    endian: Endian,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(match self.endian {
            Endian::Little => U32::<LittleEndian>::ref_from_bytes(bytes).ok()?.get(),
            Endian::Big => U32::<crate::BigEndian>::ref_from_bytes(bytes).ok()?.get(),
        })
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?;
        Some(match self.endian {
            Endian::Little => U64::<LittleEndian>::ref_from_bytes(bytes).ok()?.get(),
            Endian::Big => U64::<crate::BigEndian>::ref_from_bytes(bytes).ok()?.get(),
        })
    }

    /// `u32 len; char[len]`, NUL-padded.
    fn text(&mut self) -> Option<String> {
        let len = self.u32()?;
        let bytes = self.take(len as usize)?;
        Some(String::from_utf8_lossy(crate::wire::until_nul(bytes)).into_owned())
    }
}
