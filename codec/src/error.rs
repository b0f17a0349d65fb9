//! What can be wrong with an input, and where. Not here: what to do about it.

/// A fault in the input: what, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Error {
    /// Where the faulty structure begins, in bytes from the start of the input.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

/// What is wrong. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ErrorKind {
    /// The input ends within a record.
    Truncated {
        /// Size of the record, or of a header.
        needed: u32,
        /// What there is.
        room: u32,
    },
    /// A record's size is smaller than a record header.
    RecordSize {
        /// The size it states.
        size: u16,
    },
    /// Behind damage there are so many bytes until a record begins again, or the records' end.
    NoRecord {
        /// How many, the damage among them.
        bytes: u64,
    },
    /// The header of a file tells of fewer records than there are: it is older than they are.
    OldHeader,
    /// A record is too short for its type.
    Body {
        /// Size of the type's fixed part.
        needed: u32,
        /// What follows the header.
        room: u32,
    },
    /// `nr_namespaces` is larger than the record.
    NamespaceCount {
        /// The number the record states.
        count: u64,
        /// How many the record has room for.
        room: u32,
    },
    /// A record is too short for the `sample_id` trailer that its attr asks for.
    Trailer {
        /// Size of the trailer.
        size: u32,
        /// Size of the record.
        room: u32,
    },
    /// A sample ends before a field that its attr asks for, or the field's length is not possible.
    Sample {
        /// The field's `PERF_SAMPLE_*` bit number.
        field: u8,
    },
    /// An attr's size is not possible.
    Attr {
        /// The size it states.
        size: u32,
        /// What there is.
        room: u32,
    },
    /// The output buffer is too small.
    Space {
        /// Size of what was to be written.
        needed: u32,
        /// Size of the buffer.
        room: u32,
    },
    /// A record would be longer than the 65,535 bytes its header can state.
    TooLong {
        /// Size it would have.
        size: u32,
    },
    /// The input does not begin with `PERFILE2`.
    Magic,
    /// A `perf.data` directory (`perf record --threads`) or a header of unknown size.
    HeaderSize {
        /// The size the header states.
        size: u64,
    },
    /// A section lies where it cannot be: before the header, past the end, or too large.
    Section {
        /// Offset of the section.
        at: u64,
        /// Size of the section.
        size: u64,
    },
    /// The records are compressed, and this build is without the feature `zstd`.
    Compressed,
    /// Compressed records are damaged, or want a zstd window of more than 128 MiB.
    Decompression,
    /// Metadata that must be held in memory is larger than the limit.
    Limit {
        /// Size of the metadata.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

impl Error {
    pub(crate) const fn new(offset: u64, kind: ErrorKind) -> Self {
        Self { offset, kind }
    }
}

impl core::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Truncated { needed, room } => {
                write!(f, "the input ends within a record: {needed} bytes needed, {room} left")
            }
            Self::RecordSize { size } => {
                write!(f, "a record states a size of {size} bytes, less than its own header of 8")
            }
            Self::NoRecord { bytes } => {
                write!(f, "{bytes} bytes in which no record begins are left out")
            }
            Self::OldHeader => f.write_str("the header tells of the records up to here, and there are more"),
            Self::Body { needed, room } => {
                write!(f, "the record's body has {room} bytes, its type needs {needed}")
            }
            Self::NamespaceCount { count, room } => {
                write!(f, "nr_namespaces is {count}, but the record has room for {room}")
            }
            Self::Trailer { size, room } => {
                write!(f, "a record of {room} bytes has no room for the sample_id trailer of {size}")
            }
            Self::Sample { field } => {
                write!(f, "the sample ends within the field of PERF_SAMPLE bit {field}")
            }
            Self::Attr { size, room } => {
                write!(f, "a perf_event_attr states a size of {size} bytes, {room} are there")
            }
            Self::Space { needed, room } => {
                write!(f, "{needed} bytes to write, the buffer has {room}")
            }
            Self::TooLong { size } => {
                write!(f, "a record of {size} bytes does not fit the 16-bit size of its header")
            }
            Self::Magic => f.write_str("not a perf.data file: it does not begin with PERFILE2"),
            Self::HeaderSize { size } => {
                write!(f, "the file header states a size of {size} bytes; 104 (file) and 16 (pipe) are known")
            }
            Self::Section { at, size } => {
                write!(f, "a section of {size} bytes at {at} cannot be there")
            }
            Self::Compressed => f.write_str("the records are compressed; this build has no zstd"),
            Self::Decompression => f.write_str("compressed records are damaged up to the next zstd frame"),
            Self::Limit { size, limit } => {
                write!(f, "metadata of {size} bytes is over the limit of {limit}")
            }
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at byte {} ({:#x}): {}", self.offset, self.offset, self.kind)
    }
}

impl core::error::Error for Error {}
