//! `PERF_RECORD_SAMPLE`: walked by `sample_type` so that the fields that say who, when and where are found in any
//! sample. Not here: the meaning of a tracepoint's fields.
//!
//! Source: `perf_event_open(2)`, "PERF_RECORD_SAMPLE", and `perf_output_sample()` in `kernel/events/core.c`.

use super::attr::Attr;
use super::sample_id::{Fields, SampleType};
use super::Order;
use crate::error::{Error, ErrorKind};
use crate::raw::RawRecord;
use zerocopy::byteorder::U64;
use zerocopy::FromBytes;

/// Which fields a sample has and how long they are: made once an attr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SampleFormat {
    /// `attr.sample_type`.
    pub sample_type: SampleType,
    /// `attr.read_format`.
    pub read_format: u64,
    /// `attr.branch_sample_type`.
    pub branch_sample_type: u64,
    /// Registers in `attr.sample_regs_user`.
    pub regs_user: u32,
    /// Registers in `attr.sample_regs_intr`.
    pub regs_intr: u32,
}

/// `PERF_FORMAT_*` bits of `attr.read_format`.
const FORMAT_TOTAL_TIME_ENABLED: u64 = 1 << 0;
const FORMAT_TOTAL_TIME_RUNNING: u64 = 1 << 1;
const FORMAT_ID: u64 = 1 << 2;
const FORMAT_GROUP: u64 = 1 << 3;
const FORMAT_LOST: u64 = 1 << 4;
/// `PERF_SAMPLE_BRANCH_HW_INDEX`.
const BRANCH_HW_INDEX: u64 = 1 << 17;
/// `PERF_SAMPLE_BRANCH_COUNTERS`.
const BRANCH_COUNTERS: u64 = 1 << 19;

impl<O: Order> From<&Attr<O>> for SampleFormat {
    fn from(attr: &Attr<O>) -> Self {
        Self {
            sample_type: SampleType(attr.sample_type.get()),
            read_format: attr.read_format.get(),
            branch_sample_type: attr.branch_sample_type.get(),
            regs_user: attr.sample_regs_user.get().count_ones(),
            regs_intr: attr.sample_regs_intr.get().count_ones(),
        }
    }
}

/// A sample's fields; what the format does not have is `None`. Slices are as in the record.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a, O: Order> {
    /// Event id (IDENTIFIER or ID).
    pub id: Option<u64>,
    /// Instruction pointer.
    pub ip: Option<u64>,
    /// Process id.
    pub pid: Option<u32>,
    /// Thread id.
    pub tid: Option<u32>,
    /// When, in ns of the event's clock.
    pub time: Option<u64>,
    /// Address.
    pub addr: Option<u64>,
    /// Stream id.
    pub stream_id: Option<u64>,
    /// CPU.
    pub cpu: Option<u32>,
    /// Period.
    pub period: Option<u64>,
    /// Counter values as `read_format` lays them out.
    pub read: &'a [u8],
    /// Call chain: addresses and `PERF_CONTEXT_*` marks.
    pub callchain: &'a [U64<O>],
    /// Raw bytes of a tracepoint, from its common fields on, with the padding.
    pub raw: Option<&'a [u8]>,
    /// Branch records of 24 bytes.
    pub branches: &'a [u8],
    /// User registers.
    pub regs_user: &'a [U64<O>],
    /// User stack.
    pub stack_user: &'a [u8],
    /// Cost, as one number.
    pub weight: Option<u64>,
    /// `union perf_mem_data_src`, as stored.
    pub data_src: Option<u64>,
    /// Transaction abort reason.
    pub transaction: Option<u64>,
    /// Registers at interrupt.
    pub regs_intr: &'a [U64<O>],
    /// Physical address.
    pub phys_addr: Option<u64>,
    /// Cgroup id of the task in the `perf_event` hierarchy.
    pub cgroup: Option<u64>,
    /// Page size of the data address in bytes.
    pub data_page_size: Option<u64>,
    /// Page size of the code address in bytes.
    pub code_page_size: Option<u64>,
    /// AUX bytes.
    pub aux: &'a [u8],
}

