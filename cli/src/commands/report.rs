//! `nsscope report`: which containers a capture reveals. Not here: how a capture is read, and what makes a container.

use super::slow::no_switches;
use super::waits;
use crate::args::{self, Most, Sort};
use crate::error::Outcome;
use crate::json::{
    container_json, groups_json, kept_json, kind_names, members_json, namespaces_json, print_json, shares,
};
use crate::loaded::Capture;
use crate::safe::safe;
use crate::select::{self, Selection, role, title};
use crate::table::{Style, is_narrow, list, plural};
use crate::text::{blind_spots, kept_text};
use crate::time::{rfc3339, seconds};
use comfy_table::{Color, Table};
use nsscope_codec::perf_data::Feature;
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_timeline::process::in_tree_order;
use nsscope_timeline::{Container, Group, Namespaced, NsSet, Process, Timeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

pub(crate) fn run(args: &args::Report) -> Outcome {
    print(args)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a capture and prints its containers.
pub(crate) fn print(args: &args::Report) -> Outcome<()> {
    let capture = Capture::read(args.input.path())?;
    let sort = if args.cpu { Sort::Cpu } else { args.sort };
    let window = select::window(&capture, args.since, args.until);
    let selection = select::select(&capture.timeline, &args.which, window, sort);
    let namespaced = select::namespaced(&capture.timeline, &args.which.definition, &args.which.filter(), window);
    if args.waits && !capture.timeline.has_switches() {
        return Err(no_switches(args.input.path()));
    }
    if args.json {
        return print_json(&as_json(&capture, &selection, &namespaced, args));
    }
    let mut out = io::stdout().lock();
    out.write_all(as_text(&capture, &selection, &namespaced, args).as_bytes())?;
    Ok(out.flush()?)
}

fn as_text(capture: &Capture, selection: &Selection, namespaced: &[Namespaced], args: &args::Report) -> String {
    let Capture { session, timeline } = capture;
    let mut out = String::new();
    let (first, last) = timeline.span().unwrap_or_default();
    let host = session.text(Feature::HOSTNAME).unwrap_or_else(|| "unknown host".into());
    let kernel = session.text(Feature::OSRELEASE).map_or(String::new(), |release| format!(", Linux {release}"));
    let began = session.wall_clock(first).map_or(String::new(), |wall| format!(", from {}", rfc3339(wall)));
    let _ = writeln!(out, "{}{}{began}, {} s", safe(host.as_bytes()), safe(kernel.as_bytes()), seconds(last - first));
    if let Some(recorder) = timeline.recorder() {
        if recorder.interval > 0 {
            let _ = writeln!(
                out,
                "recorded by looking at /proc every {} ms: what was over in between is missing",
                recorder.interval / 1_000_000
            );
        }
        if !recorder.own_namespaces.is_empty() {
            let own = safe(recorder.own_namespaces.join(", ").as_bytes());
            let blind = blind_spots(&recorder.own_namespaces);
            let _ = writeln!(out, "recorded from inside a container (its own namespaces: {own}): {blind}");
        }
    }
    let lost: u64 = timeline.lost().iter().map(|lost| lost.count).sum();
    if lost > 0 {
        let _ = writeln!(out, "{lost} records were lost: what follows may be incomplete");
    }
    if timeline.threads_not_kept() > 0 {
        let _ = writeln!(out, "{} threads that ended are counted but not listed", timeline.threads_not_kept());
    }

    let containers = &selection.containers;
    if containers.is_empty() {
        let all = args.which.filter().is_empty() && args.since.is_none() && args.until.is_none();
        out += match (all, args.which.definition.to_string().as_str()) {
            (false, _) => "no container passes the filter\n",
            (true, "auto") if namespaced.is_empty() => "no container: every process shares the host's namespaces\n",
            (true, "auto") => {
                "no container: no process has both a pid and a mount namespace of its own, or a runtime's cgroup\n"
            }
            (true, _) => "no container by this definition\n",
        };
    } else {
        out.push('\n');
        out += &tree(timeline, selection, args, first);
        out.push('\n');
    }
    if !namespaced.is_empty() {
        out += "\nin no container, but with namespaces of their own:\n";
        let mut groups: BTreeMap<&[NsKind], Vec<usize>> = BTreeMap::new();
        for other in namespaced {
            groups.entry(&other.differs).or_default().push(other.task);
        }
        for (kinds, tasks) in groups {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            let mut names: Vec<_> =
                tasks.iter().filter_map(|&task| timeline.last_name(timeline.task_at(task))).collect();
            names.sort();
            names.dedup();
            let threads = plural("thread", tasks.len());
            let _ = writeln!(out, "  {:<24} {:>4} {threads}: {}", kinds.join(" "), tasks.len(), list(&names, 6));
        }
    }
    if args.cpu {
        out += if timeline.is_summed() {
            "\nCPU time was summed in the kernel\n"
        } else if timeline.has_switches() {
            "\nCPU time is exact, from context switches\n"
        } else {
            "\nCPU time is estimated from samples; record --switch-events has it exact\n"
        };
    }
    if args.waits {
        out += &waits::as_text(timeline, selection, args);
    }
    out += &kept_text(timeline);
    out
}

/// The table: pods, their containers, the processes of each.
fn tree(timeline: &Timeline, selection: &Selection, args: &args::Report, start: u64) -> String {
    let style = Style::of_stdout();
    let own = if is_narrow() { "OWN NS" } else { "OWN NAMESPACES" };
    let mut header = vec!["CONTAINER", "KIND", own, "PROCS", "PEAK", "THREADS", "FIRST", "LAST", "COMMANDS"];
    if args.cpu {
        header.insert(6, "CPU");
    }
    let mut table = style.table(&header);
    let mut shown = Rows {
        timeline,
        args,
        style,
        narrow: is_narrow().then(String::new),
        start,
        host: timeline.host(),
        table: &mut table,
    };
    for (index, group) in Group::of_each(&selection.groups, selection.containers.len()).into_iter().enumerate() {
        let Some(group) = group.map(|number| &selection.groups[number]) else {
            shown.container(selection, index, ("", ""));
            continue;
        };
        // With its first container come the others.
        if group.containers.first() != Some(&index) {
            continue;
        }
        shown.group(group);
        for (position, &member) in group.containers.iter().enumerate() {
            shown.container(selection, member, style.branch(position + 1 == group.containers.len()));
        }
    }
    let sentences = shown.narrow.unwrap_or_default();
    let table = style.fitted(&mut table);
    if sentences.is_empty() { table } else { format!("{table}\n\n{}", sentences.trim_end()) }
}

struct Rows<'t> {
    timeline: &'t Timeline,
    args: &'t args::Report,
    style: Style,
    /// Where there is no room for inodes, microseconds and sentences: the sentences, which come below the table.
    narrow: Option<String>,
    start: u64,
    host: NsSet,
    table: &'t mut Table,
}

impl Rows<'_> {
    fn row(&mut self, name: &str, colour: Option<Color>, bold: bool, mut cells: Vec<String>, cpu: String) {
        if self.args.cpu {
            cells.insert(5, cpu);
        }
        let cells = cells.iter().map(|text| self.style.cell(text, None, false));
        let row: Vec<_> = std::iter::once(self.style.cell(name, colour, bold)).chain(cells).collect();
        self.table.add_row(row);
    }

    /// A time since the beginning, s.
    fn time(&self, ns: u64) -> String {
        let time = seconds(ns.saturating_sub(self.start));
        if self.narrow.is_some() { time[..time.len() - 3].into() } else { time }
    }

    /// Namespaces of its own: their types, and where there is room their inodes.
    fn own(&self, set: &NsSet, own: impl Iterator<Item = NsKind>) -> String {
        let narrow = self.narrow.is_some();
        let names: Vec<_> = own.map(|kind| if narrow { kind.name().into() } else { set.label(kind) }).collect();
        names.join(if narrow { " " } else { "\n" })
    }

    fn group(&mut self, group: &Group) {
        let why = if self.args.why { safe(group.why.as_bytes()) } else { String::new() };
        let cells = [group.kind, "", "", "", "", "", "", &why].map(String::from).to_vec();
        self.row(&safe(group.title().as_bytes()), Some(Color::Magenta), true, cells, String::new());
    }

    fn container(&mut self, selection: &Selection, index: usize, (branch, below): (&str, &str)) {
        let (container, members) = (&selection.containers[index], &selection.members[index]);
        let own = match container.differs.len() {
            0 if container.namespaces == NsSet::default() => "not known".into(),
            0 if container.namespaces == self.host => "none".into(),
            _ => self.own(&container.namespaces, container.differs.iter().copied()),
        };
        let came = if container.start_exact { "" } else { "before " };
        let cells = vec![
            container.kind(),
            own,
            container.processes.to_string(),
            container.peak_processes.to_string(),
            container.threads.to_string(),
            format!("{came}{}", self.time(container.start)),
            container.end.map_or("running".into(), |last| self.time(last)),
            list(&container.commands, 6),
        ];
        let title = safe(title(container).as_bytes());
        self.row(&format!("{branch}{title}"), Some(Color::Cyan), true, cells, cpu(container));
        let story = story(container);
        if !story.is_empty() {
            match &mut self.narrow {
                Some(below) => _ = writeln!(below, "{title}: {story}"),
                None => self.row(&format!("{below}  {story}"), None, false, vec![String::new(); 8], String::new()),
            }
        }
        for why in container.why.iter().filter(|_| self.args.why).map(|why| safe(why.as_bytes())) {
            if let Some(below) = &mut self.narrow {
                _ = writeln!(below, "{title}: {why}");
                continue;
            }
            let cells = ["", "", "", "", "", "", "", &*why].map(String::from).to_vec();
            self.row(&format!("{below}  why"), None, false, cells, String::new());
        }
        let Most(most) = self.args.processes;
        let inside: Vec<(usize, &Process)> =
            in_tree_order(members).into_iter().map(|(depth, at)| (depth, &members[at])).collect();
        let more = inside.len().saturating_sub(most) as u64
            + (container.processes as u64).saturating_sub(inside.len() as u64)
                * u64::from(self.timeline.threads_not_kept() > 0);
        let shown = &inside[..inside.len().min(most)];
        for (position, &(depth, process)) in shown.iter().enumerate() {
            let following = shown[position + 1..].iter().map(|&(depth, _)| depth + 1);
            let branches = self.style.branches(following.chain((more > 0).then_some(1)), depth + 1);
            self.process(container, process, &format!("{below}{branches}"));
        }
        if more > 0 && most > 0 {
            let name = format!("{below}{}and {more} more", self.style.branch(true).0);
            self.row(&name, None, false, vec![String::new(); 8], String::new());
        }
    }

    fn process(&mut self, container: &Container, process: &Process, branch: &str) {
        let leader = self.timeline.task_at(process.leader);
        let since = container.since(process.leader);
        let names: Vec<String> = leader
            .names
            .iter()
            .filter(|name| name.time >= since)
            .map(|since| String::from_utf8_lossy(self.timeline.names().get(since.value)).into_owned())
            .collect();
        let inside = leader.inner_pid().map_or(String::new(), |pid| format!(" (inside {pid})"));
        // What it has of its own even within its container.
        let set = self.timeline.last_namespaces(leader).unwrap_or_default();
        let own = set.differences(&container.namespaces).filter(|&kind| set.get(kind) != self.host.get(kind));
        let own = self.own(&set, own);
        let came = if process.start_exact { "" } else { "before " };
        let cells = vec![
            String::new(),
            own,
            String::new(),
            String::new(),
            process.threads.len().to_string(),
            format!("{came}{}", self.time(process.start)),
            process.end.map_or("running".into(), |end| self.time(end)),
            list(&names, 6),
        ];
        let how = match role(container, process) {
            "exec" => " exec",
            "health check" => " health check",
            _ => "",
        };
        self.row(&format!("{branch}{}{inside}{how}", process.pid), None, false, cells, String::new());
    }
}

