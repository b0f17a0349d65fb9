//! `nsscope top`: the containers that run, live. Not here: how the system is watched.

use crate::args;
use crate::error::{Failure, Outcome};
use crate::json::container_json;
use crate::safe::safe;
use crate::select::{self, running, title};
use crate::table::list;
use crate::{signals, time};
use nsscope_capture::{Backend, Live, Recording, now};
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::wire::header::{MISC_FORK_EXEC, RecordType};
use nsscope_codec::{Error, Order, RawRecord, Record};
use nsscope_timeline::filter::Filter;
use nsscope_timeline::{Container, CpuUsage, Definition, Group, Key, Runner, Timeline};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table, TableState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long what is new, and what is gone, is shown as that, ns.
const NEWS: u64 = 3_000_000_000;
/// How often a key is looked for.
const KEYS: Duration = Duration::from_millis(100);

/// What has happened in a container since the last picture.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    forks: u64,
    namespaces: u64,
}

/// The facts, and what has happened lately.
struct Facts {
    timeline: Timeline,
    definition: Definition,
    /// By container; `None` is the host.
    happened: BTreeMap<Option<Key>, Happened>,
    lost: u64,
    /// CPU time and waits up to the last picture.
    before: Vec<CpuUsage>,
}

impl Visitor for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.timeline.push(session, &record);
        let (tid, fork) = match record.parse() {
            Ok(Record::Fork(task)) if record.misc() & MISC_FORK_EXEC == 0 => (task.tid.get(), true),
            Ok(Record::Namespaces(ns)) => (ns.tid(), false),
            Ok(Record::Lost(lost)) => {
                self.lost += lost.lost.get();
                return;
            }
            _ => return,
        };
        let Some((index, task)) = self.timeline.task_of_tid(tid) else { return };
        // A fork comes with a record that repeats the parent's namespaces: that is no change.
        let changed = task.namespaces.len() > 1;
        let key = self.timeline.container_of(index, &self.definition);
        let happened = self.happened.entry(key).or_default();
        happened.forks += u64::from(fork);
        happened.namespaces += u64::from(!fork && changed && record.kind() == RecordType::NAMESPACES);
    }

    /// What cannot be read is left out: there is nowhere to say so while the picture stands.
    fn fault(&mut self, _: Error) {}
}

/// A container as it is shown.
struct Shown {
    container: Container,
    running: usize,
    happened: Happened,
    cpu: Cpu,
}

