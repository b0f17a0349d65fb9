//! What the repository promises about itself.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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
    for name in [
        "nsscope-codec",
        "nsscope-c",
        "nsscope-timeline",
        "nsscope-capture",
        "nsscope-wasm",
        "nsscope",
        "nsscope-tests",
        "xtask",
    ] {
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

/// The modules of a crate by their paths, with the text of each but its tests.
fn modules(src: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![src.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let parts: Vec<_> = path
                .strip_prefix(src)
                .unwrap()
                .with_extension("")
                .iter()
                .map(|part| part.to_str().unwrap().to_string())
                .collect();
            let module: Vec<_> =
                parts.iter().filter(|part| !["mod", "lib", "main"].contains(&part.as_str())).cloned().collect();
            // Programs are crates of their own.
            if path.extension().is_some_and(|kind| kind == "rs")
                && parts[0] != "bin"
                && !module.ends_with(&["tests".into()])
            {
                let text = fs::read_to_string(&path).unwrap();
                let code: Vec<&str> = text
                    .split("#[cfg(test)]")
                    .next()
                    .unwrap()
                    .lines()
                    .map(|line| line.split("//").next().unwrap())
                    .collect();
                found.insert(module.join("::"), code.join("\n"));
            }
        }
    }
    found
}

/// The paths in a tree of `use`: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_string()];
    };
    let (mut depth, mut part, mut all) = (0, String::new(), Vec::new());
    for c in rest.trim_end().trim_end_matches('}').chars().chain([',']) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            all.extend(
                paths(part.trim())
                    .into_iter()
                    .filter(|path| !path.is_empty())
                    .map(|path| format!("{}{path}", before.trim_start())),
            );
            part.clear();
        } else {
            part.push(c);
        }
    }
    all
}

/// The modules that a module imports from, by its `use` and by paths that begin with `crate` or `super`.
fn imports(modules: &BTreeMap<String, String>, module: &str) -> BTreeSet<String> {
    let code = &modules[module];
    let mut used: Vec<String> =
        code.split(';').filter_map(|item| item.rsplit_once("use ").map(|(_, tree)| tree)).flat_map(paths).collect();
    for word in code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        // What ends there goes on with a list, which is a `use`.
        if (word.starts_with("crate::") || word.starts_with("super::")) && !word.ends_with("::") {
            used.push(word.into());
        }
    }
    let here: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut found = BTreeSet::new();
    for path in used {
        let mut parts: Vec<&str> = path.split("::").collect();
        let mut at: Vec<&str> = here.clone();
        match parts[0] {
            "crate" => at.clear(),
            "super" => {
                while parts.first() == Some(&"super") {
                    at.pop();
                    parts.remove(0);
                }
            }
            "self" => {}
            child
                if modules
                    .contains_key(&[here.join("::"), child.into()].join("::").trim_start_matches("::").to_string()) =>
            {
                parts.insert(0, "");
            }
            _ => continue,
        }
        parts.retain(|part| !["crate", "self", ""].contains(part));
        let declared = |at: &[&str], name: &str| modules[&at.join("::")].contains(&format!("mod {name};"));
        let mut left = parts.into_iter();
        let mut elsewhere = false;
        for part in left.by_ref() {
            let next: Vec<&str> = at.iter().copied().chain([part]).collect();
            if !modules.contains_key(&next.join("::")) {
                // A module of another folder, by `#[path]`.
                elsewhere = modules.contains_key(&at.join("::")) && declared(&at, part);
                break;
            }
            at = next;
        }
        let target = at.join("::");
        if target != module && !elsewhere {
            found.insert(target);
        }
    }
    found
}

/// What imports each other, round in a circle, can only be understood together.
#[test]
fn no_modules_import_each_other() {
    for krate in ["codec", "timeline", "capture", "export", "wasm", "cli", "capture/bpf", "tests", "xtask"] {
        let modules = modules(&root().join(krate).join("src"));
        let graph: BTreeMap<&str, BTreeSet<String>> =
            modules.keys().map(|module| (module.as_str(), imports(&modules, module))).collect();
        for start in graph.keys() {
            let (mut seen, mut waiting) = (BTreeSet::new(), vec![(vec![start.to_string()])]);
            while let Some(way) = waiting.pop() {
                for next in &graph[way.last().unwrap().as_str()] {
                    assert!(next != start, "{krate}: {} -> {start} is a circle", way.join(" -> "));
                    if seen.insert(next.clone()) {
                        waiting.push(way.iter().chain([next]).cloned().collect());
                    }
                }
            }
        }
    }
}

