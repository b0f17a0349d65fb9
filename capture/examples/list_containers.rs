//! Records the whole machine for a second, and lists the containers that there were.
//!
//! ```sh
//! sudo -E cargo run -p nsscope-capture --example list_containers
//! ```

use nsscope_capture::Recording;
use nsscope_codec::perf_data::{Session, Visitor};
use nsscope_codec::{Order, RawRecord};
use nsscope_timeline::{Definition, Timeline};
use std::time::{Duration, Instant};

/// Takes each record into a timeline.
struct Facts(Timeline);

impl Visitor for Facts {
    fn record<O: Order>(&mut self, session: &Session, record: RawRecord<'_, O>) {
        self.0.push(session, &record);
    }

    fn fault(&mut self, error: nsscope_codec::Error) {
        eprintln!("a record cannot be read: {error}");
    }
}

fn main() -> nsscope_capture::Result<()> {
    let mut live = Recording::new().live(Facts(Timeline::new()))?;
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        live.poll()?;
    }
    let Facts(timeline) = live.finish();
    for container in timeline.containers(&Definition::auto()) {
        let state = if container.end.is_none() { "runs" } else { "has ended" };
        println!("{:<30} {:<12} {} processes, {state}", container.id(), container.kind(), container.processes);
    }
    Ok(())
}
