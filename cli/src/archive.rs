//! Captures in archives of tar(1), as streams of what is inside. Not here: how the archive itself is packed.

use nsscope_codec::perf_data::{MAGIC_BE, MAGIC_LE};
use std::io::{self, Cursor, Read};
use tar::Header;

/// Size of a header, and what contents are filled up to.
const BLOCK: usize = 512;

/// Whether these are the first bytes of an archive.
pub(crate) fn is_archive(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

/// The stream, or the first capture in the archive that it is.
///
/// # Errors
/// Where it cannot be read, or is an archive without a capture.
pub(crate) fn unarchived<'r>(mut input: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut block = read_block(&mut input)?;
    if !is_archive(&block) {
        return Ok(Box::new(Cursor::new(block).chain(input)));
    }
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // Two empty blocks end it.
    while is_archive(&block) && block.len() == BLOCK {
        let header = Header::from_byte_slice(&block);
        let size =
            header.entry_size().map_err(|error| invalid(format!("it is a tar archive, and damaged: {error}")))?;
        let mut entry = input.by_ref().take(size);
        let mut start = Vec::new();
        if header.entry_type().is_file() {
            entry.by_ref().take(MAGIC_LE.len() as u64).read_to_end(&mut start)?;
            if start == MAGIC_LE || start == MAGIC_BE {
                let name = header.path_bytes();
                if name.as_ref() == b"data" || name.ends_with(b"/data") {
                    let why = "it is a tar archive of what perf record --threads or --kcore wrote: unpack it";
                    return Err(invalid(why.into()));
                }
                let rest = size - start.len() as u64;
                return Ok(Box::new(Cursor::new(start).chain(input.take(rest))));
            }
        }
        io::copy(&mut entry, &mut io::sink())?;
        let fill = size.wrapping_neg() % BLOCK as u64;
        io::copy(&mut input.by_ref().take(fill), &mut io::sink())?;
        block = read_block(&mut input)?;
    }
    Err(invalid("it is a tar archive, and holds no perf.data file".into()))
}

fn read_block(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK);
    input.take(BLOCK as u64).read_to_end(&mut block)?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unarchived(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_first_capture_is_found_behind_other_files() {
        let capture = [&b"PERFILE2"[..], &[7; 5000]].concat();
        let long = "x".repeat(300);
        let whole = archive(&[("notes", b"no capture"), ("empty", b""), (&long, &[1; 1024]), ("perf.data", &capture)]);
        assert_eq!(read(&whole).unwrap(), capture);
        assert_eq!(read(&capture).unwrap(), capture);
        assert_eq!(read(b"PE").unwrap(), b"PE");
        // Where it is cut, what is there is read.
        let at = whole.windows(8).position(|bytes| bytes == b"PERFILE2").unwrap();
        assert_eq!(read(&whole[..at + 100]).unwrap(), capture[..100]);
        let none = read(&archive(&[("notes", b"no capture")])).unwrap_err();
        assert!(none.to_string().contains("holds no perf.data file"), "{none}");
        let folder = read(&archive(&[("perf.data/data.0", b"x"), ("perf.data/data", &capture)])).unwrap_err();
        assert!(folder.to_string().contains("unpack it"), "{folder}");
        let mut damaged = whole.clone();
        damaged[124..135].fill(b'9');
        assert!(read(&damaged).unwrap_err().to_string().contains("damaged"));
    }
}
