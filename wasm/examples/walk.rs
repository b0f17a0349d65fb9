//! The codec's walk over records and a loop of unchecked reads as wasm, for the viewer's bench: plain exports, no
//! bindings.

#[path = "../../tests/src/walk.rs"]
pub mod walk;

use nsscope_codec::LittleEndian;

/// Room for so many bytes, for as long as the module lives.
#[unsafe(no_mangle)]
pub extern "C" fn reserve(len: usize) -> *mut u8 {
    vec![0; len].leak().as_mut_ptr()
}

/// # Safety
/// `len` bytes are at `at`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn codec(at: *const u8, len: usize) -> u64 {
    // SAFETY: by the caller.
    walk::Sum::of::<LittleEndian>(unsafe { std::slice::from_raw_parts(at, len) })
}

/// # Safety
/// `len` bytes are at `at`: whole records with true sizes and counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pointers(at: *const u8, len: usize) -> u64 {
    // SAFETY: by the caller.
    walk::pointer_loop(unsafe { std::slice::from_raw_parts(at, len) })
}
