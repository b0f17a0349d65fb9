//! The codec as a kernel builds it: a bare compiler, a kernel's flags, and no way to panic. Not here: how the emulated
//! machines run.

use crate::toolchain::{self, Toolchain};
use crate::{root, run};
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a kernel asks of its compiler; the target has soft floats and no SSE by itself.
const KERNEL_FLAGS: [&str; 4] = ["-Cpanic=abort", "-Ccode-model=kernel", "-Crelocation-model=static", "-Cno-redzone=y"];
/// Functions of `no_panic.rs` by what they do.
const GROUPS: [(&str, &[&str]); 4] = [
    ("decode", &["decode_little", "decode_big"]),
    ("NAMESPACES decode", &["decode_namespaces"]),
    ("NAMESPACES encode", &["encode_namespaces"]),
    ("NAMESPACES emit", &["emit_namespaces", "account_event"]),
];
/// What the three on NAMESPACES may take together on a Cortex-M4, in bytes.
const NAMESPACES_LIMIT: u64 = 2048;

/// A target's compiler and the crates it needs.
struct Bare {
    toolchain: Toolchain,
    target: &'static str,
    flags: &'static [&'static str],
    crates: Vec<(String, PathBuf)>,
    deps: PathBuf,
    out: PathBuf,
}

/// Compiles and links; prints the sizes. Returns how many checks passed.
pub(crate) fn check() -> Result<u64> {
    let mut passed = 0;
    for (target, flags) in [("x86_64-unknown-none", &KERNEL_FLAGS[..]), ("thumbv7em-none-eabihf", &["-Cpanic=abort"])] {
        let bare = Bare::new(target, flags)?;
        for level in ["2", "s"] {
            let library = bare.codec(level)?;
            let archive = bare.no_panic(level, &library)?;
            let all: Vec<&str> = GROUPS.iter().flat_map(|(_, functions)| *functions).copied().collect();
            bare.link(&archive, &all)?.map_err(|undefined| anyhow::anyhow!("a panic survives:\n{undefined}"))?;
            // The proof is worth something only if it can fail.
            let Err(undefined) = bare.link(&archive, &["panics"])? else {
                bail!("the linker did not notice a function that panics");
            };
            if !undefined.contains("a_panic_survives") {
                bail!("the linker failed for another reason:\n{undefined}");
            }
            let sizes = GROUPS.iter().map(|(group, functions)| {
                let linked = bare.link(&archive, functions)?.map_err(anyhow::Error::msg)?;
                Ok(format!("{group} {}", text_size(&linked)?))
            });
            let sizes = sizes.collect::<Result<Vec<_>>>()?.join(", ");
            println!("{target}, opt-level {level}: no panic; .text in bytes: {sizes}");
            passed += 1;
            if target.starts_with("x86_64") && level == "2" {
                let code =
                    first_bytes(&bare.link(&archive, GROUPS[3].1)?.map_err(anyhow::Error::msg)?, GROUPS[3].1[0])?;
                // mov eax, [rip + count]; test eax, eax; je: one load and one branch that is not taken otherwise.
                let ([0x8b, 0x05, _, _, _, _, 0x85, 0xc0, 0x74, ..] | [0x8b, 0x05, _, _, _, _, 0x85, 0xc0, 0x0f, 0x84]) =
                    code
                else {
                    bail!("with nobody interested, emit does more than load and branch: {code:02x?}");
                };
                println!("emit with nobody interested: {code:02x?}, a load and a branch");
                passed += 1;
            }
            if target.starts_with("thumb") && level == "s" {
                // Linked together: what they share, and the copying they call, is there once.
                let functions: Vec<&str> = GROUPS[1..].iter().flat_map(|(_, functions)| *functions).copied().collect();
                let together = text_size(&bare.link(&archive, &functions)?.map_err(anyhow::Error::msg)?)?;
                println!("NAMESPACES decode, encode and emit: {together} of {NAMESPACES_LIMIT} bytes");
                if together > NAMESPACES_LIMIT {
                    bail!("NAMESPACES takes {together} bytes, more than {NAMESPACES_LIMIT}");
                }
                passed += 1;
            }
        }
    }
    Ok(passed)
}

