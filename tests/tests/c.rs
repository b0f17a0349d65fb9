//! The decoder for C: its header is what the code says, and a program in C sees what `nsscope script` sees.
#![allow(missing_docs)]

use nsscope_tests::{cannot_record, events, missing, needs, not_root, record, run, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Has this set, the test writes the header.
const UPDATE: &str = "UPDATE_HEADER";

#[test]
fn the_header_is_what_the_code_says() {
    let dir = root().join("c");
    let made = cbindgen::generate(&dir).expect("a header");
    let mut bytes = Vec::new();
    made.write(&mut bytes);
    let header = dir.join("nsscope.h");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&header, &bytes).unwrap();
    }
    let there = fs::read_to_string(&header).unwrap_or_default();
    assert!(there.as_bytes() == bytes, "c/nsscope.h is of other code: {UPDATE}=1 cargo test -p nsscope-tests --test c");
}

/// Compiles the example, and the header as C++ too.
fn example(dir: &Path) -> PathBuf {
    run(Command::new(env!("CARGO")).args(["build", "--quiet", "--release", "-p", "nsscope-c"]).current_dir(root()));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let (library, program) = (target.join("release/libnsscope_c.a"), dir.join("containers"));
    let warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-I"];
    let mut cc = Command::new("cc");
    cc.args(warnings).arg(root().join("c")).arg("-o").arg(&program);
    run(cc.arg(root().join("c/examples/containers.c")).arg(library));
    let mut header = Command::new("cc");
    header.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", "c++-header"]);
    // Of C++ there may be no compiler beside C's.
    if missing("c++", "g++").is_none() {
        run(header.arg(root().join("c/nsscope.h")));
    }
    program
}

#[test]
fn a_program_in_c_sees_what_script_sees() {
    let name = "a_program_in_c_sees_what_script_sees";
    needs!(name, cannot_record(), not_root(), missing("valgrind", "valgrind"));
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("perf.data");
    record(&capture, &["unshare", "-n", "-p", "-f", "-m", "sleep", "0.2"]);
    let program = example(dir.path());
    // Every read and write of the library is looked at, and what it does not give back.
    let checked = |file: &Path| -> Output {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]).arg(&program).arg(file);
        valgrind.output().unwrap()
    };
    let said = checked(&capture);
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    let expected: Vec<String> = events(&capture)
        .iter()
        .filter(|event| event["kind"] == "namespaces")
        .map(|event| {
            let of = |kind: &str| event["namespaces"][kind]["ino"].as_u64().unwrap();
            let (time, pid) = (event["time"].as_u64().unwrap(), event["pid"].as_u64().unwrap());
            format!("{time} {pid} net:{} pid:{} mnt:{}", of("net"), of("pid"), of("mnt"))
        })
        .collect();
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(text(&said).lines().collect::<Vec<_>>(), expected);
    // Damage costs what is damaged; what is no capture is refused.
    let mut bytes = fs::read(&capture).unwrap();
    let cut = dir.path().join("cut.data");
    fs::write(&cut, &bytes[..bytes.len() / 10 * 9]).unwrap();
    let half = checked(&cut);
    assert!((0..2).contains(&half.status.code().unwrap()), "{half:?}");
    assert!(expected.iter().any(|line| text(&half).contains(line)), "{half:?}");
    for at in (300..bytes.len()).step_by(97) {
        bytes[at] ^= 0x55;
    }
    fs::write(&cut, &bytes).unwrap();
    assert!((0..2).contains(&checked(&cut).status.code().unwrap()));
    let none = checked(&program);
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(none.status.code() == Some(1) && said.contains("perf.data"), "{said}");
}
