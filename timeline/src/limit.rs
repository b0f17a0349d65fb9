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

/// Between two readings of a cgroup's `cpu.stat` its limit held it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The number of the cgroup's path, that of [`Limit::path`].
    pub path: u32,
    /// When it was read before, ns of the recording's clock.
    pub from: u64,
    /// When it was read again, ns.
    pub to: u64,
    /// How long its queues were held back meanwhile, summed over CPUs, ns.
    pub ns: u64,
}

/// The limit of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The number of the path of the cgroup that has it.
    pub path: u32,
    /// What it did while it was recorded.
    pub stat: CpuStat,
}

/// `cpu.stat` of a cgroup when it was first and last read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) first: CpuStat,
    pub(crate) last: CpuStat,
    /// When it was last read, ns.
    pub(crate) at: u64,
}
