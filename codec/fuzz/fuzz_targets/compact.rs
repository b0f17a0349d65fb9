//! Frames amid any garbage: what follows a zero byte comes through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsscope_codec::compact::{self, Frame, Frames, Message};
use nsscope_codec::wire::sample_id::SampleId;

fuzz_target!(|data: &[u8]| {
    let (garbage, path) = data.split_at(data.len() / 2);
    let path = &path[..path.len().min(200)];
    let frame = Frame { misc: 7, id: SampleId::default(), message: Message::Cgroup { id: 1, path } };
    let mut buf = [0u8; 512];
    let sent = compact::write(&frame, &mut buf).expect("it fits");
    let mut frames = Frames::<512>::new();
    frames.push(garbage, |_| ());
    frames.push(&[0], |_| ());
    let mut received = 0;
    for piece in sent.chunks(1 + garbage.len() % 7) {
        frames.push(piece, |got| received += usize::from(got == frame));
    }
    assert_eq!(received, 1);
});
