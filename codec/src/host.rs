//! Fields as the host has them, for `defmt`. Not here: layouts.

use crate::byte_order::Order;
use defmt::Format;
use zerocopy::byteorder::{I32, U16, U32, U64};

/// A field as the host has it.
pub(crate) trait Host {
    /// What is written of it.
    type Out: Format;
    fn host(&self) -> Self::Out;
}

macro_rules! host {
    ($($wire:ident => $out:ident),*) => {
        $(impl<O: Order> Host for $wire<O> {
            type Out = $out;
            fn host(&self) -> $out {
                self.get()
            }
        })*
    };
}
host!(U16 => u16, U32 => u32, U64 => u64, I32 => i32);

impl Host for u8 {
    type Out = u8;
    fn host(&self) -> u8 {
        *self
    }
}

impl<T: Host, const N: usize> Host for [T; N] {
    type Out = [T::Out; N];
    fn host(&self) -> Self::Out {
        self.each_ref().map(Host::host)
    }
}
