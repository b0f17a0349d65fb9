//! Where bytes go, one piece after another. Not here: what the bytes mean.

/// Takes a record's bytes from its first to its last.
pub trait Sink {
    /// Takes the next bytes. What does not fit is dropped; the sizes are checked before anything is written.
    fn put(&mut self, bytes: &[u8]);
}

/// One piece of memory, filled from the front.
impl Sink for &mut [u8] {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some((to, rest)) = core::mem::take(self).split_at_mut_checked(bytes.len()) {
            to.copy_from_slice(bytes);
            *self = rest;
        }
    }
}
