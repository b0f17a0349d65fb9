//! nsscope's decoder for C: what `nsscope.h` declares, which cbindgen makes of this. Not here: the decoder.

use nsscope_codec::perf_data::{self, Ordered, Session, Visitor};
use nsscope_codec::wire::header::{MISC_SWITCH_OUT, MISC_SWITCH_OUT_PREEMPT};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::{Error, Order, RawRecord, Record as Parsed};
use std::ffi::{CString, c_char, c_void};
use std::ptr;

/// How much is held to put records in the order of their times, in bytes.
const SORT_LIMIT: usize = 64 << 20;

/// What became of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok = 0,
    /// A pointer is null that may not be.
    Null = 1,
    /// The input is no perf.data stream, or what follows cannot be found any more: `nsscope_decoder_error` says why.
    Unreadable = 2,
    /// The decoder has been finished, or has failed before.
    Over = 3,
}

/// Index of a namespace's type in `nsscope_namespaces.of`, as in the kernel's record (`NET_NS_INDEX` and so on).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceType {
    /// Network devices, addresses, ports.
    Net = 0,
    /// Host and domain name.
    Uts = 1,
    /// System V IPC and POSIX message queues.
    Ipc = 2,
    /// Process ids.
    Pid = 3,
    /// User and group ids, capabilities.
    User = 4,
    /// Mount points.
    Mnt = 5,
    /// The cgroup root that the task sees.
    Cgroup = 6,
    /// Clock offsets. Only nsscope's eBPF programs and kernels record it.
    Time = 7,
}

/// Device (the kernel's `new_encode_dev()` form) and inode of a namespace; both are 0 where the record does not have it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Device of nsfs.
    pub dev: u64,
    /// Inode, which /proc shows in brackets: `net:[4026531840]`.
    pub ino: u64,
}

/// `PERF_RECORD_NAMESPACES`: the namespaces that a task is in from now on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// By `nsscope_namespace_type`.
    pub of: [Namespace; 8],
}

/// `PERF_RECORD_FORK` and `PERF_RECORD_EXIT`: a task begins, a task ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Process id.
    pub pid: u32,
    /// The parent's process id; equal to `pid` for a new thread.
    pub ppid: u32,
    /// Thread id.
    pub tid: u32,
    /// The parent's thread id.
    pub ptid: u32,
}

/// Bytes of a name: not ended by a NUL, and not necessarily UTF-8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The first; never null.
    pub bytes: *const u8,
    /// How many.
    pub len: usize,
}

/// `PERF_RECORD_COMM`: a task has a name.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Comm {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Its name.
    pub comm: Text,
    /// Whether it has it because it began a program.
    pub exec: bool,
}

/// `PERF_RECORD_CGROUP`: a cgroup's id has a path.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Cgroup {
    /// Its id in the unified hierarchy.
    pub id: u64,
    /// Its path from that hierarchy's root.
    pub path: Text,
}

/// `PERF_RECORD_LOST` and `PERF_RECORD_LOST_SAMPLES`: records are missing here.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// How many.
    pub count: u64,
}

/// `PERF_RECORD_SWITCH` and `PERF_RECORD_SWITCH_CPU_WIDE`: a context switch. Who switched is the record's own pid and tid.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Whether it left the CPU; else it came.
    pub out: bool,
    /// Whether it would have run on.
    pub preempted: bool,
    /// Process id of who came before or comes next; `UINT32_MAX` where the record does not say.
    pub other_pid: u32,
    /// Thread id of the same.
    pub other_tid: u32,
}

/// Which member of `nsscope_payload` a record has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadType {
    /// None: another type of record, or one that is damaged. Its bytes are there.
    Other = 0,
    /// `namespaces`.
    Namespaces = 1,
    /// `task`, which begins.
    Fork = 2,
    /// `task`, which ends.
    Exit = 3,
    /// `comm`.
    Comm = 4,
    /// `cgroup`.
    Cgroup = 5,
    /// `lost`.
    Lost = 6,
    /// `context_switch`.
    Switch = 7,
}

/// What a record says, by its `payload_type`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Payload {
    /// `NAMESPACES`.
    pub namespaces: Namespaces,
    /// `FORK` and `EXIT`.
    pub task: Task,
    /// `COMM`.
    pub comm: Comm,
    /// `CGROUP`.
    pub cgroup: Cgroup,
    /// `LOST`.
    pub lost: Lost,
    /// `SWITCH`.
    pub context_switch: Switch,
}

