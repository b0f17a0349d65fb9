//! Build and test chores, run as `cargo xtask <command>`. Not here: how a chore is done.

mod apart;
mod arm64;
mod bare;
mod book;
mod bpf;
mod cortex_m;
mod coverage;
mod dist;
mod example;
mod fuzz;
mod kernel;
mod linux;
mod machine;
mod oldest;
mod programs;
mod sbom;
mod setup;
mod targets;
mod test;
mod toolchain;
mod tools;
mod viewer;
mod wasm;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::Path;
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Build and test chores")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Set up what the tests need, then run every check and every test
    Test,
    /// Compile with the oldest Rust that is promised
    Oldest,
    /// Build the codec for every target it is for, with combinations of its features
    Targets,
    /// Build the codec as a kernel does, and prove that it cannot panic
    Bare,
    /// Run the codec on a microcontroller, in QEMU
    CortexM,
    /// Load the codec into a kernel as a module, in QEMU, and compare what it records with perf
    Kernel {
        /// Instead, build Linux with the record written by Rust, and compare it with Linux as it is
        #[arg(long)]
        rust: bool,
        /// Also build one without each type of namespace, and one that looks for faults: half an hour more
        #[arg(long, requires = "rust")]
        all: bool,
        /// Only the one with KASAN, lockdep and kmemleak
        #[arg(long, requires = "rust", conflicts_with = "all")]
        faults: bool,
    },
    /// Run every fuzz target for a while
    Fuzz {
        /// Seconds for each
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
    /// Run what takes hours: a recorder under load, and random recordings that perf reads, too
    Soak {
        /// For how long the recorder runs
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// How many recordings are compared with perf
        #[arg(long, default_value_t = 500)]
        recordings: u64,
    },
    /// Run the Rust tests, and say how much of codec, timeline and capture they ran
    Coverage,
    /// Build the eBPF programs, for builds of nsscope with --features bpf
    Bpf,
    /// Build the book in target/book/html
    Book,
    /// Make packages in target/packages: static programs, .debs, wheels, a container image's folder, checksums
    Dist {
        /// And once more in another folder: the same sources give the same bytes
        #[arg(long)]
        twice: bool,
        /// Compile in a third of the time, without optimising programs: to test them, not to hand them out
        #[arg(long, conflicts_with = "twice")]
        fast: bool,
    },
    /// Run the program for aarch64 that cargo xtask dist has made on Debian's kernel for it, in QEMU
    Arm64,
    /// Build the npm package @nsscope/wasm in wasm/pkg
    Wasm,
    /// Measure the viewer that was built: the wasm against native code, large files in the browser
    BenchViewer,
    /// Build the viewer in www/dist, with its wasm and a fresh example, and into nsscope from now on
    Viewer,
}

fn main() -> Result<ExitCode> {
    std::env::set_current_dir(root())?;
    match Args::parse().chore {
        Chore::Test => return test::all(),
        Chore::Arm64 => apart::tell(arm64::check()?.map(|()| 1)),
        Chore::Oldest => oldest::check()?,
        Chore::Targets => targets::build_all()?,
        Chore::Bare => apart::tell(Ok(bare::check()?)),
        Chore::CortexM => apart::tell(cortex_m::check()?.map(|()| 1)),
        Chore::Kernel { rust: false, .. } => apart::tell(kernel::check()?.map(|()| 1)),
        Chore::Kernel { rust: true, all, faults } => {
            let kernels = match (all, faults) {
                (true, _) => linux::Kernels::All,
                (_, true) => linux::Kernels::Faults,
                _ => linux::Kernels::Two,
            };
            apart::tell(linux::check(kernels)?);
        }
        Chore::Fuzz { seconds } => apart::tell(fuzz::check(seconds)?),
        Chore::Soak { minutes, recordings } => test::soak(minutes, recordings)?,
        Chore::Coverage => coverage::measure()?,
        Chore::Bpf => bpf::build()?.map_err(anyhow::Error::msg)?,
        Chore::Book => println!("{}", book::build()?.display()),
        Chore::Dist { twice, fast } => {
            dist::build(fast)?.into_iter().for_each(|why| apart::tell(Err(why)));
            if twice {
                dist::again()?;
            }
        }
        Chore::Wasm => wasm::build()?,
        Chore::Viewer => viewer::make()?,
        Chore::BenchViewer => viewer::bench()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// The cargo that runs this.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// npm, in the viewer's folder.
fn npm_command() -> Command {
    let mut command = Command::new("npm");
    command.current_dir(root().join("www"));
    command
}

fn npm(args: &[&str]) -> Result<()> {
    run(npm_command().args(args))
}

/// Runs a command to its end, its output going where ours goes.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} does not run"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
