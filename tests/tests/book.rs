//! The commands of the pages in `docs/`, run as they stand there, page by page. Needs root, perf events, and Docker.
#![allow(missing_docs)]

use nsscope_tests::pages::{Kind, blocks, programs};
use nsscope_tests::runtimes::{IMAGE, World, docker};
use nsscope_tests::{cannot_record, needs, no_bpf, not_root, run, text};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `$BLOCK` for a while, and ends it as Ctrl-C does.
const LIVE: &str = "timeout --foreground -s INT 2 sh -c \"exec $BLOCK\"";

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
    pages.retain(|page| page.is_file());
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