impl SampleFormat {
    /// Reads a SAMPLE record.
    ///
    /// # Errors
    /// [`ErrorKind::Sample`] with the field at which the record ends too early, or whose length is not possible.
    pub fn parse<'a, O: Order>(&self, raw: &RawRecord<'a, O>) -> Result<Sample<'a, O>, Error> {
        let mut fields = Fields::<O> { rest: raw.body(), order: core::marker::PhantomData };
        let mut sample = Sample {
            id: None,
            ip: None,
            pid: None,
            tid: None,
            time: None,
            addr: None,
            stream_id: None,
            cpu: None,
            period: None,
            read: &[],
            callchain: &[],
            raw: None,
            branches: &[],
            regs_user: &[],
            stack_user: &[],
            weight: None,
            data_src: None,
            transaction: None,
            regs_intr: &[],
            phys_addr: None,
            cgroup: None,
            data_page_size: None,
            code_page_size: None,
            aux: &[],
        };
        let has = |bit| self.sample_type.has(bit);
        let missing = |bit: SampleType| raw.error(ErrorKind::Sample { field: bit.0.trailing_zeros() as u8 });
        macro_rules! word {
            ($bit:ident, $field:ident) => {
                if has(SampleType::$bit) {
                    sample.$field = Some(fields.word().ok_or(missing(SampleType::$bit))?);
                }
            };
        }
        macro_rules! slice {
            ($bit:ident, $field:ident, $read:expr) => {
                if has(SampleType::$bit) {
                    sample.$field = $read.ok_or(missing(SampleType::$bit))?;
                }
            };
        }

        word!(IDENTIFIER, id);
        word!(IP, ip);
        if has(SampleType::TID) {
            (sample.pid, sample.tid) = fields.pair();
            sample.tid.ok_or(missing(SampleType::TID))?;
        }
        word!(TIME, time);
        word!(ADDR, addr);
        word!(ID, id);
        word!(STREAM_ID, stream_id);
        if has(SampleType::CPU) {
            (sample.cpu, _) = fields.pair();
            sample.cpu.ok_or(missing(SampleType::CPU))?;
        }
        word!(PERIOD, period);
        slice!(READ, read, self.read(&mut fields));
        slice!(CALLCHAIN, callchain, counted_words(&mut fields));
        if has(SampleType::RAW) {
            sample.raw = Some(raw_bytes(&mut fields).ok_or(missing(SampleType::RAW))?);
        }
        slice!(BRANCH_STACK, branches, self.branch_stack(&mut fields));
        slice!(REGS_USER, regs_user, registers(&mut fields, self.regs_user));
        slice!(STACK_USER, stack_user, stack(&mut fields));
        if has(SampleType::WEIGHT) || has(SampleType::WEIGHT_STRUCT) {
            sample.weight = Some(fields.word().ok_or(missing(SampleType::WEIGHT))?);
        }
        word!(DATA_SRC, data_src);
        word!(TRANSACTION, transaction);
        slice!(REGS_INTR, regs_intr, registers(&mut fields, self.regs_intr));
        word!(PHYS_ADDR, phys_addr);
        word!(CGROUP, cgroup);
        word!(DATA_PAGE_SIZE, data_page_size);
        word!(CODE_PAGE_SIZE, code_page_size);
        slice!(AUX, aux, counted_bytes(&mut fields));
        Ok(sample)
    }

    /// The time alone, in ns, without reading what follows it.
    #[inline]
    pub fn time<O: Order>(&self, raw: &RawRecord<'_, O>) -> Option<u64> {
        if !self.sample_type.has(SampleType::TIME) {
            return None;
        }
        let before = SampleType::IDENTIFIER.0 | SampleType::IP.0 | SampleType::TID.0;
        let skip = (self.sample_type.0 & before).count_ones().checked_mul(8)?;
        let (time, _) = U64::<O>::ref_from_prefix(raw.body().get(skip as usize..)?).ok()?;
        Some(time.get())
    }

    /// The event id alone, without reading what follows it.
    #[inline]
    pub fn id<O: Order>(&self, raw: &RawRecord<'_, O>) -> Option<u64> {
        let skip = if self.sample_type.has(SampleType::IDENTIFIER) {
            0
        } else if self.sample_type.has(SampleType::ID) {
            let before = SampleType::IP.0 | SampleType::TID.0 | SampleType::TIME.0 | SampleType::ADDR.0;
            (self.sample_type.0 & before).count_ones().checked_mul(8)?
        } else {
            return None;
        };
        let (id, _) = U64::<O>::ref_from_prefix(raw.body().get(skip as usize..)?).ok()?;
        Some(id.get())
    }

    /// The values of PERF_SAMPLE_READ, by `read_format`.
    fn read<'a, O: Order>(&self, fields: &mut Fields<'a, O>) -> Option<&'a [u8]> {
        let has = |bit: u64| usize::from(self.read_format & bit != 0);
        let times = has(FORMAT_TOTAL_TIME_ENABLED).checked_add(has(FORMAT_TOTAL_TIME_RUNNING))?;
        let each = has(FORMAT_ID).checked_add(has(FORMAT_LOST))?.checked_add(1)?;
        let words = if self.read_format & FORMAT_GROUP == 0 {
            times.checked_add(each)?
        } else {
            let (count, _) = U64::<O>::ref_from_prefix(fields.rest).ok()?;
            let values = usize::try_from(count.get()).ok()?.checked_mul(each)?;
            values.checked_add(times)?.checked_add(1)?
        };
        fields.take(words.checked_mul(8)?)
    }

    fn branch_stack<'a, O: Order>(&self, fields: &mut Fields<'a, O>) -> Option<&'a [u8]> {
        let count = usize::try_from(fields.word()?).ok()?;
        if self.branch_sample_type & BRANCH_HW_INDEX != 0 {
            fields.word()?;
        }
        let branches = fields.take(count.checked_mul(24)?)?;
        if self.branch_sample_type & BRANCH_COUNTERS != 0 {
            fields.take(count.checked_mul(8)?)?;
        }
        Some(branches)
    }
}