/// A record. All that it points to is there until the function returns that was called with it.
#[repr(C)]
pub struct Record {
    /// `PERF_RECORD_*`; those of the perf tool itself begin at 64.
    pub kind: u32,
    /// The header's `misc`.
    pub misc: u16,
    /// Where it stands in the input, in bytes.
    pub offset: u64,
    /// All of it, header included, in the byte order of the machine that recorded.
    pub bytes: *const u8,
    /// How many bytes that are.
    pub len: usize,
    /// When, in ns of the recording's clock; `UINT64_MAX` where the record does not say.
    pub time: u64,
    /// Process id of who caused it; `UINT32_MAX` where the record does not say.
    pub pid: u32,
    /// Thread id of the same.
    pub tid: u32,
    /// On which CPU; `UINT32_MAX` where the record does not say.
    pub cpu: u32,
    /// Which member of `payload` is there.
    pub payload_type: PayloadType,
    /// What it says.
    pub payload: Payload,
}

/// Takes a record. It may not call the decoder.
pub type OnRecord = Option<unsafe extern "C" fn(user: *mut c_void, record: *const Record)>;

/// Takes what is damaged and costs a part of the input: at which offset, in bytes, and what it is, ended by a NUL. The
/// decoder goes on behind it. It may not call the decoder.
pub type OnFault = Option<unsafe extern "C" fn(user: *mut c_void, offset: u64, message: *const c_char)>;

struct Caller {
    on_record: OnRecord,
    on_fault: OnFault,
    user: *mut c_void,
}

impl Visitor for Caller {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        let Some(on_record) = self.on_record else { return };
        let id = session.sample_id(&record);
        let (payload_type, payload) = payload(&record);
        let record = Record {
            kind: record.kind().0,
            misc: record.misc(),
            offset: record.offset(),
            bytes: record.bytes().as_ptr(),
            len: record.bytes().len(),
            time: session.time(&record).unwrap_or(u64::MAX),
            pid: id.pid.unwrap_or(u32::MAX),
            tid: id.tid.unwrap_or(u32::MAX),
            cpu: id.cpu.unwrap_or(u32::MAX),
            payload_type,
            payload,
        };
        // SAFETY: Whoever made the decoder says that the function takes its `user` and a record, which lives until then.
        unsafe { on_record(self.user, &raw const record) };
    }

    fn fault(&mut self, error: Error) {
        let Some(on_fault) = self.on_fault else { return };
        let message = message(&error);
        // SAFETY: As above; the message lives until then.
        unsafe { on_fault(self.user, error.offset, message.as_ptr()) };
    }
}

fn text(bytes: &[u8]) -> Text {
    Text { bytes: bytes.as_ptr(), len: bytes.len() }
}

fn payload<O: Order>(record: &RawRecord<'_, O>) -> (PayloadType, Payload) {
    let task = |task: &nsscope_codec::wire::task::Task<O>| Payload {
        task: Task { pid: task.pid.get(), ppid: task.ppid.get(), tid: task.tid.get(), ptid: task.ptid.get() },
    };
    let switch = |other_pid: u32, other_tid: u32| {
        let (out, preempted) = (record.misc() & MISC_SWITCH_OUT != 0, record.misc() & MISC_SWITCH_OUT_PREEMPT != 0);
        (PayloadType::Switch, Payload { context_switch: Switch { out, preempted, other_pid, other_tid } })
    };
    match record.parse() {
        Ok(Parsed::Namespaces(namespaces)) => {
            let of = NsKind::ALL.map(|kind| {
                namespaces.get(kind).map_or(Namespace::default(), |id| Namespace { dev: id.dev, ino: id.ino })
            });
            let namespaces = Namespaces { pid: namespaces.pid(), tid: namespaces.tid(), of };
            (PayloadType::Namespaces, Payload { namespaces })
        }
        Ok(Parsed::Fork(fork)) => (PayloadType::Fork, task(fork)),
        Ok(Parsed::Exit(exit)) => (PayloadType::Exit, task(exit)),
        Ok(Parsed::Comm(comm)) => {
            let (pid, tid) = (comm.fixed.pid.get(), comm.fixed.tid.get());
            (PayloadType::Comm, Payload { comm: Comm { pid, tid, comm: text(comm.comm), exec: comm.exec } })
        }
        Ok(Parsed::Cgroup(cgroup)) => {
            let (id, path) = (cgroup.fixed.id.get(), text(cgroup.path));
            (PayloadType::Cgroup, Payload { cgroup: Cgroup { id, path } })
        }
        Ok(Parsed::Lost(lost)) => (PayloadType::Lost, Payload { lost: Lost { count: lost.lost.get() } }),
        Ok(Parsed::LostSamples(lost)) => (PayloadType::Lost, Payload { lost: Lost { count: lost.lost.get() } }),
        Ok(Parsed::Switch) => switch(u32::MAX, u32::MAX),
        Ok(Parsed::SwitchCpuWide(wide)) => switch(wide.next_prev_pid.get(), wide.next_prev_tid.get()),
        _ => (PayloadType::Other, Payload { lost: Lost { count: 0 } }),
    }
}

