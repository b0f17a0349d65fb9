//! The binary layouts: one file a record, each layout written once, as a type. Not here: where records lie in a file.
//!
//! Every type here is unaligned, generic over its byte order and read in place. Sizes and field
//! offsets are asserted at compile time beside the type.

pub mod attr;
pub mod cgroup;
pub mod comm;
pub mod header;
pub mod lost;
pub mod misc;
pub mod mmap;
pub mod mmap_page;
pub mod namespaces;
pub mod sample;
pub mod sample_id;
pub mod switch;
pub mod task;
pub mod task_namespaces;
pub mod user;

pub use crate::byte_order::{BigEndian, Endian, LittleEndian, Native, Order};

/// A layout as data: what [`SPEC.md`](https://github.com/nsscope/nsscope/blob/main/codec/SPEC.md) states in a table.
pub trait Layout {
    /// Name of the type.
    const NAME: &'static str;
    /// Size in bytes.
    const SIZE: usize;
    /// Name and offset in bytes of each field, in ascending order.
    const FIELDS: &'static [(&'static str, usize)];
}

/// Asserts a layout's size and field offsets at compile time, for both byte orders.
macro_rules! impl_layout {
    ($name:ident, $size:literal, $($field:ident: $offset:literal),* $(,)?) => {
        const _: () = {
            use crate::wire::{BigEndian, LittleEndian};
            assert!(core::mem::size_of::<$name<LittleEndian>>() == $size);
            assert!(core::mem::size_of::<$name<BigEndian>>() == $size);
            assert!(core::mem::align_of::<$name<LittleEndian>>() == 1);
            $(assert!(core::mem::offset_of!($name<LittleEndian>, $field) == $offset);)*
        };

        impl<O: Order> crate::wire::Layout for $name<O> {
            const NAME: &'static str = stringify!($name);
            const SIZE: usize = $size;
            const FIELDS: &'static [(&'static str, usize)] = &[$((stringify!($field), $offset)),*];
        }

        #[cfg(feature = "defmt")]
        impl<O: Order> $crate::host::Host for $name<O> {
            type Out = Self;
            fn host(&self) -> Self {
                *self
            }
        }

        #[cfg(feature = "defmt")]
        #[allow(non_camel_case_types, clippy::struct_field_names)]
        impl<O: Order> defmt::Format for $name<O> {
            fn format(&self, f: defmt::Formatter<'_>) {
                /// The same in host order.
                #[derive(defmt::Format)]
                struct $name<$($field),*> {
                    $($field: $field,)*
                }
                defmt::write!(f, "{}", $name { $($field: $crate::host::Host::host(&self.$field),)* });
            }
        }
    };
}
pub(crate) use impl_layout;

/// The bytes up to the first NUL, or all of them where there is none.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or(bytes)
}
