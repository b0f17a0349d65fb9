//! The command that is recorded: started but held back until the events are open, then watched. Not here: what is
//! recorded of it.

use crate::error::{Error, Result, reason};
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::JoinHandle;

/// A command between fork and exec.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) pid: u32,
    /// Closed, it ends the process without an exec.
    go: Option<OwnedFd>,
    /// Waits for the exec.
    spawner: Option<JoinHandle<io::Result<Child>>>,
    name: String,
}

/// A running command.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pidfd: Option<OwnedFd>,
    status: Option<ExitStatus>,
}

/// Forks the command's process and holds it before its exec.
pub(crate) fn hold(command: &[OsString]) -> Result<Held> {
    let [program, args @ ..] = command else { return Err(Error::Invalid("no command is named".into())) };
    let name = program.to_string_lossy().into_owned();
    let (pid_out, pid_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (go_out, go_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut process = Command::new(program);
    process.args(args);
    sys::gate(&mut process, pid_in, go_out, go_in.as_fd());
    // `spawn` returns only after the exec, so it waits in a thread of its own.
    let spawner = std::thread::spawn(move || process.spawn());
    let mut pid = [0u8; 4];
    match rustix::io::read(&pid_out, &mut pid)? {
        4 => Ok(Held { pid: u32::from_ne_bytes(pid), go: Some(go_in), spawner: Some(spawner), name }),
        _ => Err(Error::Command(format!("cannot start {name}: the process could not be created"))),
    }
}

impl Held {
    /// Lets it exec.
    pub(crate) fn go(mut self) -> Result<Running> {
        if let Some(go) = &self.go {
            rustix::io::write(go, &[1])?;
        }
        let Some(spawner) = self.spawner.take() else {
            return Err(Error::Command(format!("cannot run {}", self.name)));
        };
        match spawner.join() {
            Ok(Ok(child)) => {
                let pid = Pid::from_raw(self.pid as i32);
                // Without pidfds (before Linux 5.3) the end is noticed by asking now and then.
                let pidfd = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
                Ok(Running { child, pidfd, status: None })
            }
            Ok(Err(error)) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "no such command".into(),
                    io::ErrorKind::PermissionDenied => "it is not executable".into(),
                    _ => reason(&error),
                };
                Err(Error::Command(format!("cannot run {}: {why}; nothing was recorded", self.name)))
            }
            Err(_) => Err(Error::Command(format!("cannot run {}", self.name))),
        }
    }
}

impl Drop for Held {
    /// Nothing will be recorded: the process ends, and is gone before this returns.
    fn drop(&mut self) {
        self.go = None;
        if let Some(spawner) = self.spawner.take() {
            let _ = spawner.join();
        }
    }
}

impl Running {
    /// Readable when the command has ended.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_some()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        if let (None, Some(pid)) = (self.status, Pid::from_raw(self.child.id() as i32)) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    /// Its exit code as a shell has it: 128 + n where signal n ended it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.status {
            Some(status) => status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1) as u8,
            None => 0,
        }
    }
}
