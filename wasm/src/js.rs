//! JavaScript values and texts. Not here: what the values mean.

use js_sys::{Array, Object, Reflect};
use nsscope_codec::wire::namespaces::NsKind;
use nsscope_codec::{Error, ErrorKind};
use nsscope_timeline::NsSet;
use wasm_bindgen::prelude::*;

/// Seconds with so many digits behind the point, from ns; without the floating point that takes 20 kilobytes of wasm.
pub(crate) fn seconds(nanoseconds: u64, digits: u32) -> String {
    let unit = 10u64.pow(9 - digits);
    let all = nanoseconds.saturating_add(unit / 2) / unit;
    let whole = 10u64.pow(digits);
    format!("{}.{:0width$} s", all / whole, all % whole, width = digits as usize)
}

pub(crate) fn inodes(set: &NsSet) -> Array {
    NsKind::ALL.iter().map(|&kind| JsValue::from(set.get(kind).ino as f64)).collect()
}

pub(crate) fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A plain object takes any field.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// What is wrong with a file that cannot be read at all.
pub(crate) fn in_words(error: &Error) -> String {
    match error.kind {
        ErrorKind::Magic => error.kind.to_string(),
        ErrorKind::Truncated { room: 0, .. } if error.offset == 0 => "the file is empty".into(),
        _ => format!("not readable as perf.data: {error}"),
    }
}
