//! A file read in two passes and put in time order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsscope_codec::perf_data::{Ordered, Reader};
use nsscope_codec::wire::sample_id::known_time;
use nsscope_codec_fuzz::Said;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new();
    let mut ordered = Ordered::new(Said::default(), 1 << 16);
    let mut good = true;
    while let Some(offset) = reader.wanted() {
        let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)).unwrap_or(&[]);
        if reader.push(&rest[..rest.len().min(1000)], &mut ordered).is_err() {
            good = false;
            break;
        }
    }
    let late = ordered.late();
    let said = ordered.finish(reader.session());
    // In time order, but for what came too late and what has no time.
    if good && late == 0 {
        let times = said.records.iter().filter_map(|(_, _, _, time)| known_time(*time));
        assert!(times.is_sorted());
    }
});
