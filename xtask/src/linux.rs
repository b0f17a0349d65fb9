//! Linux with `PERF_RECORD_NAMESPACES` in Rust: its sources changed by a rule, and built. Not here: the rule, and what
//! is asked of the kernel that comes of it.

mod handover;
mod scene;

use crate::toolchain::Toolchain;
use crate::{cargo, programs, root, run, setup, tools};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const PACKAGES: &[(&str, &str)] = &[
    (SOURCE, "the kernel's source"),
    ("make", "builds it"),
    ("flex", "reads its configuration"),
    ("bison", "reads its configuration"),
    ("bc", "computes its constants"),
    ("libelf-dev", "its object tools"),
    ("libssl-dev", "its certificates"),
    ("xz-utils", "unpacks it"),
    ("clang-22", "compiles its C"),
    ("dwarves", "its types, for eBPF"),
    ("llvm-22", "its binary tools"),
    ("libclang-22-dev", "reads its headers for Rust"),
    ("linux-perf", "records in it"),
    ("qemu-system-x86", "runs a kernel"),
    ("busybox-static", "what else is in its file system"),
    ("cpio", "packs that"),
];
const SOURCE: &str = "linux-source-6.12";
const LLVM: &str = "-22";
/// The driver in `codec/examples/rust-for-linux`.
const DRIVER: &str = "nsscope_rust.ko";

/// Crates that zerocopy's macros are made of; cargo has their sources already.
const CRATES: [&str; 6] = ["zerocopy", "zerocopy-derive", "syn", "quote", "proc-macro2", "unicode-ident"];

/// How a kernel is configured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// The record as Linux writes it.
    C,
    /// As we do.
    Rust,
    /// The same, in a kernel without one type of namespace.
    Without(&'static str),
    /// The same, in a kernel that looks for faults of its own.
    Debug,
}

impl Variant {
    fn name(self) -> String {
        match self {
            Self::C => "c".into(),
            Self::Rust => "rust".into(),
            Self::Without(option) => format!("rust-without-{option}"),
            Self::Debug => "rust-debug".into(),
        }
    }

    fn config(self) -> Result<String> {
        let file = |name: &str| fs::read_to_string(root().join("kernel").join(name));
        let mut config = file("config")?;
        match self {
            Self::C => return Ok(config),
            Self::Rust => config.push_str("CONFIG_NSSCOPE_RUST=m\n"),
            Self::Without(option) => {
                let line = format!("CONFIG_{option}=y\n");
                ensure!(config.contains(&line), "kernel/config has no {option}");
                // What is named after it goes with it: CGROUP_PERF is nothing without CGROUPS.
                let parts = format!("CONFIG_{}_", option.trim_end_matches('S'));
                let kept = config.split_inclusive('\n').filter(|other| *other != line && !other.starts_with(&parts));
                config = kept.collect();
            }
            Self::Debug => config.push_str(&file("config.debug")?),
        }
        config.push_str("CONFIG_PERF_NAMESPACES_RUST=y\n");
        Ok(config)
    }
}

/// A kernel that was built.
struct Built {
    image: PathBuf,
    /// The module of the driver's, if it was built.
    driver: PathBuf,
    /// How `perf_event_namespaces()` begins, disassembled.
    begins: String,
    /// Bytes of code of `kernel/events/core.c`, and of what Rust adds.
    text: u64,
}

/// Which kernels are built and asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// C and Rust: those that take the least.
    Two,
    /// Also one without each type, and the one that looks for faults.
    All,
    /// The one that looks for faults alone.
    Faults,
}

/// Builds the kernels and holds one to the other. Returns how many checks passed, or says why it cannot.
pub(crate) fn check(kernels: Kernels) -> Result<std::result::Result<u64, String>> {
    setup::debian_packages(PACKAGES)?;
    if Toolchain::find_debian()?.is_none() || !Path::new("/usr/bin/clang-22").exists() {
        return Ok(Err("Linux in Rust: Debian's rustc-web and clang-22 are not installed".into()));
    }
    let Ok(archive) = fs::canonicalize(format!("/usr/src/{SOURCE}.tar.xz")) else {
        return Ok(Err(format!("Linux in Rust: Debian's {SOURCE} is not installed")));
    };
    let tree = Tree::new(&archive)?;
    programs::build()?;
    scene::check(&tree, kernels).map(Ok)
}

