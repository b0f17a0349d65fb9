//! Records from what changes in /proc, for those who may not ask the kernel. Not here: how records are written to a
//! file.
//!
//! The list of processes is read at every look, the facts of those that are new with it; the facts of the others now
//! and then. A pidfd tells of an end at once. What begins and ends between two looks is not seen, nor is a change that
//! is undone; threads other than the first are not looked at.

use crate::clock;
use crate::error::Result;
use crate::events::{self, EventDesc};
use crate::source::{Chunk, Source};
use crate::synth::{Fact, Synthesizer};
use crate::target::Target;
use crate::task::{self, Facts};
use nsscope_codec::wire::namespaces::{NsId, NsKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two looks at the list of processes.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// Between two looks at the facts of a process that is known for longer than this; a younger one is looked at each time.
const SWEEP: Duration = Duration::from_millis(250);

/// Processes as /proc had them last.
#[derive(Debug)]
pub(crate) struct Proc {
    described: Vec<EventDesc>,
    known: BTreeMap<u32, Seen>,
    /// Only these and their descendants; `None`: all.
    within: Option<Within>,
    swept: Instant,
}

#[derive(Debug)]
struct Seen {
    facts: Facts,
    /// Readable once it has ended; `None` where the kernel has no pidfds (before Linux 5.3).
    pidfd: Option<OwnedFd>,
    since: Instant,
    /// Since when it is seen in its namespaces, ns, where it is not told of yet: a child that has gone into other
    /// namespaces and not started a program there is a stage of whoever makes or enters a container.
    untold: Option<u64>,
}

/// The processes that were asked for.
#[derive(Debug)]
struct Within {
    pids: Vec<u32>,
    /// Whoever is in this cgroup or below it, or else in this namespace, too.
    cgroup: Option<String>,
    namespace: Option<(NsKind, NsId)>,
}

impl Within {
    fn has(&self, pid: u32, facts: &Facts) -> bool {
        let path = |line: &str| line.splitn(3, ':').nth(2).map(String::from);
        let below = |path: &str| {
            let rest = self.cgroup.as_deref().and_then(|cgroup| path.strip_prefix(cgroup));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let (kind, id) = self.namespace.unzip();
        let own = kind.zip(facts.namespaces).map(|(kind, all)| all[kind.index()]);
        self.pids.contains(&pid)
            || facts.cgroups.lines().filter_map(path).any(|path| below(&path))
            || (own.is_some() && own == id)
    }
}

impl Proc {
    /// Looks at the target's processes and their descendants.
    pub(crate) fn new(target: &Target) -> Self {
        let within = match target {
            Target::System => None,
            Target::Tasks { tids, .. } => Some(Within { pids: tids.clone(), cgroup: None, namespace: None }),
            Target::Container { cgroup, namespace, tids } => {
                // Containers may share a namespace.
                let namespace = namespace.filter(|_| cgroup.is_none());
                Some(Within { pids: tids.clone(), cgroup: cgroup.clone(), namespace })
            }
        };
        Self { described: events::without_kernel(), known: BTreeMap::new(), within, swept: Instant::now() }
    }

    fn concerns(&self, pid: u32, facts: &Facts) -> bool {
        let Some(within) = &self.within else { return true };
        within.has(pid, facts) || self.known.contains_key(&facts.ppid)
    }

    /// Writes what is new since the last look.
    fn look(&mut self, synth: &mut Synthesizer) {
        let all = self.swept.elapsed() >= SWEEP;
        if all {
            self.swept = Instant::now();
        }
        let running = task::processes();
        let facts = |pid| Facts::of(pid, pid).ok();
        let new: Vec<_> = running.iter().filter(|pid| !self.known.contains_key(pid)).copied().collect();
        let new = new.into_iter().filter_map(|pid| Some((pid, Seen::of(pid, || facts(pid))?)));
        let new: Vec<_> = new.filter(|(_, seen)| !seen.facts.is_leaving()).collect();
        let is_there = |pid: &u32, seen: &Seen| seen.pidfd.is_some() || running.binary_search(pid).is_ok();
        let known = self.known.iter().filter(|(pid, seen)| is_there(pid, seen));
        let known = known.filter(|(_, seen)| all || seen.since.elapsed() < SWEEP);
        let known = known.filter_map(|(&pid, _)| Some((pid, facts(pid)?)));
        let (leaving, known): (Vec<_>, Vec<_>) = known.partition(|(_, facts)| facts.is_leaving());
        // A process leaves its namespaces before its pidfd tells of its end (do_exit() in kernel/exit.c). Where it has
        // other threads, only its first one ends.
        let left = leaving.into_iter().map(|(pid, _)| pid).filter(|&pid| task::threads(pid).len() < 2);
        let gone = self.known.iter().filter(|(pid, seen)| !is_there(pid, seen));
        let gone: Vec<_> = left.chain(gone.map(|(&pid, _)| pid)).collect();
        // After all was read and before it is written: the kernel may have given somebody the namespaces of those that
        // ended in between, and nobody shared them.
        self.ended(synth);
        for pid in gone {
            self.end(pid, synth);
        }
        let time = clock::now();
        for (pid, mut seen) in new {
            if !self.concerns(pid, &seen.facts) {
                continue;
            }
            let parent = self.known.get(&seen.facts.ppid);
            let moved = parent.is_some_and(|parent| seen.facts.moved(&parent.facts));
            if moved && !seen.facts.has_exec {
                seen.untold = Some(time);
            } else {
                synth.facts(pid, pid, &seen.facts, time);
            }
            self.known.insert(pid, seen);
        }
        for (pid, facts) in known {
            // One that has just ended told so by its pidfd.
            let Some(seen) = self.known.get_mut(&pid) else { continue };
            if facts.start != seen.facts.start {
                self.end(pid, synth);
                continue;
            }
            let moved = facts.moved(&seen.facts);
            if let Some(first) = seen.untold {
                let first = if moved { time } else { first };
                seen.untold = Some(first);
                if facts.has_exec || seen.since.elapsed() >= SWEEP {
                    synth.facts(pid, pid, &facts, late(first));
                    seen.untold = None;
                }
                seen.facts = facts;
                continue;
            }
            let changed = [
                (Fact::Namespaces, moved),
                (Fact::Name, facts.comm != seen.facts.comm),
                (Fact::Cgroup, facts.cgroups != seen.facts.cgroups),
            ];
            for (fact, _) in changed.into_iter().filter(|&(_, changed)| changed) {
                synth.fact(pid, pid, &facts, fact, time);
            }
            seen.facts = facts;
        }
    }

    fn ended(&mut self, synth: &mut Synthesizer) {
        let with_fd: Vec<u32> =
            self.known.iter().filter(|(_, seen)| seen.pidfd.is_some()).map(|(&pid, _)| pid).collect();
        let pidfds = self.fds();
        let mut fds: Vec<_> = pidfds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        if poll(&mut fds, Some(&Timespec::default())).is_err() {
            return;
        }
        let ended = with_fd.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        let ended: Vec<u32> = ended.map(|(&pid, _)| pid).collect();
        for pid in ended {
            self.end(pid, synth);
        }
    }

    fn end(&mut self, pid: u32, synth: &mut Synthesizer) {
        if let Some(seen) = self.known.remove(&pid) {
            if let Some(first) = seen.untold {
                synth.facts(pid, pid, &seen.facts, late(first));
            }
            synth.exit(pid, seen.facts.ppid, clock::now());
        }
    }
}

impl Source for Proc {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn poll_interval(&self) -> Duration {
        INTERVAL
    }

    fn events(&self) -> &[EventDesc] {
        &self.described
    }

    fn enable(&mut self) -> Result<()> {
        Ok(())
    }

    fn disable(&mut self) {}

    /// Writes what is so of a process that runs already: it is looked at from now on.
    fn describe_process(&mut self, pid: u32, synth: &mut Synthesizer) {
        if let Some(seen) = Seen::of(pid, || synth.describe(pid)).filter(|seen| self.concerns(pid, &seen.facts)) {
            self.known.insert(pid, seen);
        }
    }

    fn drain(&mut self, take: &mut dyn FnMut(&[Chunk<'_>]) -> Result<()>) -> Result<bool> {
        let mut synth = Synthesizer::of(&self.described, true).with_numbers();
        self.look(&mut synth);
        take(&[[&synth.records, &[]]])?;
        // There is always something to look at: what was found is all of it.
        Ok(false)
    }

    /// Those whose ends are waited for.
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.known.values().filter_map(|seen| seen.pidfd.as_ref()).map(AsFd::as_fd).collect()
    }

    fn ended(&self, _: bool) -> bool {
        self.within.is_some() && self.known.is_empty()
    }
}

/// When something was that is told only now, as far back as it can still be put in order: readers sort what two rounds
/// hold.
fn late(first: u64) -> u64 {
    const LATEST: Duration = Duration::from_millis(5);
    first.max(clock::now().saturating_sub(LATEST.as_nanos() as u64))
}

impl Seen {
    fn of(pid: u32, facts: impl FnOnce() -> Option<Facts>) -> Option<Self> {
        // Before the facts: if another process gets the pid in between, this tells of an end and it is found anew.
        let pidfd = Pid::from_raw(pid as i32).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Some(Self { facts: facts()?, pidfd, since: Instant::now(), untold: None })
    }
}