fn words<'a, O: Order>(fields: &mut Fields<'a, O>, count: usize) -> Option<&'a [U64<O>]> {
    <[U64<O>]>::ref_from_bytes(fields.take(count.checked_mul(8)?)?).ok()
}

fn counted_words<'a, O: Order>(fields: &mut Fields<'a, O>) -> Option<&'a [U64<O>]> {
    let count = usize::try_from(fields.word()?).ok()?;
    words(fields, count)
}

fn counted_bytes<'a, O: Order>(fields: &mut Fields<'a, O>) -> Option<&'a [u8]> {
    let count = usize::try_from(fields.word()?).ok()?;
    fields.take(count)
}

/// `u32 size; char data[size]`: size and data together fill whole words.
fn raw_bytes<'a, O: Order>(fields: &mut Fields<'a, O>) -> Option<&'a [u8]> {
    let size = zerocopy::byteorder::U32::<O>::ref_from_bytes(fields.take(4)?).ok()?.get();
    fields.take(usize::try_from(size).ok()?)
}

/// `u64 abi; u64 regs[weight(mask)]`, the registers only if the abi is not NONE.
fn registers<'a, O: Order>(fields: &mut Fields<'a, O>, count: u32) -> Option<&'a [U64<O>]> {
    match fields.word()? {
        0 => Some(&[]),
        _ => words(fields, count as usize),
    }
}

/// `u64 size; char data[size]; u64 dyn_size`, the last only if size is not 0.
fn stack<'a, O: Order>(fields: &mut Fields<'a, O>) -> Option<&'a [u8]> {
    let data = counted_bytes(fields)?;
    if data.is_empty() {
        return Some(data);
    }
    let used = usize::try_from(fields.word()?).ok()?;
    Some(data.get(..used).unwrap_or(data))
}
