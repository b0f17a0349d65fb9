//! The tracepoints that tell which cgroup a task is in.

use crate::task_cgroup;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use nsscope_codec::LittleEndian;
use nsscope_codec::perf_data::tracing::{self, Field, Format};
use nsscope_codec::perf_data::{Feature, Session};
use nsscope_codec::wire::attr::{Attr, TYPE_TRACEPOINT};

/// What a sample says.
pub(crate) enum Tracepoint<'a> {
    /// `cgroup:cgroup_attach_task`: the kernel moves a task.
    Attach { tid: u32, root: u32, path: &'a [u8] },
    /// [`task_cgroup`]: the recorder found a task there.
    TaskCgroup { tid: u32, root: u32, path: &'a [u8] },
}

/// Formats by tracepoint id, read once from the session.
#[derive(Debug, Default)]
pub(crate) struct Tracepoints(Option<BTreeMap<u64, Fields>>);

#[derive(Debug)]
struct Fields {
    attach: bool,
    tid: Field,
    root: Field,
    path: Field,
}

impl Fields {
    fn of(format: &Format) -> Option<Self> {
        let field = |name| format.field(name).cloned();
        match (format.system.as_str(), format.name.as_str()) {
            ("cgroup", "cgroup_attach_task") => {
                Some(Self { attach: true, tid: field("pid")?, root: field("dst_root")?, path: field("dst_path")? })
            }
            (task_cgroup::SYSTEM, "task_cgroup") => {
                Some(Self { attach: false, tid: field("pid")?, root: field("root")?, path: field("path")? })
            }
            _ => None,
        }
    }
}

impl Tracepoints {
    pub(crate) fn read<'a>(
        &mut self,
        session: &Session,
        attr: &Attr<LittleEndian>,
        raw: &'a [u8],
        big: bool,
    ) -> Option<Tracepoint<'a>> {
        if attr.kind.get() != TYPE_TRACEPOINT {
            return None;
        }
        if self.0.is_none() {
            let formats = tracing::read(session.feature(Feature::TRACING_DATA)?);
            let known: Vec<_> = formats.iter().filter_map(|f| Some((f.id, Fields::of(f)?))).collect();
            self.0 = Some(known.into_iter().collect());
        }
        let fields = self.0.as_ref()?.get(&attr.config.get())?;
        let tid = fields.tid.number(raw, big)? as u32;
        let root = fields.root.number(raw, big)? as u32;
        let path = fields.path.text(raw, big)?;
        Some(if fields.attach {
            Tracepoint::Attach { tid, root, path }
        } else {
            Tracepoint::TaskCgroup { tid, root, path }
        })
    }
}
