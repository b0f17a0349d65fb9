//! A kernel that runs in QEMU, and what it leaves. Not here: which kernel, and what is done in it.

use crate::run;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every machine does first.
const BEGIN: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
cd /tmp
";

/// And last: what is in its folder leaves by the second serial line. A small kernel cannot turn the power off; one that
/// starts again ends QEMU.
const END: &str = "
stty raw -F /dev/ttyS1
tar -c . > /dev/ttyS1
reboot -f
";

/// A file system in memory.
pub(crate) struct Initramfs<'a> {
    /// Programs with the libraries they want, in `/bin`.
    pub(crate) programs: &'a [PathBuf],
    /// Other files, in `/`.
    pub(crate) files: &'a [&'a Path],
    /// What is done, by busybox's shell, in a folder whose files are left behind.
    pub(crate) init: &'a str,
}

impl Initramfs<'_> {
    /// Makes it in `out/initramfs`, and packs it.
    pub(crate) fn pack(&self, out: &Path) -> Result<PathBuf> {
        let dir = out.join("initramfs");
        let _ = fs::remove_dir_all(&dir);
        for folder in ["bin", "dev", "proc", "sys", "tmp"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        fs::copy("/bin/busybox", dir.join("bin/busybox"))?;
        for file in self.files {
            fs::copy(file, dir.join(file.file_name().context("a name")?))?;
        }
        for program in self.programs {
            fs::copy(program, dir.join("bin").join(program.file_name().context("a name")?))?;
            let ldd = Command::new("ldd").arg(program).output()?;
            let ldd = String::from_utf8(ldd.stdout)?;
            for library in ldd.split_whitespace().filter(|word| word.starts_with('/')) {
                let to = dir.join(library.trim_start_matches('/'));
                fs::create_dir_all(to.parent().context("a folder")?)?;
                fs::copy(library, to)?;
            }
        }
        let init = dir.join("init");
        fs::write(&init, [BEGIN, self.init, END].concat())?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let archive = out.join("initramfs.cpio");
        let pack = "find . | cpio --quiet -o -H newc";
        run(Command::new("sh").args(["-c", pack]).current_dir(&dir).stdout(fs::File::create(&archive)?))?;
        Ok(archive)
    }
}

/// A machine, emulated: `/dev/kvm` may hang where it is, and emulation is the same everywhere.
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) cpus: u32,
    /// Whether its clock counts instructions: each takes 1 ns.
    pub(crate) counted: bool,
}

impl Machine<'_> {
    /// Runs it to its end. Returns the folder with what it left, `out/left`.
    pub(crate) fn run(&self, out: &Path) -> Result<PathBuf> {
        let (left, console) = (out.join("left.tar"), out.join("console.log"));
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-m", "1536", "-display", "none", "-monitor", "none", "-no-reboot"])
            .args(["-smp", &self.cpus.to_string(), "-append", "console=ttyS0 panic=-1 quiet"])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", left.display()));
        if self.counted {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        run(&mut qemu)?;
        let dir = out.join("left");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let unpacked = Command::new("tar").arg("-xf").arg(&left).current_dir(&dir).status()?;
        if !unpacked.success() {
            bail!("the kernel left nothing behind:\n{}", String::from_utf8_lossy(&fs::read(console)?));
        }
        Ok(dir)
    }
}
