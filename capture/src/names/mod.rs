//! What the runtimes on this machine say of their containers: name, image, labels, cgroup and the pid of its init. Not
//! here: which container a task is in.
//!
//! Each [`place`](places) is a file or a socket of a runtime. [`all`] reads them once; [`follow`] reads them and goes on
//! to say what is new, so that a container has its name in the recording however short it lives.

mod answer;
mod api;
mod bolt;
mod containerd;
mod files;
mod follow;
mod grpc;
mod http;
mod places;
mod socket;

use answer::PATIENCE;
pub(crate) use answer::{Answer, Said};
pub(crate) use follow::Follower;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long all answers of runtimes are waited for: each in its time, and files besides.
pub(crate) const LAST_ANSWER: Duration = PATIENCE.saturating_add(Duration::from_secs(1));

/// All that is known on this machine.
pub(crate) fn all() -> Vec<Answer> {
    places::read(Path::new("/"))
}

/// The same, found out while others do their work.
pub(crate) fn ask() -> Receiver<Vec<Answer>> {
    let (answer, answers) = channel();
    std::thread::spawn(move || answer.send(all()));
    answers
}
