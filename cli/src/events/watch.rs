//! Which container an event's task is in, and whether that is one the user asked for. Not here: how a filter is
//! written.

use crate::args::Which;
use crate::deliver::Consumer;
use crate::error::Outcome;
use crate::input;
use crate::safe::safe;
use crate::select::{of_key, of_task};
use nsscope_codec::perf_data::Session;
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::filter::{Field, Filter};
use nsscope_timeline::{Definition, Key, Runner, Task, Timeline, Wait};
use std::path::Path;
use std::time::Duration;

/// Follows the tasks of a stream.
pub(crate) struct Watch {
    timeline: Timeline,
    definition: Definition,
    filter: Filter,
}

/// Whose an event is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Index and thread id.
    task: Option<(usize, u32)>,
    /// What tells its container, if it is in one.
    key: Option<Key>,
}

impl Found {
    /// What tells its container, if no runtime is known to manage it.
    pub(crate) fn nameless(&self) -> Option<&Key> {
        self.key.as_ref().filter(|key| matches!(key, Key::Namespaces(_)))
    }
}

/// What is known of an event's task.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) container: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) comm: Option<String>,
    pub(crate) passes: bool,
}

impl Seen {
    /// The container in a column's width.
    pub(crate) fn title(&self) -> String {
        let title = self.name.as_ref().or(self.title.as_ref());
        title.map_or("host".into(), |title| safe(title.as_bytes()))
    }
}

/// Looks for names alone.
struct Names<'t>(&'t mut Timeline);

impl Consumer for Names<'_> {
    const QUIET: bool = true;

    fn record<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Outcome<()> {
        self.0.learn_names(session, record);
        Ok(())
    }
}

impl Watch {
    pub(crate) fn new(which: &Which) -> Self {
        Self { timeline: Timeline::for_stream(), definition: which.definition.clone(), filter: which.filter() }
    }

    /// `None` where nothing was asked that needs it.
    pub(crate) fn wanted(which: &Which) -> Option<Self> {
        (!which.filter().is_empty()).then(|| Self::new(which))
    }

    /// Learns what runtimes call the containers of a capture: that may come behind what happened in them. A file can be
    /// read twice; what is wrong with it is said the second time.
    pub(crate) fn learn_from(&mut self, path: &Path) {
        if path.is_file() && path != Path::new("-") {
            let _ = input::read(path, &mut Names(&mut self.timeline));
        }
    }

    /// Takes the next record, and finds whose it is.
    pub(crate) fn take<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Found {
        let (task, key) = self.timeline.attribute(session, record, &self.definition).unzip();
        Found { task: task.map(|index| (index, self.timeline.task_at(index).tid)), key: key.flatten() }
    }

    /// What is known of it now, if a runtime has said since that the namespaces are those of its container.
    pub(crate) fn again(&self, found: &Found) -> Option<Seen> {
        let (index, _) = self.task(found)?;
        let key = self.timeline.container_of(index, &self.definition);
        matches!(key, Some(Key::Runtime(_))).then(|| self.describe(&Found { key, ..found.clone() }))
    }

    /// The wait for a CPU that ended with the last record, if it took longer than this, and who ran most of it.
    pub(crate) fn waited(&mut self, least: Duration) -> Option<(Wait, Runner)> {
        let long = |&ns: &u64| u128::from(ns) > least.as_nanos();
        self.timeline.last_wait().filter(long)?;
        self.timeline.take_wait(&self.definition)
    }

    /// What is known of a thread.
    pub(crate) fn thread(&self, tid: u32) -> Seen {
        let task = self.timeline.task_of_tid(tid).map(|(index, task)| (index, task.tid));
        let key = task.and_then(|(index, _)| self.timeline.container_of(index, &self.definition));
        self.describe(&Found { task, key })
    }

    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The task, unless its room has been given to another since.
    fn task(&self, found: &Found) -> Option<(usize, &Task)> {
        let (index, tid) = found.task?;
        let task = self.timeline.task_at(index);
        (task.tid == tid).then_some((index, task))
    }

    /// What is known of the task that was found.
    pub(crate) fn describe(&self, found: &Found) -> Seen {
        let timeline = &self.timeline;
        let task = self.task(found);
        let key = found.key.as_ref();
        let comm = task.and_then(|(_, task)| timeline.last_name(task));
        let passes = self.filter.passes(|field| match (field, task) {
            (Field::Cgroup | Field::Comm | Field::Pid | Field::Namespace, Some((_, task))) => {
                of_task(timeline, task, field)
            }
            (Field::Cgroup | Field::Comm | Field::Pid | Field::Namespace, None) => Vec::new(),
            _ => of_key(timeline, key, field),
        });
        let title = key.filter(|_| passes).map(|key| timeline.title_of(key));
        let name = key.filter(|_| passes).and_then(|key| timeline.named(key)).map(|named| named.name);
        Seen { container: key.map(Key::id), name: name.filter(|name| !name.is_empty()), title, comm, passes }
    }
}
