//! What makes a container: a definition is data, the facts stay the same whichever is used. Not here: the facts that it
//! is applied to.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use nsscope_codec::wire::namespaces::NsKind;

/// When tasks are in a container, and in which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// A cgroup path with a runtime's id makes a container, before anything else.
    pub cgroup: bool,
    /// Namespaces of these types make one where they are not the host's.
    pub boundary: Vec<NsKind>,
    /// Whether all of `boundary` have to differ from the host's, or any.
    pub all: bool,
    /// The types whose namespaces tell one container from another.
    pub identity: Vec<NsKind>,
    /// Whether the host's own namespaces count as one, too.
    pub host: bool,
}

impl Definition {
    /// A runtime's cgroup; else a pid and a mount namespace apart from the host's.
    pub fn auto() -> Self {
        Self { cgroup: true, ..Self::namespaces([NsKind::Pid, NsKind::Mnt], [NsKind::Pid], true) }
    }

    /// Only what a runtime's cgroup tells.
    pub fn runtime() -> Self {
        Self { cgroup: true, ..Self::namespaces([], [], true) }
    }

    /// What `perf report --sort cgroup_id` counts: one for each cgroup namespace, the host's included.
    pub fn perf() -> Self {
        Self { host: true, ..Self::by(&[NsKind::Cgroup]) }
    }

    /// One for each combination of namespaces of these types that is not the host's.
    pub fn by(kinds: &[NsKind]) -> Self {
        Self::namespaces(kinds.iter().copied(), kinds.iter().copied(), false)
    }

    fn namespaces(
        boundary: impl IntoIterator<Item = NsKind>,
        identity: impl IntoIterator<Item = NsKind>,
        all: bool,
    ) -> Self {
        Self {
            cgroup: false,
            boundary: boundary.into_iter().collect(),
            all,
            identity: identity.into_iter().collect(),
            host: false,
        }
    }
}

impl Default for Definition {
    fn default() -> Self {
        Self::auto()
    }
}

/// `auto`, `runtime`, `perf`, or `by:` and types of namespace with commas between.
impl FromStr for Definition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::auto()),
            "runtime" => Ok(Self::runtime()),
            "perf" => Ok(Self::perf()),
            _ => {
                let kinds = text.strip_prefix("by:").ok_or("a definition is auto, runtime, perf or by:NS[,NS]")?;
                let kinds = kinds.split(',').map(|name| {
                    NsKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                        let known: Vec<_> = NsKind::ALL.into_iter().map(NsKind::name).collect();
                        alloc::format!("there is no namespace of type {name:?}; there are {}", known.join(", "))
                    })
                });
                Ok(Self::by(&kinds.collect::<Result<Vec<_>, _>>()?))
            }
        }
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, definition) in [("auto", Self::auto()), ("runtime", Self::runtime()), ("perf", Self::perf())] {
            if *self == definition {
                return f.write_str(name);
            }
        }
        let kinds: Vec<_> = self.identity.iter().map(|kind| kind.name().to_string()).collect();
        write!(f, "by:{}", kinds.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["auto", "runtime", "perf", "by:net", "by:net,mnt"] {
            assert_eq!(text.parse::<Definition>().unwrap().to_string(), text);
        }
        for (text, word) in [("docker", "by:NS"), ("by:", "\"\""), ("by:net,disk", "\"disk\"")] {
            assert!(text.parse::<Definition>().unwrap_err().contains(word), "{text}");
        }
    }
}
