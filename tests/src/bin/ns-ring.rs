//! Reads a ring that is laid out as that of a perf event, from the device of the example kernel module.
//!
//! `ns-ring DEVICE FILE` writes what comes to FILE, a perf.data file, until it is sent SIGTERM.

use nsscope_codec::Native;
use nsscope_codec::perf_data::{AttrIds, FileWriter};
use nsscope_codec::ring::{Consumer, Mapping};
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::sample_id::SampleType;
use nsscope_tests::Bytes;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the module makes for every reader: a control page, and this much data.
const RING: usize = 4096 + (1 << 20);

static OVER: AtomicBool = AtomicBool::new(false);

extern "C" fn over(_: libc::c_int) {
    OVER.store(true, Ordering::Relaxed);
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [device, path] = args.as_slice() else { return Err(io::Error::other("ns-ring DEVICE FILE")) };
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGTERM, over as *const () as libc::sighandler_t) };
    let device = File::options().read(true).write(true).open(device)?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), RING, prot, libc::MAP_SHARED, device.as_raw_fd(), 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is never taken back, and this is its only reader.
    let ring = unsafe { Mapping::new(base.cast(), RING) }.ok_or(io::Error::other("the device has no ring"))?;
    let mut ring = Consumer::new(ring);

    let mut attr = Attr::<Native>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL);
    let fields = [SampleType::TID, SampleType::TIME, SampleType::CPU, SampleType::IDENTIFIER];
    attr.sample_type.set(fields.iter().fold(0, |all, field| all | field.0));
    let mut bytes = Bytes::default();
    let events = [AttrIds { attr: &attr, ids: &[1] }];
    let mut writer = FileWriter::begin(&mut bytes, &events, &[]).map_err(|()| io::Error::other("no room"))?;
    File::create(path)?;
    loop {
        let last = OVER.load(Ordering::Relaxed);
        let available = ring.available();
        let len = available.len();
        writer.append(&[available.first, available.second]).map_err(|()| io::Error::other("no room"))?;
        ring.release(len);
        if last {
            break;
        }
        let mut wait = libc::pollfd { fd: device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which is ours.
        unsafe { libc::poll(&raw mut wait, 1, 100) };
    }
    std::fs::write(path, &bytes.0)
}
