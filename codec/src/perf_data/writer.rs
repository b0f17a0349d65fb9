//! Writes a perf.data file that is complete after every append. Not here: what the records say.
//!
//! All metadata lies between the header and the records; behind the records is only the small table that points
//! back to it. So a recorder that is killed leaves a file that every reader, perf included, can open. An append is four
//! writes: what lies behind the old table; that there is no table; what takes its place; and the new size, with the
//! table. One that is killed in the first leaves the file as it was; before the last, a file that has the records of
//! before and says that it has no features: [`Reader`](super::Reader) still finds the tracepoints' formats, and perf wants
//! it mended. The second and the last are within a page, which a kernel writes whole or not at all.

use super::header::{Feature, FileHeader, Section, FILE_HEADER_SIZE, MAGIC_BE, MAGIC_LE};
use crate::wire::attr::{Attr, ATTR_SIZE_VER0};
use crate::wire::{Endian, Order};
use core::mem::offset_of;
use zerocopy::byteorder::U64;
use zerocopy::{FromZeros, IntoBytes};

/// Where a [`FileWriter`] writes to: a file, or memory.
pub trait Output {
    /// What can go wrong.
    type Error;

    /// Writes `pieces`, one behind the other, at `offset` from the start.
    ///
    /// # Errors
    /// Where not all could be written.
    fn write_at<'a>(&mut self, offset: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Self::Error>;
}

/// An event of the file: its attr and the ids that its records carry.
#[derive(Clone, Copy, Debug)]
pub struct AttrIds<'a, O: Order> {
    /// The attr.
    pub attr: &'a Attr<O>,
    /// One a CPU or thread it was opened on.
    pub ids: &'a [u64],
}

/// How many feature sections a file can have here.
pub const MAX_FEATURES: usize = 32;

/// Writes a perf.data file in file mode.
#[derive(Debug)]
pub struct FileWriter<O: Order, W> {
    out: W,
    end: u64,
    header: FileHeader<O>,
    table: [Section<O>; MAX_FEATURES],
    features: [Feature; MAX_FEATURES],
    count: usize,
}

impl<O: Order, W: Output> FileWriter<O, W> {
    /// Writes header, attrs and features. `features` must be in ascending order; those over [`MAX_FEATURES`] are left out.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(mut out: W, attrs: &[AttrIds<'_, O>], features: &[(Feature, &[u8])]) -> Result<Self, W::Error> {
        let mut header = FileHeader::<O>::new_zeroed();
        header.magic = match O::ENDIAN {
            Endian::Little => MAGIC_LE,
            Endian::Big => MAGIC_BE,
        };
        header.size.set(FILE_HEADER_SIZE);
        // perf refuses attrs longer than those it knows, so no more is written than the attrs say they have.
        let size = attrs.iter().map(|event| event.attr.size.get() as usize).max().unwrap_or(0);
        let size = size.clamp(ATTR_SIZE_VER0, size_of::<Attr<O>>());
        let entry = (size as u64).saturating_add(16);
        header.attr_size.set(entry);

        let mut at = FILE_HEADER_SIZE;
        let mut ids_at = at;
        for event in attrs {
            for &id in event.ids {
                out.write_at(at, [U64::<O>::new(id).as_bytes()])?;
                at = at.saturating_add(8);
            }
        }
        header.attrs = Section::new(at, entry.saturating_mul(attrs.len() as u64));
        for event in attrs {
            let mut attr = *event.attr;
            attr.size.set(size as u32);
            let ids = Section::<O>::new(ids_at, (event.ids.len() as u64).saturating_mul(8));
            ids_at = ids_at.saturating_add(ids.size.get());
            out.write_at(at, [attr.as_bytes().get(..size).unwrap_or(&[]), ids.as_bytes()])?;
            at = at.saturating_add(entry);
        }

