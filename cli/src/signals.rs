//! Signals that ask a command to end. Not here: what a command does when it is asked to end.

use crate::error::Outcome;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ctrl-C and its like.
pub(crate) const END: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Has `each` called whenever one of these signals comes, from now on, in a thread of its own.
pub(crate) fn on(signals: &[i32], mut each: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    std::thread::spawn(move || signals.forever().for_each(|_| each()));
    Ok(())
}

/// Whether one of these signals has come, from now on. It takes no thread.
pub(crate) fn noted(signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
    let noted = Arc::new(AtomicBool::new(false));
    signals.iter().try_for_each(|&signal| signal_hook::flag::register(signal, Arc::clone(&noted)).map(drop))?;
    Ok(noted)
}

/// Counts how often the command was asked to end, from now on.
pub(crate) fn count_ends() -> Outcome<Arc<AtomicUsize>> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    on(&END, move || {
        counted.fetch_add(1, Ordering::Relaxed);
    })?;
    Ok(count)
}
