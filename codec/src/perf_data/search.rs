//! Where records begin again behind damage. Not here: reading them.

use super::session::Session;
use crate::error::ErrorKind;
use crate::raw::RawRecord;
use crate::wire::header::RecordType;
use crate::wire::Order;

/// How many records in a row are no accident.
const CHAIN: usize = 4;

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A record begins there.
    Record,
    /// None does.
    Nothing,
    /// That takes more bytes to say.
    Unknown,
}

/// Whether records of this stream begin with `bytes`: a few in a row, of types that there are, with ids that it has.
/// `ends`: no bytes come behind these.
#[cold]
#[inline(never)]
pub(crate) fn begins<O: Order>(session: &Session, mut bytes: &[u8], ends: bool) -> Verdict {
    let later = if ends { Verdict::Nothing } else { Verdict::Unknown };
    for number in 0..CHAIN {
        if bytes.is_empty() && ends && number > 0 {
            return Verdict::Record;
        }
        match RawRecord::<O>::split(bytes, 0) {
            Ok((record, rest)) if is_one(session, &record) => {
                // What is behind this one is no record.
                if record.kind() == RecordType::AUXTRACE && number > 0 {
                    return Verdict::Record;
                }
                bytes = rest;
            }
            Err(error) => {
                let cut = matches!(error.kind, ErrorKind::Truncated { .. });
                return if cut { later } else { Verdict::Nothing };
            }
            Ok(_) => return Verdict::Nothing,
        }
    }
    Verdict::Record
}

fn is_one<O: Order>(session: &Session, record: &RawRecord<'_, O>) -> bool {
    let kind = record.kind();
    kind.name().is_some() && record.bytes().len() % 8 == 0 && (kind.is_user() || session.has_id_of(record))
}
