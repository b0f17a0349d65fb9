//! Packages for each kind of machine: a static program, a .deb, a wheel, the folder of a container image, with what is in
//! them and their checksums. Not here: whether they work, which `tests/tests/packages.rs` shows.

use crate::toolchain::{Toolchain, no_paths, variable};
use crate::{bpf, cargo, root, run, sbom, setup, tools, viewer};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of machine that there are packages for.
struct Machine {
    /// As uname(1) calls it.
    name: &'static str,
    /// As Debian and container images call it.
    arch: &'static str,
    target: &'static str,
    linker: &'static str,
    /// What calls the linker where rustc does not ask it for a static program that runs at any address.
    wrapper: Option<&'static str>,
    /// What compiles for it elsewhere.
    cross: &'static [(&'static str, &'static str)],
}

const MACHINES: [Machine; 2] = [
    Machine {
        name: "x86_64",
        arch: "amd64",
        target: "x86_64-unknown-linux-gnu",
        linker: "x86_64-linux-gnu-gcc",
        wrapper: None,
        cross: &[
            ("gcc-x86-64-linux-gnu", "links the packages' program for x86_64"),
            ("libc6-dev-amd64-cross", "its C library"),
        ],
    },
    Machine {
        name: "aarch64",
        arch: "arm64",
        target: "aarch64-unknown-linux-gnu",
        linker: "aarch64-linux-gnu-gcc",
        wrapper: Some("packaging/aarch64-static-pie-gcc"),
        cross: &[
            ("gcc-aarch64-linux-gnu", "links the packages' program for aarch64"),
            ("libc6-dev-arm64-cross", "its C library"),
        ],
    },
];

impl Machine {
    fn is_this(&self) -> bool {
        self.target == env!("HOST")
    }

    /// Compiles the program with these features, or says why it cannot.
    fn compile(&self, features: &str, fast: bool) -> Result<Result<PathBuf, String>> {
        if !self.is_this() {
            setup::debian_packages(self.cross)?;
            if !tools::exists(self.linker) {
                return Ok(Err(format!("packages for {}: {} is not installed", self.name, self.linker)));
            }
        }
        let toolchain = Toolchain::find(self.target)?;
        let [root_path, cargo_path] = no_paths()?;
        let flags = [
            root_path,
            cargo_path,
            "-Ctarget-feature=+crt-static".into(),
            "-Cstrip=symbols".into(),
            // The system call itself: a static program finds no getrandom() in a libc, and a bare root has no /dev/urandom.
            "--cfg=getrandom_backend=\"linux_getrandom\"".into(),
        ];
        let mut cargo = toolchain.cargo("build", &[self.target], "std,panic_abort");
        cargo
            .args(["--locked", "--profile=dist", "-p", "nsscope", "--features", features])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        if fast {
            for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0"), ("DEBUG", "0")] {
                cargo.env(format!("CARGO_PROFILE_DIST_{setting}"), value);
            }
        }
        if let Some(wrapper) = self.wrapper {
            cargo.env(variable(self.target, "LINKER"), root().join(wrapper));
        } else if !self.is_this() {
            cargo.env(variable(self.target, "LINKER"), self.linker);
        }
        run(&mut cargo)?;
        Ok(Ok(toolchain.target_dir().join(self.target).join("dist/nsscope")))
    }
}

/// Makes all packages in `target/packages`. Returns what had to be left out, and why. Programs that are compiled `fast` are
/// not optimised.
pub(crate) fn build(fast: bool) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let out = root().join("target/packages");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let image = out.join("image");
    fs::create_dir_all(&image)?;
    fs::copy(root().join("packaging/Dockerfile"), image.join("Dockerfile"))?;
    if !viewer::is_within() {
        if tools::exists("npm") {
            viewer::make()?;
        } else {
            left_out.push("the viewer in the packages: npm is not installed".into());
        }
    }
    let features = match bpf::build()? {
        Ok(()) => "parquet,remote,bpf",
        Err(why) => {
            left_out.push(why);
            "parquet,remote"
        }
    };
    let mut built = Vec::new();
    for machine in &MACHINES {
        match machine.compile(features, fast)? {
            Ok(program) => {
                let packed = image.join(format!("nsscope-{}", machine.arch));
                fs::copy(program, &packed)?;
                built.push((machine, packed));
            }
            Err(why) => left_out.push(why),
        }
    }
    let (_, here) = built.iter().find(|(machine, _)| machine.is_this()).context("this machine has no packages")?;
    let pages = out.join("pages");
    extras(here, &pages)?;
    setup::debian_packages(&[("python3", "packs the wheel")])?;
    for (machine, program) in &built {
        run(Command::new("python3")
            .arg(root().join("packaging/wheel.py"))
            .arg(program)
            .args([machine.name, env!("CARGO_PKG_VERSION")])
            .arg(&out))?;
        let name = format!("nsscope-{}-{}-linux", env!("CARGO_PKG_VERSION"), machine.name);
        tarball(&out, &name, program, &pages)?;
        deb(&out, machine.arch, program, &pages)?;
        sbom::write(features, machine.target, &out.join(format!("{name}.cdx.json")))?;
    }
    fs::remove_dir_all(pages)?;
    checksums(&out)?;
    println!("packages: {}", out.display());
    Ok(left_out)
}

