//! Has the crate built anew when what it takes in has changed: the eBPF programs.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=bpf/object");
    if env::var_os("CARGO_FEATURE_BPF").is_none() {
        return;
    }
    // Empty where they have not been made: the program then says how to.
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let object = Path::new(&out).join("nsscope-bpf");
    let made = fs::read("bpf/object/nsscope-bpf").unwrap_or_default();
    fs::write(&object, made).expect("the build directory can be written");
    println!("cargo::rustc-env=NSSCOPE_BPF_OBJECT={}", object.display());
}
