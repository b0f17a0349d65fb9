//! Records by their types: one enum over the wire types. Not here: how a record is found in a stream.

use crate::error::Error;
use crate::raw::RawRecord;
use crate::wire::cgroup::Cgroup;
use crate::wire::comm::Comm;
use crate::wire::header::RecordType;
use crate::wire::lost::{Lost, LostSamples, Throttle};
use crate::wire::misc::{Aux, AuxOutputHwId, BpfEvent, ItraceStart, Ksymbol, TextPoke};
use crate::wire::mmap::{Mmap, Mmap2};
use crate::wire::namespaces::Namespaces;
use crate::wire::switch::SwitchCpuWide;
use crate::wire::task::Task;
use crate::wire::Order;

impl<'a, O: Order> RawRecord<'a, O> {
    /// The record as its type.
    ///
    /// # Errors
    /// Where the record is shorter than its type, or a count in it does not fit. The next record can still be read.
    #[inline]
    pub fn parse(&self) -> Result<Record<'a, O>, Error> {
        Ok(match self.kind() {
            RecordType::NAMESPACES => Record::Namespaces(self.as_type()?),
            RecordType::FORK => Record::Fork(self.body_as()?),
            RecordType::EXIT => Record::Exit(self.body_as()?),
            RecordType::COMM => Record::Comm(self.as_type()?),
            RecordType::CGROUP => Record::Cgroup(self.as_type()?),
            RecordType::LOST => Record::Lost(self.body_as()?),
            RecordType::LOST_SAMPLES => Record::LostSamples(self.body_as()?),
            RecordType::THROTTLE => Record::Throttle(self.body_as()?),
            RecordType::UNTHROTTLE => Record::Unthrottle(self.body_as()?),
            RecordType::SAMPLE => Record::Sample,
            RecordType::SWITCH => Record::Switch,
            RecordType::SWITCH_CPU_WIDE => Record::SwitchCpuWide(self.body_as()?),
            RecordType::MMAP => Record::Mmap(self.as_type()?),
            RecordType::MMAP2 => Record::Mmap2(self.as_type()?),
            RecordType::KSYMBOL => Record::Ksymbol(self.as_type()?),
            RecordType::BPF_EVENT => Record::BpfEvent(self.body_as()?),
            RecordType::AUX => Record::Aux(self.body_as()?),
            RecordType::ITRACE_START => Record::ItraceStart(self.body_as()?),
            RecordType::TEXT_POKE => Record::TextPoke(self.body_as()?),
            RecordType::AUX_OUTPUT_HW_ID => Record::AuxOutputHwId(self.body_as()?),
            _ => Record::Other,
        })
    }
}

/// A record by type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Record<'a, O: Order> {
    /// Device and inode of each of a task's namespaces.
    Namespaces(Namespaces<'a, O>),
    /// A task was created.
    Fork(&'a Task<O>),
    /// A task ended.
    Exit(&'a Task<O>),
    /// A task's name.
    Comm(Comm<'a, O>),
    /// A cgroup's id and path.
    Cgroup(Cgroup<'a, O>),
    /// Records are missing.
    Lost(&'a Lost<O>),
    /// Samples are missing.
    LostSamples(&'a LostSamples<O>),
    /// Sampling was throttled.
    Throttle(&'a Throttle<O>),
    /// Sampling goes on.
    Unthrottle(&'a Throttle<O>),
    /// A sample: read it with its attr's [`SampleFormat`](crate::wire::sample::SampleFormat).
    Sample,
    /// Context switch of the monitored task.
    Switch,
    /// Context switch on a monitored CPU.
    SwitchCpuWide(&'a SwitchCpuWide<O>),
    /// A mapping.
    Mmap(Mmap<'a, O>),
    /// A mapping with its file's identity.
    Mmap2(Mmap2<'a, O>),
    /// A kernel symbol.
    Ksymbol(Ksymbol<'a, O>),
    /// A BPF program.
    BpfEvent(&'a BpfEvent<O>),
    /// AUX data.
    Aux(&'a Aux<O>),
    /// Start of an instruction trace.
    ItraceStart(&'a ItraceStart<O>),
    /// Modified kernel text.
    TextPoke(&'a TextPoke<O>),
    /// Hardware id of an AUX event.
    AuxOutputHwId(&'a AuxOutputHwId<O>),
    /// READ, records of the perf tool and types unknown here: only [`RawRecord`]'s bytes.
    Other,
}
