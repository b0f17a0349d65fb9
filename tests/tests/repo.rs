//! What the repository promises about itself.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--all-features", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn version(text: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap()).collect();
    parts.resize(3, 0);
    parts
}

/// Packages that `name` links when it is used, itself included; `without` some dependency of it.
fn closure<'m>(metadata: &'m Value, name: &str, without: &str) -> Vec<&'m Value> {
    let packages = metadata["packages"].as_array().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let root = packages.iter().find(|package| package["name"] == name).unwrap();
    let mut found = vec![&root["id"]];
    let mut next = 0;
    while next < found.len() {
        let node = nodes.iter().find(|node| node["id"] == *found[next]).unwrap();
        for dep in node["deps"].as_array().unwrap() {
            let normal = dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev");
            if normal && dep["name"] != without && !found.contains(&&dep["pkg"]) {
                found.push(&dep["pkg"]);
            }
        }
        next += 1;
    }
    found.into_iter().map(|id| packages.iter().find(|package| package["id"] == *id).unwrap()).collect()
}

#[test]
fn no_dependency_wants_a_newer_rust_than_we_promise() {
    let metadata = metadata();
    for name in ["nsscope-codec", "nsscope-timeline", "nsscope-wasm", "nsscope", "nsscope-tests", "xtask"] {
        // The codec's feature that links this says what it needs.
        let without = if name == "nsscope-codec" { "mzstd" } else { "" };
        let packages = closure(&metadata, name, without);
        let ours = version(packages[0]["rust_version"].as_str().unwrap());
        assert!(packages.len() > 1, "{name}");
        for package in packages {
            let Some(theirs) = package["rust_version"].as_str() else { continue };
            assert!(version(theirs) <= ours, "{name} promises {ours:?}, {} wants {theirs}", package["name"]);
        }
    }
}

#[test]
fn the_readme_states_the_oldest_rust_and_its_two_commands() {
    let metadata = metadata();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for name in ["nsscope-codec", "nsscope"] {
        let package = closure(&metadata, name, "")[0]["rust_version"].as_str().unwrap().to_owned();
        assert!(readme.contains(&package), "{name}: {package}");
    }
    for command in ["cargo run --release -- demo", "cargo xtask test"] {
        assert!(readme.contains(&format!("```sh\n{command}\n```")), "{command}");
    }
}
