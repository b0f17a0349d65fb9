//! Prints each program that is started on this machine, until Ctrl-C.
//!
//! ```sh
//! sudo -E cargo run -p nsscope-capture --example follow
//! ```

use nsscope_capture::Recording;
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::wire::header::MISC_COMM_EXEC;
use nsscope_codec::{Order, RawRecord, Record};
use std::io::Write;

struct Execs;

impl Visitor for Execs {
    fn record<O: Order>(&mut self, _: &Session, record: RawRecord<'_, O>) {
        if let Ok(Record::Comm(comm)) = record.parse()
            && record.misc() & MISC_COMM_EXEC != 0
        {
            let line = format!("{:>7} {}\n", comm.fixed.pid.get(), comm.comm.escape_ascii());
            if std::io::stdout().write_all(line.as_bytes()).is_err() {
                // Nobody reads on.
                std::process::exit(0);
            }
        }
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        eprintln!("a record cannot be read: {error}");
    }
}

fn main() -> nsscope_capture::Result<()> {
    let mut live = Recording::new().live(Execs)?;
    loop {
        live.poll()?;
    }
}
