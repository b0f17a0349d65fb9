//! The rings that the eBPF programs write to, one for each CPU. Not here: what is in them.

use super::chain::{failed, map};
use crate::error::{Error, Result};
use crate::machine;
use crate::source::Chunk;
use aya::Ebpf;
use aya::maps::{ArrayOfMaps, Map, MapData, RingBuf};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of a CPU's ring, where the user names no size.
const SIZE: usize = 2 << 20;

/// How much is handed out at once: what is taken has to be given back.
const TAKEN: usize = 1 << 20;

/// The rings of all CPUs that are online.
pub(super) struct Rings {
    /// By the CPU's number: what the programs see. They are loaded later.
    _of_cpus: ArrayOfMaps<MapData, RingBuf<MapData>>,
    online: Vec<RingBuf<MapData>>,
    /// Bytes of each.
    size: u32,
    /// Bytes that were taken out of them.
    taken: Vec<u8>,
}

/// The bytes of each ring, where `wanted` were asked for: a power of two pages.
pub(super) fn size(wanted: Option<usize>) -> u32 {
    wanted.unwrap_or(SIZE).clamp(machine::page_size(), 1 << 30).next_power_of_two() as u32
}

impl Rings {
    /// Gives each CPU one of `size` bytes. A CPU that is offline, and may come online later, writes to the first one's.
    pub(super) fn new(programs: &mut Ebpf, size: u32) -> Result<Self> {
        let mut of_cpus: ArrayOfMaps<MapData, RingBuf<MapData>> = map(programs, "RECORDS")?;
        let cpus = machine::online_cpus()?;
        let online = cpus.iter().map(|_| ring(size)).collect::<Result<Vec<_>>>()?;
        let first = online.first().ok_or_else(|| Error::other("no CPU is online"))?;
        for cpu in 0..of_cpus.len() {
            let own = cpus.iter().position(|&other| other == cpu).map_or(first, |at| &online[at]);
            of_cpus.set(cpu, own, 0).map_err(failed)?;
        }
        Ok(Self { _of_cpus: of_cpus, online, size, taken: Vec::new() })
    }

    /// Hands out what is in the rings. Of each all that was there when this began, and not without end what comes
    /// meanwhile: whoever writes may be as fast as we are. Returns whether there was anything.
    pub(super) fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        let mut any = false;
        self.taken.clear();
        for ring in &mut self.online {
            let mut left = self.size as usize;
            while left > 0
                && let Some(item) = ring.next()
            {
                any = true;
                left = left.saturating_sub(item.len());
                self.taken.extend_from_slice(&item);
                if self.taken.len() >= TAKEN {
                    take(&[[&self.taken, &[]]])?;
                    self.taken.clear();
                }
            }
        }
        take(&[[&self.taken, &[]]])?;
        Ok(any)
    }

    /// Readable when there is anything in one.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.online.iter().map(AsFd::as_fd)
    }
}

fn ring(size: u32) -> Result<RingBuf<MapData>> {
    let definition =
        aya_obj::Map::new_from_params(aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
    let data = MapData::create(definition, "RECORDS", None).map_err(failed)?;
    RingBuf::try_from(Map::RingBuf(data)).map_err(failed)
}
