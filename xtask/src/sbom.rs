//! What is in the program: a list of its crates in CycloneDX's format. Not here: the program.

use crate::{cargo, root, viewer, wasm};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// What a package links for a target, a crate a line: its name and version.
fn tree(package: &str, features: &[&str], target: &str) -> Result<String> {
    let output = cargo()
        .args(["tree", "--locked", "--package", package, "--target", target])
        .args(features)
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes the list of what `nsscope` is built of with these features for a target: each crate with its licence, the
/// checksum of its package, and what it depends on (<https://cyclonedx.org/docs/1.5/json/>).
pub(crate) fn write(features: &str, target: &str, file: &Path) -> Result<()> {
    let manifest = root().join("cli/Cargo.toml");
    let output = cargo()
        .args(["metadata", "--format-version=1", "--locked", "--features", features])
        .arg("--manifest-path")
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let checksums = checksums()?;
    let text = |value: &Value| value.as_str().map(String::from).with_context(|| format!("a text in {value}"));
    let list = |value: &Value| value.as_array().cloned().with_context(|| format!("a list in {value}"));

    let mut packages = BTreeMap::new();
    for package in list(&metadata["packages"])? {
        packages.insert(text(&package["id"])?, package);
    }
    let mut dependencies = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"])? {
        let mut needed = BTreeSet::new();
        for dependency in list(&node["deps"])? {
            // What only builds or tests it is not in it.
            if list(&dependency["dep_kinds"])?.iter().any(|kind| kind["kind"].is_null()) {
                needed.insert(text(&dependency["pkg"])?);
            }
        }
        dependencies.insert(text(&node["id"])?, needed);
    }
    // cargo metadata has the features that any crate of the workspace asks for; cargo tree those of this program. The
    // viewer in it has a module of its own.
    let features: &[&str] = &["--features", features];
    let mut trees = vec![tree("nsscope", features, target)?];
    if viewer::is_within() {
        trees.push(tree("nsscope-wasm", &[], wasm::TARGET)?);
    }
    let lines = trees.iter().flat_map(|tree| tree.lines());
    let named: BTreeSet<(&str, &str)> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect();
    let is_within = |package: &Value| {
        let name_and_version = package["name"].as_str().zip(package["version"].as_str());
        name_and_version.is_some_and(|named_so| named.contains(&named_so))
    };
    let within: BTreeSet<String> =
        packages.iter().filter(|(_, package)| is_within(package)).map(|(id, _)| id.clone()).collect();
    ensure!(
        within.len() == named.len(),
        "cargo tree has {} crates, cargo metadata {} of them",
        named.len(),
        within.len()
    );
    let own = packages.iter().find(|(_, package)| package["name"] == "nsscope").context("the package nsscope")?.0;

    let url = |id: &String| -> Result<String> {
        let package = packages.get(id).context("a package")?;
        Ok(format!("pkg:cargo/{}@{}", text(&package["name"])?, text(&package["version"])?))
    };
    let component = |id: &String, kind: &str| -> Result<Value> {
        let package = packages.get(id).context("a package")?;
        let (name, version) = (text(&package["name"])?, text(&package["version"])?);
        let mut component = json!({
            "type": kind,
            "bom-ref": url(id)?,
            "purl": url(id)?,
            "name": name,
            "version": version,
        });
        if let Some(licence) = package["license"].as_str() {
            // Some still have the form that cargo took first.
            component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
        }
        if let Some(sum) = checksums.get(&(name, version)) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        Ok(component)
    };
    let components =
        within.iter().filter(|id| *id != own).map(|id| component(id, "library")).collect::<Result<Vec<_>>>()?;
    let needs = within.iter().map(|id| {
        let needed = dependencies[id].intersection(&within).map(url).collect::<Result<Vec<_>>>()?;
        Ok(json!({ "ref": url(id)?, "dependsOn": needed }))
    });
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(own, "application")? },
        "components": components,
        "dependencies": needs.collect::<Result<Vec<_>>>()?,
    });
    Ok(fs::write(file, serde_json::to_string_pretty(&list)? + "\n")?)
}

/// SHA-256 of each crate's package, by name and version, from Cargo.lock.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.map(|value| value.trim_end_matches('"').to_string())
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            sums.insert((name, version), sum);
        }
    }
    Ok(sums)
}
