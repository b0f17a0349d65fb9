//! What is packaged, installed and used from the package: in an empty root, and in a container that records its host.
//! `cargo xtask dist` makes the packages.
#![allow(missing_docs)]

use nsscope_tests::runtimes::{World, docker};
use nsscope_tests::{cannot_record, json_of, needs, not_root, run, skip, text};
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
    let program = fs::read(package("/nsscope")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_str().unwrap().to_string();
    assert!(!program.windows(root.len()).any(|bytes| bytes == root.as_bytes()), "{root}");
    let list = text(&run(Command::new("tar").arg("-tzf").arg(package(".tar.gz"))));
    for file in ["/nsscope", "/man/nsscope-record.1", "/completions/_nsscope", "/LICENSE-MIT"] {
        assert!(list.lines().any(|line| line.ends_with(file)), "{file}: {list}");
    }
}

/// The list of what is in the program: all crates that it names, each with its licence and checksum.
#[test]
fn the_bill_of_materials_has_every_crate() {
    let list: Value = serde_json::from_slice(&fs::read(package(".cdx.json")).unwrap()).unwrap();
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    assert_eq!(list["metadata"]["component"]["name"], "nsscope");
    let components = list["components"].as_array().unwrap();
    let listed: BTreeSet<String> =
        components.iter().map(|component| component["purl"].as_str().unwrap().to_string()).collect();
    assert_eq!(listed.len(), components.len(), "one is there twice");
    // Places in the sources that the program names, for instance where it would panic.
    let program = fs::read(package("/nsscope")).unwrap();
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
fn in_a_root_with_nothing_else_it_is_installed_used_and_removed() {
    needs!("in_a_root_with_nothing_else", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for admin in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(admin)).unwrap();
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
    }
    let dpkg = |action: &str, what: &Path| {
        run(Command::new("dpkg").arg("--root").arg(root).args(["--log=/dev/null", action]).arg(what));
    };
    let before = files(root);
    dpkg("--install", &package(".deb"));
    for file in [
        "usr/bin/nsscope",
        "usr/share/man/man1/nsscope.1.gz",
        "usr/share/man/man1/nsscope-record.1.gz",
        "usr/share/bash-completion/completions/nsscope",
        "usr/lib/systemd/system/nsscope-recorder.service",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
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
    let page = run(Command::new("sh")
        .args(["-c", "gzip -dc \"$1\" | head -c 2000", "sh"])
        .arg(root.join("usr/share/man/man1/nsscope-record.1.gz")));
    assert!(text(&page).contains(".TH"), "{}", text(&page));
    // The completions are what bash takes.
    run(Command::new("bash").arg("-n").arg(root.join("usr/share/bash-completion/completions/nsscope")));

    dpkg("--purge", Path::new("nsscope"));
    fs::remove_dir_all(root.join("tmp")).unwrap();
    let left: Vec<_> =
        files(root).difference(&before).filter(|path| !path.starts_with("var/lib/dpkg")).cloned().collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    assert!(!root.join("usr").exists());
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
}
