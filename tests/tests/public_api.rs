//! The public items of the libraries are those in `tests/public-api`: a change of one is meant.
#![allow(missing_docs)]

use nsscope_tests::skip;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Has this set, the test writes what it finds.
const UPDATE: &str = "UPDATE_PUBLIC_API";

#[test]
fn public_items_are_those_that_were_agreed_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = root.join("target/public-api");
    for (krate, features) in [("codec", "alloc,heapless,postcard,defmt,zstd"), ("timeline", "full"), ("capture", "")] {
        // rustdoc's JSON is unstable, so rustc is told that it may.
        let output = Command::new(env!("CARGO"))
            .args(["rustdoc", "--quiet", "--lib", "-p", &format!("nsscope-{krate}"), "--features", features])
            .args(["--target-dir".as_ref(), target.as_os_str()])
            .args(["--", "-Zunstable-options", "--output-format", "json"])
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json = target.join(format!("doc/nsscope_{krate}.json"));
        let items = public_api::Builder::from_rustdoc_json(json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(true)
            .build();
        let items = match items {
            Ok(items) => items.to_string(),
            Err(error) => {
                return skip("public_items", &format!("this rustc's JSON is of another version: {error}"));
            }
        };
        let agreed = root.join("tests/public-api").join(format!("{krate}.txt"));
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&agreed, &items).unwrap();
        }
        let known = fs::read_to_string(&agreed).unwrap_or_default();
        let missing = |of: &str, from: &str| -> Vec<String> {
            let from: Vec<&str> = from.lines().collect();
            of.lines().filter(|line| !from.contains(line)).map(String::from).collect()
        };
        let (new, gone) = (missing(&items, &known), missing(&known, &items));
        assert!(
            new.is_empty() && gone.is_empty(),
            "{krate}: new: {new:#?}\ngone: {gone:#?}\nif that is meant: {UPDATE}=1 cargo test -p nsscope-tests --test public_api"
        );
    }
}