/// CPU time since the last picture.
#[derive(Clone, Debug, Default)]
struct Cpu {
    /// Used and waited for, ns.
    used: u64,
    waited: u64,
    /// Whom it waited for most: title and ns.
    neighbour: Option<(String, u64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SortBy {
    First,
    Cpu,
    Processes,
    Forks,
}

pub(crate) fn run(args: &args::Top) -> Outcome {
    let terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !args.json && !terminal {
        return Err(Failure::Usage(
            "top is for a terminal, and this is none\n  for a program: nsscope top --json, nsscope events --json or nsscope ps --json"
                .into(),
        ));
    }
    let ends = signals::count_ends()?;
    let facts = Facts {
        timeline: Timeline::for_stream(),
        definition: args.which.definition.clone(),
        happened: BTreeMap::new(),
        lost: 0,
        before: Vec::new(),
    };
    let mut live = Recording::new().backend(Backend::Perf).switch_events().live(facts)?;
    live.flush()?;
    let mut screen = (!args.json).then(Screen::open);
    let result = show(args, &mut live, screen.as_mut(), &ends);
    if screen.is_some() {
        ratatui::restore();
    }
    result.map(|()| ExitCode::SUCCESS)
}

/// Shows what happens until the time is over or the user has seen enough.
fn show(args: &args::Top, live: &mut Live<Facts>, mut screen: Option<&mut Screen>, ends: &AtomicUsize) -> Outcome<()> {
    let filter = args.which.filter();
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut last: Option<Instant> = None;
    while ends.load(Relaxed) == 0 && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let due = last.is_none_or(|last| last.elapsed() >= args.interval);
        let span = last.map_or(args.interval, |last| last.elapsed());
        let Some(screen) = &mut screen else {
            if due {
                print(live.visitor(), &filter, span)?;
                last = Some(Instant::now());
            }
            live.poll()?;
            continue;
        };
        let (go_on, changed) = screen.keys()?;
        if due && !screen.paused {
            screen.take(live.visitor(), &filter, span);
            last = Some(Instant::now());
        }
        if due || changed {
            screen.draw()?;
        }
        if !go_on {
            break;
        }
        live.poll()?;
    }
    Ok(())
}

/// The containers that run or ran a moment ago, with what has happened since the last time.
fn look(facts: &mut Facts, filter: &Filter) -> (Vec<Shown>, Happened) {
    let happened = std::mem::take(&mut facts.happened);
    let now = now();
    let all = facts.timeline.cpu_usage(&facts.definition, now);
    let before = std::mem::replace(&mut facts.before, all);
    let timeline = &facts.timeline;
    let (then, since) = (by_key(&before), by_key(&facts.before));
    let mut containers = timeline.containers(&facts.definition);
    containers.retain(|container| container.end.is_none_or(|last| now.saturating_sub(last) < NEWS));
    if !filter.is_empty() {
        let groups = timeline.groups(&containers);
        let of = Group::of_each(&groups, containers.len());
        let mut groups = of.into_iter().map(|number| number.map(|number| &groups[number]));
        containers.retain(|container| select::passes(filter, timeline, Some(container), groups.next().flatten(), None));
    }
    let shown = containers.into_iter().map(|container| Shown {
        running: running(timeline, &container),
        happened: happened.get(&Some(container.key.clone())).copied().unwrap_or_default(),
        cpu: cpu(timeline, then.get(&container.key).copied(), since.get(&container.key).copied()),
        container,
    });
    (shown.collect(), happened.get(&None).copied().unwrap_or_default())
}

/// The containers among those who ran.
fn by_key(all: &[CpuUsage]) -> BTreeMap<&Key, &CpuUsage> {
    all.iter()
        .filter_map(|one| match &one.runner {
            Runner::Container(key) => Some((key, one)),
            _ => None,
        })
        .collect()
}

/// What a container used of the CPUs since the picture before.
fn cpu(timeline: &Timeline, then: Option<&CpuUsage>, now: Option<&CpuUsage>) -> Cpu {
    let Some(now) = now else { return Cpu::default() };
    let waited_for = |all: &CpuUsage, runner: &Runner| {
        all.ran_instead.iter().find(|other| other.runner == *runner).map_or(0, |other| other.ns)
    };
    let others = now.ran_instead.iter().filter_map(|other| match &other.runner {
        Runner::Container(key) => Some((&other.runner, timeline.title_of(key))),
        Runner::Host => Some((&other.runner, "host".into())),
        Runner::Kernel | Runner::Idle | Runner::Unknown => None,
    });
    let others = others.filter(|(runner, _)| **runner != now.runner);
    let before = |runner: &Runner| then.map_or(0, |then| waited_for(then, runner));
    let news = others.map(|(runner, title)| (title, waited_for(now, runner).saturating_sub(before(runner))));
    Cpu {
        used: now.on_cpu.saturating_sub(then.map_or(0, |then| then.on_cpu)),
        waited: now.waited.saturating_sub(then.map_or(0, |then| then.waited)),
        neighbour: news.filter(|&(_, ns)| ns > 0).max_by_key(|&(_, ns)| ns),
    }
}

/// One line of JSON.
fn print(facts: &mut Facts, filter: &Filter, span: Duration) -> Outcome<()> {
    let (shown, host) = look(facts, filter);
    let rate = |count: u64| count as f64 / span.as_secs_f64();
    let containers = shown.iter().map(|shown| {
        let mut value = container_json(&facts.timeline, &shown.container);
        value["forks_per_second"] = json!(rate(shown.happened.forks));
        value["namespace_changes_per_second"] = json!(rate(shown.happened.namespaces));
        let part = |ns: u64| ns as f64 / span.as_nanos() as f64;
        value["cpu_share"] = json!(part(shown.cpu.used));
        value["wait_share"] = json!(part(shown.cpu.waited));
        let neighbour = shown.cpu.neighbour.as_ref();
        value["worst_neighbour"] = json!(neighbour.map(|(title, ns)| json!({ "title": title, "share": part(*ns) })));
        value
    });
    let line = json!({
        "time": now(), "wall": time::rfc3339(time::wall_clock()), "containers": containers.collect::<Vec<_>>(),
        "host": { "forks_per_second": rate(host.forks), "namespace_changes_per_second": rate(host.namespaces) },
        "lost": facts.lost,
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

struct Screen {
    terminal: DefaultTerminal,
    table: TableState,
    rows: Vec<(Vec<String>, Style)>,
    head: String,
    order: SortBy,
    paused: bool,
    colour: bool,
}

impl Screen {
    fn open() -> Self {
        Self {
            terminal: ratatui::init(),
            table: TableState::default(),
            rows: Vec::new(),
            head: String::new(),
            order: SortBy::First,
            paused: false,
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// Whether to go on, and whether the picture has changed.
    fn keys(&mut self) -> Outcome<(bool, bool)> {
        let mut changed = false;
        // The library that reads keys does not come back from a terminal that has gone.
        if !has_keys()? {
            return Ok((false, true));
        }
        while event::poll(Duration::ZERO)? {
            changed = true;
            let Event::Key(key) = event::read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match key.code {
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok((false, true)),
                KeyCode::Char('q') | KeyCode::Esc => return Ok((false, true)),
                KeyCode::Char('s') => {
                    self.order = match self.order {
                        SortBy::First => SortBy::Cpu,
                        SortBy::Cpu => SortBy::Processes,
                        SortBy::Processes => SortBy::Forks,
                        SortBy::Forks => SortBy::First,
                    }
                }
                KeyCode::Char(' ') => self.paused = !self.paused,
                KeyCode::Down | KeyCode::Char('j') => self.table.select_next(),
                KeyCode::Up | KeyCode::Char('k') => self.table.select_previous(),
                _ => {}
            }
        }
        Ok((true, changed))
    }

    fn take(&mut self, facts: &mut Facts, filter: &Filter, span: Duration) {
        let (mut shown, host) = look(facts, filter);
        match self.order {
            SortBy::First => {}
            SortBy::Cpu => shown.sort_by_key(|shown| std::cmp::Reverse(shown.cpu.used)),
            SortBy::Processes => shown.sort_by_key(|shown| std::cmp::Reverse(shown.running)),
            SortBy::Forks => shown.sort_by_key(|shown| std::cmp::Reverse(shown.happened.forks)),
        }
        let rate = |count: u64| format!("{:.1}", count as f64 / span.as_secs_f64());
        let percent = |ns: u64| format!("{:.1}", 100.0 * ns as f64 / span.as_nanos() as f64);
        let now = now();
        let (colour, plain) = (self.colour, Style::new());
        let style = |wanted: Style| if colour { wanted } else { plain };
        self.rows = shown
            .iter()
            .map(|shown| {
                let container = &shown.container;
                let new = container.start_exact && now.saturating_sub(container.start) < NEWS;
                let (state, look) = match (container.end, new) {
                    (Some(_), _) => ("gone", style(Style::new().fg(Color::Red).add_modifier(Modifier::DIM))),
                    (None, true) => ("new", style(Style::new().fg(Color::Green).add_modifier(Modifier::BOLD))),
                    (None, false) => ("", plain),
                };
                let cells = vec![
                    safe(title(container).as_bytes()),
                    safe(container.kind().as_bytes()),
                    state.into(),
                    shown.running.to_string(),
                    percent(shown.cpu.used),
                    percent(shown.cpu.waited),
                    shown.cpu.neighbour.as_ref().map_or(String::new(), |(title, _)| safe(title.as_bytes())),
                    rate(shown.happened.forks),
                    rate(shown.happened.namespaces),
                    age(container, now),
                    list(&container.commands, 4),
                ];
                (cells, look)
            })
            .collect();
        let lost = if facts.lost > 0 { format!("  {} records lost", facts.lost) } else { String::new() };
        let running = shown.iter().filter(|shown| shown.container.end.is_none()).count();
        self.head = format!(
            "nsscope top  {running} containers  host: {} forks/s, {} namespace changes/s{lost}",
            rate(host.forks),
            rate(host.namespaces)
        );
    }

    fn draw(&mut self) -> Outcome<()> {
        let (head, rows, state, colour) = (&self.head, &self.rows, &mut self.table, self.colour);
        let order = match self.order {
            SortBy::First => "age",
            SortBy::Cpu => "CPU",
            SortBy::Processes => "processes",
            SortBy::Forks => "forks",
        };
        let paused = if self.paused { "  PAUSED" } else { "" };
        let foot = format!("q quit  s sort ({order})  space pause  up/down scroll{paused}");
        self.terminal.draw(|frame| {
            let areas = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]);
            let [top, middle, bottom] = areas.areas(frame.area());
            frame.render_widget(Line::from(head.as_str()).style(Style::new().add_modifier(Modifier::BOLD)), top);
            let widths = [
                Constraint::Max(30),
                Constraint::Max(16),
                Constraint::Length(5),
                Constraint::Length(6),
                Constraint::Length(6),
                Constraint::Length(6),
                Constraint::Max(18),
                Constraint::Length(8),
                Constraint::Length(8),
                Constraint::Length(9),
                Constraint::Fill(1),
            ];
            let header = [
                "CONTAINER",
                "KIND",
                "STATE",
                "PROCS",
                "CPU%",
                "WAIT%",
                "WAITS FOR",
                "FORKS/s",
                "NS/s",
                "AGE",
                "COMMANDS",
            ];
            let header = Row::new(header).style(if colour {
                Style::new().fg(Color::Cyan)
            } else {
                Style::new().add_modifier(Modifier::BOLD)
            });
            let table = Table::new(rows.iter().map(|(cells, look)| Row::new(cells.clone()).style(*look)), widths)
                .header(header)
                .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
            frame.render_stateful_widget(table, middle, state);
            frame.render_widget(Line::from(foot), bottom);
        })?;
        Ok(())
    }
}

/// Waits a moment for a key. Returns whether there is a terminal to have any from.
fn has_keys() -> Outcome<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: KEYS.as_nanos() as i64 };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(!fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// How long it has been there, or was.
fn age(container: &Container, now: u64) -> String {
    let seconds = container.end.unwrap_or(now).saturating_sub(container.start) / 1_000_000_000;
    let known = if container.start_exact { "" } else { ">" };
    match seconds {
        0..60 => format!("{known}{seconds}s"),
        60..3600 => format!("{known}{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{known}{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}