/// Arrows go one way: see ARCHITECTURE.md.
#[test]
fn crates_depend_only_on_those_below_them() {
    let allowed = [
        ("codec", &[][..]),
        ("timeline", &["codec"]),
        ("capture", &["codec"]),
        ("wasm", &["codec", "timeline"]),
        ("c", &["codec"]),
        ("export", &["codec", "timeline"]),
        ("cli", &["capture", "codec", "export", "timeline"]),
    ];
    for (krate, below) in allowed {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[").filter(|table| table.starts_with("dependencies]"));
        let ours = dependencies.flat_map(str::lines).filter_map(|line| line.strip_prefix("nsscope-"));
        let ours: Vec<&str> = ours.map(|line| line.split(['.', ' ', '=']).next().unwrap()).collect();
        assert!(ours.iter().all(|name| below.contains(name)), "{krate} depends on {ours:?}");
    }
}

/// Folders whose files are the product.
const SOURCES: [&str; 9] = [
    "c/src",
    "codec/src",
    "timeline/src",
    "capture/src",
    "capture/bpf/src",
    "export/src",
    "wasm/src",
    "cli/src",
    "www/src",
];

/// The Rust and TypeScript files below a folder of the repository.
fn sources(folder: &str) -> Vec<(String, String)> {
    let (mut found, mut waiting) = (Vec::new(), vec![root().join(folder)]);
    while let Some(dir) = waiting.pop() {
        for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "ts")
                && !path.to_str().unwrap().ends_with(".d.ts")
            {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > if folder == "c/src" { 0 } else { 3 }, "{folder}");
    found
}

/// A module begins with what it knows and what it does not.
#[test]
fn each_module_says_what_it_knows_and_what_it_does_not() {
    for (name, text) in SOURCES.into_iter().flat_map(sources) {
        let mark = if Path::new(&name).extension().is_some_and(|kind| kind == "ts") { "// " } else { "//! " };
        let first: Vec<&str> = text.lines().map_while(|line| line.strip_prefix(mark)).collect();
        let first = first.join(" ");
        let (knows, not) = first.split_once(". Not here: ").unwrap_or_else(|| panic!("{name} begins with {first:?}"));
        assert!(knows.len() > 10 && not.len() > 3, "{name}: {first}");
    }
}

/// What is longer is taken apart. The tables of flags and of tests may be long.
#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    const MOST: usize = 410;
    for (name, text) in SOURCES.into_iter().flat_map(sources) {
        let is_table = name == "cli/src/args.rs" || name.ends_with("/tests.rs");
        let code = text.split("\nmod tests {").next().unwrap().lines().map(str::trim);
        let lines =
            code.filter(|line| !line.is_empty() && !["//", "/*", "*"].iter().any(|c| line.starts_with(c))).count();
        assert!(is_table || lines <= MOST, "{name} has {lines} lines of code");
    }
}

/// No two files of the page import each other, round however many others.
#[test]
fn no_files_of_the_page_import_each_other() {
    let files: BTreeMap<String, Vec<String>> = sources("www/src")
        .into_iter()
        .map(|(name, text)| {
            let imported = text.split(" from \"./").skip(1).map(|rest| rest.split('"').next().unwrap().to_string());
            (name.trim_start_matches("www/src/").trim_end_matches(".ts").to_string(), imported.collect())
        })
        .collect();
    assert!(files.values().any(|imported| !imported.is_empty()));
    for start in files.keys() {
        let (mut seen, mut waiting) = (BTreeSet::new(), files[start].clone());
        while let Some(next) = waiting.pop() {
            assert!(next != *start, "{start} is imported by what it imports: {seen:?}");
            if seen.insert(next.clone()) {
                waiting.extend(files.get(&next).cloned().unwrap_or_default());
            }
        }
    }
}

