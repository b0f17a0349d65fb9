//! The directory that `perf record --threads` or `--kcore` writes, as the one file that its parts make. Not here: reading
//! that file.

use nsscope_codec::perf_data::{FILE_HEADER_SIZE, FileHeader, MAGIC_BE, Section};
use nsscope_codec::{BigEndian, LittleEndian, Order};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zerocopy::{FromBytes, IntoBytes};

/// Writes the capture of a directory to `whole`: `data` has header, features and records; `data.0`, `data.1` and so on have
/// more records, which come behind those (`perf.data-directory-format.txt`).
///
/// # Errors
/// Where a part cannot be read, or `data` is not the beginning of a file.
pub(crate) fn join(dir: &Path, whole: &mut File) -> io::Result<()> {
    let mut data = File::open(dir.join("data"))?;
    let mut header = [0; FILE_HEADER_SIZE as usize];
    data.read_exact(&mut header)?;
    if header[..8] == MAGIC_BE {
        join_as::<BigEndian>(dir, data, &header, whole)
    } else {
        join_as::<LittleEndian>(dir, data, &header, whole)
    }
}

/// The further parts, in the order of their numbers.
fn parts(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix("data.")?.parse::<u32>().ok());
        if let Some(number) = number.filter(|_| path.is_file()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn join_as<O: Order>(dir: &Path, mut data: File, header: &[u8], whole: &mut File) -> io::Result<()> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its file data {what}"));
    let mut header = FileHeader::<O>::read_from_bytes(header).map_err(|_| bad("has no header"))?;
    let end = header.data.offset.get().checked_add(header.data.size.get());
    let end = end.filter(|&end| end >= FILE_HEADER_SIZE).ok_or_else(|| bad("says that its records are nowhere"))?;
    whole.seek(SeekFrom::Start(FILE_HEADER_SIZE))?;
    io::copy(&mut Read::by_ref(&mut data).take(end - FILE_HEADER_SIZE), whole)?;
    let mut more = 0;
    for part in parts(dir)? {
        more += io::copy(&mut File::open(part)?, whole)?;
    }
    // Behind the records is the table of the features, and then those: all are so much further back.
    for _ in header.feature_bits() {
        let mut entry = Section::<O>::new(0, 0);
        if data.read_exact(entry.as_mut_bytes()).is_err() {
            break;
        }
        if entry.offset.get() >= end {
            entry.offset.set(entry.offset.get().saturating_add(more));
        }
        whole.write_all(entry.as_bytes())?;
    }
    io::copy(&mut data, whole)?;
    header.data.size.set(header.data.size.get().saturating_add(more));
    whole.rewind()?;
    whole.write_all(header.as_bytes())
}
