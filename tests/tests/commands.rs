//! The commands people live in, on the running kernel and against what else tells the same.
#![allow(missing_docs)]

use nsscope_codec::wire::header::RecordType;
use nsscope_codec::{Native, RawRecord};
use nsscope_tests::terminal::{Terminal, no_tmux};
use nsscope_tests::{
    Running, actor, cannot_record, cgroup2, cpu_usage, errors, inode, json_of, missing, needs, no_cgroup2, no_perf,
    not_root, nsscope, record, run, text,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// `unshare` with these options, in which a shell waits; returns once it is there, with the shell's pid outside.
fn container(options: &[&str]) -> (Running, u32) {
    let script = "echo ready; exec sleep 60";
    let mut child = Command::new("unshare")
        .args(options)
        .args(["--kill-child", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let inside = children.split_whitespace().next().unwrap().parse().unwrap();
    (Running(child), inside)
}

#[test]
fn ps_shows_what_runs_by_container_and_by_pid_inside() {
    needs!("ps_shows_what_runs", not_root());
    let (_running, pid) = container(&["-n", "-m", "-u", "-i", "-p", "-f"]);
    let ps = json_of(nsscope().args(["ps", "--json"]));
    let own = ["net", "uts", "ipc", "pid", "mnt"];
    let id = format!("pid:[{}]", inode(pid, "pid"));
    let found = ps["containers"].as_array().unwrap().iter().find(|c| c["id"] == *id);
    let found = found.unwrap_or_else(|| panic!("{ps}"));
    assert_eq!(found["own"], json!(own));
    for kind in own {
        assert_eq!(found["namespaces"][kind], inode(pid, kind), "{kind}");
    }
    assert_eq!(found["members"][0]["nspids"], json!([pid, 1]));
    assert_eq!(found["first_exact"], false);
    assert!(found["why"][0].as_str().unwrap().contains(&id));
    // For people: what is the host's is marked, and its own are told.
    let table = text(&run(nsscope().args(["ps", "--processes", "3"])));
    let title = format!("sleep:{pid}");
    let line = table.lines().find(|line| line.contains(&title)).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains(" host ") && line.contains(" own "), "{line}");
    let inodes = text(&run(nsscope().args(["ps", "--inodes"])));
    let line = inodes.lines().find(|line| line.contains(&title)).unwrap_or_else(|| panic!("{inodes}"));
    assert!(line.contains("host") && line.contains(&inode(pid, "net").to_string()), "{line}");
    assert!(table.contains(&format!("{pid} (inside 1)")), "{table}");
    // The pid inside finds it, with all above it.
    let tree = text(&run(nsscope().args(["tree", &pid.to_string()])));
    let line = tree.lines().find(|line| line.ends_with("<-")).unwrap();
    assert!(line.contains(&format!("{pid} sleep, inside 1  [{title}]")), "{tree}");
    assert!(tree.lines().next().unwrap().starts_with("1 "), "{tree}");
}

/// Each namespace of the system, with as many processes as lsns counts.
#[test]
fn ps_agrees_with_lsns_for_every_namespace() {
    needs!("ps_agrees_with_lsns", missing("lsns", "util-linux"));
    let (_running, _) = container(&["-n", "-m", "-u", "-i", "-p", "-f", "-C"]);
    // Processes come and go with the other tests: what both tell of a moment between is compared.
    let ours = || -> BTreeMap<u64, (String, u64)> {
        let ps = json_of(nsscope().args(["ps", "--json"]));
        let all = ps["namespaces"].as_array().unwrap().iter();
        all.map(|ns| {
            (ns["ino"].as_u64().unwrap(), (ns["type"].as_str().unwrap().into(), ns["processes"].as_u64().unwrap()))
        })
        .collect()
    };
    let lsns = || -> BTreeMap<u64, (String, u64)> {
        let output = run(Command::new("lsns").args(["-n", "-r", "-o", "NS,TYPE,NPROCS"]));
        let number = |text: &str| text.parse::<u64>().unwrap();
        let line = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            (number(words[0]), (words[1].to_string(), number(words[2])))
        };
        text(&output).lines().map(line).collect()
    };
    let mut last = String::new();
    for _ in 0..20 {
        let (before, theirs, after) = (ours(), lsns(), ours());
        let types = |all: &BTreeMap<u64, (String, u64)>| -> BTreeMap<u64, String> {
            all.iter().map(|(ino, (kind, _))| (*ino, kind.clone())).collect()
        };
        // lsns is a process itself, and so are we.
        let close = |ours: &BTreeMap<u64, (String, u64)>| {
            ours.iter().all(|(ino, (_, count))| theirs.get(ino).is_some_and(|(_, n)| n.abs_diff(*count) <= 3))
        };
        if types(&before) == types(&theirs) && types(&after) == types(&theirs) && close(&before) {
            assert!(theirs.values().filter(|(kind, _)| kind == "net").count() >= 2);
            return;
        }
        last = format!("ours {before:?}\nlsns {theirs:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("{last}");
}

/// The same samples in the same cgroup namespaces as perf sees in the same file.
#[test]
fn the_definition_perf_is_that_of_perf_report() {
    needs!("the_definition_perf", cannot_record(), no_perf(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let script = format!("{spin}; unshare -C sh -c '{spin}' & unshare -C sh -c '{spin}'; wait");
    run(nsscope().args(["record", "-F", "997", "-o"]).arg(&file).args(["--", "sh", "-c", &script]));

    let perf = run(Command::new("perf").args(["report", "--sort", "cgroup_id", "-n", "--stdio", "-i"]).arg(&file));
    let mut theirs: BTreeMap<u64, u64> = BTreeMap::new();
    let mut ours_is_next = false;
    for line in text(&perf).lines() {
        if line.starts_with("# Samples:") {
            ours_is_next = line.contains("'cpu-clock'");
        }
        let words: Vec<_> = line.split_whitespace().collect();
        if let ([overhead, samples, id], true) = (&words[..], ours_is_next)
            && overhead.ends_with('%')
        {
            let ino = id.split_once("/0x").map_or(id.rsplit('/').next().unwrap(), |(_, ino)| ino);
            *theirs.entry(u64::from_str_radix(ino, 16).unwrap()).or_default() += samples.parse::<u64>().unwrap();
        }
    }
    let report = json_of(nsscope().args(["report", "--json", "--definition", "perf"]).arg(&file));
    let containers = report["containers"].as_array().unwrap().iter();
    let ours: BTreeMap<u64, u64> = containers
        .map(|c| (c["evidence"]["cgroup_namespace"].as_u64().unwrap(), c["samples"].as_u64().unwrap()))
        .filter(|&(_, samples)| samples > 0)
        .collect();
    assert!(ours.len() >= 3, "{ours:?}");
    assert_eq!(ours, theirs);
}

/// What samples say of CPU time is what the kernel's own account of the cgroup says.
#[test]
fn cpu_time_of_a_container_is_that_of_its_cgroup() {
    needs!("cpu_time_of_a_container", cannot_record(), no_cgroup2(), not_root());
    let id = "5ca1ab1e".repeat(8);
    let root = cgroup2().unwrap();
    let groups = [format!("{root}/libpod_parent"), format!("{root}/libpod_parent/libpod-{id}")];
    for group in &groups {
        fs::create_dir_all(group).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let spin = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
    let script = format!("echo $$ > {}/cgroup.procs; {spin}", groups[1]);
    run(nsscope().args(["record", "-F", "997", "-o"]).arg(&file).args(["--", "sh", "-c", &script]));
    let used = cpu_usage(Path::new(&groups[1])) as f64;
    for group in groups.iter().rev() {
        let _ = fs::remove_dir(group);
    }
    let report = json_of(nsscope().args(["report", "--json", "--container", &id]).arg(&file));
    let told = report["containers"][0]["cpu_ns"].as_f64().unwrap();
    assert!(used > 1e8 && (told / used - 1.0).abs() < 0.15, "told {told} ns, used {used} ns");
}

#[test]
fn pods_are_containers_that_share_a_network() {
    needs!("pods_are_containers", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    // A pod of two, and one container by itself.
    let inner = "unshare -m -p -f true; unshare -m -p -f true";
    record(&file, &["sh", "-c", &format!("unshare -n -i sh -c '{inner}'; unshare -n -i -m -p -f true")]);
    let rule = ["--definition", "by:pid"];
    let report = json_of(nsscope().args(["report", "--json"]).args(rule).arg(&file));
    assert_eq!(report["containers"].as_array().unwrap().len(), 3, "{report}");
    let pods = report["groups"].as_array().unwrap();
    assert_eq!(pods.len(), 1);
    let members: Vec<_> = report["containers"].as_array().unwrap()[..2].iter().map(|c| c["id"].clone()).collect();
    assert_eq!(pods[0]["containers"], json!(members));
    let shown = text(&run(nsscope().arg("report").args(rule).arg(&file)));
    let pod = shown.lines().position(|line| line.contains("pod net:[")).unwrap();
    assert!(shown.lines().nth(pod + 1).unwrap().trim_start().starts_with("|- true:"), "{shown}");
}

#[test]
fn filters_select_by_container_name_and_time() {
    needs!("filters_select", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &["sh", "-c", "unshare -m -p -f sleep 1 & sleep 0.4; unshare -m -p -f uname; wait"]);
    let ids = |args: &[&str]| -> Vec<String> {
        let report = json_of(nsscope().args(["report", "--json"]).args(args).arg(&file));
        let containers = report["containers"].as_array().unwrap().iter();
        // The tracepoint tells of other tests' cgroups, too.
        let ids = containers.map(|c| c["id"].as_str().unwrap().to_string());
        ids.filter(|id| id.starts_with("pid:")).collect()
    };
    let all = ids(&[]);
    assert_eq!(all.len(), 2);
    assert_eq!(ids(&["--comm", "uname"]), all[1..]);
    assert_eq!(ids(&["--filter", "comm~leep"]), all[..1]);
    assert_eq!(ids(&["--filter", "comm!=uname"]), all[..1]);
    assert_eq!(ids(&["--container", &all[1]]), all[1..]);
    assert_eq!(ids(&["--until", "0.3"]), all[..1]);
    assert_eq!(ids(&["--since", "0.9"]), all[..1]);
    assert_eq!(ids(&["--since", "0.3", "--until", "0.9"]), all);
    assert_eq!(ids(&["--sort", "name"]).len(), 2);
    // The same filter picks the same container's events.
    let script = run(nsscope().args(["script", "--format", "json", "--container", &all[1]]).arg(&file));
    let events: Vec<Value> = text(&script).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty() && events.iter().all(|event| event["container"] == *all[1]), "{events:?}");
    assert!(events.iter().any(|event| event["kind"] == "comm" && event["comm"] == "uname"));
    // What is no filter is a matter of usage.
    for (args, word) in [(["--filter", "name=x"], "comm, pid"), (["--definition", "by:disk"], "net, uts")] {
        let output = nsscope().arg("report").args(args).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains(word), "{}", errors(&output));
    }
}

#[test]
fn diff_tells_what_came_went_and_moved() {
    needs!("diff_tells", not_root());
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before.data"), dir.path().join("after.data"));
    let snapshot = |file: &Path| run(nsscope().args(["snapshot", "-o"]).arg(file));
    let (went, _) = container(&["-m", "-p", "-f"]);
    let gone = json_of(nsscope().args(["ps", "--json"]));
    let found = gone["containers"].as_array().unwrap().iter().find(|c| c["members"][0]["ppid"] == went.0.id());
    let gone = found.unwrap_or_else(|| panic!("{gone}"))["id"].clone();
    let mut mover = Running(
        Command::new("sh")
            .args(["-c", "read line; exec unshare -u sh -c 'echo moved; exec sleep 60'"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    snapshot(&before);
    drop(went);
    let (_came, new) = container(&["-m", "-p", "-f"]);
    drop(mover.0.stdin.take());
    let mut line = String::new();
    BufReader::new(mover.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    snapshot(&after);
    let diff = json_of(nsscope().args(["diff", "--json"]).args([&before, &after]));
    let ids = |of: &str| -> Vec<Value> { diff[of].as_array().unwrap().iter().map(|c| c["id"].clone()).collect() };
    assert!(ids("appeared").contains(&json!(format!("pid:[{}]", inode(new, "pid")))), "{diff}");
    assert!(ids("vanished").contains(&gone), "{diff}");
    let moved = diff["moved"].as_array().unwrap().iter().find(|moved| moved["pid"] == mover.0.id()).unwrap();
    assert_eq!(moved["types"], json!(["uts"]));
    assert_eq!(moved["to"]["uts"], inode(mover.0.id(), "uts"));
    let shown = text(&run(nsscope().arg("diff").args([&before, &after])));
    for sign in ["+ sleep:", "- sleep:", "~ "] {
        assert!(shown.lines().any(|line| line.starts_with(sign)), "{sign}: {shown}");
    }
}

#[test]
fn stat_counts_what_script_prints() {
    needs!("stat_counts", cannot_record());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    record(&file, &[actor().to_str().unwrap(), "storm", "50", "2"]);
    let stat = json_of(nsscope().args(["stat", "--json"]).arg(&file));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in nsscope_tests::events(&file) {
        *counts.entry(event["kind"].as_str().unwrap().into()).or_default() += 1;
    }
    for (kind, count) in counts {
        assert_eq!(stat["kinds"][&kind]["count"], count, "{kind}");
    }
    assert!(stat["forks"].as_u64().unwrap() >= 50 && stat["namespaces"]["uts"].as_u64().unwrap() >= 2, "{stat}");
    assert!(text(&run(nsscope().arg("stat").arg(&file))).contains("0 records lost"));
}

#[test]
fn events_are_followed_as_they_happen() {
    needs!("events_are_followed", cannot_record(), not_root());
    let filter = ["--filter", "container!=host"];
    let mut child = Running(
        nsscope().args(["events", "--json"]).args(filter).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
    );
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // It says nothing of what was before, so there is no knowing when it is ready: again until it was.
    let mut again = Running(
        Command::new("sh")
            .args(["-c", "while :; do unshare -m -p -f uname; sleep 0.1; done"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut kinds = std::collections::BTreeSet::new();
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        // Other tests have containers, too.
        assert_ne!(event["container"], "host", "{event}");
        if event["comm"] == "uname" {
            assert!(event["container"].as_str().unwrap().starts_with("pid:["), "{event}");
            kinds.insert(event["kind"].as_str().unwrap().to_string());
        }
        if ["comm", "exit"].iter().all(|kind| kinds.contains(*kind)) {
            break;
        }
    }
    let _ = again.0.kill();
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::kill(child.0.id().cast_signed(), libc::SIGINT) }, 0);
    assert!(kinds.contains("exit"), "{kinds:?}");
}

#[test]
fn top_shows_a_container_come_fork_and_go() {
    needs!("top_shows_a_container", cannot_record(), no_tmux(), not_root());
    let terminal = Terminal { socket: format!("nsscope-test-{}", std::process::id()) };
    terminal.tmux(&["new-session", "-d", "-x", "130", "-y", "24", "sh"]);
    let program = nsscope().get_program().to_string_lossy().into_owned();
    terminal.tmux(&["send-keys", &format!("clear; {program} top --interval 200ms 2>/dev/null; echo left $?"), "Enter"]);
    terminal.until("it starts", |screen| screen.starts_with("nsscope top") && screen.contains("q quit"));

    let script =
        "echo ready; while read line; do for i in 1 2 3 4 5 6 7 8 9; do uname >/dev/null; done; echo done; done";
    let mut child = Command::new("unshare")
        .args(["-m", "-p", "-f", "--kill-child", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let inside: u32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let title = format!("sh:{inside}");
    let row = |screen: &str| screen.lines().find(|line| line.contains(&title)).map(str::to_string);
    let state =
        |screen: &str, state: &str| row(screen).is_some_and(|row| row.split_whitespace().any(|word| word == state));
    terminal.until("it is new", |screen| state(screen, "new"));

    // Forks show as a rate.
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"go\n").unwrap();
    terminal.until("it forks", |screen| {
        let Some(row) = row(screen) else { return false };
        let rates = row.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        rates.skip(1).any(|rate| rate >= 5.0)
    });
    // A smaller terminal shows it still.
    terminal.tmux(&["resize-window", "-x", "90", "-y", "15"]);
    terminal.until("it is resized", |screen| row(screen).is_some() && screen.lines().count() <= 15);

    drop(stdin);
    child.wait().unwrap();
    terminal.until("it is gone", |screen| state(screen, "gone"));
    terminal.until("it is forgotten", |screen| row(screen).is_none());

    // Nothing is left on the terminal, and it works as before.
    terminal.tmux(&["send-keys", "q"]);
    let screen = terminal.until("it quits", |screen| screen.contains("left 0"));
    assert!(!screen.contains("q quit") && !screen.contains("CONTAINER"), "{screen}");
    terminal.tmux(&["send-keys", "stty -a | grep -o ' icanon'; stty -a | grep -o ' echo '", "Enter"]);
    terminal.until("the terminal is as before", |screen| {
        screen.lines().filter(|line| line.trim() == "icanon").count() == 1
    });
}

#[test]
fn top_is_for_terminals_and_has_json_for_programs() {
    needs!("top_is_for_terminals", cannot_record());
    let output = nsscope().arg("top").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("--json"), "{}", errors(&output));
    let output = run(nsscope().args(["top", "--json", "--interval", "100ms", "--duration", "500ms"]));
    let lines: Vec<Value> = text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line["containers"].is_array()), "{lines:?}");
}

/// The names that runtimes keep come into the file, and out of it on any machine.
#[test]
fn names_travel_with_the_file() {
    needs!("names_travel", no_cgroup2(), not_root());
    let id = "0ddba11d".repeat(8);
    let root = cgroup2().unwrap();
    let group = format!("{root}/docker/{id}");
    fs::create_dir_all(&group).unwrap();
    let child = Running(Command::new("sleep").arg("60").spawn().unwrap());
    fs::write(format!("{group}/cgroup.procs"), child.0.id().to_string()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (named, bare) = (dir.path().join("named.data"), dir.path().join("bare.data"));
    // A docker's files, in a mount namespace where no real one is disturbed.
    let home = format!("/var/lib/docker/containers/{id}");
    let config = r#"{"Name":"/nsscope-test-web","Config":{"Image":"nginx:1"}}"#;
    let script = format!(
        "mount -t tmpfs none /var/lib && mkdir -p {home} && echo '{config}' >{home}/config.v2.json && exec \"$@\""
    );
    let program = nsscope().get_program().to_owned();
    for (names, file) in [("auto", &named), ("off", &bare)] {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", &script, "sh"]).arg(&program).args(["snapshot", "--names", names, "-o"]);
        run(unshare.arg(file));
    }
    drop(child);
    let _ = fs::remove_dir(&group);
    let _ = fs::remove_dir(format!("{root}/docker"));
    let of = |file: &Path| {
        let report = json_of(nsscope().args(["report", "--json", "--container", &id]).arg(file));
        report["containers"][0].clone()
    };
    assert_eq!(
        (of(&named)["name"].clone(), of(&named)["image"].clone()),
        (json!("nsscope-test-web"), json!("nginx:1"))
    );
    assert_eq!((of(&bare)["id"].clone(), of(&bare)["name"].clone()), (json!(id), Value::Null));
    let shown = text(&run(nsscope().args(["report", "--container", "nsscope-test-web"]).arg(&named)));
    assert!(shown.contains(&format!("nsscope-test-web ({})", &id[..12])), "{shown}");
}

#[test]
fn every_command_has_a_man_page_and_examples() {
    let dir = tempfile::tempdir().unwrap();
    run(nsscope().arg("man").arg(dir.path()));
    let help = text(&run(nsscope().arg("--help")));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands =
        commands.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> =
        commands.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help").collect();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        let page = fs::read_to_string(dir.path().join(format!("nsscope-{name}.1"))).unwrap();
        let help = text(&run(nsscope().args([name, "--help"])));
        let simple = ["demo", "doctor", "import"].contains(&name);
        assert!(simple || (help.contains("Examples:") && page.contains("Examples:")), "{name}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(nsscope().args(["completions", shell])));
        assert!(script.contains("snapshot") && script.contains("definition"), "{shell}");
    }
}

#[test]
fn alone_it_says_what_to_begin_with() {
    let output = run(&mut nsscope());
    let shown = text(&output);
    assert_eq!((shown.lines().count(), errors(&output).as_str()), (7, ""), "{shown}");
    for command in ["demo", "ps", "record", "top", "help"] {
        assert!(shown.contains(&format!("nsscope {command}")), "{shown}");
    }
    // Who mistypes a command is told the one that was meant.
    let output = nsscope().arg("reprot").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("report"), "{}", errors(&output));
}

#[test]
fn packed_captures_are_read_as_they_are() {
    needs!("packed_captures_are_read", missing("zstd", "zstd"));
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("a.data");
    run(nsscope().args(["snapshot", "-o"]).arg(&plain));
    let right = text(&run(nsscope().args(["report", "--json"]).arg(&plain)));
    fs::write(dir.path().join("notes"), "of something else").unwrap();
    for (pack, program, args) in [
        ("gzip", "gzip", &["-c", "a.data"][..]),
        ("zstd", "zstd", &["-c", "a.data"]),
        ("tar", "tar", &["-c", "notes", "a.data"]),
        ("tar.gz", "tar", &["-cz", "notes", "a.data"]),
        ("tar.zst", "tar", &["-c", "--zstd", "notes", "a.data"]),
    ] {
        let packed = run(Command::new(program).args(args).current_dir(dir.path())).stdout;
        let file = dir.path().join(format!("a.data.{pack}"));
        fs::write(&file, &packed).unwrap();
        assert_eq!(text(&run(nsscope().args(["report", "--json"]).arg(&file))), right, "{pack}");
        let piped = fs::File::open(&file).unwrap();
        // One way or the other, where no file without a name can be made.
        let mut piped_report = nsscope();
        piped_report.args(["report", "--json", "-"]).env("TMPDIR", if pack == "zstd" { "/tmp" } else { "/proc" });
        assert_eq!(text(&run(piped_report.stdin(piped))), right, "{pack}");
        if pack == "tar" {
            // As of a plain file, what is there is read.
            continue;
        }
        // One that was cut off says so.
        fs::write(&file, &packed[..packed.len() / 2]).unwrap();
        let cut = nsscope().arg("report").arg(&file).output().unwrap();
        assert_eq!(cut.status.code(), Some(1));
        assert!(errors(&cut).contains("cannot read"), "{}", errors(&cut));
    }
}

/// In 80 columns no short word is broken, and sentences are below the table.
#[test]
fn a_report_is_readable_in_80_columns() {
    needs!("a_report_is_readable", cannot_record(), not_root(), missing("script", "bsdutils"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let work = ["unshare", "-p", "-m", "-n", "-f", "sh", "-c", "sleep 0.3; true"];
    run(nsscope().args(["record", "--switch-events", "-a", "-o"]).arg(&file).arg("--").args(work));
    let program = nsscope().get_program().display().to_string();
    for (flags, words) in [
        ("--cpu --why", &["unshare", "CONTAINER", "PROCS", "THREADS", "CPU", "FIRST", "COMMANDS"][..]),
        ("--waits", &["unshare", "WAITED ms", "LONGEST ms", "THROTTLED ms", "kernel threads"]),
    ] {
        let mut script = Command::new("script");
        let report = format!("stty rows 50 cols 80; exec {program} --no-pager report {flags} {}", file.display());
        script.args(["-qec", &report, "/dev/null"]);
        let shown = text(&run(script.env("TERM", "xterm").env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8")));
        for word in words {
            assert!(shown.contains(word), "{flags}: {word} is not in\n{shown}");
        }
        let rules =
            shown.lines().filter(|line| line.starts_with(['─', '═'])).map(|line| line.trim_end().chars().count());
        let rules: Vec<usize> = rules.collect();
        assert!(rules.len() > 2 && rules.iter().all(|width| (60..=80).contains(width)), "{shown}");
        if flags.contains("why") {
            assert!(shown.lines().any(|line| line.contains(": its processes share pid:[")), "{shown}");
        }
    }
}

/// What is long goes through the user's pager where a terminal is, and comes to its end before the command does.
#[test]
fn a_terminal_gets_a_pager() {
    needs!("a_terminal_gets_a_pager", cannot_record(), missing("script", "bsdutils"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.data");
    let said = errors(&run(nsscope().args(["record", "-v", "-o"]).arg(&file).args(["--", "true"])));
    assert!(said.contains("perf events on CPUs") && said.contains("tasks ran already"), "{said}");
    let on_terminal = |pager: &str, args: &str| {
        let command = format!("exec {} {args}", nsscope().get_program().display());
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env("NSSCOPE_PAGER", pager).env("TERM", "xterm");
        script.output().unwrap()
    };
    let slow = "sed 's/^/paged /'; sleep 0.2; echo the end";
    for command in ["report", "script", "stat"] {
        let args = format!("{command} {}", file.display());
        let paged = on_terminal(slow, &args);
        let shown = text(&paged);
        assert!(
            paged.status.success() && shown.lines().filter(|line| line.starts_with("paged ")).count() > 1,
            "{shown}"
        );
        assert!(shown.trim_end().ends_with("the end"), "{shown}");
        for plain in [on_terminal(slow, &format!("--no-pager {args}")), on_terminal("cat", &args)] {
            assert!(plain.status.success() && !text(&plain).contains("paged "), "{}", text(&plain));
        }
        let piped = run(nsscope().env("NSSCOPE_PAGER", slow).args([command]).arg(&file));
        assert!(!text(&piped).contains("paged "));
    }
    let failed = on_terminal(slow, "report /nowhere");
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    // A serial line does not know how wide it is: 80 columns, in which no word of the header is broken.
    let program = nsscope().get_program().display().to_string();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty rows 0 cols 0; exec {program} --no-pager ps"), "/dev/null"]);
    let shown = text(&run(script.env("TERM", "xterm").env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8")));
    let table = shown.lines().skip_while(|line| !line.starts_with('─'));
    let widths = table.map(|line| line.trim_end().chars().count());
    assert!(widths.max().is_some_and(|width| (70..=80).contains(&width)), "{shown}");
    assert!(shown.contains("CONTAINER") && shown.contains("COMMANDS"), "{shown}");
    // A pager that is left early is no failure.
    let left = on_terminal("head -c 1", &format!("script {}", file.display()));
    assert!(left.status.success(), "{}", text(&left));
}

/// A pipe's stream with a description of itself repeated behind most of its records.
fn described_again(stream: &[u8]) -> Vec<u8> {
    let (mut at, mut feature) = (16, None);
    while at < stream.len() * 3 / 4 {
        let (record, _) = RawRecord::<Native>::split(&stream[at..], at as u64).unwrap();
        at += record.bytes().len();
        match record.kind() {
            RecordType::HEADER_FEATURE => feature = Some(record.bytes()),
            // What it describes is behind it.
            RecordType::HEADER_TRACING_DATA => {
                let size = u32::from_ne_bytes(record.body()[..4].try_into().unwrap());
                at += size.next_multiple_of(8) as usize;
            }
            _ => {}
        }
    }
    [&stream[..at], feature.expect("a feature"), &stream[at..]].concat()
}

#[test]
fn threads_change_nothing_but_the_time() {
    needs!("threads_change_nothing", cannot_record(), not_root());
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let storm = ["--", actor().to_str().unwrap(), "storm", "5000", "2"].map(String::from);
    run(nsscope().args(["record", "-a", "--switch-events", "-o"]).arg(&whole).args(&storm));
    let stream = run(nsscope().args(["record", "-a", "--switch-events", "-o", "-"]).args(&storm)).stdout;
    let bytes = fs::read(&whole).unwrap();
    assert!(bytes.len() > 3 << 20 && stream.len() > 3 << 20, "{} {}", bytes.len(), stream.len());
    let mut damaged = bytes.clone();
    let hole = bytes.len() / 2;
    damaged[hole..hole + 5000].fill(0);
    let files =
        [("whole", bytes), ("damaged", damaged), ("stream", stream.clone()), ("again", described_again(&stream))];
    for (name, bytes) in &files {
        let file = dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        for command in [
            &["report", "--waits"][..],
            &["report", "--json"],
            &["script"],
            &["script", "--format", "perf"],
            &["script", "--kind", "fork", "--format", "json"],
            &["stat", "--json"],
        ] {
            let with =
                |threads: &str| nsscope().args(command).args(["--threads", threads]).arg(&file).output().unwrap();
            let one = with("1");
            assert!(one.status.success() && one.stdout.len() > 200, "{name} {command:?}: {}", errors(&one));
            for threads in ["2", "7"] {
                let more = with(threads);
                assert!(
                    one.stdout == more.stdout,
                    "{name} {command:?}: {} and {}",
                    one.stdout.len(),
                    more.stdout.len()
                );
                assert_eq!(errors(&one), errors(&more), "{name} {command:?}");
            }
        }
    }
    // What a stream is told of itself once more is nothing new.
    let script = |name: &str| run(nsscope().arg("script").arg(dir.path().join(name))).stdout;
    assert!(script("stream") == script("again"));
    // Who reads no further ends it.
    let mut head = nsscope();
    let mut head = head.args(["--threads", "2", "script"]).arg(&whole).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(head.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(head.wait().unwrap().success() && !line.is_empty());
    assert_eq!(nsscope().args(["report", "--threads", "0"]).output().unwrap().status.code(), Some(2));
}
