//! What is packaged, installed and used from the package: in an empty root, and in a container that records its host.
//! `cargo xtask dist` makes the packages.
#![allow(missing_docs)]

use nsscope_tests::runtimes::{World, docker};
use nsscope_tests::{cannot_record, json_of, missing, needs, no_python, not_root, nsscope, record, run, skip, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/packages")
}

/// The one package whose name ends so.
fn package(end: &str) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir(packages())
        .expect("cargo xtask dist makes them")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(end))
        .collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}

/// The program for a machine.
fn program(machine: &str) -> PathBuf {
    packages().join(format!("image/nsscope-{machine}"))
}

/// The machines that there are packages for: `cargo xtask dist` says why one is left out.
fn machines() -> Vec<&'static str> {
    ["amd64", "arm64"].into_iter().filter(|machine| program(machine).exists()).collect()
}

/// What uname(1) calls a machine.
fn uname(machine: &str) -> &'static str {
    if machine == "amd64" { "x86_64" } else { "aarch64" }
}

/// All files below a directory, by their paths in it.
fn files(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().into());
            }
        }
    }
    found
}

#[test]
fn checksums_are_right_and_no_path_of_the_builder_is_inside() {
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(packages()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_str().unwrap().to_string();
    let machines = machines();
    assert!(machines.contains(&"amd64"), "{machines:?}");
    for machine in machines {
        let program = fs::read(program(machine)).unwrap();
        // A static program that runs at any address: it is of the kind "shared object", and names no interpreter.
        let header = run(Command::new("readelf").args(["-hlW"]).arg(self::program(machine)));
        assert!(text(&header).contains("DYN (Position-Independent Executable file)"), "{machine}: {}", text(&header));
        assert!(!text(&header).contains("INTERP"), "{machine}: {}", text(&header));
        let page = b"Which containers ran what, when?";
        assert!(program.windows(page.len()).any(|bytes| bytes == page), "{machine}'s has no viewer");
        assert!(!program.windows(root.len()).any(|bytes| bytes == root.as_bytes()), "{root} in {machine}'s");
        let list =
            text(&run(Command::new("tar").arg("-tzf").arg(package(&format!("{}-linux.tar.gz", uname(machine))))));
        for file in ["/nsscope", "/man/nsscope-record.1", "/completions/_nsscope", "/LICENSE-MIT"] {
            assert!(list.lines().any(|line| line.ends_with(file)), "{file}: {list}");
        }
    }
}

/// The list of what is in the program: all crates that it names, each with its licence and checksum.
#[test]
fn the_bill_of_materials_has_every_crate() {
    let list: Value = serde_json::from_slice(&fs::read(package("x86_64-linux.cdx.json")).unwrap()).unwrap();
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    assert_eq!(list["metadata"]["component"]["name"], "nsscope");
    let components = list["components"].as_array().unwrap();
    let listed: BTreeSet<String> =
        components.iter().map(|component| component["purl"].as_str().unwrap().to_string()).collect();
    assert_eq!(listed.len(), components.len(), "one is there twice");
    // Places in the sources that the program names, for instance where it would panic.
    let program = fs::read(program("amd64")).unwrap();
    let places = String::from_utf8_lossy(&program);
    let named: BTreeSet<&str> = places
        .split("/cargo/registry/src/")
        .skip(1)
        .filter_map(|place| place.split('/').nth(1))
        .filter(|name| name.bytes().all(|c| c.is_ascii_graphic()))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let (name, version) = (0..name.len())
            .filter(|&at| name[at..].starts_with('-') && name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
            .map(|at| (&name[..at], &name[at + 1..]))
            .next()
            .unwrap_or_else(|| panic!("{name} has no version"));
        assert!(listed.contains(&format!("pkg:cargo/{name}@{version}")), "{name} {version} is not listed");
    }
    for component in components {
        assert!(component["licenses"][0]["expression"].is_string(), "{component:#}");
        let ours = component["name"].as_str().unwrap().starts_with("nsscope-");
        assert_eq!(
            component["hashes"][0]["content"].as_str().map_or(0, str::len),
            if ours { 0 } else { 64 },
            "{component:#}"
        );
    }
    // Whoever is depended on is there.
    for needs in list["dependencies"].as_array().unwrap() {
        let others = needs["dependsOn"].as_array().unwrap().iter().map(|other| other.as_str().unwrap());
        assert!(others.into_iter().all(|other| listed.contains(other)), "{needs:#}");
    }
}

#[test]
fn in_a_root_with_nothing_else_it_works() {
    needs!("in_a_root_with_nothing_else", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for mounted in ["proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(mounted)).unwrap();
    }
    run(Command::new("dpkg-deb").arg("--extract").arg(package("_amd64.deb")).arg(root));
    // There is no libc, no shell and no other program in that root.
    let inside = |args: &str| {
        // The eBPF programs want the kernel's types, which are in sysfs.
        let sysfs = if args.contains("bpf") { "mount -t sysfs sysfs \"$0\"/sys &&" } else { "" };
        let script = format!("mount -t proc proc \"$0\"/proc && {sysfs} exec chroot \"$0\" /usr/bin/nsscope {args}");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).arg(root);
        command
    };
    assert!(text(&run(&mut inside("--version"))).starts_with("nsscope "));
    for backend in ["perf", "bpf", "proc"] {
        let record = format!("record -a --backend {backend} --duration 300ms -o /tmp/{backend}.data");
        run(&mut inside(&record));
        let report = json_of(&mut inside(&format!("report --json /tmp/{backend}.data")));
        assert!(report["containers"].is_array(), "{backend}");
    }
    run(&mut inside("export --format parquet -o /tmp/data /tmp/perf.data"));
    assert!(root.join("tmp/data/events").is_dir());
}

/// Where this machine gets Debian's packages, and which of them.
fn mirror() -> Option<(String, String)> {
    let sources = run(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"]));
    let sources = text(&sources);
    let (uri, suite) = sources.lines().find(|line| !line.contains("security"))?.split_once(' ')?;
    Some((uri.into(), suite.split('-').next()?.into()))
}

/// A fresh Debian with nothing of ours but the .deb.
#[test]
fn in_a_fresh_debian_the_deb_is_installed_used_and_purged() {
    let name = "in_a_fresh_debian";
    needs!(name, missing("debootstrap", "debootstrap"), cannot_record(), not_root());
    let Some((uri, suite)) = mirror() else { return skip(name, "apt-get has no source of Debian's packages") };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("debian");
    let own = "--include=man-db,bash-completion,libcap2-bin";
    run(Command::new("debootstrap").args(["--variant=minbase", own, &suite]).arg(&root).arg(uri));
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount -t proc proc \"$0\"/proc && exec chroot \"$0\" bash -ec '{script}'");
        command.args(["-m", "sh", "-c", &script]).arg(&root).env("DEBIAN_FRONTEND", "noninteractive");
        text(&run(&mut command)).to_string()
    };
    let before = files(&root);
    fs::copy(package("_amd64.deb"), root.join("tmp/nsscope.deb")).unwrap();
    inside("dpkg --install /tmp/nsscope.deb");
    // Nobody was given anything.
    assert_eq!(inside("getcap /usr/bin/nsscope; stat -c %a /usr/bin/nsscope"), "755\n");
    inside("nsscope record -a --duration 300ms -o /tmp/a.data");
    let report: Value = serde_json::from_str(&inside("nsscope report --json /tmp/a.data")).unwrap();
    assert!(report["containers"].is_array());
    assert!(inside("man -P cat nsscope").contains("nsscope-record(1)"));
    assert!(inside("man -P cat nsscope-record").contains("--duration"));
    let completed = inside(
        "source /usr/share/bash-completion/bash_completion; _completion_loader nsscope || true; \
         COMP_WORDS=(nsscope rep); COMP_CWORD=1; COMP_LINE=\"nsscope rep\"; _nsscope nsscope rep nsscope; \
         echo ${COMPREPLY[@]}",
    );
    assert!(completed.split_whitespace().any(|word| word == "report"), "{completed}");
    inside("test -f /usr/lib/systemd/system/nsscope-recorder.service");

    // Who agrees has a group whose members record, and nobody else.
    inside("echo nsscope nsscope/group boolean true | debconf-set-selections; dpkg-reconfigure nsscope");
    assert_eq!(inside("stat -c %a:%G /usr/bin/nsscope"), "750:nsscope\n");
    assert!(inside("getcap /usr/bin/nsscope").contains("cap_perfmon"));
    inside("useradd -G nsscope one; useradd other");
    let report = inside("su one -c \"nsscope record -a --duration 300ms -o - | nsscope report --json -i -\"");
    assert!(serde_json::from_str::<Value>(&report).unwrap()["containers"].is_array());
    assert_eq!(inside("su other -c \"nsscope --version\" 2> /dev/null || echo refused"), "refused\n");
    inside("echo nsscope nsscope/group boolean false | debconf-set-selections; dpkg-reconfigure nsscope");
    assert_eq!(inside("getcap /usr/bin/nsscope; stat -c %a:%G /usr/bin/nsscope"), "755:root\n");

    inside("userdel one; userdel other; dpkg --purge nsscope; rm /tmp/*; ! getent group nsscope");
    // What man keeps of the pages that were read is its own.
    let ours = |path: &&PathBuf| path.to_string_lossy().contains("nsscope") && !path.starts_with("var/cache/man");
    let after = files(&root);
    let left: Vec<_> = after.difference(&before).filter(ours).collect();
    assert_eq!(left, Vec::<&PathBuf>::new());
}

