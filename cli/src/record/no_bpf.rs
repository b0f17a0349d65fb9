//! `record --backend bpf` of a build without the feature `bpf`: says what is missing.

use super::events::{Described, Target};
use crate::error::{Failure, Outcome};
use std::convert::Infallible;
use std::os::fd::BorrowedFd;

/// Never there.
#[derive(Debug)]
pub(crate) struct Bpf {
    pub(crate) described: Vec<Described>,
    never: Infallible,
}

impl Bpf {
    pub(crate) fn open(_: &Target, _: Option<usize>) -> Outcome<Self> {
        Err(missing())
    }

    pub(crate) fn enable(&mut self) -> Outcome<()> {
        match self.never {}
    }

    pub(crate) fn take(&mut self) -> Outcome<&[u8]> {
        match self.never {}
    }

    pub(crate) fn lost(&mut self) -> Outcome<u64> {
        match self.never {}
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match self.never {}
    }

    pub(crate) fn over(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn disable(&mut self) {
        match self.never {}
    }
}

/// What `nsscope doctor` says of the programs.
pub(crate) fn ways() -> Outcome<Vec<(&'static str, Result<String, String>)>> {
    Err(missing())
}

fn missing() -> Failure {
    Failure::Refused(
        "this nsscope was built without its eBPF programs\n  \
         to build them in: cargo xtask bpf && cargo install --path cli --features bpf"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_build_says_how_to_get_one_with_programs() {
        let Err(Failure::Refused(why)) = Bpf::open(&Target::System, None) else { panic!("it has programs") };
        for part in ["without its eBPF programs", "cargo xtask bpf", "--features bpf"] {
            assert!(why.contains(part), "{why}");
        }
    }
}
