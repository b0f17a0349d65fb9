//! `nsscope report --waits`: who ran, who waited for a CPU, and for whom. Not here: how waits are measured.

use crate::args;
use crate::json::limit_json;
use crate::select::Selection;
use crate::table::{Style, is_narrow};
use crate::text::runner_title;
use crate::time::seconds;
use nsscope_timeline::{CpuUsage, Key, Runner, Timeline};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How many of those that one waited for are named in a sentence.
const NAMED: usize = 3;

/// Of those who ran, the ones that were asked for.
fn wanted<'u>(all: &'u [CpuUsage], selection: &'u Selection, everybody: bool) -> impl Iterator<Item = &'u CpuUsage> {
    let key = |of: &Key| selection.containers.iter().any(|container| container.key == *of);
    all.iter().filter(move |one| match &one.runner {
        Runner::Container(of) => key(of),
        _ => everybody,
    })
}

/// ns as ms, which is what waits are.
fn ms(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e6)
}

/// The columns of the table, and whether they are on a narrow terminal, too. `--json` has all.
const COLUMNS: [(&str, bool); 12] = [
    ("WHO", true),
    ("CPU s", true),
    ("%", true),
    ("WAITED ms", true),
    ("WAITS", false),
    ("MEDIAN ms", false),
    ("P99 ms", true),
    ("LONGEST ms", true),
    ("SLEPT", false),
    ("PREEMPTED", false),
    ("MIGRATED", false),
    ("THROTTLED ms", true),
];

/// The table of who ran and waited, and a sentence for each container that waited.
pub(super) fn as_text(timeline: &Timeline, selection: &Selection, args: &args::Report) -> String {
    let all = timeline.cpu_usage(&args.which.definition, timeline.span().map_or(0, |(_, last)| last));
    let whole: u64 = all.iter().map(|one| one.on_cpu).sum();
    let cpus = all.iter().flat_map(|one| &one.cpus).map(|(cpu, _)| cpu + 1).max().unwrap_or(0);
    let everybody = args.which.filter().is_empty();
    let style = Style::of_stdout();
    let shown = |column: &usize| !is_narrow() || COLUMNS[*column].1;
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(shown).collect();
    let header: Vec<&str> = columns.iter().map(|&column| COLUMNS[column].0).collect();
    let mut table = style.table(&header);
    for one in wanted(&all, selection, everybody) {
        let cells: [String; COLUMNS.len()] = [
            runner_title(timeline, &one.runner),
            seconds(one.on_cpu),
            format!("{:.1}", 100.0 * one.on_cpu as f64 / whole.max(1) as f64),
            ms(one.waited),
            one.waits.to_string(),
            one.p50.map_or("-".into(), ms),
            one.p99.map_or("-".into(), ms),
            ms(one.max),
            one.slept.to_string(),
            one.preempted.to_string(),
            one.migrations.to_string(),
            one.limit.filter(|limit| limit.periods > 0).map_or("-".into(), |limit| ms(limit.throttled)),
        ];
        table.add_row(columns.iter().map(|&column| &cells[column]));
    }
    let table = style.fitted(&mut table);
    let mut out = if timeline.is_summed() {
        format!("\nCPU time and waits, summed in the kernel: record --switch-events knows the CPUs too\n{table}\n\n")
    } else {
        format!("\nCPU time and waits, from context switches; % of {cpus} CPUs\n{table}\n\n")
    };
    let mut waiting: Vec<&CpuUsage> = wanted(&all, selection, everybody).collect();
    waiting.retain(|one| matches!(one.runner, Runner::Container(_) | Runner::Host));
    waiting.sort_by_key(|one| std::cmp::Reverse(one.waited));
    for one in waiting {
        let _ = writeln!(out, "{}", sentence(timeline, one));
    }
    out
}

/// What one would say of it: first what its own limit did, then whom it waited for.
fn sentence(timeline: &Timeline, one: &CpuUsage) -> String {
    let mut text = runner_title(timeline, &one.runner);
    match one.limit.filter(|limit| limit.throttled_periods > 0) {
        Some(limit) => {
            let _ = write!(
                text,
                " was held back by its own CPU limit for {} ms, in {} of {} periods; it",
                ms(limit.throttled),
                limit.throttled_periods,
                limit.periods
            );
        }
        None if one.waited == 0 => return text + " did not wait",
        None => {}
    }
    let _ = write!(text, " waited {} ms", ms(one.waited));
    let others = one.ran_instead.iter().filter(|other| other.ns > 0).take(NAMED);
    for (place, other) in others.enumerate() {
        let cpus: Vec<String> = other.cpus.iter().map(|(cpu, _)| cpu.to_string()).collect();
        let on = match &*cpus {
            [] => String::new(),
            [one] => format!(" on CPU {one}"),
            several => format!(" on CPUs {}", several.join(", ")),
        };
        let who = match &other.runner {
            Runner::Idle => "while the CPU was idle".into(),
            Runner::Unknown => "for somebody unknown".into(),
            runner if *runner == one.runner => "for its own threads".into(),
            runner => format!("for {}", runner_title(timeline, runner)),
        };
        let joint = if place == 0 { ": " } else { ", " };
        let _ = write!(text, "{joint}{} ms {who}{on}", ms(other.ns));
    }
    text
}

/// The same for a program; `null` where no context switches were recorded.
pub(super) fn as_json(timeline: &Timeline, args: &args::Report) -> Value {
    if !timeline.has_switches() {
        return Value::Null;
    }
    let who = |runner: &Runner| match runner {
        Runner::Container(key) => json!({ "kind": "container", "id": key.id(), "title": timeline.title_of(key) }),
        Runner::Host => json!({ "kind": "host" }),
        Runner::Kernel => json!({ "kind": "kernel" }),
        Runner::Idle => json!({ "kind": "idle" }),
        Runner::Unknown => json!({ "kind": "unknown" }),
    };
    let cpus = |all: &[(u32, u64)]| -> Value {
        all.iter().map(|(cpu, ns)| (cpu.to_string(), json!(ns))).collect::<serde_json::Map<_, _>>().into()
    };
    let one = |one: &CpuUsage| {
        let meanwhile = one.ran_instead.iter();
        let meanwhile =
            meanwhile.map(|other| json!({ "who": who(&other.runner), "ns": other.ns, "cpus_ns": cpus(&other.cpus) }));
        json!({
            "who": who(&one.runner),
            "cpu_ns": one.on_cpu,
            "cpus_ns": cpus(&one.cpus),
            "waited_ns": one.waited,
            "waits": one.waits,
            "median_wait_ns": one.p50,
            "p99_wait_ns": one.p99,
            "longest_wait_ns": one.max,
            "slept": one.slept,
            "preempted": one.preempted,
            "migrations": one.migrations,
            "waited_for": meanwhile.collect::<Vec<_>>(),
            "limit": one.limit.map(limit_json),
        })
    };
    timeline.cpu_usage(&args.which.definition, timeline.span().map_or(0, |(_, last)| last)).iter().map(one).collect()
}
