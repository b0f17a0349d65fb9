//! `nsscope demo`: a small container of our own, recorded and reported; the shortest way to see what this tool does.

use crate::args;
use crate::error::{Failure, Outcome, note};
use crate::{record, report, sys};
use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

/// What runs inside.
const INSIDE: &str = "sleep 0.2; echo hello from pid $$ of the container >&2";

pub(crate) fn run() -> Outcome {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("demo.data");
    let cpu = sys::online_cpus()?.first().copied().unwrap_or(0);
    if sys::Event::open(&record::side_band_attr(), -1, cpu as i32).is_ok() {
        let unshare = ["unshare", "--fork", "--pid", "--net", "--mount", "--uts", "--ipc", "sh", "-c", INSIDE];
        eprintln!("$ nsscope record -- {}", unshare[..8].join(" ") + " ...");
        let command = unshare.map(OsString::from).to_vec();
        record::run(&args::Record { output: file.clone(), command, ..args::Record::default() })?;
        eprintln!("$ nsscope report");
    } else {
        note(
            "this user may not record (nsscope doctor says why), so here is what /proc tells of the running \
             system, with a container that was just started in a user namespace",
        );
        let unshare = ["--user", "--map-root-user", "--fork", "--pid", "--mount", "--uts", "--ipc", "sleep", "5"];
        let child = Command::new("unshare").args(unshare).stdin(Stdio::null()).spawn();
        let mut child = child.map_err(|error| Failure::file("run", "unshare".as_ref(), &error))?;
        // The container is there once its `sleep` is; where user namespaces are forbidden, it never is.
        std::thread::sleep(std::time::Duration::from_millis(300));
        eprintln!("$ nsscope snapshot && nsscope report");
        let snapshot = record::snapshot(&args::Snapshot { output: file.clone(), names: args::Names::Auto });
        let _ = child.kill();
        let _ = child.wait();
        snapshot?;
    }
    report::print(&args::Report { file, processes: args::Most(10), ..args::Report::default() })?;
    Ok(ExitCode::SUCCESS)
}
