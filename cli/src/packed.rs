//! Captures that gzip(1) or zstd(1) packed, as streams of what is inside. Not here: what that means.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

/// Most that is taken out of a byte that was put in. A real capture gets a hundredth of its size at best; what gives more
/// is made to fill a disk.
const MOST: u64 = 2000;
/// What is not looked at: the beginning may be a long run of one byte.
const FREE: u64 = 64 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether these are the first bytes of something packed.
pub(crate) fn is_packed(start: &[u8]) -> bool {
    start.starts_with(&GZIP) || start.starts_with(&ZSTD)
}

/// The stream, or what is packed in it.
///
/// # Errors
/// Where its first bytes cannot be read.
pub(crate) fn unpacked<'r>(mut input: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut start = Vec::new();
    input.by_ref().take(4).read_to_end(&mut start)?;
    let packed = is_packed(&start);
    let gzip = start.starts_with(&GZIP);
    let whole = Cursor::new(start).chain(input);
    if !packed {
        return Ok(Box::new(whole));
    }
    let taken = Rc::new(Cell::new(0));
    let counted = Counted { input: whole, taken: taken.clone() };
    let inner: Box<dyn Read + 'r> = if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(counted))
    } else {
        Box::new(zstd::Decoder::new(counted)?)
    };
    Ok(Box::new(Bounded { inner, taken, given: 0 }))
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buf)?;
        self.taken.set(self.taken.get() + len as u64);
        Ok(len)
    }
}

/// Gives no more than so much for each byte taken.
struct Bounded<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
    given: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.given += len as u64;
        if self.given > self.taken.get().saturating_mul(MOST).saturating_add(FREE) {
            let why = format!("it holds over {MOST} times its own size, as no capture does");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn packed_and_plain_bytes_come_out_the_same() {
        let plain: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for packed in [plain.clone(), gzip(&plain), zstd::encode_all(&plain[..], 3).unwrap()] {
            let mut out = Vec::new();
            unpacked(&packed[..]).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == plain);
        }
        let mut out = Vec::new();
        unpacked(&b"PE"[..]).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!(out, b"PE");
    }

    #[test]
    fn what_would_fill_a_disk_is_refused() {
        let bomb = zstd::encode_all(io::repeat(0).take(1 << 30), 19).unwrap();
        assert!(bomb.len() < 200_000);
        let error = io::copy(&mut unpacked(&bomb[..]).unwrap(), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("times its own size"), "{error}");
        let cut = &gzip(&[7; 10_000])[..20];
        assert!(io::copy(&mut unpacked(cut).unwrap(), &mut io::sink()).is_err());
    }
}
