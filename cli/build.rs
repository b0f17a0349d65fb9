//! Has the crate built anew when the viewer that it takes in has changed.

fn main() {
    println!("cargo::rerun-if-changed=viewer");
}