/// Makes the packages of a copy of the sources in another folder, and fails where one is not what [`build`] made.
pub(crate) fn again() -> Result<()> {
    let sums = |root: &Path| fs::read_to_string(root.join("target/packages/SHA256SUMS"));
    let first = sums(root())?;
    let copy = tempfile::tempdir()?;
    let all = "git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference -t";
    run(Command::new("sh").args(["-c", &format!("{all} \"$0\"")]).arg(copy.path()).current_dir(root()))?;
    run(cargo().args(["xtask", "dist"]).current_dir(copy.path()))?;
    let second = sums(copy.path())?;
    let other: Vec<_> = second.lines().filter(|line| !first.lines().any(|known| known == *line)).collect();
    ensure!(first == second, "in another folder these are other bytes:\n{}", other.join("\n"));
    println!("packages: in another folder they are the same {} files", first.lines().count());
    Ok(())
}

/// The completions by shell, and where Debian has them.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "nsscope", "share/bash-completion/completions"),
    ("zsh", "_nsscope", "share/zsh/vendor-completions"),
    ("fish", "nsscope.fish", "share/fish/vendor_completions.d"),
];

/// The program's own pages, in `man`, and completions, in `completions`. A program says the same on every machine.
fn extras(program: &Path, out: &Path) -> Result<()> {
    for dir in ["man", "completions"] {
        fs::create_dir_all(out.join(dir))?;
    }
    run(Command::new(program).arg("man").arg(out.join("man")))?;
    for (shell, file, _) in SHELLS {
        let output = Command::new(program).args(["completions", shell]).output()?;
        if !output.status.success() {
            bail!("completions {shell}: {}", output.status);
        }
        fs::write(out.join("completions").join(file), output.stdout)?;
    }
    Ok(())
}

fn tarball(out: &Path, name: &str, program: &Path, pages: &Path) -> Result<()> {
    let dir = out.join(name);
    fs::create_dir(&dir)?;
    fs::copy(program, dir.join("nsscope"))?;
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "packaging/nsscope-recorder.service"] {
        let from = root().join(file);
        fs::copy(&from, dir.join(from.file_name().context("a name")?))?;
    }
    for folder in ["man", "completions"] {
        fs::create_dir(dir.join(folder))?;
        for page in fs::read_dir(pages.join(folder))? {
            let page = page?;
            fs::copy(page.path(), dir.join(folder).join(page.file_name()))?;
        }
    }
    readable(&dir)?;
    // The same files give the same bytes: no names of users, no times, one order.
    run(Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-I", "gzip -n", "-cf"])
        .arg(out.join(format!("{name}.tar.gz")))
        .args(["-C".as_ref(), out.as_os_str()])
        .arg(name))?;
    Ok(fs::remove_dir_all(dir)?)
}

fn deb(out: &Path, arch: &str, program: &Path, pages: &Path) -> Result<()> {
    let tree = out.join("deb");
    let usr = tree.join("usr");
    let (man, unit) = (usr.join("share/man/man1"), usr.join("lib/systemd/system"));
    for dir in [&man, &unit, &usr.join("bin"), &usr.join("share/doc/nsscope"), &tree.join("DEBIAN")] {
        fs::create_dir_all(dir)?;
    }
    fs::copy(program, usr.join("bin/nsscope"))?;
    fs::copy(root().join("packaging/nsscope-recorder.service"), unit.join("nsscope-recorder.service"))?;
    fs::copy(root().join("LICENSE-MIT"), usr.join("share/doc/nsscope/copyright"))?;
    for (_, file, dir) in SHELLS {
        fs::create_dir_all(usr.join(dir))?;
        fs::copy(pages.join("completions").join(file), usr.join(dir).join(file))?;
    }
    for page in fs::read_dir(pages.join("man"))? {
        let page = page?;
        let copy = man.join(page.file_name());
        fs::copy(page.path(), &copy)?;
        run(Command::new("gzip").args(["-n", "-9"]).arg(copy))?;
    }
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: nsscope\nVersion: {version}\nArchitecture: {arch}\nSection: admin\nPriority: optional\n\
         Maintainer: nsscope <maintainers@nsscope.invalid>\nRecommends: debconf, libcap2-bin\nDescription: see what containers do, from the kernel's own records\n \
         Records which namespaces and cgroups the tasks of a machine are in, and tells which\n \
         containers did what, when, and who waited for whom.\n"
    );
    fs::write(tree.join("DEBIAN/control"), control)?;
    for script in ["templates", "config", "postinst", "postrm"] {
        fs::copy(root().join("packaging/debian").join(script), tree.join("DEBIAN").join(script))?;
    }
    readable(&tree)?;
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&tree)
        .arg(out.join(format!("nsscope_{version}_{arch}.deb")))
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
            let is_program = fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(&path, fs::Permissions::from_mode(if is_program { 0o755 } else { 0o644 }))?;
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