/// pip installs the module and the program that it runs.
#[test]
fn the_wheel_brings_the_module_and_the_program() {
    let name = "the_wheel_brings_the_module_and_the_program";
    needs!(name, no_python(), cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("perf.data");
    record(&capture, &["unshare", "-n", "-p", "-f", "-m", "sleep", "0.2"]);
    // Of its own, but for what comes from elsewhere: pyarrow.
    let place = dir.path().join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&place));
    let python = place.join("bin/python");
    let site = |python: &Path| {
        text(&run(Command::new(python).args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])))
    };
    let others = site(&nsscope_tests::python().unwrap());
    fs::write(Path::new(site(&python).trim_end()).join("others.pth"), others).unwrap();
    let wheel = package("musllinux_1_1_x86_64.whl");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]).arg(&wheel));
    assert!(fs::read(place.join("bin/nsscope")).unwrap() == fs::read(program("amd64")).unwrap());
    let code = "import nsscope, sys; print(nsscope.__file__); print(nsscope.read(sys.argv[1]).containers()[\"title\"].to_pylist())";
    // Where there is no other program of this name.
    let said = text(&run(Command::new(&python).args(["-c", code]).arg(&capture).env("PATH", "/usr/bin:/bin")));
    assert!(said.starts_with(place.to_str().unwrap()) && said.contains("sleep"), "{said}");
    let shown = text(&run(Command::new(&python).args(["-m", "pip", "show", "nsscope"])));
    assert!(shown.contains(env!("CARGO_PKG_VERSION")) && shown.contains("Requires: pyarrow"), "{shown}");
    for machine in machines() {
        let wheel = package(&format!("_{}.whl", uname(machine)));
        let out = dir.path().join(machine);
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &out]));
        let within = out.join(format!("nsscope-{}.data/scripts/nsscope", env!("CARGO_PKG_VERSION")));
        assert!(fs::read(within).unwrap() == fs::read(program(machine)).unwrap(), "{machine}");
    }
}

