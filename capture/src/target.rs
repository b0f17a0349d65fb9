//! What is recorded. Not here: how a source keeps to it.

use crate::error::{Error, Result};
use crate::task;
use nsscope_codec::wire::namespaces::{NsId, NsKind};

/// What is recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Target {
    /// Every process of the machine.
    #[default]
    System,
    /// These threads and their future children.
    Tasks {
        /// Thread ids.
        tids: Vec<u32>,
        /// Whether recording begins when they exec.
        on_exec: bool,
    },
    /// A container.
    Container {
        /// Its cgroup's path, where it is known by one: all that will come into it is in there, too.
        cgroup: Option<String>,
        /// A namespace of its own, which perf cannot record by.
        namespace: Option<(NsKind, NsId)>,
        /// Its threads now.
        tids: Vec<u32>,
    },
}

impl Target {
    /// Processes that run, with all their threads and their future children.
    ///
    /// # Errors
    /// [`Error::NotFound`] where one of them does not exist.
    pub fn processes(pids: &[u32]) -> Result<Self> {
        let mut tids = Vec::new();
        for &pid in pids {
            let threads = task::threads(pid);
            if threads.is_empty() {
                return Err(Error::NotFound(format!("there is no process {pid}")));
            }
            tids.extend(threads);
        }
        Ok(Self::Tasks { tids, on_exec: false })
    }

    /// The threads that are recorded, with their future children, where that is all.
    pub(crate) fn tids(&self) -> Option<&[u32]> {
        match self {
            Self::System | Self::Container { cgroup: Some(_), .. } => None,
            Self::Tasks { tids, .. } | Self::Container { tids, .. } => Some(tids),
        }
    }

    /// The threads that are recorded now, where it is not all.
    pub(crate) fn members(&self) -> Option<&[u32]> {
        match self {
            Self::System => None,
            Self::Tasks { tids, .. } | Self::Container { tids, .. } => Some(tids),
        }
    }
}
