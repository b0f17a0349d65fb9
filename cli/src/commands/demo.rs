//! `nsscope demo`: containers of our own, recorded and reported; the shortest way to see what this tool does. Not here:
//! how to record and report, which it has this program do.

use super::{record, report, snapshot, view};
use crate::args;
use crate::error::{Failure, Outcome, note};
use nsscope_capture::check;
use nsscope_timeline::filter::{Field, Filter};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Container engines that take the same commands, the first that answers counts: the program, and what it answers to.
const ENGINES: [(&str, &[&str]); 2] = [("docker", &["version"]), ("podman", &["info"])];

/// What the containers of an engine belong to, so that the report can leave others out.
const PROJECT: &str = "nsscope-demo";

/// Two containers that share a network, one of them with a health check, and one that is busy. The image is empty: the
/// host's programs are mounted into it, so that nothing has to be fetched. `$1` is the engine.
const CONTAINERS: &str = r#"
clean() { "$1" rm -f nsscope-demo-web nsscope-demo-cache nsscope-demo-batch; "$1" rmi -f nsscope-demo; } > /dev/null 2>&1
trap 'clean "$1"' EXIT
trap 'exit 130' INT TERM HUP
clean "$1"
engine=$1
tar -cf - -T /dev/null | "$engine" import - nsscope-demo > /dev/null || exit 1
run() {
    name=$1; shift
    for dir in /bin /sbin /lib /lib64 /usr; do [ ! -e $dir ] || set -- -v $dir:$dir:ro "$@"; done
    "$engine" run -d --name nsscope-demo-$name --label com.docker.compose.project=nsscope-demo \
        --label com.docker.compose.service=$name "$@" > /dev/null || exit 1
}
run web --network none --health-cmd true --health-interval 1s nsscope-demo sh -c 'while :; do sleep 0.2; done'
run cache --network container:nsscope-demo-web nsscope-demo sleep 60
run batch --network none nsscope-demo sh -c 'while :; do :; done'
sleep 1.5
"$engine" exec nsscope-demo-web true
"#;

/// The script's exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What runs inside where there is no engine.
const INSIDE: &str = "sleep 0.2; echo hello from pid $$ of the container >&2";

pub(crate) fn run() -> Outcome {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("demo.data");
    let mut which = args::Which::default();
    if !check::can_record() {
        without_privileges(&file)?;
    } else if let Some(engine) = engine() {
        eprintln!(
            "Starting three containers in {engine} for a moment: two share a network, one of them has a health check, one is busy."
        );
        eprintln!("$ nsscope record -F 99 -a -- ...");
        let script = ["sh", "-c", CONTAINERS, "sh", engine];
        let code = record_command(&file, &script, true)?;
        if code == ExitCode::from(INTERRUPTED) {
            return Ok(code);
        }
        if code == ExitCode::SUCCESS {
            which.filter = Filter::only(Field::Group("compose"), [PROJECT.to_string()]);
            eprintln!("$ nsscope report --cpu --filter compose={PROJECT}");
        } else {
            note(format_args!("{engine} did not start them, as it says above; here is one by unshare(1) instead"));
            by_unshare(&file)?;
        }
    } else {
        by_unshare(&file)?;
    }
    let cpu = !which.filter.is_empty();
    report::print(&args::Report {
        input: args::Input::of(&file),
        processes: args::Most(4),
        which,
        cpu,
        ..args::Report::default()
    })?;
    eprintln!(
        "\nNext:\n  \
         sudo nsscope ps                             the containers that run on this machine\n  \
         sudo nsscope record --duration 10s          what all of them do for ten seconds; then nsscope report\n  \
         sudo nsscope events --filter 'container!=host'  the same as it happens"
    );
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if display && view::has_viewer() {
        return view::run(&args::View { files: vec![file], no_browser: false, port: 0 });
    }
    Ok(ExitCode::SUCCESS)
}

fn by_unshare(file: &Path) -> Outcome<()> {
    let unshare = ["unshare", "--fork", "--pid", "--net", "--mount", "--uts", "--ipc", "sh", "-c", INSIDE];
    eprintln!("$ nsscope record -- {}", unshare[..8].join(" ") + " ...");
    record_command(file, &unshare, false)?;
    eprintln!("$ nsscope report");
    Ok(())
}

/// The first engine whose daemon answers.
fn engine() -> Option<&'static str> {
    let answers = |engine: &str, args: &[&str]| {
        let status =
            Command::new(engine).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    ENGINES.into_iter().find(|(engine, args)| answers(engine, args)).map(|(engine, _)| engine)
}

fn record_command(file: &Path, command: &[&str], all: bool) -> Outcome {
    let record = args::Record {
        output: file.into(),
        command: command.iter().map(OsString::from).collect(),
        frequency: all.then_some(99),
        all,
        ..args::Record::default()
    };
    // A recorder gives up capabilities, which are a thread's: there may be another recording after this one.
    let recorded = std::thread::scope(|scope| scope.spawn(|| record::run(&record)).join());
    recorded.unwrap_or_else(|_| Err(Failure::new("the recorder stopped")))
}

/// What /proc says, with a container that needs no privileges.
fn without_privileges(file: &Path) -> Outcome<()> {
    note(
        "this user may not record (nsscope doctor says why), so here is what /proc says of the running system, with a \
         container that was just started in a user namespace",
    );
    let unshare = ["--user", "--map-root-user", "--fork", "--pid", "--mount", "--uts", "--ipc", "sleep", "5"];
    let child = Command::new("unshare").args(unshare).stdin(Stdio::null()).spawn();
    let mut child = child.map_err(|error| Failure::file("run", "unshare".as_ref(), &error))?;
    // The container is there once its `sleep` is; where user namespaces are forbidden, it never is.
    std::thread::sleep(std::time::Duration::from_millis(300));
    eprintln!("$ nsscope snapshot && nsscope report");
    let snapshot = snapshot::run(&args::Snapshot { output: file.into(), names: args::Names::Auto });
    let _ = child.kill();
    let _ = child.wait();
    snapshot.map(drop)
}
