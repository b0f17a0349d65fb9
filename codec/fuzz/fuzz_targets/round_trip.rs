//! A record that is decoded, copied and encoded is the record, in either byte order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsscope_codec::owned::OwnedRecord;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{BigEndian, LittleEndian, Order, RawRecord, Records};

type Owned = OwnedRecord<64, 512>;

fn check<O: Order, P: Order>(bytes: &[u8], layout: SampleIdLayout) {
    let mut buf = [0u8; 4096];
    for record in Records::<O>::new(bytes, 0).flatten() {
        let Ok(Some(owned)) = Owned::copy(&record) else { continue };
        let id = record.sample_id(layout).unwrap_or(SampleId::default());
        let Ok(size) = owned.encode::<P>(record.misc(), layout, &id, &mut buf) else { continue };
        let (again, rest) = RawRecord::<P>::split(&buf[..size], 0).expect("what was encoded");
        assert!(rest.is_empty());
        assert_eq!(again.sample_id(layout).expect("its trailer"), SampleId { ..id });
        assert_eq!(Owned::copy(&again).expect("its body"), Some(owned));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((fields, bytes)) = data.split_first() else { return };
    let bits = [SampleType::TID, SampleType::TIME, SampleType::ID, SampleType::STREAM_ID, SampleType::CPU];
    let chosen = bits.iter().enumerate().filter(|(bit, _)| fields >> bit & 1 == 1).map(|(_, field)| field.0);
    let layout = SampleIdLayout::new(SampleType(chosen.fold(0, |all, field| all | field)));
    // A trailer that the record has no room for reads as nothing, and is written as zeros.
    if data.len() < 4096 {
        check::<LittleEndian, BigEndian>(bytes, SampleIdLayout::NONE);
        check::<BigEndian, LittleEndian>(bytes, SampleIdLayout::NONE);
        for record in Records::<LittleEndian>::new(bytes, 0).flatten() {
            let _ = record.sample_id(layout);
            let _ = layout.time::<LittleEndian>(record.bytes());
            let _ = layout.id::<LittleEndian>(record.bytes());
        }
    }
});
