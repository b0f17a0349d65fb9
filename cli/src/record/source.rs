//! Where the records of a recording come from: the kernel's rings, eBPF programs or /proc.

use super::bpf::Bpf;
use super::events::{Described, Events, Target};
use super::features;
use super::poll::{self, Poller};
use super::snapshot::snapshot_events;
use crate::args::{self, Backend};
use crate::error::{Failure, Outcome, note};
use nsscope_codec::perf_data::Feature;
use std::collections::BTreeSet;

/// Where records come from.
pub(super) enum Source {
    Perf(Events),
    Bpf(Box<Bpf>),
    Proc { described: Vec<Described>, poller: Poller },
}

impl Source {
    pub(super) fn open(target: &Target, args: &args::Record) -> Outcome<Self> {
        let wants_perf = args.snapshot || args.frequency.is_some();
        if wants_perf && matches!(args.backend, Backend::Bpf | Backend::Proc) {
            return Err(Failure::Usage(
                "-F and --snapshot need --backend perf: only perf has samples and rings".into(),
            ));
        }
        let perf = || Events::open(target, args.mmap_size, args.frequency, args.snapshot).map(Self::Perf);
        let bpf = || Bpf::open(target, args.mmap_size).map(|bpf| Self::Bpf(Box::new(bpf)));
        match args.backend {
            Backend::Perf => perf(),
            Backend::Bpf => bpf(),
            Backend::Proc => Ok(Self::proc(target)),
            Backend::Auto if wants_perf => perf(),
            Backend::Auto => perf().or_else(|failure| {
                let Failure::Refused(why) = failure else { return Err(failure) };
                let first = |why: &str| String::from(why.lines().next().unwrap_or_default());
                match bpf() {
                    Ok(source) => {
                        note(format_args!("recording by eBPF programs instead: {}", first(&why)));
                        Ok(source)
                    }
                    Err(Failure::Refused(too)) => {
                        note(format_args!(
                            "looking at /proc every {} ms instead, which misses what is over in between: {}; {}\n  \
                             nsscope doctor says what to do about it",
                            poll::INTERVAL.as_millis(),
                            first(&why),
                            first(&too)
                        ));
                        Ok(Self::proc(target))
                    }
                    Err(failure) => Err(failure),
                }
            }),
        }
    }

    pub(super) fn proc(target: &Target) -> Self {
        Self::Proc { described: snapshot_events(), poller: Poller::new(target) }
    }

    pub(super) fn described(&self) -> &[Described] {
        match self {
            Self::Perf(events) => &events.described,
            Self::Bpf(bpf) => &bpf.described,
            Self::Proc { described, .. } => described,
        }
    }

    /// Ids of the events that tell of cgroups which are made or entered.
    pub(super) fn of_cgroups(&self) -> BTreeSet<u64> {
        let of_cgroups = self.described().iter().filter(|event| event.name.starts_with("cgroup:"));
        of_cgroups.flat_map(|event| &event.ids).copied().collect()
    }

    pub(super) fn sections(&self) -> Vec<(Feature, Vec<u8>)> {
        match self {
            Self::Perf(events) => events.sections(),
            Self::Bpf(_) | Self::Proc { .. } => features::sections(self.described(), &[]),
        }
    }
}
