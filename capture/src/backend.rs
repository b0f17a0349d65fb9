//! Which sources of records there are, and which one is used. Not here: how a source works.

use crate::bpf::Bpf;
use crate::error::{Error, Result};
use crate::perf::{Perf, Wanted};
use crate::proc::{self, Proc};
use crate::source::Source;
use crate::target::Target;

/// Where records come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The first that works here of perf, eBPF and /proc. Of eBPF and perf where wake-ups are recorded: perf writes a
    /// tracepoint's record for each of them, the programs one of two thirds of its size.
    #[default]
    Auto,
    /// The kernel's own records, by perf_event_open(2).
    Perf,
    /// The same by eBPF programs, with time namespaces, reasons and pids inside. Needs the feature `bpf`.
    Bpf,
    /// A look at /proc a hundred times a second: needs no privileges, and misses what is over in between.
    Proc,
}

/// Opens a source of records for `target`.
pub(crate) fn open(target: &Target, backend: Backend, wanted: &Wanted) -> Result<Box<dyn Source>> {
    let only_perf = wanted.flight_recorder || wanted.frequency.is_some();
    if (only_perf && matches!(backend, Backend::Bpf | Backend::Proc)) || (wanted.switches && backend == Backend::Proc) {
        return Err(Error::NeedsPerf);
    }
    if wanted.sums.is_some() {
        return match backend {
            Backend::Auto | Backend::Bpf => Ok(Box::new(Bpf::open(target, wanted)?)),
            Backend::Perf | Backend::Proc => Err(Error::NeedsBpf),
        };
    }
    let perf = || -> Result<Box<dyn Source>> { Ok(Box::new(Perf::open(target, wanted)?)) };
    let bpf = || -> Result<Box<dyn Source>> { Ok(Box::new(Bpf::open(target, wanted)?)) };
    match backend {
        Backend::Perf => perf(),
        Backend::Bpf => bpf(),
        Backend::Proc => Ok(Box::new(Proc::new(target))),
        Backend::Auto if only_perf => perf(),
        Backend::Auto if wanted.wakeups => bpf().or_else(|bpf_error| {
            if !bpf_error.another_backend_may_work() {
                return Err(bpf_error);
            }
            log::info!("recording wake-ups by perf, not by eBPF programs: {bpf_error}");
            perf()
        }),
        Backend::Auto => perf().or_else(|perf_error| {
            if !perf_error.another_backend_may_work() {
                return Err(perf_error);
            }
            match bpf() {
                Ok(source) => {
                    log::warn!("recording by eBPF programs instead: {perf_error}");
                    Ok(source)
                }
                Err(bpf_error) if bpf_error.another_backend_may_work() && !wanted.switches => {
                    log::warn!(
                        "looking at /proc every {} ms instead, which misses what is over in between: {perf_error}; \
                         {bpf_error}",
                        proc::INTERVAL.as_millis()
                    );
                    Ok(Box::new(Proc::new(target)))
                }
                Err(bpf_error) if bpf_error.another_backend_may_work() => Err(perf_error),
                Err(error) => Err(error),
            }
        }),
    }
}
