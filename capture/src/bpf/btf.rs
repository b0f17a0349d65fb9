//! Where a kernel has the fields of its structures, from the description of its types that it gives out itself (BTF:
//! include/uapi/linux/btf.h, Documentation/bpf/btf.rst). Not here: which structures and fields are wanted.
//!
//! Only what is asked for is looked at: a kernel has some 150,000 types, and to make values of them all takes a
//! hundred times as long.

use rustc_hash::FxHashMap;
use zerocopy::{FromBytes, Immutable, KnownLayout};

const MAGIC: u16 = 0xeb9f;

/// `struct btf_header`; in the machine's byte order, as all that follows.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    hdr_len: u32,
    /// From the header's end on.
    type_off: u32,
    type_len: u32,
    str_off: u32,
    str_len: u32,
}

/// `struct btf_type`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Type {
    name_off: u32,
    /// Bits 0 to 15: how many entries follow; 24 to 28: the kind; 31: whether members tell the size of bit fields.
    info: u32,
    /// Its size in bytes, or the type that it is about.
    about: u32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// Bytes that follow it.
    fn extra(self) -> usize {
        let entries = self.info as usize & 0xffff;
        match self.kind() {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | DATASEC | ENUM64 => entries * 12,
            ENUM | FUNC_PROTO => entries * 8,
            _ => 0,
        }
    }
}

const INT: u32 = 1;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// `struct btf_member`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Member {
    name_off: u32,
    kind: u32,
    /// Of the first bit; bits 24 to 31 may be the size of a bit field.
    offset: u32,
}

/// How often one type may lead to another, and how many members are looked at for one field: more only a damaged
/// description has.
const DEEPEST: u32 = 16;
const MOST_MEMBERS: u32 = 100_000;

/// A field of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its first bit in the structure.
    pub(super) bit: u32,
    /// The type's number.
    kind: u32,
}

/// The description of a kernel's types.
pub(super) struct Btf<'b> {
    strings: &'b [u8],
    /// Where each type is described, by number; 0 is void.
    types: Vec<&'b [u8]>,
    structures: FxHashMap<&'b [u8], u32>,
}

impl<'b> Btf<'b> {
    /// Finds the types in a description, up to its end or to what is none.
    pub(super) fn new(bytes: &'b [u8]) -> Option<Self> {
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        let section = |at: u32, len: u32| {
            let from = (header.hdr_len as usize).checked_add(at as usize)?;
            bytes.get(from..from.checked_add(len as usize)?)
        };
        let strings = section(header.str_off, header.str_len).filter(|_| header.magic == MAGIC)?;
        let mut rest = section(header.type_off, header.type_len)?;
        let mut btf = Self { strings, types: vec![&[]], structures: FxHashMap::default() };
        while let Ok((kind, behind)) = Type::read_from_prefix(rest) {
            let Some(next) = behind.get(kind.extra()..) else { break };
            if kind.kind() == STRUCT {
                btf.structures.entry(btf.name(kind.name_off)).or_insert(btf.types.len() as u32);
            }
            btf.types.push(rest);
            rest = next;
        }
        Some(btf)
    }

    fn name(&self, at: u32) -> &'b [u8] {
        let bytes = self.strings.get(at as usize..).unwrap_or_default();
        bytes.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// A type, behind the names it has.
    fn resolve(&self, mut number: u32) -> Option<(Type, &'b [u8])> {
        for _ in 0..DEEPEST {
            let (kind, behind) = Type::read_from_prefix(self.types.get(number as usize)?).ok()?;
            match kind.kind() {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => number = kind.about,
                _ => return Some((kind, behind)),
            }
        }
        None
    }

    /// Size of a structure in bytes.
    pub(super) fn size(&self, structure: &str) -> Option<u32> {
        let (kind, _) = self.resolve(*self.structures.get(structure.as_bytes())?)?;
        Some(kind.about)
    }

    /// A field of a structure, `a.b` being the field `b` of the field `a`.
    pub(super) fn field(&self, structure: &str, path: &str) -> Option<Field> {
        let mut found = Field { bit: 0, kind: *self.structures.get(structure.as_bytes())? };
        let mut most = MOST_MEMBERS;
        for name in path.split('.') {
            let within = self.member(found.kind, name.as_bytes(), DEEPEST, &mut most)?;
            found = Field { bit: found.bit.checked_add(within.bit)?, kind: within.kind };
        }
        Some(found)
    }

