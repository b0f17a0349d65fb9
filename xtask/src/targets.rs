//! The codec on the targets it is for: every combination of features builds, and its tests pass on machines of the
//! other byte order and of the other word size. Not here: what the tests check.

use crate::toolchain::{Toolchain, variable};
use crate::{run, setup, tools};
use anyhow::Result;
use std::process::Command;

/// Where the codec has to build.
const TARGETS: [&str; 8] = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-none",
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
    "wasm32-unknown-unknown",
    "bpfel-unknown-none",
    "s390x-unknown-linux-gnu",
];

/// Where every combination of features is built: no std and no atomic read-modify-write on the one, 64 bits on the other.
const THOROUGH: [&str; 2] = ["thumbv6m-none-eabi", "x86_64-unknown-linux-gnu"];

const FEATURES: [&str; 5] = ["alloc", "heapless", "postcard", "defmt", "zstd"];

/// Builds the codec for every target: with every combination of features for some, with none, each and all of them for the
/// others.
pub(crate) fn build_all() -> Result<()> {
    let found = TARGETS.into_iter().map(|target| Ok((Toolchain::find(target)?, target)));
    let found: Vec<_> = found.collect::<Result<_>>()?;
    let of = |toolchain: Toolchain| -> Vec<_> {
        found.iter().filter(|(its, _)| *its == toolchain).map(|(_, target)| *target).collect()
    };
    // One crate at a time leaves CPUs idle; the two toolchains build in folders of their own.
    let built = std::thread::scope(|scope| -> Result<usize> {
        let debian = scope.spawn(|| build_with(Toolchain::Debian, &of(Toolchain::Debian)));
        let own = build_with(Toolchain::Own, &of(Toolchain::Own))?;
        Ok(own + debian.join().expect("building does not panic")?)
    })?;
    println!("{built} builds: a combination of features on a target each");
    Ok(())
}

fn build_with(toolchain: Toolchain, targets: &[&str]) -> Result<usize> {
    let thorough: Vec<_> = targets.iter().copied().filter(|target| THOROUGH.contains(target)).collect();
    let mut built = 0;
    for bits in 0_u32..1 << FEATURES.len() {
        let features = FEATURES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name);
        let features: Vec<_> = features.collect();
        // Which brings its own allocation.
        if features.contains(&"zstd") && !features.contains(&"alloc") {
            continue;
        }
        let is_plain = features.len() <= 1 || features.len() == FEATURES.len();
        let targets = if is_plain { targets } else { &thorough };
        if targets.is_empty() {
            continue;
        }
        built += targets.len();
        // What a kernel links is compiled to the end; other features need no machine code to fail.
        let command = if features.is_empty() { "build" } else { "check" };
        let mut cargo = toolchain.cargo(command, targets, "core,alloc");
        let package = ["--package", "nsscope-codec", "--no-default-features", "--features"];
        run(cargo.args(package).arg(features.join(",")))?;
    }
    Ok(built)
}

/// A target whose programs an emulator runs.
pub(crate) struct Emulated {
    pub(crate) target: &'static str,
    what: &'static str,
    linker: &'static str,
    runner: &'static str,
    packages: [(&'static str, &'static str); 3],
}

pub(crate) const EMULATED: [Emulated; 2] = [
    Emulated {
        target: "s390x-unknown-linux-gnu",
        what: "big-endian",
        linker: "s390x-linux-gnu-gcc",
        runner: "qemu-s390x-static -L /usr/s390x-linux-gnu",
        packages: [
            ("gcc-s390x-linux-gnu", "links for a big-endian machine"),
            ("libc6-dev-s390x-cross", "its C library"),
            ("qemu-user-static", "runs programs of other machines"),
        ],
    },
    Emulated {
        target: "i686-unknown-linux-gnu",
        what: "32 bits",
        linker: "i686-linux-gnu-gcc",
        runner: "qemu-i386-static -L /usr/i686-linux-gnu",
        packages: [
            ("gcc-i686-linux-gnu", "links for a 32-bit machine"),
            ("libc6-dev-i386-cross", "its C library"),
            ("qemu-user-static", "runs programs of other machines"),
        ],
    },
];

impl Emulated {
    /// The codec's tests on this target, or why they cannot run here.
    pub(crate) fn tests(&self) -> Result<Result<Command, String>> {
        setup::debian_packages(&self.packages)?;
        let (emulator, _) = self.runner.split_once(' ').unwrap_or((self.runner, ""));
        for program in [self.linker, emulator] {
            if !tools::exists(program) {
                return Ok(Err(format!("codec tests on {} ({}): {program} is not installed", self.target, self.what)));
            }
        }
        let toolchain = Toolchain::find(self.target)?;
        let mut cargo = toolchain.cargo("test", &[self.target], "std,panic_abort,test");
        cargo
            .env(variable(self.target, "LINKER"), self.linker)
            .env(variable(self.target, "RUNNER"), self.runner)
            // The model checker tries every interleaving once, on the machine itself.
            .args(["--package", "nsscope-codec", "--all-features", "--lib", "--no-fail-fast"]);
        Ok(Ok(cargo))
    }
}
