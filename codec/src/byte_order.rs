//! The byte order of a file or a ring, as a type and as a value. Not here: any layout.

use zerocopy::byteorder::ByteOrder;
pub use zerocopy::byteorder::{BigEndian, LittleEndian};

/// Byte order of a record, known at compile time: [`LittleEndian`] or [`BigEndian`].
pub trait Order: ByteOrder + 'static {
    /// The same as a value.
    const ENDIAN: Endian;
}

impl Order for LittleEndian {
    const ENDIAN: Endian = Endian::Little;
}

impl Order for BigEndian {
    const ENDIAN: Endian = Endian::Big;
}

/// The byte order of the machine this is compiled for: what a live ring holds.
#[cfg(target_endian = "little")]
pub type Native = LittleEndian;
/// The byte order of the machine this is compiled for: what a live ring holds.
#[cfg(target_endian = "big")]
pub type Native = BigEndian;

/// Byte order as a value, for what is only known at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Endian {
    /// Least significant byte first (`x86_64`, `aarch64`, `riscv64`).
    Little,
    /// Most significant byte first (`s390x`).
    Big,
}
