//! Captures that are damaged, the same each time. Not here: who reads them.

/// Numbers that look random and are the same each time (xorshift64*).
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one.
    #[expect(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next one below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Changes a capture as damage or malice would.
pub fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(6) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes.truncate(at.max(16)),
            // A lying size or count: some word becomes huge, or nothing.
            2 | 3 => {
                let value = [0, 1, 7, 8, 0xffff, u64::from(u32::MAX), u64::MAX, 1 << 62][numbers.below(8)];
                let len = [2, 4, 8][numbers.below(3)];
                let at = at & !7;
                if let Some(word) = bytes.get_mut(at..at + len) {
                    word.copy_from_slice(&value.to_le_bytes()[..len]);
                }
            }
            // Records moved to another place.
            4 => {
                let (from, len) = (numbers.below(bytes.len()) & !7, numbers.below(512) & !7);
                let piece = bytes.get(from..from + len).unwrap_or_default().to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let end = (at + numbers.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
        if bytes.len() < 16 {
            return;
        }
    }
}