/// A kernel's source, changed, and what was built of it. It outlives the work tree: it takes minutes to make.
struct Tree {
    dir: PathBuf,
    bindgen: PathBuf,
    /// Of all that goes into a build but the configuration.
    hash: u64,
}

impl Tree {
    /// Unpacks the sources where they are not yet, and changes them.
    fn new(archive: &Path) -> Result<Self> {
        let bindgen = tools::install_as("bindgen", "bindgen-cli")?;
        let version = Command::new("dpkg-query").args(["-W", "-f=${Version}", SOURCE]).output()?.stdout;
        let version = String::from_utf8(version)?;
        let dir = tools::cache().join(format!("linux-{version}"));
        let source = dir.join("source");
        if !source.exists() {
            println!("Linux {version}: unpacked in {}", dir.display());
            fs::create_dir_all(&dir)?;
            let half = tempfile::tempdir_in(&dir)?;
            run(Command::new("tar").arg("-xf").arg(archive).arg("--strip-components=1").current_dir(half.path()))?;
            fs::rename(half.path(), &source)?;
        }
        handover::apply(&source)?;
        let ours = source.join("kernel/events/nsscope");
        let mut hasher = DefaultHasher::new();
        for name in [
            "Kconfig",
            "Makefile",
            "perf_namespaces.h",
            "bindings.h",
            "shim.h",
            "perf_namespaces.rs",
            "event.rs",
            "namespace.rs",
            "task.rs",
        ] {
            copy(&root().join("kernel").join(name), &ours.join(name), &mut hasher)?;
        }
        let driver = "nsscope_rust.rs";
        copy(&root().join("codec/examples/rust-for-linux").join(driver), &ours.join(driver), &mut hasher)?;
        copy(&root().join("codec/src"), &ours.join("codec"), &mut hasher)?;
        copy(&root().join("codec/USING.md"), &ours.join("USING.md"), &mut hasher)?;
        for (name, path) in sources()? {
            copy(&path.join("src"), &ours.join("vendor").join(&name).join("src"), &mut hasher)?;
        }
        for how in ["linux.rs", "linux/handover.rs"] {
            fs::read(root().join("xtask/src").join(how))?.hash(&mut hasher);
        }
        Ok(Self { dir, bindgen, hash: hasher.finish() })
    }

