//! The commands of the pages in `docs/`, run as they stand there, page by page. Needs root, perf events, and Docker.
#![allow(missing_docs)]

use nsscope_tests::runtimes::{IMAGE, World, docker};
use nsscope_tests::{cannot_record, needs, no_bpf, not_root, nsscope, run, text};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Runs `$BLOCK` for a while, and ends it as Ctrl-C does.
const LIVE: &str = "timeout --foreground -s INT 2 sh -c \"exec $BLOCK\"";

/// What a fence of a page says of its commands.
enum Kind {
    /// They end by themselves.
    Run,
    /// They run until somebody ends them.
    Live,
}

/// The commands of a page, block by block: `sh`, and `sh live`. What is `sh elsewhere` wants what is not here, and what is
/// `console` is not for a test. A comment, `before: COMMAND`, makes what a page speaks of.
fn blocks(page: &str) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(command) = line.strip_prefix("<!-- before: ").and_then(|line| line.strip_suffix(" -->")) {
            found.push((Kind::Run, command.into()));
        }
        let kind = match line.trim_start() {
            "```sh" => Kind::Run,
            "```sh live" => Kind::Live,
            _ => continue,
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").map(str::trim_start).collect();
        found.push((kind, block.join("\n")));
    }
    found
}

/// A folder of programs before all others: nsscope as it was built, Docker's client for the daemon that was started, and
/// sudo for whoever is root already.
fn programs(dir: &Path) {
    fs::create_dir(dir).unwrap();
    symlink(nsscope().get_program(), dir.join("nsscope")).unwrap();
    let scripts = [
        ("sudo", "exec \"$@\"".to_string()),
        ("docker", "DOCKER_HOST=unix:///run/docker.sock exec /usr/bin/docker \"$@\"".into()),
    ];
    for (name, script) in scripts {
        fs::write(dir.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_commands_of_the_pages_do_what_the_pages_say() {
    needs!("the_commands_of_the_pages", cannot_record(), no_bpf(), not_root());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return nsscope_tests::skip("the_commands_of_the_pages", &why),
    };
    run(&mut docker(&["tag", IMAGE, "busybox"]));
    let bin = world.dir.path().join("bin");
    programs(&bin);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());

    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let mut ran = 0;
    let mut pages: Vec<_> = fs::read_dir(docs).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    for page in pages {
        let name = page.file_name().unwrap().to_str().unwrap().to_string();
        let dir = world.dir.path().join(&name);
        fs::create_dir(&dir).unwrap();
        for (kind, block) in blocks(&fs::read_to_string(&page).unwrap()) {
            // What is live is so on a terminal, and 124 is timeout's own way to say that it had to end it.
            let (program, args, wanted) = match kind {
                Kind::Run => ("bash", ["-ec", &*block, "bash"], 0),
                Kind::Live => ("script", ["-qec", LIVE, "/dev/null"], 124),
            };
            let mut command = Command::new(program);
            command.args(args).current_dir(&dir).env("PATH", &path).env("NO_COLOR", "1").env("BLOCK", &block);
            let output = command.output().unwrap();
            let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            println!("# {name}\n{block}\n{out}{said}");
            assert_eq!(output.status.code(), Some(wanted), "{name}: {block}\n{out}{said}");
            // What a page leads to.
            if name == "tutorial.md" && block == "nsscope report tutorial.data" {
                for word in ["job", "docker", "created by runc", "true"] {
                    assert!(out.contains(word), "no {word} in {out}");
                }
            }
            if name == "tutorial.md" && block.ends_with("--container job") {
                // Docker says the name when all of this is over.
                for word in ["runc ", "moves to /docker/", "execs sh", "exit"] {
                    assert!(out.contains(word), "no {word} in {out}");
                }
                // Once, not for each of the hierarchies.
                assert!(out.matches("/docker/").count() < 4, "{out}");
            }
            if name == "tutorial.md" && block.ends_with("nsscope ps") {
                assert!(out.contains("=sidecar") || out.contains("=web"), "{out}");
            }
            ran += 1;
        }
        let left = text(&run(&mut docker(&["ps", "-aq"])));
        if !left.is_empty() {
            run(docker(&["rm", "-f"]).args(left.split_whitespace()));
        }
    }
    assert!(ran > 25, "{ran}");
}