/// The package for another machine, by an emulator of its programs: reads a capture as the one for this machine does, and
/// records by /proc, since such an emulator has no perf events. `cargo xtask arm64` runs it on a kernel for that machine.
#[test]
fn on_another_machine_it_says_and_records_the_same() {
    let name = "on_another_machine_it_says_and_records_the_same";
    let lacks = (!machines().contains(&"arm64")).then(|| "cargo xtask dist made no packages for arm64".to_string());
    needs!(name, missing("qemu-aarch64-static", "qemu-user-static"), lacks, cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let deb = package("_arm64.deb");
    let architecture = text(&run(Command::new("dpkg-deb").arg("--field").arg(&deb).arg("Architecture")));
    assert_eq!(architecture, "arm64\n");
    run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(dir.path()));
    let there = |args: &[&str]| {
        let mut command = Command::new("qemu-aarch64-static");
        command.arg(dir.path().join("usr/bin/nsscope")).args(args).env("NO_COLOR", "1");
        command
    };
    let capture = dir.path().join("here.data");
    record(&capture, &["unshare", "-n", "-p", "-f", "-m", "sleep", "0.2"]);
    let capture = capture.to_str().unwrap();
    let reads: [&[&str]; 5] = [
        &["script", capture],
        &["script", "--format", "json", capture],
        &["report", "--json", "--processes", "all", capture],
        &["stat", "--json", capture],
        &["export", "--format", "csv", "-o", "-", capture],
    ];
    for read in reads {
        let (here, there) = (run(nsscope().args(read)), run(&mut there(read)));
        assert!(!here.stdout.is_empty(), "{read:?}");
        assert_eq!(text(&here), text(&there), "{read:?}");
    }
    let own = dir.path().join("there.data");
    let own = own.to_str().unwrap();
    let command = ["unshare", "-n", "-p", "-f", "-m", "sleep", "1"];
    run(there(&["record", "-a", "--backend", "proc", "-o", own, "--"]).args(command));
    let report = json_of(nsscope().args(["report", "--json", own]));
    assert!(report["containers"].to_string().contains("sleep"), "{report}");
}

