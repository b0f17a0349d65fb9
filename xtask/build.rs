//! Tells the program which machine it was built for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=HOST={}", std::env::var("HOST").unwrap_or_default());
}
