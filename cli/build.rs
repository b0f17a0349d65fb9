//! Has the crate built anew when the viewer it takes in has changed.

fn main() {
    println!("cargo::rerun-if-changed=viewer");
}
