//! What people read of a container: its title, and why it is one. Not here: how containers are found.

use crate::keys::Key;
use crate::membership::{NsSet, label};
use crate::registry::Named;
use crate::runtime;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use nsscope_codec::wire::namespaces::{NsId, NsKind};

/// An id, those of 64 digits cut as runtimes do.
pub fn short(id: &str) -> &str {
    id.get(..12).filter(|_| id.len() == 64).unwrap_or(id)
}

/// What people call a container: its name, else its id, the long ones cut as runtimes do; where it has neither, the first
/// program in it and the pid of its root.
pub(crate) fn title_of(key: &Key, named: Option<&Named>, root: Option<(u32, &str)>) -> String {
    let id = key.id();
    let short = short(&id);
    match (named.map_or("", |named| &named.name), key, root) {
        // Of one that is told by other namespaces, those were asked for.
        ("", Key::Namespaces(_), Some((pid, command)))
            if !command.is_empty() && key.namespace(NsKind::Pid).is_some() =>
        {
            format!("{command}:{pid}")
        }
        ("", ..) => short.into(),
        (name, ..) if name == id => name.into(),
        (name, ..) => format!("{name} ({short})"),
    }
}

pub(crate) fn why(key: &Key, cgroup: Option<&str>, namespaces: &NsSet, differs: &[NsKind]) -> Vec<String> {
    let list = |kinds: &mut dyn Iterator<Item = (NsKind, NsId)>| {
        let names: Vec<_> = kinds.map(|(kind, ns)| label(kind, ns)).collect();
        names.join(", ")
    };
    let mut why = vec![match key {
        Key::Runtime(runtime) => match cgroup {
            Some(cgroup) if runtime.name == runtime::UNKNOWN => {
                format!("its cgroup {cgroup} has a container's id")
            }
            Some(cgroup) => format!("its cgroup {cgroup} is one that {} makes for a container", runtime.name),
            None => format!("{} says that its namespaces are those of {}", runtime.name, runtime.id),
        },
        Key::Namespaces(ids) => {
            let own: Vec<_> = ids.iter().filter(|(kind, _)| differs.contains(kind)).copied().collect();
            if own.is_empty() {
                format!("its processes share {}, the host's", list(&mut ids.iter().copied()))
            } else {
                format!("its processes share {}, not the host's", list(&mut own.into_iter()))
            }
        }
    }];
    let in_key = |kind: &NsKind| key.namespace(*kind).is_some();
    let others: Vec<NsKind> = differs.iter().copied().filter(|kind| !in_key(kind)).collect();
    if !others.is_empty() {
        why.push(format!(
            "its own besides: {}",
            list(&mut others.into_iter().map(|kind| (kind, namespaces.get(kind))))
        ));
    }
    if let (Key::Namespaces(_), Some((unit, kind))) =
        (key, cgroup.and_then(|path| runtime::systemd_unit(path.as_bytes())))
    {
        why.push(format!("started by {unit}.{kind}"));
    }
    why
}

/// Who calls it what, and whose name counts.
pub(crate) fn names_why(names: &[Named]) -> Vec<String> {
    let mut named = names.iter().filter(|named| !named.name.is_empty());
    let Some(best) = named.next() else { return Vec::new() };
    let mut why = vec![format!("{} calls it {}", best.source, best.name)];
    for other in named.filter(|other| other.name != best.name) {
        why.push(format!("{} calls it {}, but {} knows better", other.source, other.name, best.source));
    }
    why
}