fn message(error: &Error) -> CString {
    CString::new(error.to_string()).unwrap_or_default()
}

/// Decodes one perf.data stream.
pub struct Decoder {
    input: perf_data::Decoder,
    /// None once it is over.
    ordered: Option<Ordered<Caller>>,
    error: CString,
}

impl Decoder {
    fn call(
        &mut self,
        what: impl FnOnce(&mut perf_data::Decoder, &mut Ordered<Caller>) -> Result<(), Error>,
    ) -> Status {
        let Some(ordered) = &mut self.ordered else { return Status::Over };
        match what(&mut self.input, ordered) {
            Ok(()) => Status::Ok,
            Err(error) => {
                self.error = message(&error);
                self.end();
                Status::Unreadable
            }
        }
    }

    fn end(&mut self) {
        if let Some(ordered) = self.ordered.take() {
            ordered.finish(self.input.session());
        }
    }
}

/// Makes a decoder. `on_record` is called for each record, in the order of their times; `on_fault` for what is damaged.
/// Either may be null, and both are called with `user`. Free it with `nsscope_decoder_free`.
///
/// # Safety
/// The functions take what their types say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nsscope_decoder_new(
    on_record: OnRecord,
    on_fault: OnFault,
    user: *mut c_void,
) -> *mut Decoder {
    let ordered = Some(Ordered::new(Caller { on_record, on_fault, user }, SORT_LIMIT));
    Box::into_raw(Box::new(Decoder { input: perf_data::Decoder::new(), ordered, error: CString::default() }))
}

/// Takes the next bytes of the stream, in pieces of any size.
///
/// # Safety
/// `decoder` is one of `nsscope_decoder_new`, or null; `bytes` are `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nsscope_decoder_push(decoder: *mut Decoder, bytes: *const u8, len: usize) -> Status {
    // SAFETY: The caller says so.
    let Some(decoder) = (unsafe { decoder.as_mut() }) else { return Status::Null };
    if len == 0 {
        return Status::Ok;
    }
    if bytes.is_null() {
        return Status::Null;
    }
    // SAFETY: The caller says so.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
    decoder.call(|input, ordered| input.push(bytes, ordered))
}

/// The stream is over: the last records come. What was cut off is a fault.
///
/// # Safety
/// `decoder` is one of `nsscope_decoder_new`, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nsscope_decoder_finish(decoder: *mut Decoder) -> Status {
    // SAFETY: The caller says so.
    let Some(decoder) = (unsafe { decoder.as_mut() }) else { return Status::Null };
    let status = decoder.call(perf_data::Decoder::finish);
    decoder.end();
    status
}

/// Why the decoder failed, ended by a NUL; empty where it did not. It is there until the decoder is freed.
///
/// # Safety
/// `decoder` is one of `nsscope_decoder_new`, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nsscope_decoder_error(decoder: *const Decoder) -> *const c_char {
    // SAFETY: The caller says so.
    unsafe { decoder.as_ref() }.map_or(ptr::null(), |decoder| decoder.error.as_ptr())
}

/// Frees a decoder; null is none.
///
/// # Safety
/// `decoder` is one of `nsscope_decoder_new` that has not been freed, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nsscope_decoder_free(decoder: *mut Decoder) {
    if !decoder.is_null() {
        // SAFETY: The caller says so.
        drop(unsafe { Box::from_raw(decoder) });
    }
}
