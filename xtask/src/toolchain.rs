//! The best way there is here to compile for a target. Not here: what is compiled.

use crate::{apart, cargo, setup};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian's package has it.
pub(crate) const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// How to compile for a target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The cargo that runs us has the target.
    Own,
    /// The cargo that runs us, which builds the standard library too.
    Source,
    /// Debian's packages, which build the standard library too.
    Debian,
}

impl Toolchain {
    /// Debian's Rust, and the source of its standard library.
    pub(crate) const DEBIAN_PACKAGES: &[(&str, &str)] = &[
        ("rustc-web", "a compiler that knows every target"),
        ("cargo-web", "its cargo"),
        ("rust-web-src", "its standard library"),
        ("lld-22", "its linker"),
    ];

    /// Debian's cargo.
    pub(crate) fn debian() -> Command {
        let mut cargo = Command::new(DEBIAN_CARGO);
        cargo
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTDOC", "/usr/bin/rustdoc")
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO");
        cargo
    }

    /// Finds a way, and says in a line which.
    pub(crate) fn find(target: &str) -> Result<Self> {
        Self::look(target, Self::Own, ["target", "add", target], || has_target(target))
    }

    /// The same, of those that build the standard library too.
    pub(crate) fn find_with_source(target: &str) -> Result<Self> {
        let has_source = || Ok(sysroot()?.join("lib/rustlib/src/rust/library/std").exists());
        Self::look(target, Self::Source, ["component", "add", "rust-src"], has_source)
    }

    /// Takes the cargo that runs us, as `own`, where it has what it needs or rustup brings that; Debian's elsewhere.
    fn look(target: &str, own: Self, rustup: [&str; 3], is_there: impl Fn() -> Result<bool>) -> Result<Self> {
        let found = if is_there()? || (ask_rustup(&rustup)? && is_there()?) {
            own
        } else if let Some(debian) = Self::find_debian()? {
            debian
        } else {
            let packages: Vec<_> = Self::DEBIAN_PACKAGES.iter().map(|(name, _)| *name).collect();
            bail!(
                "nothing here compiles for {target}. One of these does it:\n  rustup {}\n  \
                 sudo apt-get install --no-install-recommends {}",
                rustup.join(" "),
                packages.join(" ")
            )
        };
        let how = match found {
            Self::Own => "this toolchain's own",
            Self::Source => "this toolchain, with a standard library made on the spot",
            Self::Debian => "Debian's rustc-web, with a standard library made on the spot",
        };
        println!("{target}: {how}");
        Ok(found)
    }

    /// A cargo command for some targets, in a target directory of its own: two compilers would evict each other's work.
    pub(crate) fn cargo(self, command: &str, targets: &[&str], crates: &str) -> Command {
        let mut cargo = match self {
            Self::Own | Self::Source => cargo(),
            Self::Debian => Self::debian(),
        };
        // Nobody debugs these, nor builds them twice.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        cargo.arg(command).arg("--quiet").arg("--target-dir").arg(self.target_dir());
        for target in targets {
            cargo.args(["--target", target]);
        }
        if self != Self::Own {
            // By which a released compiler does what is not stable: building its own library is such a thing.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg(format!("-Zbuild-std={crates}"));
        }
        cargo
    }

    /// Debian's, where it can be had.
    pub(crate) fn find_debian() -> Result<Option<Self>> {
        setup::debian_packages(Self::DEBIAN_PACKAGES)?;
        Ok((Path::new("/usr/bin/wasm-ld-22").exists() && Path::new(DEBIAN_CARGO).exists()).then_some(Self::Debian))
    }

    /// The compiler itself.
    pub(crate) fn rustc(self) -> Command {
        match self {
            Self::Own | Self::Source => Command::new(own_rustc()),
            Self::Debian => {
                let mut rustc = Command::new("/usr/bin/rustc");
                rustc.env("RUSTC_BOOTSTRAP", "1");
                rustc
            }
        }
    }

    /// Where [`cargo`](Self::cargo) puts what it builds.
    pub(crate) fn target_dir(self) -> PathBuf {
        crate::root().join(match self {
            Self::Own => "target/cross",
            Self::Source => "target/cross-std",
            Self::Debian => "target/cross-debian",
        })
    }
}

/// Has rustup bring something, in turns with other chores. Returns whether it did.
pub(crate) fn ask_rustup(args: &[&str]) -> Result<bool> {
    let _alone = apart::alone("rustup")?;
    let status = Command::new("rustup").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status.is_ok_and(|status| status.success()))
}

/// Flags of the compiler by which what it makes depends on the sources alone: no path of this machine is in it.
pub(crate) fn no_paths() -> Result<[String; 2]> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    Ok([
        format!("--remap-path-prefix={}=/nsscope", crate::root().display()),
        format!("--remap-path-prefix={home}=/cargo"),
    ])
}

/// cargo's variable for a target: its `LINKER` or `RUNNER`.
pub(crate) fn variable(target: &str, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", target.replace('-', "_").to_uppercase())
}

fn own_rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn has_target(target: &str) -> Result<bool> {
    let output = Command::new(own_rustc()).args(["--print", "target-libdir", "--target", target]).output()?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()))
}

/// Where the compiler's own libraries are.
fn sysroot() -> Result<PathBuf> {
    let output = Command::new(own_rustc()).args(["--print", "sysroot"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// A linker for bare targets.
pub(crate) fn lld() -> Result<PathBuf> {
    let host = sysroot()?.join("lib/rustlib").join(env!("HOST")).join("bin/gcc-ld/ld.lld");
    [host, "/usr/bin/ld.lld-22".into(), "/usr/bin/ld.lld".into()]
        .into_iter()
        .find(|path| path.exists())
        .context("no lld: rustup brings one, and so does Debian's lld-22")
}