/// Each test that SECURITY.md names exists.
#[test]
fn the_threat_model_names_tests_that_there_are() {
    let model = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, table) = model.split_once("| attacker |").unwrap();
    let rust = ["codec/src", "cli/src", "tests/tests"].into_iter().flat_map(sources).map(|(_, text)| text);
    let rust = rust.collect::<String>();
    let pages = sources("www/tests").into_iter().map(|(_, text)| text).collect::<String>();
    let mut named = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let tests = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let in_rust = tests.split('`').filter(|name| name.contains('_')).collect::<Vec<_>>();
        let in_pages = tests.split('"').nth(1);
        assert!(in_rust.iter().all(|name| rust.contains(&format!("fn {name}("))), "{row}");
        assert!(in_pages.is_none_or(|name| pages.contains(&format!("test(\"{name}\""))), "{row}");
        let count = in_rust.len() + usize::from(in_pages.is_some());
        assert!(count > 0, "no test: {row}");
        named += count;
    }
    assert!(named >= 8, "{named}");
}

/// The pages that people read.
fn pages() -> Vec<(std::path::PathBuf, String)> {
    let output = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let pages: Vec<_> =
        names.lines().map(|name| (root().join(name), fs::read_to_string(root().join(name)).unwrap())).collect();
    assert!(pages.len() > 8);
    pages
}

/// Every link of a page to a file of the repository leads there.
#[test]
fn links_lead_somewhere() {
    let mut found = 0;
    for (page, text) in pages() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("::") || file.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{} links to {link}", page.display());
            found += 1;
        }
    }
    assert!(found >= 10, "{found}");
}

/// Every command of nsscope's that a page shows is one that nsscope takes, flag by flag.
#[test]
fn commands_of_pages_are_ones_that_nsscope_takes() {
    let mut found = 0;
    for (page, text) in pages() {
        for block in text.split("```sh").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let commands =
                block.lines().flat_map(|line| line.trim().split(" #").next().unwrap().split(['|', ';', '&', '>']));
            for command in commands {
                let command = command.trim().trim_start_matches("$ ").trim_start_matches("sudo ");
                let Some(args) = command.strip_prefix("nsscope ") else { continue };
                // What is to be recorded is not ours.
                let args = args.split(" -- ").next().unwrap();
                let help = Command::new("sh")
                    .args(["-c", &format!("exec \"$0\" {args} --help")])
                    .arg(nsscope_tests::nsscope().get_program())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&help.stderr);
                assert!(help.status.success(), "{}: {command}: {said}", page.display());
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found}");
}

/// What packages start is what nsscope takes.
#[test]
fn commands_of_units_are_ones_that_nsscope_takes() {
    let packaging = |name: &str| fs::read_to_string(root().join("packaging").join(name)).unwrap();
    let unit = packaging("nsscope-recorder.service");
    let unit = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/nsscope ")).unwrap();
    let unit = unit.split(' ').map(String::from).collect::<Vec<_>>();
    let set = packaging("daemonset.yaml");
    let set = set.lines().find_map(|line| line.trim().strip_prefix("args: ")).unwrap();
    let set: Vec<String> = serde_json::from_str(set).unwrap();
    for args in [unit, set] {
        let help = nsscope_tests::nsscope().args(&args).arg("--help").output().unwrap();
        assert!(help.status.success(), "{args:?}: {}", String::from_utf8_lossy(&help.stderr));
    }
}

/// Every picture of README and the book is one that the viewer's tests make, and is shown.
#[test]
fn the_tests_make_the_pictures_that_are_shown() {
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let tests = text(&root().join("www/tests/page.test.ts"));
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().path());
    let pages =
        pages.filter(|page| page.extension().is_some_and(|kind| kind == "md")).chain([root().join("README.md")]);
    let shown: String = pages.map(|page| text(&page)).collect();
    let pictures: Vec<_> = fs::read_dir(root().join("docs/pictures")).unwrap().map(Result::unwrap).collect();
    assert!(!pictures.is_empty());
    for picture in pictures {
        let file = picture.file_name().into_string().unwrap();
        let name = file.trim_end_matches(".png");
        assert!(tests.contains(&format!("picture(page, \"{name}\")")), "no test makes {file}");
        assert!(shown.contains(&format!("pictures/{file})")), "no page shows {file}");
    }
}
