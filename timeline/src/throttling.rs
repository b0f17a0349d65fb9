//! What limits did to containers, from the readings of `cpu.stat` in a recording. Not here: how it is read.

use crate::keys::Key;
use crate::limit::{CpuStat, Limit, Read, Throttled};
use crate::timeline::Timeline;

impl Timeline {
    /// `cpu.stat` of a cgroup was read.
    pub(crate) fn read_limit(&mut self, path: &[u8], read: CpuStat, time: u64) {
        let path = self.paths.intern(path);
        let known = self.limits.entry(path.into()).or_insert(Read { first: read, last: read, at: time });
        let ns = read.throttled.saturating_sub(known.last.throttled);
        if ns > 0 {
            self.throttled = Some(Throttled { path, from: known.at, to: time, ns });
        }
        (known.last, known.at) = (read, time);
    }

    /// That a limit held a cgroup back, if a record has said so since this was asked last.
    pub fn take_throttled(&mut self) -> Option<Throttled> {
        self.throttled.take()
    }

    /// The limit of a container's own cgroup, the outermost of its cgroups that has one.
    pub fn limit(&self, key: &Key) -> Option<Limit> {
        let Key::Runtime(runtime) = key else { return None };
        let container = self.registry.find(&runtime.identity())?;
        let own = self.limits.iter().filter(|&(&path, _)| self.registry.of_path(path as u32) == Some(container));
        let (&path, &Read { first, last, .. }) = own.min_by_key(|&(&path, _)| self.paths.get(path as u32).len())?;
        let stat = CpuStat {
            usage: last.usage.saturating_sub(first.usage),
            throttled: last.throttled.saturating_sub(first.throttled),
            periods: last.periods.saturating_sub(first.periods),
            throttled_periods: last.throttled_periods.saturating_sub(first.throttled_periods),
        };
        Some(Limit { path: path as u32, stat })
    }
}