        let mut writer = Self {
            out,
            end: 0,
            header,
            table: [Section::new(0, 0); MAX_FEATURES],
            features: [Feature(0); MAX_FEATURES],
            count: 0,
        };
        for ((section, slot), &(feature, bytes)) in writer.table.iter_mut().zip(&mut writer.features).zip(features) {
            *section = Section::new(at, bytes.len() as u64);
            *slot = feature;
            writer.count = writer.count.saturating_add(1);
            writer.out.write_at(at, [bytes])?;
            // perf aligns the data; sections it does not mind.
            at = at.saturating_add(bytes.len() as u64).saturating_add(7) & !7;
            if let Some(word) = writer.header.features.get_mut(usize::from(feature.0 >> 6)) {
                word.set(word.get() | 1 << (feature.0 & 63));
            }
        }
        writer.header.data = Section::new(at, 0);
        writer.end = at;
        // Set before the first record so that a size of 0 is only ever seen in a file without records.
        writer.out.write_at(0, [writer.header.as_bytes()])?;
        let table = writer.table.get(..writer.count).unwrap_or(&[]);
        writer.out.write_at(at, [table.as_bytes()])?;
        Ok(writer)
    }

    /// Appends whole records, in one or more pieces.
    ///
    /// # Errors
    /// Those of the output. What was appended before stays readable.
    pub fn append(&mut self, pieces: &[&[u8]]) -> Result<(), W::Error> {
        let len = pieces.iter().fold(0u64, |len, piece| len.saturating_add(piece.len() as u64));
        if len == 0 {
            return Ok(());
        }
        // What takes the table's place is written last: until then the file is as it was, with more behind its end.
        let size = size_of::<Section<O>>().saturating_mul(self.count);
        let front = if len > size as u64 { size } else { 0 };
        if front > 0 {
            let table = self.table.get(..self.count).unwrap_or(&[]).as_bytes();
            let rest = halves(pieces, front).map(|(_, rest)| rest).chain([table]);
            self.out.write_at(self.end.saturating_add(front as u64), rest)?;
        }
        self.show_table(false)?;
        if front > 0 {
            self.out.write_at(self.end, halves(pieces, front).map(|(front, _)| front))?;
        } else {
            let table = self.table.get(..self.count).unwrap_or(&[]).as_bytes();
            self.out.write_at(self.end, pieces.iter().copied().chain([table]))?;
        }
        self.end = self.end.saturating_add(len);
        self.header.data.size.set(self.data_size());
        self.show_table(true)
    }

    /// Says in the header how much data there is, and whether the table is behind it.
    fn show_table(&mut self, is_there: bool) -> Result<(), W::Error> {
        let mut header = self.header;
        if !is_there {
            header.features = FileHeader::new_zeroed().features;
        }
        let at = offset_of!(FileHeader<O>, data);
        self.out.write_at(at as u64, [header.as_bytes().get(at..).unwrap_or(&[])])
    }

    /// Replaces a feature section's bytes by as many others: for what is known only at the end.
    /// Unknown features and other sizes are left alone.
    ///
    /// # Errors
    /// Those of the output.
    pub fn update_feature(&mut self, feature: Feature, bytes: &[u8]) -> Result<(), W::Error> {
        let sections = self.table.iter().zip(&self.features).take(self.count);
        for (section, _) in sections.filter(|(_, &f)| f == feature) {
            if section.size.get() == bytes.len() as u64 {
                self.out.write_at(section.offset.get(), [bytes])?;
            }
        }
        Ok(())
    }

    /// Bytes of records so far.
    pub fn data_size(&self) -> u64 {
        self.end.saturating_sub(self.header.data.offset.get())
    }

    /// The output.
    pub fn output(&self) -> &W {
        &self.out
    }

    /// Offset in the file of its end.
    pub fn end(&self) -> u64 {
        self.end.saturating_add(size_of::<Section<O>>().saturating_mul(self.count) as u64)
    }
}

/// Each piece in two: what of it is among the first `len` bytes of all, and what is behind them.
fn halves<'a: 'p, 'p>(pieces: &'p [&'a [u8]], mut len: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'p {
    pieces.iter().map(move |piece| {
        let halves = piece.split_at(len.min(piece.len()));
        len = len.saturating_sub(halves.0.len());
        halves
    })
}
