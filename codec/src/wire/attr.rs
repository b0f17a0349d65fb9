//! `struct perf_event_attr`: what an event was asked to record. Not here: how events are opened.
//!
//! The structure has grown ten times since 2.6.31. [`Attr::parse`] accepts any published size, zero-fills what
//! an older one lacks and tolerates a longer one (`perf_copy_attr()` in `kernel/events/core.c` does the same).

use super::{impl_layout, Endian, Order};
use crate::error::{Error, ErrorKind};
use zerocopy::byteorder::{I32, U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The whole structure as of Linux 6.18: 144 bytes.
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
pub struct Attr<O: Order> {
    /// `PERF_TYPE_*`, see [`TYPE_SOFTWARE`], [`TYPE_TRACEPOINT`].
    pub kind: U32<O>,
    /// Size of the structure as written, in bytes.
    pub size: U32<O>,
    /// What to count, by type.
    pub config: U64<O>,
    /// Period, or frequency with [`AttrFlags::FREQ`].
    pub sample_period: U64<O>,
    /// `PERF_SAMPLE_*` bits, see [`SampleType`](super::sample_id::SampleType).
    pub sample_type: U64<O>,
    /// `PERF_FORMAT_*` bits.
    pub read_format: U64<O>,
    /// The bit field, as stored: use [`Attr::flags`].
    pub raw_flags: U64<O>,
    /// Wake up the reader every so many events (or bytes, with [`AttrFlags::WATERMARK`]).
    pub wakeup: U32<O>,
    /// Breakpoint type.
    pub bp_type: U32<O>,
    /// Extension of `config` (or breakpoint address).
    pub config1: U64<O>,
    /// Extension of `config1` (or breakpoint length). Since size 72.
    pub config2: U64<O>,
    /// `PERF_SAMPLE_BRANCH_*` bits. Since size 80.
    pub branch_sample_type: U64<O>,
    /// User registers to sample. Since size 96.
    pub sample_regs_user: U64<O>,
    /// Bytes of user stack to sample.
    pub sample_stack_user: U32<O>,
    /// Clock of the times, with [`AttrFlags::USE_CLOCKID`].
    pub clockid: I32<O>,
    /// Registers to sample at interrupt. Since size 104.
    pub sample_regs_intr: U64<O>,
    /// AUX bytes before a wake-up. Since size 112.
    pub aux_watermark: U32<O>,
    /// Frames of a call chain.
    pub sample_max_stack: U16<O>,
    /// Padding.
    pub reserved_2: U16<O>,
    /// AUX bytes in a sample. Since size 120.
    pub aux_sample_size: U32<O>,
    /// AUX pause and resume bits.
    pub aux_action: U32<O>,
    /// Passed to SIGTRAP. Since size 128.
    pub sig_data: U64<O>,
    /// Extension of `config2`. Since size 136.
    pub config3: U64<O>,
    /// Extension of `config3`. Since size 144.
    pub config4: U64<O>,
}
impl_layout!(
    Attr, 144, kind: 0, size: 4, config: 8, sample_period: 16, sample_type: 24, read_format: 32, raw_flags: 40,
    wakeup: 48, bp_type: 52, config1: 56, config2: 64, branch_sample_type: 72, sample_regs_user: 80,
    sample_stack_user: 88, clockid: 92, sample_regs_intr: 96, aux_watermark: 104, sample_max_stack: 108,
    reserved_2: 110, aux_sample_size: 112, aux_action: 116, sig_data: 120, config3: 128, config4: 136,
);

/// `PERF_ATTR_SIZE_VER0`: the smallest attr there ever was, in bytes.
pub const ATTR_SIZE_VER0: usize = 64;
/// `PERF_ATTR_SIZE_VER3`: up to `clockid`; kernels and perf versions since 3.19 take it, in bytes.
pub const ATTR_SIZE_VER3: usize = 96;
/// Every published size, in bytes.
pub const ATTR_SIZES: [usize; 10] = [64, 72, 80, 96, 104, 112, 120, 128, 136, 144];

/// `PERF_TYPE_SOFTWARE`.
pub const TYPE_SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`: `config` is the tracepoint's id in tracefs.
pub const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_COUNT_SW_DUMMY`: counts nothing, carries side-band records.
pub const CONFIG_DUMMY: u64 = 9;
/// `PERF_COUNT_SW_CPU_CLOCK`: time on a CPU, in ns.
pub const CONFIG_CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_TASK_CLOCK`: a task's time on CPUs, in ns.
pub const CONFIG_TASK_CLOCK: u64 = 1;

/// The attr's bit field, in the little-endian numbering (bit 0 is `disabled`) whatever the file's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AttrFlags(pub u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal,)*) => {
        impl AttrFlags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every flag with the kernel's name for it. `precise_ip` is two bits wide and not listed.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self(1 << $bit), stringify!($name)),)*];
        }
    };
}

flags! {
    /// Off until enabled.
    DISABLED = 0,
    /// Children are monitored too.
    INHERIT = 1,
    /// Must always be on the PMU.
    PINNED = 2,
    /// Only group on the PMU.
    EXCLUSIVE = 3,
    /// Do not count user space.
    EXCLUDE_USER = 4,
    /// Do not count the kernel.
    EXCLUDE_KERNEL = 5,
    /// Do not count the hypervisor.
    EXCLUDE_HV = 6,
    /// Do not count when idle.
    EXCLUDE_IDLE = 7,
    /// Emit MMAP.
    MMAP = 8,
    /// Emit COMM.
    COMM = 9,
    /// `sample_period` is a frequency.
    FREQ = 10,
    /// Count per task at exit.
    INHERIT_STAT = 11,
    /// Enable at the next exec.
    ENABLE_ON_EXEC = 12,
    /// Emit FORK and EXIT.
    TASK = 13,
    /// `wakeup` counts bytes.
    WATERMARK = 14,
    /// Emit MMAP for data too.
    MMAP_DATA = 17,
    /// Every record has a `sample_id` trailer.
    SAMPLE_ID_ALL = 18,
    /// Do not count in the host.
    EXCLUDE_HOST = 19,
    /// Do not count in guests.
    EXCLUDE_GUEST = 20,
    /// No kernel call chain.
    EXCLUDE_CALLCHAIN_KERNEL = 21,
    /// No user call chain.
    EXCLUDE_CALLCHAIN_USER = 22,
    /// Emit MMAP2.
    MMAP2 = 23,
    /// COMM tells an exec.
    COMM_EXEC = 24,
    /// `clockid` is set.
    USE_CLOCKID = 25,
    /// Emit SWITCH.
    CONTEXT_SWITCH = 26,
    /// Write the ring backwards.
    WRITE_BACKWARD = 27,
    /// Emit NAMESPACES (since Linux 4.12).
    NAMESPACES = 28,
    /// Emit KSYMBOL.
    KSYMBOL = 29,
    /// Emit `BPF_EVENT`.
    BPF_EVENT = 30,
    /// AUX data to another event.
    AUX_OUTPUT = 31,
    /// Emit CGROUP (since Linux 5.7).
    CGROUP = 32,
    /// Emit `TEXT_POKE`.
    TEXT_POKE = 33,
    /// Build ids in MMAP2.
    BUILD_ID = 34,
    /// Inherit to threads only.
    INHERIT_THREAD = 35,
    /// Drop the event at exec.
    REMOVE_ON_EXEC = 36,
    /// SIGTRAP on overflow.
    SIGTRAP = 37,
}

impl AttrFlags {
    /// The time namespace in NAMESPACES, too, as the eighth. Of no published kernel and so not in [`NAMES`](Self::NAMES):
    /// the kernel that `kernel/` makes takes the last reserved bit, which is given another meaning last.
    pub const NAMESPACES_TIME: Self = Self(1 << 63);

    /// Whether all bits of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `precise_ip`, 0 to 3.
    pub const fn precise_ip(self) -> u8 {
        ((self.0 >> 15) & 3) as u8
    }

    /// Bit fields are laid out from the other end on big-endian machines; the field of two bits keeps its value.
    const fn mirror(bits: u64) -> u64 {
        let mirrored = bits.reverse_bits();
        let precise = 0b11 << 15;
        let (hi, lo) = ((bits >> 48) & 1, (bits >> 47) & 1);
        // In the big-endian word `precise_ip` is bits 48 (high) and 47 (low).
        (mirrored & !precise) | (hi << 16) | (lo << 15)
    }

    const fn mirror_back(bits: u64) -> u64 {
        let (hi, lo) = ((bits >> 16) & 1, (bits >> 15) & 1);
        let precise = 0b11 << 47;
        (bits.reverse_bits() & !precise) | (hi << 48) | (lo << 47)
    }
}

impl core::ops::BitOr for AttrFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl<O: Order> Attr<O> {
    /// Reads an attr of any published size from the front of `bytes`, which begins at `offset` of the input.
    /// Bytes past the size the attr states are left alone.
    ///
    /// # Errors
    /// [`ErrorKind::Attr`] where `bytes` is shorter than the attr says it is, or than 64 bytes.
    pub fn parse(bytes: &[u8], offset: u64) -> Result<Self, Error> {
        let bad = |size: usize| Error::new(offset, ErrorKind::Attr { size: size as u32, room: bytes.len() as u32 });
        let stated =
            bytes.get(4..8).and_then(|b| U32::<O>::ref_from_bytes(b).ok()).map_or(0, |size| size.get() as usize);
        // Size 0 is what the first kernels wrote for their 64 bytes.
        let size = if stated == 0 { ATTR_SIZE_VER0 } else { stated };
        let (Some(source), true) = (bytes.get(..size), size >= ATTR_SIZE_VER0) else {
            return Err(bad(stated));
        };
        let mut attr = Self::new_zeroed();
        for (to, from) in attr.as_mut_bytes().iter_mut().zip(source) {
            *to = *from;
        }
        Ok(attr)
    }

    /// An attr with nothing set but its size, [`ATTR_SIZE_VER3`]. Raise that to use later fields.
    pub fn new(kind: u32, config: u64) -> Self {
        let mut attr = Self::new_zeroed();
        attr.kind.set(kind);
        attr.size.set(ATTR_SIZE_VER3 as u32);
        attr.config.set(config);
        attr
    }

    /// The flags, in the same numbering for both byte orders.
    pub fn flags(&self) -> AttrFlags {
        let raw = self.raw_flags.get();
        AttrFlags(match O::ENDIAN {
            Endian::Little => raw,
            Endian::Big => AttrFlags::mirror(raw),
        })
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: AttrFlags) {
        self.raw_flags.set(match O::ENDIAN {
            Endian::Little => flags.0,
            Endian::Big => AttrFlags::mirror_back(flags.0),
        });
    }

    /// The same attr in another byte order.
    pub fn to_order<P: Order>(&self) -> Attr<P> {
        let mut attr = Attr::<P>::new_zeroed();
        attr.kind.set(self.kind.get());
        attr.size.set(self.size.get());
        attr.config.set(self.config.get());
        attr.sample_period.set(self.sample_period.get());
        attr.sample_type.set(self.sample_type.get());
        attr.read_format.set(self.read_format.get());
        attr.set_flags(self.flags());
        attr.wakeup.set(self.wakeup.get());
        attr.bp_type.set(self.bp_type.get());
        attr.config1.set(self.config1.get());
        attr.config2.set(self.config2.get());
        attr.branch_sample_type.set(self.branch_sample_type.get());
        attr.sample_regs_user.set(self.sample_regs_user.get());
        attr.sample_stack_user.set(self.sample_stack_user.get());
        attr.clockid.set(self.clockid.get());
        attr.sample_regs_intr.set(self.sample_regs_intr.get());
        attr.aux_watermark.set(self.aux_watermark.get());
        attr.sample_max_stack.set(self.sample_max_stack.get());
        attr.aux_sample_size.set(self.aux_sample_size.get());
        attr.aux_action.set(self.aux_action.get());
        attr.sig_data.set(self.sig_data.get());
        attr.config3.set(self.config3.get());
        attr.config4.set(self.config4.get());
        attr
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::wire::{BigEndian, LittleEndian};

    #[test]
    fn flags_are_the_same_number_in_both_orders() {
        for &(flag, name) in AttrFlags::NAMES {
            let mut big = Attr::<BigEndian>::new(1, 9);
            big.set_flags(flag);
            assert_eq!(big.flags(), flag, "{name}");
            // Within each byte the order is reversed: flag n is bit 7 - n % 8 of byte n / 8.
            let bit = flag.0.trailing_zeros() as usize;
            assert_eq!(big.as_bytes()[40 + bit / 8], 0x80 >> (bit % 8), "{name}");
        }
        for precise in 0..4u64 {
            let flags = AttrFlags(precise << 15);
            let mut big = Attr::<BigEndian>::new(1, 9);
            big.set_flags(flags);
            assert_eq!(u64::from(big.flags().precise_ip()), precise);
        }
    }

    #[test]
    fn every_published_size_is_read_and_a_longer_one_tolerated() {
        for size in ATTR_SIZES.into_iter().chain([152, 4096]) {
            let mut bytes = [0xffu8; 4096];
            bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
            let attr = Attr::<LittleEndian>::parse(&bytes[..size], 0).unwrap();
            assert_eq!(attr.config1.get(), u64::MAX);
            assert_eq!(attr.config4.get(), if size >= 144 { u64::MAX } else { 0 }, "size {size}");
        }
    }

    #[test]
    fn an_attr_shorter_than_it_says_is_an_error() {
        let mut bytes = [0u8; 64];
        bytes[4] = 72;
        let err = Attr::<LittleEndian>::parse(&bytes, 104).unwrap_err();
        assert_eq!(err, Error::new(104, ErrorKind::Attr { size: 72, room: 64 }));
        bytes[4] = 63;
        assert!(Attr::<LittleEndian>::parse(&bytes, 0).is_err());
    }
}
