//! `--longer-than`: long waits for a CPU, of `nsscope events` as they end, of `nsscope script` in a capture. Not here: how
//! waits are measured.

use crate::args::{self, Format};
use crate::deliver::Consumer;
use crate::error::{Failure, Outcome, note};
use crate::events::stream::PIECE;
use crate::events::watch::{Seen, Watch};
use crate::input;
use crate::safe::safe;
use crate::text::runner_title;
use crate::{signals, time};
use nsscope_capture::{Backend, Recording};
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::Wait;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Takes each record, and prints the waits that are long enough.
struct Slow {
    watch: Watch,
    least: Duration,
    json: bool,
    /// Waits that ended before are not told, ns.
    from: u64,
    out: Vec<u8>,
}

/// The long waits of a capture.
pub(super) fn read(args: &args::Script, least: Duration) -> Outcome {
    let path = args.input.path();
    let mut watch = Watch::new(&args.which);
    watch.learn_from(path);
    let mut slow = Slow { watch, least, json: args.format == Format::Json, from: 0, out: Vec::new() };
    let read = input::read(path, &mut slow);
    // What was read before a failure is printed all the same.
    slow.write()?;
    read?;
    if !slow.watch.timeline().has_switches() {
        return Err(no_switches(path));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says of a capture that nothing is known of waits.
pub(super) fn no_switches(path: &Path) -> Failure {
    Failure::new(format!(
        "{} has no context switches, so it does not say who waited\n  \
         record them: nsscope record --switch-events, and --wakeups for those who slept",
        path.display()
    ))
}

/// Follows the system until it is ended.
pub(super) fn run(args: &args::Events, least: Duration) -> Outcome {
    let ends = signals::count_ends()?;
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let slow = Slow { watch: Watch::new(&args.which), least, json: args.json, from: u64::MAX, out: Vec::new() };
    let mut live = Recording::new().backend(Backend::Perf).wakeups().live(slow)?;
    live.flush()?;
    live.visitor().from = nsscope_capture::now();
    while ends.load(Relaxed) == 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        live.poll()?;
        live.visitor().write()?;
    }
    live.finish().write()?;
    Ok(ExitCode::SUCCESS)
}

impl Slow {
    fn write(&mut self) -> Outcome<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.out)?;
        self.out.clear();
        Ok(out.flush()?)
    }

    fn take<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) {
        self.watch.take(session, record);
        let Some((wait, runner)) = self.watch.waited(self.least) else { return };
        let seen = self.watch.thread(wait.tid);
        if seen.passes && wait.to >= self.from {
            let whom = runner_title(self.watch.timeline(), &runner);
            self.print(session, wait, &seen, &whom);
        }
    }

    fn print(&mut self, session: &Session, wait: Wait, seen: &Seen, whom: &str) {
        let Wait { tid, cpu, from, to } = wait;
        let ns = to.saturating_sub(from);
        let wall = session.wall_clock(to).map(time::rfc3339);
        if self.json {
            let line = json!({
                "kind": "wait", "time": to, "wall": wall, "tid": tid, "comm": seen.comm, "container": seen.container,
                "container_name": seen.name, "cpu": cpu, "waited_ns": ns, "waited_for": whom,
            });
            self.out.extend_from_slice(format!("{line}\n").as_bytes());
        } else {
            let comm = safe(seen.comm.as_deref().unwrap_or("?").as_bytes());
            let line = format!(
                "{} {:<20} {comm:<16} {tid:>8} waited {:>9.3} ms for CPU {cpu}, mostly for {whom}\n",
                wall.as_deref().unwrap_or("-"),
                seen.title(),
                ns as f64 / 1e6,
            );
            self.out.extend_from_slice(line.as_bytes());
        }
    }
}

impl Consumer for Slow {
    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.take(session, record);
        if self.out.len() >= PIECE { self.write() } else { Ok(()) }
    }
}

impl Visitor for Slow {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.take(session, &record);
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        note(format_args!("a record cannot be read {error}"));
    }
}
