//! Questions in SQL over the tables, each a file of `fleet/`. Not here: what answers them.

/// A question. Its statement is a `SELECT` that DuckDB and Spark both take.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Its name, as of a view.
    pub name: &'static str,
    /// The statement, with the question before it as a comment.
    pub sql: &'static str,
}

macro_rules! queries {
    ($($name:literal),+ $(,)?) => {
        [$(Query { name: $name, sql: include_str!(concat!("../fleet/", $name, ".sql")) }),+]
    };
}

/// The questions.
pub const QUERIES: [Query; 10] = queries![
    "cpu_time",
    "execs",
    "forks",
    "lifetimes",
    "lost",
    "namespace_changes",
    "neighbours",
    "programs",
    "shared_networks",
    "short_lived",
];
