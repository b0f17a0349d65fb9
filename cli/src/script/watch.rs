//! Which container an event's task is in, and whether that is one the user asked for.

use crate::args::Which;
use crate::safe::safe;
use crate::select::{of_key, of_task};
use nsscope_codec::perf_data::Session;
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::filter::{Field, Filter};
use nsscope_timeline::{Definition, Key, Timeline};

/// How many tasks that have ended are remembered: their last records may come a little later.
const KEEP: usize = 1000;

/// Follows the tasks of a stream.
pub(super) struct Watch {
    timeline: Timeline,
    definition: Definition,
    filter: Filter,
}

/// What is known of an event's task.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) container: Option<String>,
    pub(super) name: Option<String>,
    title: Option<String>,
    pub(super) comm: Option<String>,
    pub(super) passes: bool,
}

impl Seen {
    /// The container in a column's width.
    pub(super) fn title(&self) -> String {
        let title = self.name.as_ref().or(self.title.as_ref());
        title.map_or("host".into(), |title| safe(title.as_bytes()))
    }
}

impl Watch {
    pub(super) fn new(which: &Which) -> Self {
        Self { timeline: Timeline::keeping(KEEP), definition: which.definition.clone(), filter: which.filter() }
    }

    /// `None` where nothing was asked that needs it.
    pub(super) fn wanted(which: &Which) -> Option<Self> {
        (!which.filter().is_empty()).then(|| Self::new(which))
    }

    pub(super) fn look<O: Order>(&mut self, session: &Session, record: &RawRecord<'_, O>) -> Seen {
        let told = self.timeline.push(session, record);
        let timeline = &self.timeline;
        let found = match told {
            Some(index) => Some((index, timeline.at(index))),
            None => session.sample_id(record).tid.and_then(|tid| timeline.current(tid)),
        };
        let key = found.and_then(|(index, _)| timeline.container_of(index, &self.definition));
        let comm = found.and_then(|(_, task)| timeline.last_name(task));
        let container = key.as_ref().map(Key::id);
        let passes = self.filter.passes(|field| match (field, found) {
            (Field::Cgroup | Field::Comm | Field::Pid | Field::Namespace, Some((_, task))) => {
                of_task(timeline, task, field)
            }
            (Field::Cgroup | Field::Comm | Field::Pid | Field::Namespace, None) => Vec::new(),
            _ => of_key(timeline, key.as_ref(), field),
        });
        let title = key.as_ref().filter(|_| passes).map(|key| timeline.title_of(key));
        let name = key.as_ref().filter(|_| passes).and_then(|key| timeline.named(key)).map(|named| named.name);
        Seen { container, name: name.filter(|name| !name.is_empty()), title, comm, passes }
    }
}
