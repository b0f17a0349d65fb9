//! Packages: a static program, a .deb, the folder of a container image, with what is in them and their checksums. Not here:
//! whether they work, which `tests/tests/packages.rs` shows.

use crate::toolchain::no_paths;
use crate::{bpf, cargo, root, run, sbom};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Makes all packages in `target/packages`. Returns what had to be left out, and why.
pub(crate) fn build() -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let out = root().join("target/packages");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    let version = env!("CARGO_PKG_VERSION");
    let programs = match bpf::build()? {
        Ok(()) => "parquet,bpf",
        Err(why) => {
            left_out.push(why);
            "parquet"
        }
    };
    let [root_path, cargo_path] = no_paths()?;
    let flags = [
        root_path,
        cargo_path,
        "-Ctarget-feature=+crt-static".into(),
        // The system call itself: a static program finds no getrandom() in a libc, and a bare root has no /dev/urandom.
        "--cfg=getrandom_backend=\"linux_getrandom\"".into(),
    ];
    run(cargo()
        .args(["build", "--quiet", "--locked", "--profile=dist", "-p", "nsscope", "--target", TARGET])
        .args(["--features", programs])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = out.join("nsscope");
    fs::copy(target.join(TARGET).join("dist/nsscope"), &program)?;
    run(Command::new("strip").arg(&program))?;

    let name = format!("nsscope-{version}-x86_64-linux");
    tarball(&out, &name, &program)?;
    deb(&out, version, &program)?;
    let image = out.join("image");
    fs::create_dir(&image)?;
    fs::copy(&program, image.join("nsscope"))?;
    fs::copy(root().join("packaging/Dockerfile"), image.join("Dockerfile"))?;
    sbom::write(programs, TARGET, &out.join(format!("{name}.cdx.json")))?;
    checksums(&out)?;
    println!("packages: {}", out.display());
    Ok(left_out)
}

/// The program's own pages and completions, below a directory.
fn extras(program: &Path, man: &Path, completions: &[(&str, PathBuf)]) -> Result<()> {
    fs::create_dir_all(man)?;
    run(Command::new(program).arg("man").arg(man))?;
    for (shell, file) in completions {
        fs::create_dir_all(file.parent().context("a directory")?)?;
        let output = Command::new(program).args(["completions", shell]).output()?;
        if !output.status.success() {
            bail!("completions {shell}: {}", output.status);
        }
        fs::write(file, output.stdout)?;
    }
    Ok(())
}

fn tarball(out: &Path, name: &str, program: &Path) -> Result<()> {
    let dir = out.join(name);
    fs::create_dir_all(&dir)?;
    fs::copy(program, dir.join("nsscope"))?;
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "packaging/nsscope-recorder.service"] {
        let from = root().join(file);
        fs::copy(&from, dir.join(from.file_name().context("a name")?))?;
    }
    let completions = dir.join("completions");
    let shells = [
        ("bash", completions.join("nsscope")),
        ("zsh", completions.join("_nsscope")),
        ("fish", completions.join("nsscope.fish")),
    ];
    extras(program, &dir.join("man"), &shells)?;
    // The same files give the same bytes: no names of users, no times, one order.
    run(Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-I", "gzip -n", "-cf"])
        .arg(out.join(format!("{name}.tar.gz")))
        .args(["-C".as_ref(), out.as_os_str()])
        .arg(name))?;
    Ok(fs::remove_dir_all(dir)?)
}

fn deb(out: &Path, version: &str, program: &Path) -> Result<()> {
    let tree = out.join("deb");
    let usr = tree.join("usr");
    for dir in ["bin", "share/doc/nsscope", "lib/systemd/system"] {
        fs::create_dir_all(usr.join(dir))?;
    }
    fs::copy(program, usr.join("bin/nsscope"))?;
    fs::copy(
        root().join("packaging/nsscope-recorder.service"),
        usr.join("lib/systemd/system/nsscope-recorder.service"),
    )?;
    fs::copy(root().join("LICENSE-MIT"), usr.join("share/doc/nsscope/copyright"))?;
    let shells = [
        ("bash", usr.join("share/bash-completion/completions/nsscope")),
        ("zsh", usr.join("share/zsh/vendor-completions/_nsscope")),
        ("fish", usr.join("share/fish/vendor_completions.d/nsscope.fish")),
    ];
    let man = usr.join("share/man/man1");
    extras(program, &man, &shells)?;
    for page in fs::read_dir(&man)? {
        run(Command::new("gzip").args(["-n", "-9"]).arg(page?.path()))?;
    }
    fs::create_dir(tree.join("DEBIAN"))?;
    let control = format!(
        "Package: nsscope\nVersion: {version}\nArchitecture: amd64\nSection: admin\nPriority: optional\n\
         Maintainer: nsscope <maintainers@nsscope.invalid>\nDescription: see what containers do, from the kernel's own records\n \
         Records which namespaces and cgroups the tasks of a machine are in, and tells which\n \
         containers did what, when, and who waited for whom.\n"
    );
    fs::write(tree.join("DEBIAN/control"), control)?;
    readable(&tree)?;
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(out.join(format!("nsscope_{version}_amd64.deb")))
        .env("SOURCE_DATE_EPOCH", "0"))?;
    Ok(fs::remove_dir_all(tree)?)
}

/// Lets everybody read what is packed, whatever this user's umask is.
fn readable(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            readable(&path)?;
        } else {
            let program = path.ends_with("usr/bin/nsscope");
            fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}

fn checksums(out: &Path) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(out)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    let names = files.iter().filter_map(|path| path.file_name());
    let output = Command::new("sha256sum").args(names).current_dir(out).output().context("sha256sum")?;
    Ok(fs::write(out.join("SHA256SUMS"), output.stdout)?)
}
