//! A cgroup's CPU time, and what its limit did to it. Not here: who waited, and for whom.

/// What a cgroup's limit (`cpu.max`, `cpu.cfs_quota_us`) did in the time of a recording, by its `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// CPU time used, ns.
    pub usage: u64,
    /// Time that its queues were held back, summed over CPUs, ns.
    pub throttled: u64,
    /// Periods in which it ran, and those in which it was held back.
    pub periods: u64,
    /// See `periods`.
    pub throttled_periods: u64,
}

/// `cpu.stat` of a cgroup when it was first and last read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) first: CpuStat,
    pub(crate) last: CpuStat,
}
