//! JSON objects written field by field, without a tree: the fields come in any order and are printed by name. Not here:
//! what the fields mean.

use serde::Serialize;
use std::borrow::Cow;

/// An object in the making. Its room is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Object {
    /// Names, and where their values are.
    fields: Vec<(Cow<'static, str>, usize, usize)>,
    values: Vec<u8>,
}

impl Object {
    /// Adds a field; one of the same name counts no more.
    pub(crate) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: impl Serialize) {
        let from = self.values.len();
        // Numbers, texts and lists of those: all can be written, and memory takes them.
        if serde_json::to_writer(&mut self.values, &value).is_ok() {
            self.fields.push((name.into(), from, self.values.len()));
        }
    }

    /// Adds a field that is an object, and empties that.
    pub(crate) fn put_object(&mut self, name: impl Into<Cow<'static, str>>, object: &mut Self) {
        let from = self.values.len();
        object.write(&mut self.values);
        self.fields.push((name.into(), from, self.values.len()));
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, ..)| known == name)
    }

    /// Writes it, and is empty then.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) {
        // The sort is stable: of several of a name the last is the one that counts.
        self.fields.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        out.push(b'{');
        let mut first = true;
        for (at, (name, from, to)) in self.fields.iter().enumerate() {
            if self.fields.get(at + 1).is_some_and(|(next, ..)| next == name) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            if serde_json::to_writer(&mut *out, name).is_ok() {
                out.push(b':');
                out.extend_from_slice(&self.values[*from..*to]);
            }
        }
        out.push(b'}');
        self.fields.clear();
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_what_a_tree_would_be() {
        let (mut inner, mut object, mut out) = (Object::default(), Object::default(), Vec::new());
        for round in 0..2 {
            inner.put("z", [1, 2]);
            inner.put("a", "\u{1b}\"");
            object.put("pid", Some(7u32));
            object.put("cpu", None::<u32>);
            object.put_object("fields", &mut inner);
            object.put("pid", 8 + round);
            assert!(object.has("cpu") && !object.has("tid"));
            out.clear();
            object.write(&mut out);
            let tree = serde_json::json!({
                "fields": { "z": [1, 2], "a": "\u{1b}\"" }, "cpu": null, "pid": 8 + round,
            });
            assert_eq!(String::from_utf8_lossy(&out), tree.to_string());
        }
        out.clear();
        object.write(&mut out);
        assert_eq!(out, b"{}");
    }
}
