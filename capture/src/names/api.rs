//! Who answers on a runtime's socket, and how: what runs, and what happens. Not here: which sockets there are.

use super::answer::{Answer, PATIENCE};
use super::{containerd, http};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Http(http::Api),
    Containerd,
}

impl Api {
    /// The containers that run, as far as whoever answers says so. Silence is told to the user.
    pub(super) fn list(self, socket: &Path) -> Vec<Answer> {
        let listed = match self {
            Self::Http(api) => http::list(api, socket),
            Self::Containerd => containerd::list(socket),
        };
        listed.unwrap_or_else(|error| {
            // A read that times out is one that would block (`SO_RCVTIMEO`).
            if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) {
                let (socket, seconds) = (socket.display(), PATIENCE.as_secs());
                log::warn!("{socket} has not answered in {seconds} s: containers of this runtime may have no names");
            }
            Vec::new()
        })
    }

    /// Follows what happens to containers.
    ///
    /// # Errors
    /// Where the socket does not answer.
    pub(super) fn events(self, socket: &Path) -> io::Result<Events<'_>> {
        Ok(match self {
            Self::Http(api) => Events::Http(http::Events::open(api, socket)?),
            Self::Containerd => Events::Grpc(containerd::Events::open(socket)?),
        })
    }
}

/// What happens to containers, as it happens.
pub(super) enum Events<'s> {
    Http(http::Events<'s>),
    Grpc(containerd::Events<'s>),
}

impl Events<'_> {
    /// The connection. Whoever shuts it down ends this.
    pub(super) fn stream(&self) -> &UnixStream {
        match self {
            Self::Http(events) => events.stream(),
            Self::Grpc(events) => events.stream(),
        }
    }

    /// The next container of which something is said; `None` when the stream is over.
    pub(super) fn next(&mut self) -> Option<Answer> {
        match self {
            Self::Http(events) => events.next(),
            Self::Grpc(events) => events.next(),
        }
    }
}
