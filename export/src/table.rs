//! The tables and their columns. Not here: who fills them, and in which format they are written.

use std::io;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; few different ones in most columns.
    Text,
    /// A number.
    Unsigned,
    /// A time of the wall clock, ns since 1970 in UTC.
    Time,
    /// True or false.
    Bool,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds. Every column may be null.
    pub kind: Kind,
    /// What it says.
    pub about: &'static str,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
}

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not known, or not of this row.
    Null,
    /// See [`Kind::Text`].
    Text(&'a str),
    /// See [`Kind::Unsigned`].
    Unsigned(u64),
    /// See [`Kind::Time`].
    Time(u64),
    /// See [`Kind::Bool`].
    Bool(bool),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Unsigned(number.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::Unsigned(number as u64)
    }
}

impl From<bool> for Value<'_> {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Takes the rows of one table.
pub trait Rows: Send {
    /// Takes a row: a value for each column of the table.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn row(&mut self, row: &[Value<'_>]) -> io::Result<()>;

    /// There are no more.
    ///
    /// # Errors
    /// Where what is left cannot be written.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Changes when a column is renamed or removed, or means something else. A new column does not change it.
pub const SCHEMA_VERSION: u32 = 1;

const fn column(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, about }
}

use Kind::{Bool, Text, Time, Unsigned};

/// The tables. Of each the first column is the host's name.
pub const TABLES: [Table; 5] = [
    Table {
        name: "events",
        about: "a record of the kernel, in the order of their times",
        columns: &[
            column("host", Text, "the machine's name"),
            column("time", Unsigned, "ns of the recording's clock"),
            column("wall", Time, "the same by the wall clock"),
            column("cpu", Unsigned, "where it happened"),
            column("kind", Text, "fork, exec, comm, exit, namespaces, cgroup, switch, sample, lost"),
            column("pid", Unsigned, "process id"),
            column("tid", Unsigned, "thread id"),
            column("ppid", Unsigned, "of a fork or exit: the parent's process id"),
            column("comm", Text, "the thread's name"),
            column("container", Text, "id of the container that the thread is in"),
            column("net", Unsigned, "of namespaces: the inode of the network namespace"),
            column("uts", Unsigned, "the same of the uts namespace"),
            column("ipc", Unsigned, "the same of the ipc namespace"),
            column("pidns", Unsigned, "the same of the pid namespace"),
            column("userns", Unsigned, "the same of the user namespace"),
            column("mnt", Unsigned, "the same of the mount namespace"),
            column("cgroupns", Unsigned, "the same of the cgroup namespace"),
            column("path", Text, "of a cgroup: its path"),
            column("other_tid", Unsigned, "of a switch: the thread that comes, or that left"),
            column("out", Bool, "of a switch: whether this thread leaves the CPU"),
            column("preempted", Bool, "of a switch: whether it would have run on"),
            column("event", Text, "of a sample: the event's name"),
            column("period", Unsigned, "of a sample: how much it stands for"),
            column("lost", Unsigned, "of lost: how many records"),
        ],
    },
    Table {
        name: "containers",
        about: "a container, and the host itself as the id host",
        columns: &[
            column("host", Text, "the machine's name"),
            column("id", Text, "the runtime's id, or the namespaces that it is known by"),
            column("name", Text, "what its runtime calls it"),
            column("title", Text, "what people read of it"),
            column("kind", Text, "docker, containerd, podman, ..., namespaces"),
            column("image", Text, "its image"),
            column("group_kind", Text, "pod, compose, task or job"),
            column("group_name", Text, "which of those"),
            column("labels", Text, "what else its runtime says, as JSON"),
            column("first", Unsigned, "when it was first seen, ns of the recording's clock"),
            column("first_wall", Time, "the same by the wall clock"),
            column("first_exact", Bool, "whether that is its beginning"),
            column("last", Unsigned, "when its last process ended; null: it runs"),
            column("last_wall", Time, "the same by the wall clock"),
            column("processes", Unsigned, "how many it had"),
            column("peak_processes", Unsigned, "how many at one time"),
            column("threads", Unsigned, "how many it had"),
            column("execs", Unsigned, "programs that were started in it from outside"),
            column("health_checks", Unsigned, "of those, health checks"),
            column("created_by", Text, "the program that made it"),
            column("created_ns", Unsigned, "how long that took, ns"),
            column("root_pid", Unsigned, "process id of its root"),
            column("cpu_ns", Unsigned, "CPU time, ns: exact with context switches, else what the samples stand for"),
            column("waited_ns", Unsigned, "time in which its threads waited for a CPU, ns"),
            column("waits", Unsigned, "how often"),
            column("throttled_ns", Unsigned, "how long its cgroup's own limit stopped it, ns"),
            column("net", Unsigned, "inode of its network namespace"),
            column("uts", Unsigned, "the same of the uts namespace"),
            column("ipc", Unsigned, "the same of the ipc namespace"),
            column("pidns", Unsigned, "the same of the pid namespace"),
            column("userns", Unsigned, "the same of the user namespace"),
            column("mnt", Unsigned, "the same of the mount namespace"),
            column("cgroupns", Unsigned, "the same of the cgroup namespace"),
            column("timens", Unsigned, "the same of the time namespace"),
            column("cgroup", Text, "its cgroup's path"),
        ],
    },
    Table {
        name: "processes",
        about: "a process",
        columns: &[
            column("host", Text, "the machine's name"),
            column("pid", Unsigned, "process id"),
            column("start", Unsigned, "when it began or was first seen, ns of the recording's clock"),
            column("start_wall", Time, "the same by the wall clock"),
            column("start_exact", Bool, "whether that is its beginning"),
            column("end", Unsigned, "when it ended; null: it runs"),
            column("ppid", Unsigned, "process id of its parent"),
            column("inner_pid", Unsigned, "its pid in its own pid namespace"),
            column("comm", Text, "its last name"),
            column("threads", Unsigned, "how many threads it had"),
            column("container", Text, "id of the container that it is in"),
        ],
    },
    Table {
        name: "namespaces",
        about: "a namespace that is not the host's, in a container or kept without a process",
        columns: &[
            column("host", Text, "the machine's name"),
            column("type", Text, "net, uts, ipc, pid, user, mnt, cgroup, time"),
            column("ino", Unsigned, "its inode"),
            column("container", Text, "id of the container that has it"),
            column("kept_by", Text, "what keeps it where no process does"),
        ],
    },
    Table {
        name: "waits",
        about: "how long one waited for a CPU while another ran there",
        columns: &[
            column("host", Text, "the machine's name"),
            column("waiter", Text, "id of the container that waited; or host, kernel, unknown"),
            column("runner", Text, "the same of who ran"),
            column("cpu", Unsigned, "which CPU"),
            column("ns", Unsigned, "how long, ns"),
        ],
    },
];

/// A table by its name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_sql_takes_and_differ() {
        for table in &TABLES {
            let mut names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
            assert!(names.iter().all(|name| name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')), "{names:?}");
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
            // Where a path says the host, the first column is left out.
            assert_eq!(table.columns[0].name, "host", "{}", table.name);
        }
    }
}
