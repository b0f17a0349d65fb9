//! A service that keeps the latest records in memory, and writes them to a file when something goes wrong.
//!
//! ```sh
//! sudo -E cargo run -p nsscope-capture --example flight_recorder -- incident.data
//! ```

use nsscope_capture::{Handle, Recording};
use std::path::PathBuf;
use std::time::Duration;

fn main() -> nsscope_capture::Result<()> {
    let file = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "incident.data".into()));
    let handle = Handle::new()?;
    let recording = Recording::new().flight_recorder(Some(4)).handle(handle.clone());
    let recorder = std::thread::spawn(move || {
        let mut recorder = recording.to_file(file)?;
        recorder.run(None, |_| {})?;
        recorder.finish()
    });
    // The service does its work ...
    std::thread::sleep(Duration::from_millis(500));
    // ... and something goes wrong.
    handle.snapshot();
    while handle.written().is_none() && !recorder.is_finished() {
        std::thread::sleep(Duration::from_millis(10));
    }
    handle.stop();
    let summary = recorder.join().expect("it does not panic")?;
    println!("{} records up to the incident are in {}", summary.counts.total(), summary.output);
    Ok(())
}
