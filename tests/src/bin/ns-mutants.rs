//! Damaged copies of a capture for who is not written in Rust, `ns-mutants FILE SEED COUNT`: on standard output, each behind
//! its length (32 bits, little-endian).

use nsscope_tests::mutants::{Numbers, mutate};
use std::io::{self, BufWriter, Write};

fn main() -> io::Result<()> {
    let usage = "usage: ns-mutants FILE SEED COUNT";
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, seed, count] = &args[..] else { panic!("{usage}") };
    let capture = std::fs::read(file)?;
    let mut numbers = Numbers(seed.parse().expect(usage));
    let mut out = BufWriter::new(io::stdout().lock());
    for _ in 0..count.parse().expect(usage) {
        let mut mutant = capture.clone();
        mutate(&mut mutant, &mut numbers);
        out.write_all(&(mutant.len() as u32).to_le_bytes())?;
        out.write_all(&mutant)?;
    }
    out.flush()
}
