//! The tutorial as somebody types it, on a terminal, as a recording that asciinema plays. Needs root, perf events, tmux and
//! Docker.
#![allow(missing_docs)]

use nsscope_tests::pages::{Kind, blocks, program, programs};
use nsscope_tests::runtimes::{IMAGE, World, docker};
use nsscope_tests::terminal::{Terminal, no_tmux};
use nsscope_tests::{cannot_record, needs, not_root, run, skip};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SIZE: (u32, u32) = (120, 36);
/// How long a reader looks at what a command printed.
const LOOK: Duration = Duration::from_millis(600);

/// What the page has of getting the program: `console` blocks, whose commands stand behind a `$ `.
fn install(page: &str) -> Vec<String> {
    let (_, block) = page.split_once("```console\n").expect("how it is built");
    let (block, _) = block.split_once("```").expect("its end");
    block.lines().filter_map(|line| Some(line.strip_prefix("$ ")?.to_string())).collect()
}

/// `NSSCOPE_TUTORIAL=whole` begins with `git clone` and builds it, which takes a minute or two; else it is there already.
#[test]
fn the_tutorial_on_a_terminal() {
    needs!("the_tutorial_on_a_terminal", cannot_record(), not_root(), no_tmux());
    let world = match World::start() {
        Ok(world) => world,
        Err(why) => return skip("the_tutorial_on_a_terminal", &why),
    };
    run(&mut docker(&["tag", IMAGE, "busybox"]));
    let whole = std::env::var("NSSCOPE_TUTORIAL").is_ok_and(|how| how == "whole");
    let (dir, root) = (world.dir.path(), Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    let bin = dir.join("bin");
    programs(&bin);
    let page = fs::read_to_string(root.join("docs/tutorial.md")).unwrap();
    let mut commands = Vec::new();
    let home = dir.join("home");
    fs::create_dir_all(home.join("bin")).unwrap();
    if whole {
        fs::remove_file(bin.join("nsscope")).unwrap();
        commands.extend(install(&page));
        // Into a folder of this test's, instead of the machine's.
        program(&bin, "install", &format!("exec /usr/bin/install \"$1\" '{}'", home.join("bin").display()));
    }
    for (kind, block) in blocks(&page) {
        assert!(matches!(kind, Kind::Run), "{block}");
        commands.extend(block.lines().map(String::from));
    }

    let terminal = Terminal { socket: format!("nsscope-tutorial-{}", std::process::id()) };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let below_home = |name: &str| format!("{}/{name}", variable("HOME").unwrap_or_default());
    // A shell that says when it is ready. The address in the book is this repository; what is installed stays below.
    let rc = format!(
        "PS1='$ '; PROMPT_COMMAND='tmux -L {0} wait-for -S ready'; PAGER=cat; HISTFILE=\n\
         export PAGER PATH='{1}':{2}/bin:$PATH CARGO_HOME='{3}' RUSTUP_HOME='{4}' HOME={2} CARGO_INSTALL_ROOT={2}/.cargo\n\
         export CARGO_TERM_PROGRESS_WHEN=never CARGO_TERM_COLOR=always\n\
         export GIT_CONFIG_COUNT=1 GIT_CONFIG_VALUE_0=https://github.com/nsscope/nsscope\n\
         export GIT_CONFIG_KEY_0='url.file://{5}.insteadOf'; unset CARGO_TARGET_DIR; cd {2}\n",
        terminal.socket,
        bin.display(),
        home.display(),
        variable("CARGO_HOME").unwrap_or_else(|| below_home(".cargo")),
        variable("RUSTUP_HOME").unwrap_or_else(|| below_home(".rustup")),
        root.display(),
    );
    fs::write(dir.join("rc"), rc).unwrap();
    let (width, height) = (SIZE.0.to_string(), SIZE.1.to_string());
    let shell = format!("exec bash --noprofile --rcfile '{}' -i", dir.join("rc").display());
    terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, &shell]);
    terminal.tmux(&["wait-for", "ready"]);
    let pictures = root.join("target/pictures");
    fs::create_dir_all(&pictures).unwrap();
    let file = pictures.join("tutorial.cast");
    let recording = terminal.record(&file, SIZE);
    for command in &commands {
        for piece in command.split_inclusive(' ') {
            terminal.tmux(&["send-keys", "-l", "--", piece]);
            std::thread::sleep(Duration::from_millis(40));
        }
        terminal.tmux(&["send-keys", "Enter"]);
        terminal.tmux(&["wait-for", "ready"]);
        std::thread::sleep(LOOK);
    }
    drop(terminal);
    recording.join().unwrap().unwrap();

    let text = fs::read_to_string(&file).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!((&header["version"], &header["width"]), (&2.into(), &SIZE.0.into()), "{header}");
    let (mut shown, mut before) = (String::new(), 0.0);
    for event in lines {
        let time = event[0].as_f64().unwrap();
        assert!(time >= before && event[1] == "o", "{event}");
        before = time;
        shown += event[2].as_str().unwrap();
    }
    for word in ["=web", "created by runc", "execs sh", "/docker/", "job"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    assert!(!shown.contains(": not found") && !shown.contains("error: "), "{shown}");
    // A recorder in the background does not draw over what is typed.
    assert!(!shown.contains("Ctrl-C ends"), "{shown}");
    println!("{before:.0} s, {} commands: {}", commands.len(), file.display());
}