#[test]
fn a_container_records_its_host() {
    needs!("a_container_records_its_host", cannot_record(), not_root());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("a_container_records_its_host", &why),
    };
    run(docker(&["build", "-q", "-t", "nsscope-packaged"]).arg(packages().join("image")));
    let share = format!("{}:/data", world.dir.path().display());
    let mut privileges = vec!["--pid=host", "--cgroupns=host", "--network=none", "-v", &share];
    privileges.extend(["--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt=seccomp=unconfined"]);
    privileges.push("--security-opt=apparmor=unconfined");
    let mut record = docker(&["run", "--rm"]);
    record.args(&privileges).args(["nsscope-packaged", "record", "-a", "--duration", "1s", "-o", "/data/host.data"]);
    run(&mut record);
    let mut report = docker(&["run", "--rm"]);
    report.args(&privileges).args(["nsscope-packaged", "report", "--json", "--processes", "all", "/data/host.data"]);
    let report = json_of(&mut report);
    // It has seen the host, and itself as one of the host's containers.
    let itself = report["containers"].as_array().unwrap().iter().find(|container| container["kind"] == "docker");
    assert!(itself.is_some_and(|it| it["commands"].to_string().contains("nsscope")), "{report}");
    run(&mut docker(&["image", "rm", "-f", "nsscope-packaged"]));
    // The same folder is for other machines.
    for machine in machines() {
        let argument = format!("TARGETARCH={machine}");
        let image = run(docker(&["build", "-q", "--build-arg", &argument]).arg(packages().join("image")));
        let container = text(&run(docker(&["create"]).arg(text(&image).trim_end())));
        let copy = world.dir.path().join(machine);
        run(docker(&["cp", &format!("{}:/usr/bin/nsscope", container.trim_end())]).arg(&copy));
        assert!(fs::read(&copy).unwrap() == fs::read(program(machine)).unwrap(), "{machine}");
        run(&mut docker(&["rm", container.trim_end()]));
        run(docker(&["image", "rm", "-f"]).arg(text(&image).trim_end()));
    }
}
