//! Builds the eBPF programs of the CLI, and puts them where the build of `nsscope` takes them from. Not here: what the
//! programs do.

use crate::toolchain::{DEBIAN_CARGO, Toolchain};
use crate::{root, run, setup, tools};
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";

/// What links eBPF programs, and is built against LLVM.
const LINKER: &str = "bpf-linker";
/// That of Debian's rustc-web.
const LLVM: &str = "/usr/lib/llvm-22";
const DEBIAN: &[(&str, &str)] = &[
    ("llvm-22-dev", "what bpf-linker is built against"),
    ("libpolly-22-dev", "a part of it"),
    ("libzstd-dev", "a library it links"),
    ("zlib1g-dev", "a library it links"),
    ("libxml2-dev", "a library it links"),
];

/// Builds `capture/bpf/object`; or says why it cannot.
pub(crate) fn build() -> Result<std::result::Result<(), String>> {
    let Some((mut cargo, linker, target)) = command()? else {
        return Ok(Err(format!(
            "the eBPF programs: nothing here compiles them. One of these does it:\n  \
             Debian:    sudo apt-get install --no-install-recommends {}\n  \
             elsewhere: rustup toolchain install nightly --component rust-src && cargo install {LINKER}",
            Toolchain::DEBIAN_PACKAGES.iter().chain(DEBIAN).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
        )));
    };
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        // The programs' types are part of them: the kernel wants to know what its tracepoints are given.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // The types say where they are from; not on which machine that was.
        format!("--remap-path-prefix={}=/nsscope", root().display()),
        format!("-Clinker={}", linker.display()),
    ];
    run(cargo
        .args(["build", "--quiet", "--locked", "--release", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .current_dir(root().join("capture/bpf")))?;
    let scratch = tempfile::tempdir_in(&target)?;
    let object = scratch.path().join("nsscope-bpf");
    fs::copy(target.join(TARGET).join("release/nsscope-bpf"), &object)?;
    // What the kernel wants to know of types is in the BTF; the DWARF that it was made of is four times the rest.
    if let Some(mut strip) = llvm("strip") {
        run(strip.arg("--strip-debug").arg(&object))?;
    }
    rename(&object)?;
    let bytes = fs::read(&object)?;
    println!("eBPF programs: {} bytes", bytes.len());
    // Others may build nsscope meanwhile: what is the same is left alone, and what is not is there as a whole.
    let kept = root().join("capture/bpf/object/nsscope-bpf");
    if !fs::read(&kept).is_ok_and(|known| known == bytes) {
        fs::rename(object, kept)?;
    }
    Ok(Ok(()))
}

/// Numbers the functions that have a mangled name. There is a hash in it of the folder that this was built in: without,
/// the object is made of the sources alone.
fn rename(object: &Path) -> Result<()> {
    let (Some(mut nm), Some(mut objcopy)) = (llvm("nm"), llvm("objcopy")) else { return Ok(()) };
    let output = nm.args(["--no-sort", "--just-symbol-name"]).arg(object).output()?;
    ensure!(output.status.success(), "{nm:?}: {}", String::from_utf8_lossy(&output.stderr));
    let symbols = String::from_utf8(output.stdout)?;
    for (number, symbol) in symbols.lines().filter(|symbol| symbol.starts_with("_R")).enumerate() {
        objcopy.arg(format!("--redefine-sym={symbol}=function_{number}"));
    }
    run(objcopy.arg(object))
}

/// One of LLVM's programs, where it is installed.
fn llvm(name: &str) -> Option<Command> {
    let programs = [format!("{LLVM}/bin/llvm-{name}"), format!("llvm-{name}")];
    programs.into_iter().find(|program| tools::exists(program)).map(Command::new)
}

/// A cargo that knows how to build for eBPF, the linker, and a target directory.
fn command() -> Result<Option<(Command, PathBuf, PathBuf)>> {
    setup::debian_packages(Toolchain::DEBIAN_PACKAGES)?;
    setup::debian_packages(DEBIAN)?;
    if Path::new(DEBIAN_CARGO).exists() && Path::new(LLVM).exists() {
        println!("{TARGET}: Debian's rustc-web and LLVM");
        let mut cargo = Toolchain::debian();
        cargo.env("RUSTFLAGS", format!("-L native={LLVM}/lib")).env("LLVM_SYS_221_PREFIX", LLVM);
        let options = ["--version=^0.13", "--no-default-features", "--features=llvm-22"];
        let linker = tools::install_by(LINKER, LINKER, cargo, &options)?;
        return Ok(Some((Toolchain::debian(), linker, root().join("target/bpf-debian"))));
    }
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    let sysroot = nightly.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let sysroot = sysroot.map(|sysroot| PathBuf::from(String::from_utf8_lossy(&sysroot).trim()));
    let source = sysroot.is_some_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core").exists());
    if !source || !tools::exists(LINKER) {
        return Ok(None);
    }
    println!("{TARGET}: rustup's nightly");
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo"]).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    Ok(Some((cargo, LINKER.into(), root().join("target/bpf"))))
}
