//! `defmt::Format` for what cannot derive it: values of a byte order, and records that borrow. Not here: layouts.

// What `defmt::write!` writes is not in its expansion, which therefore looks the same everywhere.
#![allow(clippy::match_same_arms, clippy::single_match_else)]

#[cfg(target_has_atomic = "32")]
use crate::emit::NamespaceEvents;
use crate::raw::{RawRecord, Records};
use crate::record::Record;
use crate::wire::cgroup::Cgroup;
use crate::wire::comm::Comm;
use crate::wire::misc::Ksymbol;
use crate::wire::mmap::{Mmap, Mmap2};
use crate::wire::namespaces::Namespaces;
use crate::wire::sample::Sample;
use crate::wire::Order;
use defmt::{write, Format, Formatter};

/// Text of a record: names and paths are UTF-8 as a rule; what is not shows as bytes.
struct Text<'a>(&'a [u8]);

impl Format for Text<'_> {
    fn format(&self, f: Formatter<'_>) {
        match core::str::from_utf8(self.0) {
            Ok(text) => write!(f, "{=str}", text),
            Err(_) => write!(f, "{=[u8]:a}", self.0),
        }
    }
}

impl<O: Order> Format for Namespaces<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Namespaces {{ pid: {=u32}, tid: {=u32}, links: {=[?]} }}", self.pid(), self.tid(), self.links);
    }
}

impl<O: Order> Format for Comm<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Comm {{ fixed: {}, comm: {} }}", self.fixed, Text(self.comm));
    }
}

impl<O: Order> Format for Cgroup<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Cgroup {{ fixed: {}, path: {} }}", self.fixed, Text(self.path));
    }
}

impl<O: Order> Format for Ksymbol<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Ksymbol {{ fixed: {}, name: {} }}", self.fixed, Text(self.name));
    }
}

impl<O: Order> Format for Mmap<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Mmap {{ fixed: {}, filename: {} }}", self.fixed, Text(self.filename));
    }
}

impl<O: Order> Format for Mmap2<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Mmap2 {{ fixed: {}, filename: {} }}", self.fixed, Text(self.filename));
    }
}

impl<O: Order> Format for RawRecord<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        let name = self.kind().name().unwrap_or("unknown");
        write!(f, "{=str} at {=u64}: {=[u8]:x}", name, self.offset(), self.bytes());
    }
}

impl<O: Order> Format for Records<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Records {{ rest: {=usize} bytes }}", self.rest().len());
    }
}

impl<O: Order> Format for Record<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        match self {
            Self::Namespaces(record) => write!(f, "{}", record),
            Self::Fork(record) => write!(f, "Fork({})", record),
            Self::Exit(record) => write!(f, "Exit({})", record),
            Self::Comm(record) => write!(f, "{}", record),
            Self::Cgroup(record) => write!(f, "{}", record),
            Self::Lost(record) => write!(f, "{}", record),
            Self::LostSamples(record) => write!(f, "{}", record),
            Self::Throttle(record) => write!(f, "{}", record),
            Self::Unthrottle(record) => write!(f, "Unthrottle({})", record),
            Self::Sample => write!(f, "Sample"),
            Self::Switch => write!(f, "Switch"),
            Self::SwitchCpuWide(record) => write!(f, "{}", record),
            Self::Mmap(record) => write!(f, "{}", record),
            Self::Mmap2(record) => write!(f, "{}", record),
            Self::Ksymbol(record) => write!(f, "{}", record),
            Self::BpfEvent(record) => write!(f, "{}", record),
            Self::Aux(record) => write!(f, "{}", record),
            Self::ItraceStart(record) => write!(f, "{}", record),
            Self::TextPoke(record) => write!(f, "{}", record),
            Self::AuxOutputHwId(record) => write!(f, "{}", record),
            Self::Other => write!(f, "Other"),
        }
    }
}

/// Who, when and where; the other fields are too many for a log.
impl<O: Order> Format for Sample<'_, O> {
    fn format(&self, f: Formatter<'_>) {
        let Self { pid, tid, time, cpu, id, .. } = self;
        write!(f, "Sample {{ pid: {}, tid: {}, time: {}, cpu: {}, id: {} }}", pid, tid, time, cpu, id);
    }
}

#[cfg(target_has_atomic = "32")]
impl Format for NamespaceEvents {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "NamespaceEvents {{ wanted: {=bool} }}", self.wanted());
    }
}

#[cfg(target_has_atomic = "64")]
impl Format for crate::ring::Available<'_> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Available {{ first: {=usize}, second: {=usize} }}", self.first.len(), self.second.len());
    }
}

#[cfg(feature = "postcard")]
impl<const N: usize> Format for crate::compact::Frames<N> {
    fn format(&self, f: Formatter<'_>) {
        write!(f, "Frames {{ damaged: {=u64} }}", self.damaged());
    }
}