impl Bare {
    /// Lets cargo build the dependencies, and notes where they are.
    fn new(target: &'static str, flags: &'static [&'static str]) -> Result<Self> {
        let toolchain = Toolchain::find(target)?;
        let mut cargo = toolchain.cargo("build", &[target], "core");
        cargo.args(["--package", "nsscope-codec", "--profile=dist", "--message-format=json"]);
        let output = cargo.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{cargo:?}: {}", output.status);
        }
        let mut crates = Vec::new();
        for line in output.stdout.split(|&byte| byte == b'\n') {
            let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
            let Some(name) = message["target"]["name"].as_str() else { continue };
            let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let library = files.map(PathBuf::from).find(|file| file.extension().is_some_and(|ending| ending == "rlib"));
            crates.extend(library.map(|library| (name.to_owned(), library)));
        }
        let deps = toolchain.target_dir().join("dist/deps");
        let out = root().join("target/bare").join(target);
        fs::create_dir_all(&out)?;
        Ok(Self { toolchain, target, flags, crates, deps, out })
    }

    fn rustc(&self, level: &str) -> Command {
        let mut rustc = self.toolchain.rustc();
        rustc.args(["--edition=2021", "--target", self.target, &format!("-Copt-level={level}")]).args(self.flags);
        rustc.arg("-L").arg(format!("dependency={}", self.deps.display()));
        if self.toolchain == Toolchain::Debian {
            rustc.arg("-Zunstable-options");
        }
        for (name, path) in &self.crates {
            match name.as_str() {
                "zerocopy" => rustc.arg("--extern").arg(format!("zerocopy={}", path.display())),
                "core" | "compiler_builtins" => {
                    rustc.arg("--extern").arg(format!("noprelude:{name}={}", path.display()))
                }
                _ => continue,
            };
            rustc.arg("-L").arg(format!("dependency={}", path.parent().unwrap_or(Path::new("/")).display()));
        }
        rustc
    }

    /// The codec by the compiler alone: no cargo, no build script.
    fn codec(&self, level: &str) -> Result<PathBuf> {
        let library = self.out.join(format!("libnsscope_codec-{level}.rlib"));
        let source = root().join("codec/src/lib.rs");
        run(self
            .rustc(level)
            .args(["--crate-name=nsscope_codec", "--crate-type=rlib", "-o"])
            .arg(&library)
            .arg(source))?;
        Ok(library)
    }

    fn no_panic(&self, level: &str, codec: &Path) -> Result<PathBuf> {
        let archive = self.out.join(format!("libno_panic-{level}.a"));
        run(self
            .rustc(level)
            .args(["--crate-name=no_panic", "--crate-type=staticlib", "-o"])
            .arg(&archive)
            .arg("--extern")
            .arg(format!("nsscope_codec={}", codec.display()))
            .arg(root().join("xtask/src/bare/no_panic.rs")))?;
        Ok(archive)
    }

    /// Links the functions and what they need, and nothing else; or says what the linker says.
    fn link(&self, archive: &Path, functions: &[&str]) -> Result<std::result::Result<PathBuf, String>> {
        let linked = self.out.join("linked");
        let mut lld = Command::new(toolchain::lld()?);
        lld.args(["--gc-sections", "-static", "-e", functions.first().context("a function")?, "-o"]).arg(&linked);
        for function in functions {
            lld.args(["-u", function]);
        }
        let output = lld.arg(archive).output()?;
        Ok(if output.status.success() { Ok(linked) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) })
    }
}

/// How a function begins.
fn first_bytes(elf: &Path, function: &str) -> Result<[u8; 10]> {
    let bytes = fs::read(elf)?;
    let file = object::File::parse(&*bytes)?;
    let symbol = file.symbol_by_name(function).with_context(|| format!("no symbol {function}"))?;
    let section = file.section_by_index(symbol.section_index().context("a section")?)?;
    let code = section.data_range(symbol.address(), 10)?.context("ten bytes of code")?;
    Ok(code.try_into()?)
}

fn text_size(elf: &Path) -> Result<u64> {
    let bytes = fs::read(elf)?;
    let file = object::File::parse(&*bytes)?;
    let code = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    Ok(code.map(|section| section.size()).sum())
}
