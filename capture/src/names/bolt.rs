//! Reads a Bolt database, in which containerd and podman keep their containers, while they write it. Not here: what is
//! in it.
//!
//! Source: `page.go`, `meta.go` and `bucket.go` of go.etcd.io/bbolt. Two pages at the front say where the root is; the
//! one with the larger transaction and a right checksum counts. Pages are never changed in place, but used again some
//! transactions later: what was read while that happened does not fit together, and is taken for nothing. All of it is
//! untrusted.

use std::cell::Cell;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0xED0C_DAED;
const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// Of an element of a leaf: its value is a bucket.
const IS_BUCKET: u32 = 1;
/// Most that one look-up reads, in pages, and most bytes of a page with those that go on behind it.
const PAGES: u32 = 4096;
const LARGEST: u64 = 1 << 20;

/// A database that is open.
pub(super) struct Bolt {
    file: File,
    page_size: u64,
    root: u64,
    left: Cell<u32>,
}

/// A bucket: its root page, or the page itself where it is small enough to lie in its parent.
pub(super) enum Bucket {
    At(u64),
    Inline(Vec<u8>),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// What a meta page says: transaction, page size, root.
fn meta(page: &[u8]) -> Option<(u64, u64, u64)> {
    let meta = page.get(PAGE_HEADER..PAGE_HEADER + 64)?;
    let right = u32_at(meta, 0)? == MAGIC && u32_at(meta, 4)? == 2 && u64_at(meta, 56)? == checksum(&meta[..56]);
    let page_size = u64::from(u32_at(meta, 8)?);
    (right && page_size.is_power_of_two() && (1024..=LARGEST).contains(&page_size)).then_some((
        u64_at(meta, 48)?,
        page_size,
        u64_at(meta, 16)?,
    ))
}

/// Key and value of an element, as parts of its page, and its flags.
fn element(page: &[u8], index: usize) -> Option<(u32, Range<usize>, Range<usize>)> {
    let at = PAGE_HEADER + index * ELEMENT;
    let key = at.checked_add(u32_at(page, at + 4)? as usize)?;
    let value = key.checked_add(u32_at(page, at + 8)? as usize)?;
    let end = value.checked_add(u32_at(page, at + 12)? as usize)?;
    (end <= page.len()).then_some((u32_at(page, at)?, key..value, value..end))
}

/// Key of an element of a branch, and the page below it.
fn branch(page: &[u8], index: usize) -> Option<(&[u8], u64)> {
    let at = PAGE_HEADER + index * ELEMENT;
    let key = at.checked_add(u32_at(page, at)? as usize)?;
    let end = key.checked_add(u32_at(page, at + 4)? as usize)?;
    Some((page.get(key..end)?, u64_at(page, at + 8)?))
}

impl Bolt {
    /// Opens a database for one look-up, without its lock: it is not waited for.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        // The size of its pages is on the first one; the second meta page lies behind it.
        let mut first = [0; 1024];
        file.read_exact_at(&mut first, 0).ok()?;
        let sizes = meta(&first).map_or(vec![4096, 16384, 65536], |(_, size, _)| vec![size]);
        let second = sizes.into_iter().find_map(|size| {
            let mut page = [0; 1024];
            file.read_exact_at(&mut page, size).ok()?;
            meta(&page).filter(|&(_, its, _)| its == size)
        });
        let (_, page_size, root) = meta(&first).into_iter().chain(second).max()?;
        Some(Self { file, page_size, root, left: Cell::new(PAGES) })
    }

    /// The bucket that holds all others.
    pub(super) fn root(&self) -> Bucket {
        Bucket::At(self.root)
    }

    /// A page, with those that go on behind it.
    fn page(&self, number: u64) -> Option<Vec<u8>> {
        self.left.set(self.left.get().checked_sub(1)?);
        let at = number.checked_mul(self.page_size)?;
        let mut page = vec![0; self.page_size as usize];
        self.file.read_exact_at(&mut page, at).ok()?;
        let more = u64::from(u32_at(&page, 12)?).checked_mul(self.page_size).filter(|&more| more <= LARGEST)?;
        if more > 0 {
            let len = page.len();
            page.resize(len + more as usize, 0);
            self.file.read_exact_at(&mut page[len..], at + self.page_size).ok()?;
        }
        (u64_at(&page, 0)? == number).then_some(page)
    }

    fn start(&self, bucket: &Bucket) -> Option<Vec<u8>> {
        match bucket {
            Bucket::At(root) => self.page(*root),
            Bucket::Inline(page) => Some(page.clone()),
        }
    }

    /// The value of a key, and its flags.
    fn find(&self, bucket: &Bucket, key: &[u8]) -> Option<(u32, Vec<u8>)> {
        let mut page = self.start(bucket)?;
        loop {
            let count = u16_at(&page, 10)? as usize;
            match u16_at(&page, 8)? {
                BRANCH => {
                    // The last of the pages that begin at or before the key.
                    let mut below = None;
                    for index in 0..count {
                        let (first, number) = branch(&page, index)?;
                        if first > key && index > 0 {
                            break;
                        }
                        below = Some(number);
                    }
                    page = self.page(below?)?;
                }
                LEAF => {
                    for index in 0..count {
                        let (flags, its, value) = element(&page, index)?;
                        if page[its] == *key {
                            return Some((flags, page[value].to_vec()));
                        }
                    }
                    return None;
                }
                _ => return None,
            }
        }
    }

