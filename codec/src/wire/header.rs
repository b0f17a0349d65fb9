//! `struct perf_event_header` and the names of record types. Not here: the bodies of records.
//!
//! Source: `<linux/perf_event.h>`, `enum perf_event_type`; types from 64 on are the perf tool's own
//! (`tools/lib/perf/include/perf/event.h`).

use super::{impl_layout, Order};
use zerocopy::byteorder::{U16, U32};

/// What starts every record: 8 bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(C)]
pub struct Header<O: Order> {
    /// Record type, see [`RecordType`].
    pub kind: U32<O>,
    /// Flags, see the `MISC_*` constants.
    pub misc: U16<O>,
    /// Size of the whole record in bytes, this header included.
    pub size: U16<O>,
}
impl_layout!(Header, 8, kind: 0, misc: 4, size: 6);

/// Size of [`Header`] in bytes.
pub const HEADER_SIZE: usize = 8;

/// The largest record that a header can announce, in bytes (`size` is a `u16`).
pub const MAX_RECORD_SIZE: usize = 0xffff;

/// `PERF_RECORD_MISC_COMM_EXEC`: this COMM comes from an `execve`.
pub const MISC_COMM_EXEC: u16 = 1 << 13;
/// `PERF_RECORD_MISC_FORK_EXEC`: this FORK was synthesized for a task that already ran (perf tool).
pub const MISC_FORK_EXEC: u16 = 1 << 13;
/// `PERF_RECORD_MISC_SWITCH_OUT`: this SWITCH is the task leaving the CPU.
pub const MISC_SWITCH_OUT: u16 = 1 << 13;
/// `PERF_RECORD_MISC_SWITCH_OUT_PREEMPT`: it left because it was preempted.
pub const MISC_SWITCH_OUT_PREEMPT: u16 = 1 << 14;
/// `PERF_RECORD_MISC_MMAP_BUILD_ID`: the MMAP2 record carries a build id in place of device and inode.
pub const MISC_MMAP_BUILD_ID: u16 = 1 << 14;
/// `PERF_RECORD_MISC_KERNEL`: it happened in the kernel.
pub const MISC_KERNEL: u16 = 1;
/// `PERF_RECORD_MISC_CPUMODE_MASK`.
pub const MISC_CPUMODE_MASK: u16 = 7;

/// A record's type number. Any `u32` is one: unknown types are passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordType(pub u32);

macro_rules! record_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl RecordType {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name in the kernel's or the perf tool's header without its prefix, if it is one of theirs.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Every type this crate knows by name, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self($value)),*];
        }
    };
}

record_types! {
    /// A mapping was made (executable, or data with `mmap_data`).
    MMAP = 1,
    /// The ring was full: `lost` records are missing.
    LOST = 2,
    /// A task's name changed.
    COMM = 3,
    /// A task ended.
    EXIT = 4,
    /// Sampling was throttled.
    THROTTLE = 5,
    /// Sampling goes on.
    UNTHROTTLE = 6,
    /// A task was created.
    FORK = 7,
    /// A counter's value at task exit (`inherit_stat`).
    READ = 8,
    /// A sample.
    SAMPLE = 9,
    /// A mapping, with its device, inode, protection and flags, or build id.
    MMAP2 = 10,
    /// Data was written to the AUX area.
    AUX = 11,
    /// An instruction trace started for a task.
    ITRACE_START = 12,
    /// Samples were dropped by the hardware.
    LOST_SAMPLES = 13,
    /// Context switch of the monitored task.
    SWITCH = 14,
    /// Context switch on a monitored CPU, with the other task's id.
    SWITCH_CPU_WIDE = 15,
    /// Device and inode of each of a task's namespaces.
    NAMESPACES = 16,
    /// A kernel symbol was added or removed.
    KSYMBOL = 17,
    /// A BPF program was loaded or unloaded.
    BPF_EVENT = 18,
    /// A cgroup's id and path.
    CGROUP = 19,
    /// Kernel text was modified.
    TEXT_POKE = 20,
    /// Ties an AUX event's hardware id to an event.
    AUX_OUTPUT_HW_ID = 21,
    /// A user call chain delivered later than its sample.
    CALLCHAIN_DEFERRED = 22,
    /// perf: an attr and its ids (pipe mode).
    HEADER_ATTR = 64,
    /// perf: obsolete.
    HEADER_EVENT_TYPE = 65,
    /// perf: tracepoint formats follow the record (pipe mode).
    HEADER_TRACING_DATA = 66,
    /// perf: a build id (pipe mode).
    HEADER_BUILD_ID = 67,
    /// perf: every ring was drained once.
    FINISHED_ROUND = 68,
    /// perf: sample ids and where they were opened.
    ID_INDEX = 69,
    /// perf: parameters of an AUX trace.
    AUXTRACE_INFO = 70,
    /// perf: AUX trace data follows the record.
    AUXTRACE = 71,
    /// perf: an error while decoding an AUX trace.
    AUXTRACE_ERROR = 72,
    /// perf: monitored threads.
    THREAD_MAP = 73,
    /// perf: monitored CPUs.
    CPU_MAP = 74,
    /// perf stat: its configuration.
    STAT_CONFIG = 75,
    /// perf stat: a counter value.
    STAT = 76,
    /// perf stat: end of an interval.
    STAT_ROUND = 77,
    /// perf: an event's unit, scale, name or CPUs.
    EVENT_UPDATE = 78,
    /// perf: TSC conversion parameters.
    TIME_CONV = 79,
    /// perf: a feature section (pipe mode).
    HEADER_FEATURE = 80,
    /// perf: records compressed with zstd.
    COMPRESSED = 81,
    /// perf: synthesis of what already ran is over.
    FINISHED_INIT = 82,
    /// perf: records compressed with zstd, padded to 8 bytes.
    COMPRESSED2 = 83,
    /// perf: metadata of a BPF program.
    BPF_METADATA = 84,
    /// perf sched stats: per CPU.
    SCHEDSTAT_CPU = 85,
    /// perf sched stats: per domain.
    SCHEDSTAT_DOMAIN = 86,
}

impl RecordType {
    /// First of the perf tool's own types (`PERF_RECORD_USER_TYPE_START`).
    pub const USER_START: u32 = 64;

    /// Whether the perf tool, not the kernel, made this record: it has no `sample_id` trailer.
    pub const fn is_user(self) -> bool {
        self.0 >= Self::USER_START
    }

    /// Whether other records lie in this one, compressed.
    pub const fn is_compressed(self) -> bool {
        matches!(self, Self::COMPRESSED | Self::COMPRESSED2)
    }
}

impl core::fmt::Display for RecordType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}
