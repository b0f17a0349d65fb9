//! The eBPF backend of a build without the feature `bpf`: says what is missing. Not here: the backend itself.

use crate::error::{Error, Result};
use crate::events::EventDesc;
use crate::perf::Wanted;
use crate::source::{Chunk, Source};
use crate::target::Target;
use std::convert::Infallible;
use std::os::fd::BorrowedFd;

/// Never there.
#[derive(Debug)]
pub(crate) struct Bpf(Infallible);

impl Bpf {
    pub(crate) fn open(_: &Target, _: &Wanted) -> Result<Self> {
        Err(missing())
    }
}

impl Source for Bpf {
    fn name(&self) -> &'static str {
        match self.0 {}
    }

    fn events(&self) -> &[EventDesc] {
        match self.0 {}
    }

    fn enable(&mut self) -> Result<()> {
        match self.0 {}
    }

    fn disable(&mut self) {
        match self.0 {}
    }

    fn drain(&mut self, _: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        match self.0 {}
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self.0 {}
    }

    fn ended(&self, _: bool) -> bool {
        match self.0 {}
    }
}

/// What each program sees, and where it runs.
pub(crate) fn ways() -> Result<Vec<(&'static str, Result<String, String>)>> {
    Err(missing())
}

fn missing() -> Error {
    Error::Unsupported {
        what: "this program was built without the eBPF programs".into(),
        help: "to build them in: cargo xtask bpf && cargo install --path cli --features bpf".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_build_says_how_to_get_one_with_programs() {
        let Err(error) = Bpf::open(&Target::System, &Wanted::default());
        assert!(error.to_string().contains("without the eBPF programs"), "{error}");
        let help = error.help().expect("there is a way");
        for part in ["cargo xtask bpf", "--features bpf"] {
            assert!(help.contains(part), "{help}");
        }
    }
}
