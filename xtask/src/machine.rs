//! A kernel that runs in QEMU, and what it leaves. Not here: which kernel, and what is done in it.

use crate::{programs, run};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
stty raw -F /dev/SERIAL
tar -c . > /dev/SERIAL
reboot -f
";

/// A kind of machine.
pub(crate) struct Board {
    emulator: &'static str,
    options: &'static [&'static str],
    console: &'static str,
    /// What the second serial line is called there, and how QEMU adds it.
    serial: (&'static str, &'static str),
}

pub(crate) const PC: Board = Board {
    emulator: "qemu-system-x86_64",
    options: &["-accel", "tcg"],
    console: "ttyS0",
    serial: ("ttyS1", "isa-serial"),
};

pub(crate) const ARM64: Board = Board {
    emulator: "qemu-system-aarch64",
    options: &["-machine", "virt", "-cpu", "cortex-a57"],
    console: "ttyAMA0",
    serial: ("ttyS0", "pci-serial"),
};

/// A file system in memory.
pub(crate) struct Initramfs<'a> {
    pub(crate) board: &'a Board,
    pub(crate) busybox: &'a Path,
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
        fs::copy(self.busybox, dir.join("bin/busybox"))?;
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
        let (serial, _) = self.board.serial;
        fs::write(&init, [BEGIN, self.init, &END.replace("SERIAL", serial)].concat())?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let archive = out.join("initramfs.cpio");
        let pack = "find . | cpio --quiet -o -H newc";
        run(Command::new("sh").args(["-c", pack]).current_dir(&dir).stdout(fs::File::create(&archive)?))?;
        Ok(archive)
    }
}

/// A machine, emulated: `/dev/kvm` may hang where it is, and emulation is the same everywhere.
pub(crate) struct Machine<'a> {
    pub(crate) board: &'a Board,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) cpus: u32,
    /// Whether its clock counts instructions: each takes 1 ns.
    pub(crate) counted: bool,
}

impl Machine<'_> {
    /// Runs it to its end. Returns what it left, in `out/left`.
    pub(crate) fn run(&self, out: &Path) -> Result<Left> {
        let (left, console) = (out.join("left.tar"), out.join("console.log"));
        let Board { emulator, options, console: terminal, serial: (_, device) } = self.board;
        let mut qemu = Command::new(emulator);
        qemu.args(*options)
            .args(["-m", "1536", "-display", "none", "-monitor", "none", "-no-reboot"])
            .args(["-smp", &self.cpus.to_string(), "-append", &format!("console={terminal} panic=-1 quiet")])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-chardev")
            .arg(format!("file,id=left,path={}", left.display()))
            .args(["-device", &format!("{device},chardev=left")]);
        if self.counted {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        run(&mut qemu)?;
        let dir = out.join("left");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let unpacked = Command::new("tar").arg("-xmf").arg(&left).current_dir(&dir).status()?;
        if !unpacked.success() {
            bail!("the kernel left nothing behind:\n{}", String::from_utf8_lossy(&fs::read(console)?));
        }
        Ok(Left(dir))
    }
}

/// A folder with what a machine left.
pub(crate) struct Left(PathBuf);

impl Left {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.path(name)).with_context(|| format!("{name} is missing"))
    }

    pub(crate) fn json(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(name)?)?)
    }

    /// The events of a recording, in order.
    pub(crate) fn events(&self, name: &str) -> Result<Vec<Value>> {
        let mut script = Command::new(programs::dir().join("nsscope"));
        script.args(["script", "--format", "json"]).arg(self.path(name));
        let output = script.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{script:?}: {}", output.status);
        String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Those between the NAMESPACES records of two processes: `first` and `last` are what `ns-actor` said of itself.
    pub(crate) fn between(&self, name: &str) -> Result<Vec<Value>> {
        let marks = (&self.json("first")?["pid"], &self.json("last")?["pid"]);
        ensure!(marks.0.is_u64() && marks.1.is_u64(), "the scene has no marks: {marks:?}");
        let is = |event: &Value, mark: &Value| event["kind"] == "namespaces" && event["pid"] == *mark;
        let events = self.events(name)?.into_iter();
        let after = events.skip_while(|event| !is(event, marks.0)).filter(|event| !is(event, marks.0));
        Ok(after.take_while(|event| !is(event, marks.1)).collect())
    }

    /// Fails where the kernel has said one of these.
    pub(crate) fn quiet(&self, log: &str, bad: &[&str]) -> Result<()> {
        let log = self.text(log)?;
        let said = log.lines().find(|line| bad.iter().any(|bad| line.contains(bad)));
        ensure!(said.is_none(), "the kernel says: {}\n{log}", said.unwrap_or_default());
        Ok(())
    }
}
