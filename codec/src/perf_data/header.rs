//! The file header, its sections and the features that a file may have. Not here: the order in which a stream is read.

use crate::wire::{impl_layout, Order};
use zerocopy::byteorder::U64;

/// The first 8 bytes of a little-endian file.
pub const MAGIC_LE: [u8; 8] = *b"PERFILE2";
/// The first 8 bytes of a big-endian file.
pub const MAGIC_BE: [u8; 8] = *b"2ELIFREP";

/// `header.size` in file mode, in bytes.
pub const FILE_HEADER_SIZE: u64 = 104;
/// `header.size` in pipe mode, in bytes.
pub const PIPE_HEADER_SIZE: u64 = 16;

/// Offset and size of a part of the file, in bytes.
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
pub struct Section<O: Order> {
    /// From the start of the file.
    pub offset: U64<O>,
    /// Size.
    pub size: U64<O>,
}
impl_layout!(Section, 16, offset: 0, size: 8);

impl<O: Order> Section<O> {
    /// A section.
    pub fn new(offset: u64, size: u64) -> Self {
        Self { offset: U64::new(offset), size: U64::new(size) }
    }
}

/// The header of a file: 104 bytes.
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
pub struct FileHeader<O: Order> {
    /// [`MAGIC_LE`] or [`MAGIC_BE`].
    pub magic: [u8; 8],
    /// Size of this header.
    pub size: U64<O>,
    /// Size of an entry of `attrs`: a `perf_event_attr` and a [`Section`] of ids.
    pub attr_size: U64<O>,
    /// The attrs.
    pub attrs: Section<O>,
    /// The records. Size 0 where the writer was killed: the records then reach to the end.
    pub data: Section<O>,
    /// Obsolete.
    pub event_types: Section<O>,
    /// Bit n: there is a section for [`Feature`] n.
    pub features: [U64<O>; 4],
}
impl_layout!(FileHeader, 104, magic: 0, size: 8, attr_size: 16, attrs: 24, data: 40, event_types: 56, features: 72);

impl<O: Order> FileHeader<O> {
    /// The features whose bits are set, in the order of their sections.
    pub fn feature_bits(&self) -> impl Iterator<Item = Feature> {
        let words = self.features;
        (0..256u16).filter_map(move |bit| {
            let word = words.get(usize::from(bit >> 6))?.get();
            (word >> (bit & 63) & 1 == 1).then_some(Feature(bit))
        })
    }
}

/// A feature section's number (`HEADER_*` in `tools/perf/util/header.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Feature(pub u16);

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl Feature {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// perf's name for it, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    /// Formats of the tracepoints.
    TRACING_DATA = 1,
    /// Build ids of the files seen.
    BUILD_ID = 2,
    /// Host name.
    HOSTNAME = 3,
    /// Kernel release.
    OSRELEASE = 4,
    /// Version of the tool that wrote the file.
    VERSION = 5,
    /// Machine (`uname -m`).
    ARCH = 6,
    /// `u32` configured CPUs, `u32` online CPUs.
    NRCPUS = 7,
    /// CPU model.
    CPUDESC = 8,
    /// CPU id.
    CPUID = 9,
    /// Memory in KiB.
    TOTAL_MEM = 10,
    /// The command that made the file.
    CMDLINE = 11,
    /// Events: attr, name, ids.
    EVENT_DESC = 12,
    /// CPU topology.
    CPU_TOPOLOGY = 13,
    /// NUMA topology.
    NUMA_TOPOLOGY = 14,
    /// Branch stacks were sampled.
    BRANCH_STACK = 15,
    /// PMU types by name.
    PMU_MAPPINGS = 16,
    /// Event groups.
    GROUP_DESC = 17,
    /// Index of AUX data.
    AUXTRACE = 18,
    /// Made by perf stat.
    STAT = 19,
    /// CPU caches.
    CACHE = 20,
    /// `u64` first, `u64` last time in ns.
    SAMPLE_TIME = 21,
    /// Memory topology.
    MEM_TOPOLOGY = 22,
    /// `u64` resolution of the clock in ns.
    CLOCKID = 23,
    /// Directory format.
    DIR_FORMAT = 24,
    /// BPF programs.
    BPF_PROG_INFO = 25,
    /// BPF type information.
    BPF_BTF = 26,
    /// Parameters of the compression.
    COMPRESSED = 27,
    /// CPU PMU capabilities.
    CPU_PMU_CAPS = 28,
    /// `u32` version 1, `u32` clockid, `u64` wall clock ns, `u64` the same moment in the clock.
    CLOCK_DATA = 29,
    /// Hybrid CPU topology.
    HYBRID_TOPOLOGY = 30,
    /// PMU capabilities.
    PMU_CAPS = 31,
}
