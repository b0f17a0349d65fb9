//! A connection to a runtime's socket that is not waited for without end. Not here: what is said over it.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Connects, and lets each write take as long at most. A runtime that hangs takes nobody in: once some wait,
/// connect(2) does not return, but for `SO_SNDTIMEO` (`unix_stream_connect()` in net/unix/af_unix.c).
///
/// # Errors
/// Where nobody listens; [`io::ErrorKind::WouldBlock`] where nobody takes it in in time.
pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // No timeout of zero: that would be none.
    set_socket_timeout(&socket, Timeout::Send, Some(patience.max(Duration::from_millis(1))))?;
    net::connect(&socket, &address)?;
    Ok(socket.into())
}