    /// Where a kernel is kept that was built of these sources.
    fn kept(&self, variant: Variant) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (self.hash, variant.config()?).hash(&mut hasher);
        Ok(self.dir.join("built").join(variant.name()).join(format!("{:016x}", hasher.finish())))
    }

    /// A kernel, from the cache where it was built of the same.
    fn build(&self, variant: Variant) -> Result<Built> {
        let (kept, name) = (self.kept(variant)?, variant.name());
        if !kept.exists() {
            let config = variant.config()?;
            let begun = Instant::now();
            // A configuration that turns much around has a folder of its own.
            let build = self.dir.join(if variant == Variant::Debug { "debug" } else { "build" });
            // A make that was killed leaves halves of files that the next one trips over.
            let whole = build.join("whole");
            if build.exists() && !whole.exists() {
                println!("Linux, {name}: a build was interrupted: begun again");
                fs::remove_dir_all(&build)?;
            }
            fs::create_dir_all(&build)?;
            let _ = fs::remove_file(&whole);
            let asked = build.join("asked");
            fs::write(&asked, &config)?;
            let allconfig = format!("KCONFIG_ALLCONFIG={}", asked.display());
            self.make(&build, &[&allconfig, "allnoconfig"])?;
            let got = fs::read_to_string(build.join(".config"))?;
            for line in config.lines().filter(|line| line.starts_with("CONFIG_")) {
                ensure!(got.contains(&format!("{line}\n")), "{name}: the kernel's configuration does not keep {line}");
            }
            let made = self.make(&build, if variant == Variant::Rust { &["bzImage", "modules"] } else { &["bzImage"] });
            fs::write(&whole, "")?;
            made?;
            let half = tempfile::tempdir_in(&self.dir)?;
            fs::copy(build.join("arch/x86/boot/bzImage"), half.path().join("bzImage"))?;
            if variant == Variant::Rust {
                fs::copy(build.join("kernel/events/nsscope").join(DRIVER), half.path().join(DRIVER))?;
            }
            let events = build.join("kernel/events");
            let objects = ["core.o", "nsscope/perf_namespaces.o"].map(|object| events.join(object));
            let objects: Vec<_> =
                objects.into_iter().filter(|object| variant != Variant::C || object.ends_with("core.o")).collect();
            for (file, tool, args, objects) in [
                (
                    "begins",
                    "objdump",
                    &["-d", "--disassemble-symbols=perf_event_namespaces", "--no-show-raw-insn"][..],
                    vec![build.join("vmlinux")],
                ),
                ("sizes", "size", &[], objects),
            ] {
                let output = Command::new(format!("llvm-{tool}{LLVM}")).args(args).args(objects).output()?;
                fs::write(half.path().join(file), output.stdout)?;
            }
            // What was built of other sources is not asked for again.
            let _ = fs::remove_dir_all(kept.parent().context("a folder")?);
            fs::create_dir_all(kept.parent().context("a folder")?)?;
            fs::rename(half.path(), &kept)?;
            println!("Linux, {name}: built in {:.0} s", begun.elapsed().as_secs_f64());
        }
        let sizes = fs::read_to_string(kept.join("sizes"))?;
        let text = sizes.lines().skip(1).map(|line| line.split_whitespace().next().unwrap_or("").parse::<u64>());
        Ok(Built {
            image: kept.join("bzImage"),
            driver: kept.join(DRIVER),
            begins: fs::read_to_string(kept.join("begins"))?,
            text: text.sum::<std::result::Result<u64, _>>().context("the sizes of the objects")?,
        })
    }

    fn make(&self, build: &Path, targets: &[&str]) -> Result<()> {
        let mut make = Command::new("make");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        make.arg("-s").arg(format!("-j{cores}")).arg("-C").arg(self.dir.join("source"));
        make.arg(format!("O={}", build.display())).arg(format!("LLVM={LLVM}"));
        make.args(["RUSTC=/usr/bin/rustc", "RUSTDOC=/usr/bin/rustdoc", "HOSTRUSTC=/usr/bin/rustc"]);
        make.arg(format!("RUST_LIB_SRC={}", library()?.display())).arg(format!("BINDGEN={}", self.bindgen.display()));
        // The same sources make the same bytes.
        make.args(["KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=nsscope", "KBUILD_BUILD_HOST=nsscope"]);
        make.env("LIBCLANG_PATH", format!("/usr/lib/llvm{LLVM}/lib")).env_remove("RUSTUP_TOOLCHAIN");
        let output = make.args(targets).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "make {}: {}\n{said}", targets.join(" "), output.status);
        ensure!(!said.contains("nsscope/") || !said.contains("warning"), "our part of the kernel warns:\n{said}");
        Ok(())
    }
}

/// The standard library's source that belongs to Debian's compiler.
fn library() -> Result<PathBuf> {
    let found = fs::read_dir("/usr/src")?.flatten().map(|entry| entry.path());
    let newest = found.filter(|path| path.to_string_lossy().contains("/rustc-")).max();
    Ok(newest.context("the source of Rust's standard library")?.join("library"))
}

/// Where cargo has the sources of the crates, of the versions that the lock file names.
fn sources() -> Result<Vec<(String, PathBuf)>> {
    let output = cargo().args(["metadata", "--format-version=1", "--locked"]).stderr(Stdio::inherit()).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let one = |name: &str| {
        // Of syn there are several; the macros want 2.
        let is = |package: &&Value| {
            package["name"] == *name
                && (name != "syn" || package["version"].as_str().is_some_and(|v| v.starts_with("2.")))
        };
        let manifest = packages.iter().find(is).and_then(|package| package["manifest_path"].as_str());
        let manifest = manifest.with_context(|| format!("{name} is not among the crates"))?;
        Ok((name.to_owned(), Path::new(manifest).parent().context("a folder")?.to_owned()))
    };
    CRATES.iter().map(|name| one(name)).collect()
}

/// Copies what differs, so that what does not is not built again.
fn copy(from: &Path, to: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        let mut names: Vec<_> = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        names.sort();
        return names.iter().try_for_each(|name| copy(&from.join(name), &to.join(name), hasher));
    }
    let bytes = fs::read(from).with_context(|| format!("{}", from.display()))?;
    bytes.hash(hasher);
    if fs::read(to).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::write(to, &bytes)?;
    }
    Ok(())
}
