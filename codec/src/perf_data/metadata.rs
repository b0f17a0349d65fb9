//! What a stream says of itself, read into its session: attrs, the table of features, records that describe events. Not
//! here: when each part comes, and kernel records.

use super::header::{Feature, Section, FILE_HEADER_SIZE};
use super::layout::{words, Layout};
use super::session::Session;
use super::tracing;
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use crate::wire::attr::{Attr, ATTR_SIZE_VER0};
use crate::wire::header::RecordType;
use crate::wire::user::{EventUpdate, HeaderFeature, EVENT_UPDATE_NAME};
use crate::wire::{until_nul, Order};
use alloc::collections::VecDeque;
use zerocopy::FromBytes;

/// A feature section: which, its offset in the file, its size.
pub(super) type FeatureAt = (Feature, u64, u64);

/// The attrs of a file, and with them what lies between the header and the records. Ids that lie elsewhere are a fault.
pub(super) fn attrs<O: Order>(
    session: &mut Session,
    layout: &Layout,
    mut fault: impl FnMut(Error),
) -> Result<(), Error> {
    let (at, size) = layout.attrs;
    let bytes = layout.slice(at, size).unwrap_or(&[]);
    let entry = usize::try_from(layout.attr_size).ok().filter(|&size| size >= 16 + 64);
    let Some(entry) = entry else {
        return Err(Error::new(16, ErrorKind::Attr { size: layout.attr_size as u32, room: bytes.len() as u32 }));
    };
    for (index, bytes) in bytes.chunks_exact(entry).enumerate() {
        let offset = at.saturating_add((index as u64).saturating_mul(layout.attr_size));
        let (attr, ids) = bytes.split_at_checked(entry.saturating_sub(16)).unwrap_or((bytes, &[]));
        let attr = Attr::<O>::parse(attr, offset)?;
        let ids = Section::<O>::ref_from_bytes(ids).map_or((0, 0), |s| (s.offset.get(), s.size.get()));
        let ids = match layout.slice(ids.0, ids.1) {
            Some(bytes) => bytes,
            None if ids.1 == 0 => &[],
            None => {
                fault(Error::new(offset, ErrorKind::Section { at: ids.0, size: ids.1 }));
                &[]
            }
        };
        session.add_event(&attr, words::<O>(ids));
    }
    // The names may be known from the first look.
    session.name_events();
    // A file whose writer was killed before its features were in place may still have this one.
    if layout.features.is_empty() || layout.data_end.is_none() {
        let behind = at.saturating_add(size).saturating_sub(FILE_HEADER_SIZE) as usize;
        let gap = layout.prologue.get(behind..).unwrap_or(&[]);
        if gap.starts_with(&tracing::MAGIC) {
            session.add_feature(Feature::TRACING_DATA, gap.to_vec());
        }
    }
    Ok(())
}

/// The table of features, which ends at `position`: sections that were read already go into the session; those that lie
/// ahead are returned in file order. What lies elsewhere is a fault.
pub(super) fn features<O: Order>(
    session: &mut Session,
    layout: &Layout,
    table: &[u8],
    position: u64,
    mut fault: impl FnMut(Error),
) -> VecDeque<FeatureAt> {
    let table_at = position.saturating_sub(table.len() as u64);
    let mut ahead: VecDeque<FeatureAt> = VecDeque::new();
    for (&feature, bytes) in layout.features.iter().zip(table.chunks_exact(16)) {
        let Ok(section) = Section::<O>::ref_from_bytes(bytes) else { continue };
        let (at, size) = (section.offset.get(), section.size.get());
        if at >= position && at.checked_add(size).is_some() {
            let index = ahead.iter().take_while(|&&(_, before, _)| before <= at).count();
            ahead.insert(index, (feature, at, size));
        } else if let Some(bytes) = layout.slice(at, size) {
            session.add_feature(feature, bytes.to_vec());
        } else {
            fault(Error::new(table_at, ErrorKind::Section { at, size }));
        }
    }
    ahead
}

/// A record of pipe mode that describes an event or is a feature section; all others are left alone.
pub(super) fn record<O: Order>(session: &mut Session, record: &RawRecord<'_, O>) -> Result<(), Error> {
    match record.kind() {
        RecordType::HEADER_ATTR => {
            let body = record.body();
            let attr = Attr::<O>::parse(body, record.offset())?;
            let size = (attr.size.get() as usize).max(ATTR_SIZE_VER0);
            session.add_event(&attr, words::<O>(body.get(size..).unwrap_or(&[])));
        }
        RecordType::HEADER_FEATURE => {
            let (fixed, bytes) = record.fixed::<HeaderFeature<O>>()?;
            session.add_feature(Feature(fixed.feat_id.get() as u16), bytes.to_vec());
        }
        RecordType::EVENT_UPDATE => {
            let (fixed, bytes) = record.fixed::<EventUpdate<O>>()?;
            if fixed.update_type.get() == EVENT_UPDATE_NAME {
                session.name_event(fixed.id.get(), until_nul(bytes));
            }
        }
        _ => {}
    }
    Ok(())
}