    /// A bucket in a bucket.
    pub(super) fn bucket(&self, inside: &Bucket, key: &[u8]) -> Option<Bucket> {
        let (flags, value) = self.find(inside, key)?;
        if flags & IS_BUCKET == 0 {
            return None;
        }
        // The root, a sequence number, and the page itself where there is no root.
        match u64_at(&value, 0)? {
            0 => Some(Bucket::Inline(value.get(16..)?.to_vec())),
            root => Some(Bucket::At(root)),
        }
    }

    /// The value of a key in a bucket.
    pub(super) fn get(&self, inside: &Bucket, key: &[u8]) -> Option<Vec<u8>> {
        let (flags, value) = self.find(inside, key)?;
        (flags & IS_BUCKET == 0).then_some(value)
    }

    /// All keys of a bucket whose values are texts, as far as they lie in one page.
    pub(super) fn texts(&self, bucket: &Bucket) -> Vec<(String, String)> {
        let Some(page) = self.start(bucket).filter(|page| u16_at(page, 8) == Some(LEAF)) else { return Vec::new() };
        let count = u16_at(&page, 10).unwrap_or(0) as usize;
        let text = |bytes: &[u8]| Some(core::str::from_utf8(bytes).ok()?.to_string());
        (0..count)
            .map_while(|index| element(&page, index))
            .filter(|(flags, ..)| flags & IS_BUCKET == 0)
            .filter_map(|(_, key, value)| Some((text(&page[key])?, text(&page[value])?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn page(number: u64, flags: u16, elements: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
        let mut page = number.to_ne_bytes().to_vec();
        page.extend(flags.to_ne_bytes());
        page.extend((elements.len() as u16).to_ne_bytes());
        page.extend(0u32.to_ne_bytes());
        let mut at = PAGE_HEADER + elements.len() * ELEMENT;
        for (index, (of, key, value)) in elements.iter().enumerate() {
            let pos = (at - (PAGE_HEADER + index * ELEMENT)) as u32;
            if flags == LEAF {
                for word in [*of, pos, key.len() as u32, value.len() as u32] {
                    page.extend(word.to_ne_bytes());
                }
                at += value.len();
            } else {
                page.extend(pos.to_ne_bytes());
                page.extend((key.len() as u32).to_ne_bytes());
                page.extend(*value);
            }
            at += key.len();
        }
        for (_, key, value) in elements {
            page.extend(*key);
            page.extend(if flags == LEAF { *value } else { &[] });
        }
        page
    }

    fn database(pages: &[(usize, Vec<u8>)], root: u64) -> tempfile::NamedTempFile {
        let mut bytes = vec![0; PAGE * 8];
        for (number, page) in pages {
            bytes[number * PAGE..number * PAGE + page.len()].copy_from_slice(page);
        }
        for (number, transaction) in [(0usize, 4u64), (1, 5)] {
            let mut meta = MAGIC.to_ne_bytes().to_vec();
            meta.extend([2u32, PAGE as u32, 0].map(u32::to_ne_bytes).concat());
            // The older transaction has another root.
            meta.extend([if number == 1 { root } else { 7 }, 0, 6, 8, transaction].map(u64::to_ne_bytes).concat());
            meta.extend(checksum(&meta).to_ne_bytes());
            bytes[number * PAGE + PAGE_HEADER..][..64].copy_from_slice(&meta);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn keys_are_found_below_branches_and_in_buckets_inside() {
        let mut small = vec![0; 16];
        small.extend(page(0, LEAF, &[(0, b"image", b"busybox")]));
        let (three, four) = (3u64.to_ne_bytes(), 4u64.to_ne_bytes());
        let file = database(
            &[
                (2, page(2, BRANCH, &[(0, b"a", &three), (0, b"m", &four)])),
                (3, page(3, LEAF, &[(0, b"a", b"1"), (1, b"c", &small)])),
                (4, page(4, LEAF, &[(0, b"m", b"2"), (0, b"z", b"3")])),
            ],
            2,
        );
        let open = || Bolt::open(file.path()).unwrap();
        let get = |key: &[u8]| open().get(&open().root(), key);
        assert_eq!(
            [&b"a"[..], b"m", b"z", b"x", b"c"].map(get).map(|v| v.map(|v| v[0])),
            [Some(b'1'), Some(b'2'), Some(b'3'), None, None]
        );
        let bolt = open();
        let inside = bolt.bucket(&bolt.root(), b"c").unwrap();
        assert_eq!(bolt.get(&inside, b"image").as_deref(), Some(&b"busybox"[..]));
        assert_eq!(bolt.texts(&inside), [("image".to_string(), "busybox".to_string())]);
    }

    #[test]
    fn what_does_not_fit_together_is_nothing() {
        let (two, five) = (2u64.to_ne_bytes(), 5u64.to_ne_bytes());
        // A page that is below itself; one that is another's; a key behind the end.
        let mut long = page(5, LEAF, &[(0, b"a", b"1")]);
        long[PAGE_HEADER + 8..][..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        for below in [
            page(2, BRANCH, &[(0, b"a", &two)]),
            page(9, LEAF, &[(0, b"a", b"1")]),
            page(2, BRANCH, &[(0, b"a", &five)]),
        ] {
            let file = database(&[(2, below), (5, long.clone())], 2);
            let bolt = Bolt::open(file.path()).unwrap();
            assert_eq!(bolt.get(&bolt.root(), b"a"), None);
        }
        // A root behind the end of the file, and a file that is no database.
        let file = database(&[], u64::MAX);
        let bolt = Bolt::open(file.path()).unwrap();
        assert_eq!(bolt.get(&bolt.root(), b"a"), None);
        std::fs::write(file.path(), [7; 9000]).unwrap();
        assert!(Bolt::open(file.path()).is_none());
    }
}
