//! A stream in chunks of any size, of either byte order: the same as in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsscope_codec::perf_data::Decoder;
use nsscope_codec_fuzz::Said;

fn decode(mut rest: &[u8], mut sizes: impl Iterator<Item = usize>) -> (Said, bool) {
    let (mut decoder, mut said) = (Decoder::new(), Said::default());
    let mut good = true;
    while !rest.is_empty() && good {
        let (chunk, behind) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        good = decoder.push(chunk, &mut said).is_ok();
        rest = behind;
    }
    let good = good && decoder.finish(&mut said).is_ok();
    (said, good)
}

fuzz_target!(|data: &[u8]| {
    // The last byte cuts the others.
    let Some((&cut, stream)) = data.split_last() else { return };
    let whole = decode(stream, core::iter::repeat(usize::MAX));
    let size = usize::from(cut) + 1;
    assert_eq!(decode(stream, [size, 1, size / 3 + 1].into_iter().cycle()), whole);
});
