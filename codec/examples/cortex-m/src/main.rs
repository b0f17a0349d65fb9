//! The codec on a Cortex-M3 with 64 KiB of memory: a small system of tasks emits NAMESPACES records, they are decoded
//! where they lie, logged through defmt, and sent over the serial line as compact frames.
//!
//! `cargo xtask cortex-m` runs it in QEMU, reads its log, and turns the frames into a perf.data file.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
use defmt_semihosting as _;
use heapless::Vec;
use nsscope_codec::compact::{self, Frame};
use nsscope_codec::emit::{Context, Event, Namespace, NamespaceEvents, Output, Requested, Task, Trailer};
use nsscope_codec::encode::{Comm, Fork, Sink, TaskIds};
use nsscope_codec::owned::OwnedRecord;
use nsscope_codec::wire::attr::{Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use nsscope_codec::wire::sample_id::{SampleIdLayout, SampleType};
use nsscope_codec::{emit, LittleEndian, Records};

/// UART0's data register: QEMU's needs no set-up.
const UART0: *mut u32 = 0x4000_c000 as *mut u32;
const FIELDS: SampleType = SampleType(SampleType::TID.0 | SampleType::TIME.0 | SampleType::CPU.0);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(debug::EXIT_FAILURE)
}

/// A task: its ids, and how far its namespaces are from the first ones.
struct Process {
    pid: u32,
    own: u64,
}

struct Ns(NsId);

impl Namespace for Ns {
    fn id(&self) -> NsId {
        self.0
    }
}

impl Task for Process {
    type PidNs = ();
    type Namespace = Ns;

    fn ids(&self, (): &()) -> (u32, u32) {
        (self.pid, self.pid)
    }

    fn namespace(&self, kind: NsKind) -> Option<Ns> {
        // This system has no user namespaces.
        (kind != NsKind::User).then(|| Ns(NsId::new(0, 4, kind.initial_ino() - self.own)))
    }
}

struct Board<'a> {
    current: &'a Process,
    time: u64,
}

impl Context for Board<'_> {
    type Task = Process;

    fn current(&self) -> &Process {
        self.current
    }

    fn now(&self, _: Option<i32>) -> u64 {
        self.time
    }

    fn cpu(&self) -> u32 {
        0
    }
}

/// An event whose records go into a buffer of fixed size.
struct Log {
    attr: Attr<LittleEndian>,
    records: Vec<u8, 1024>,
    lost: u32,
}

struct Room<'a>(&'a mut Vec<u8, 1024>);

impl Sink for Room<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let _ = self.0.extend_from_slice(bytes);
    }
}

impl Output for Room<'_> {
    fn commit(self) {}
}

impl Event for Log {
    type PidNs = ();
    type Output<'a> = Room<'a>;

    fn requested(&self) -> Requested {
        Requested::from(&self.attr)
    }

    fn id(&self) -> u64 {
        1
    }

    fn stream_id(&self) -> u64 {
        1
    }

    fn pid_ns(&self) -> &() {
        &()
    }

    fn begin(&mut self, size: usize, _: &Trailer) -> Option<Room<'_>> {
        if self.records.len() + size > self.records.capacity() {
            self.lost += 1;
            return None;
        }
        Some(Room(&mut self.records))
    }
}

static EVENTS: NamespaceEvents = NamespaceEvents::new();

#[entry]
fn main() -> ! {
    let mut attr = Attr::new(TYPE_SOFTWARE, CONFIG_DUMMY);
    attr.set_flags(AttrFlags::NAMESPACES | AttrFlags::SAMPLE_ID_ALL);
    attr.sample_type.set(FIELDS.0);
    let mut log = Log { attr, records: Vec::new(), lost: 0 };

    let first = Process { pid: 1, own: 0 };
    let contained = Process { pid: 2, own: 100 };
    let mut board = Board { current: &first, time: 1_000 };
    let unwanted = EVENTS.emit(&contained, &board, || [&mut log]);
    defmt::info!("nobody wants it: {}", unwanted);
    EVENTS.account(log.attr.flags());

    let fork = TaskIds { pid: 2, ppid: 1, tid: 2, ptid: 1, time: board.time };
    emit::emit(&mut log, &Fork(fork), 0, &board);
    let emitted = EVENTS.emit(&contained, &board, || [&mut log]);
    defmt::info!("emitted: {}", emitted);
    board = Board { current: &contained, time: 2_000 };
    let comm = Comm { pid: 2, tid: 2, comm: b"blinky" };
    emit::emit(&mut log, &comm, nsscope_codec::wire::header::MISC_COMM_EXEC, &board);

    let layout = SampleIdLayout::new(FIELDS);
    let mut kept: Vec<OwnedRecord<7, 16>, 8> = Vec::new();
    let mut frame = [0u8; 160];
    for record in Records::<LittleEndian>::new(&log.records, 0) {
        match record.and_then(|record| {
            defmt::info!("{}", record.parse()?);
            if let Some(owned) = OwnedRecord::copy(&record)? {
                let _ = kept.push(owned);
            }
            match Frame::of(&record, layout)? {
                Some(message) => compact::write(&message, &mut frame),
                None => Ok(&[][..]),
            }
        }) {
            Ok(bytes) => bytes.iter().for_each(|&byte| send(byte)),
            Err(error) => defmt::error!("{}", error),
        }
    }
    defmt::info!("kept {=usize}, lost {=u32}", kept.len(), log.lost);

    // A record that lies is an error at its offset.
    let mut lie = [0u8; 136];
    lie[..8].copy_from_slice(&[16, 0, 0, 0, 0, 0, 136, 0]);
    lie[16] = 200;
    for record in Records::<LittleEndian>::new(&lie, 4096).flatten() {
        if let Err(error) = record.parse() {
            defmt::warn!("{}", error);
        }
    }
    exit(debug::EXIT_SUCCESS)
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        cortex_m::asm::wfi();
    }
}

fn send(byte: u8) {
    // SAFETY: the register of this board.
    unsafe { UART0.write_volatile(byte.into()) }
}
