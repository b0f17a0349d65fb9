//! A small grammar for "which": `container=web comm~nginx pid!=1`. Not here: what the keys stand for.
//!
//! Terms stand side by side and all must hold. A term is a key, an operator and one or more values with commas between:
//! `=` one of them is the value, `!=` none is, `~` one of them is in it. A value that ends in `*` stands for all that
//! begin so. Letters count as they are.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

/// What a term looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Id, name or title of the container; `host` outside of any.
    Container,
    /// What kind of container: `docker`, `podman`, `unshare` ...
    Kind,
    /// The container's image.
    Image,
    /// Name or id of the group of this kind that it is part of: `pod`, `compose`, `job`, `task`.
    Group(&'static str),
    /// A label that its runtime has: `service`, `namespace`, `unit`.
    Label(&'static str),
    /// Cgroup path.
    Cgroup,
    /// A name of the process.
    Comm,
    /// Process id, outside or inside.
    Pid,
    /// A namespace: `net:[4026532000]`, or its inode.
    Namespace,
}

/// The fields by their names.
pub const FIELDS: [(&str, Field); 14] = [
    ("container", Field::Container),
    ("kind", Field::Kind),
    ("image", Field::Image),
    ("pod", Field::Group("pod")),
    ("compose", Field::Group("compose")),
    ("job", Field::Group("job")),
    ("task", Field::Group("task")),
    ("service", Field::Label("service")),
    ("namespace", Field::Label("namespace")),
    ("unit", Field::Label("unit")),
    ("cgroup", Field::Cgroup),
    ("comm", Field::Comm),
    ("pid", Field::Pid),
    ("ns", Field::Namespace),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Contains,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    operator: Operator,
    values: Vec<String>,
}

/// Terms that must all hold; none of them: everything passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Whether a thing passes. `values` gives what it has in a field: none, one or several.
    pub fn passes(&self, mut values: impl FnMut(Field) -> Vec<String>) -> bool {
        self.terms.iter().all(|term| {
            let has = values(term.field);
            let found = has.iter().any(|value| term.values.iter().any(|wanted| term.is(value, wanted)));
            found != (term.operator == Operator::IsNot)
        })
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Adds the terms of another.
    pub fn and(&mut self, other: Self) {
        self.terms.extend(other.terms);
    }

    /// One term: this field is one of these values.
    pub fn only(field: Field, values: impl IntoIterator<Item = String>) -> Self {
        Self { terms: alloc::vec![Term { field, operator: Operator::Is, values: values.into_iter().collect() }] }
    }
}

impl Term {
    fn is(&self, value: &str, wanted: &str) -> bool {
        if self.operator == Operator::Contains {
            return value.contains(wanted);
        }
        match wanted.strip_suffix('*') {
            Some(begin) => value.starts_with(begin),
            // The first 12 digits of an id are what runtimes print of it.
            None => {
                value == wanted
                    || (self.field == Field::Container && wanted.len() >= 12 && value.starts_with(wanted))
                    || (self.field == Field::Namespace && value.ends_with(&format!(":[{wanted}]")))
            }
        }
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_whitespace().map(term).collect::<Result<_, _>>().map(|terms| Self { terms })
    }
}

fn term(text: &str) -> Result<Term, String> {
    let at = text.find(['=', '!', '~']).ok_or_else(|| format!("{text:?} has no operator: =, != or ~"))?;
    let (name, rest) = text.split_at_checked(at).unwrap_or_default();
    let field = FIELDS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let known: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        format!("there is no field {name:?}; there are {}", known.join(", "))
    })?;
    let operators = [("!=", Operator::IsNot), ("=", Operator::Is), ("~", Operator::Contains)];
    let found = operators.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
    let (operator, values) = found.ok_or_else(|| format!("{text:?} has no operator: =, != or ~"))?;
    if values.is_empty() {
        return Err(format!("{text:?} has no value"));
    }
    Ok(Term { field: field.1, operator, values: values.split(',').map(ToOwned::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn passes(filter: &str) -> bool {
        filter.parse::<Filter>().unwrap().passes(|field| match field {
            Field::Container => vec!["0123456789abcdef0123".to_string(), "web".to_string()],
            Field::Comm => vec!["nginx".to_string(), "sh".to_string()],
            Field::Pid => vec!["42".to_string(), "7".to_string()],
            Field::Namespace => vec!["net:[4026532000]".to_string()],
            _ => vec![],
        })
    }

    #[test]
    fn terms_hold_or_do_not() {
        for filter in [
            "",
            "container=web",
            "container=web comm=nginx",
            "comm=x,nginx",
            "comm=ngi*",
            "comm~gin",
            "pid=7",
            "pid!=8",
            "container=0123456789ab",
            "ns=4026532000",
            "ns=net:[4026532000]",
            "ns~net",
            "pod!=x",
        ] {
            assert!(passes(filter), "{filter}");
        }
        for filter in
            ["container=we", "comm!=nginx", "comm=ngin", "container=web pid=8", "pod=x", "ns=402653200", "kind=a"]
        {
            assert!(!passes(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for (filter, word) in
            [("web", "operator"), ("name=web", "comm, pid"), ("comm=", "no value"), ("comm!x", "operator")]
        {
            assert!(filter.parse::<Filter>().unwrap_err().contains(word), "{filter}");
        }
    }
}