    /// A member of a structure or union, or of one without a name in it.
    fn member(&self, of: u32, name: &[u8], depth: u32, most: &mut u32) -> Option<Field> {
        let (kind, mut rest) = self.resolve(of).filter(|(kind, _)| [STRUCT, UNION].contains(&kind.kind()))?;
        for _ in 0..kind.info & 0xffff {
            let (member, next) = Member::read_from_prefix(rest).ok()?;
            rest = next;
            *most = most.checked_sub(1)?;
            let bit = if kind.info >> 31 == 1 { member.offset & 0xff_ffff } else { member.offset };
            if member.name_off != 0 && self.name(member.name_off) == name {
                return Some(Field { bit, kind: member.kind });
            }
            if member.name_off == 0
                && depth > 0
                && let Some(within) = self.member(member.kind, name, depth - 1, most)
            {
                return Some(Field { bit: bit.checked_add(within.bit)?, kind: within.kind });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRINGS: &[u8] = b"\0int\0task\0pid\0flag\0link\0next\0alias\0";

    /// `struct link { int pad; int next; }; typedef struct link alias;`
    /// `struct task { int pid; union { int other; alias link; }; int flag: 1; }`, behind types of other kinds.
    fn description() -> Vec<u8> {
        let name = |name: &str| {
            let at =
                STRINGS.windows(name.len() + 1).position(|w| w[..name.len()] == *name.as_bytes() && w[name.len()] == 0);
            at.unwrap() as u32
        };
        let info = |kind: u32, entries: u32| kind << 24 | entries;
        let types: Vec<u32> = [
            &[name("int"), info(INT, 0), 4, 32][..],
            &[0, info(ENUM, 2), 4, 0, 0, 0, 1],
            &[0, info(ARRAY, 0), 0, 1, 1, 3],
            &[name("link"), info(STRUCT, 2), 8, 0, 1, 0, name("next"), 1, 32],
            &[name("alias"), info(TYPEDEF, 0), 4],
            &[0, info(UNION, 2), 8, 0, 1, 0, name("link"), 5, 0],
            &[
                name("task"),
                info(STRUCT, 3) | 1 << 31,
                16,
                name("pid"),
                1,
                0,
                0,
                6,
                32,
                name("flag"),
                1,
                1 << 24 | 0x63,
            ],
            // One that is in itself, as only a damaged description has it.
            &[name("flag"), info(STRUCT, 2), 4, 0, 8, 8, 0, 8, 8],
            &[name("next"), info(TYPEDEF, 0), 9],
        ]
        .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, STRINGS.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(STRINGS);
        bytes
    }

    #[test]
    fn fields_are_found_through_names_and_unions() {
        let bytes = description();
        let btf = Btf::new(&bytes).unwrap();
        let bit = |path: &str| btf.field("task", path).map(|field| field.bit);
        assert_eq!((btf.size("task"), btf.size("link"), btf.size("alias")), (Some(16), Some(8), None));
        assert_eq!((bit("pid"), bit("link"), bit("link.next"), bit("flag")), (Some(0), Some(32), Some(64), Some(99)));
        assert_eq!((bit("next"), bit("pid.next"), bit("link.pid"), bit("")), (None, None, None, None));
        assert_eq!(btf.field("flag", "pid"), None, "it has no end");
        assert!(btf.resolve(9).is_none(), "a name of itself");
    }

    #[test]
    fn what_is_cut_or_changed_is_no_harm() {
        let whole = description();
        for cut in 0..whole.len() {
            if let Some(btf) = Btf::new(&whole[..cut]) {
                btf.field("task", "link.next");
            }
        }
        for at in 0..whole.len() {
            for with in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = with;
                if let Some(btf) = Btf::new(&changed) {
                    btf.field("task", "link.next");
                    btf.size("task");
                }
            }
        }
    }

    /// The running kernel's own.
    #[test]
    fn the_kernel_describes_what_the_man_pages_do() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let btf = Btf::new(&bytes).unwrap();
        // `struct rlimit` and `struct timespec64` are as userspace sees them (getrlimit(2), clock_gettime(2)).
        let bit = |of: &str, path: &str| btf.field(of, path).map(|field| field.bit);
        assert_eq!((btf.size("rlimit"), bit("rlimit", "rlim_max")), (Some(16), Some(64)));
        assert_eq!((btf.size("timespec64"), bit("timespec64", "tv_nsec")), (Some(16), Some(64)));
        assert!(bit("task_struct", "nsproxy").is_some_and(|bit| bit % 64 == 0));
    }
}