/// How a container came to be, and what was started in it from outside.
fn story(container: &Container) -> String {
    let mut story = Vec::new();
    if let Some(created) = &container.created {
        story.push(format!("created by {} in {:.1} ms", safe(created.by.as_bytes()), created.ns as f64 / 1e6));
    }
    let others = container.execs.saturating_sub(container.health_checks);
    for (count, what) in [(container.health_checks, "health check"), (others, "exec")] {
        if count > 0 {
            story.push(format!("{count} {}", plural(what, count)));
        }
    }
    story.join(", ")
}

fn cpu(container: &Container) -> String {
    match container.cpu {
        0 => format!("{} {}", container.samples, plural("sample", container.samples as usize)),
        ns => format!("{:.3} s", ns as f64 / 1e9),
    }
}

fn as_json(capture: &Capture, selection: &Selection, namespaced: &[Namespaced], args: &args::Report) -> Value {
    let Capture { session, timeline } = capture;
    let wall = |time: u64| session.wall_clock(time).map(rfc3339);
    let containers: Vec<Value> = selection
        .containers
        .iter()
        .zip(&selection.members)
        .map(|(container, members)| {
            let mut value = container_json(timeline, container);
            value["shares"] = shares(&selection.containers, container);
            value["pids"] = json!(pids(members));
            value["first_wall"] = json!(wall(container.start));
            value["last_wall"] = json!(container.end.and_then(wall));
            value["members"] = members_json(timeline, container, &members[..members.len().min(args.processes.0)]);
            value
        })
        .collect();
    let namespaced: Vec<Value> = namespaced
        .iter()
        .map(|other| {
            let task = timeline.task_at(other.task);
            json!({
                "pid": task.pid, "tid": task.tid, "comm": timeline.last_name(task), "own": kind_names(&other.differs),
            })
        })
        .collect();
    let (first, last) = timeline.span().unwrap_or_default();
    json!({
        "hostname": session.text(Feature::HOSTNAME),
        "kernel": session.text(Feature::OSRELEASE),
        "command": session.texts(Feature::CMDLINE),
        "definition": args.which.definition.to_string(),
        "first": first,
        "first_wall": wall(first),
        "last": last,
        "threads": timeline.threads_seen(),
        "threads_not_listed": timeline.threads_not_kept(),
        "lost": timeline.lost().iter().map(|lost| lost.count).sum::<u64>(),
        "unreadable_records": timeline.malformed(),
        "records_of_outside": timeline.outside_pid_namespace(),
        "recorder": timeline.recorder().map(|recorder| {
            json!({ "backend": recorder.backend, "interval_ns": recorder.interval, "own_namespaces": recorder.own_namespaces })
        }),
        "host": namespaces_json(&timeline.host()),
        "groups": groups_json(selection),
        "containers": containers,
        "cpu_source": if timeline.is_summed() { "sums" } else if timeline.has_switches() { "switches" } else { "samples" },
        "cpu_use": waits::as_json(timeline, args),
        "kept": timeline.kept().iter().map(kept_json).collect::<Vec<_>>(),
        "namespaced": namespaced,
    })
}

fn pids(members: &[Process]) -> Vec<u32> {
    let mut pids: Vec<u32> = members.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}
