//! The best way there is here to compile for a target. Not here: what is compiled.

use crate::{cargo, setup};
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
        let found = Self::look(target)?;
        println!(
            "{target}: {}",
            match found {
                Self::Own => "this toolchain's own",
                Self::Debian => "Debian's rustc-web, with a standard library made on the spot",
            }
        );
        Ok(found)
    }

    fn look(target: &str) -> Result<Self> {
        if has_target(target)? {
            return Ok(Self::Own);
        }
        let mut add = Command::new("rustup");
        let added = add.args(["target", "add", target]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if added.is_ok_and(|status| status.success()) && has_target(target)? {
            return Ok(Self::Own);
        }
        if let Some(debian) = Self::find_debian()? {
            return Ok(debian);
        }
        let packages: Vec<_> = Self::DEBIAN_PACKAGES.iter().map(|(name, _)| *name).collect();
        bail!(
            "nothing here compiles for {target}. One of these does it:\n  rustup target add {target}\n  \
             sudo apt-get install --no-install-recommends {}",
            packages.join(" ")
        )
    }

    /// A cargo command for some targets, in a target directory of its own: two compilers would evict each other's work.
    pub(crate) fn cargo(self, command: &str, targets: &[&str], crates: &str) -> Command {
        let mut cargo = match self {
            Self::Own => cargo(),
            Self::Debian => Self::debian(),
        };
        // Nobody debugs these, nor builds them twice.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        cargo.arg(command).arg("--quiet").arg("--target-dir").arg(self.target_dir());
        for target in targets {
            cargo.args(["--target", target]);
        }
        if self == Self::Debian {
            cargo.arg(format!("-Zbuild-std={crates}"));
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
            Self::Own => Command::new(own_rustc()),
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
            Self::Debian => "target/cross-debian",
        })
    }
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

/// A linker for bare targets.
pub(crate) fn lld() -> Result<PathBuf> {
    let sysroot = Command::new(own_rustc()).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout)?.trim());
    let host = sysroot.join("lib/rustlib").join(env!("HOST")).join("bin/gcc-ld/ld.lld");
    [host, "/usr/bin/ld.lld-22".into(), "/usr/bin/ld.lld".into()]
        .into_iter()
        .find(|path| path.exists())
        .context("no lld: rustup brings one, and so does Debian's lld-22")
}
