//! containerd's interface, by gRPC: its containers, and the tasks that it begins. The messages are those of
//! `api/services` in containerd's sources, by the numbers of the fields that are read. Not here: what is sent and how.

use super::answer::{Answer, PATIENCE};
use super::files;
use super::grpc::Call;
use prost::Message;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

/// A message without fields, and any whose fields do not matter.
#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
    /// OCI's configuration, in JSON.
    #[prost(message, optional, tag = "5")]
    spec: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Containers {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct OneContainer {
    #[prost(message, optional, tag = "1")]
    container: Option<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Task {
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "3")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Tasks {
    #[prost(message, repeated, tag = "1")]
    tasks: Vec<Task>,
}

#[derive(Clone, PartialEq, Message)]
struct Filters {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

/// What comes of `Subscribe`: `event` is a message by its `topic`.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

/// The event of the topic `/tasks/create`.
#[derive(Clone, PartialEq, Message)]
struct TaskCreate {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint32, tag = "6")]
    pid: u32,
}

/// The first answer of a method, asked in a namespace of containerd's.
fn ask<M: Message + Default>(
    socket: &Path,
    method: &str,
    namespace: &str,
    request: &impl Message,
    until: Instant,
) -> io::Result<M> {
    let headers = [("containerd-namespace", namespace)];
    let headers = if namespace.is_empty() { &[] } else { &headers[..] };
    let method = format!("/containerd.services.{method}");
    let mut call = Call::open(socket, &method, headers, request, Some(until))?;
    let silent = || if Instant::now() < until { io::ErrorKind::InvalidData } else { io::ErrorKind::TimedOut };
    call.next().ok_or_else(|| silent().into())
}

fn answer(socket: &Path, namespace: &str, container: Container, pid: u32) -> Answer {
    let config: Value = serde_json::from_slice(&container.spec.unwrap_or_default().value).unwrap_or_default();
    let labels = container.labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    Answer {
        pid,
        source: format!("containerd ({})", socket.display()),
        ..files::of_containerd(namespace, &container.id, &config, || Some((container.image, labels)))
    }
}

/// The containers that have tasks.
///
/// # Errors
/// Where nobody answers in time.
pub(super) fn list(socket: &Path) -> io::Result<Vec<Answer>> {
    let until = Instant::now() + PATIENCE;
    let namespaces: Namespaces = ask(socket, "namespaces.v1.Namespaces/List", "", &Empty {}, until)?;
    let mut answers = Vec::new();
    for Namespace { name } in namespaces.namespaces {
        let tasks: Tasks = ask(socket, "tasks.v1.Tasks/List", &name, &Empty {}, until)?;
        let pids: BTreeMap<String, u32> = tasks.tasks.into_iter().map(|task| (task.id, task.pid)).collect();
        if pids.is_empty() {
            continue;
        }
        let all: Containers = ask(socket, "containers.v1.Containers/List", &name, &Empty {}, until)?;
        answers.extend(all.containers.into_iter().filter_map(|container| {
            let pid = *pids.get(&container.id)?;
            Some(answer(socket, &name, container, pid))
        }));
    }
    Ok(answers)
}

/// The tasks that begin, as they do.
pub(super) struct Events<'s> {
    socket: &'s Path,
    call: Call<Envelope>,
}

impl<'s> Events<'s> {
    /// Follows containerd's events. Whoever keeps a clone of the stream ends it by shutting that down.
    ///
    /// # Errors
    /// Where the socket does not answer.
    pub(super) fn open(socket: &'s Path) -> io::Result<Self> {
        let filters = Filters { filters: vec!["topic==\"/tasks/create\"".into()] };
        Ok(Self {
            socket,
            call: Call::open(socket, "/containerd.services.events.v1.Events/Subscribe", &[], &filters, None)?,
        })
    }

    /// The connection.
    pub(super) fn stream(&self) -> &UnixStream {
        self.call.stream()
    }

    /// The next container that begins; `None` when the stream is over.
    pub(super) fn next(&mut self) -> Option<Answer> {
        loop {
            let envelope = self.call.next()?;
            let Ok(task) = TaskCreate::decode(&*envelope.event.unwrap_or_default().value) else { continue };
            let (get, until) = ("containers.v1.Containers/Get", Instant::now() + PATIENCE);
            let asked: io::Result<OneContainer> =
                ask(self.socket, get, &envelope.namespace, &Id { id: task.id.clone() }, until);
            // It may be over already. Its id is known all the same.
            let gone = || Container { id: task.id.clone(), ..Container::default() };
            let container = asked.ok().and_then(|asked| asked.container).unwrap_or_else(gone);
            return Some(answer(self.socket, &envelope.namespace, container, task.pid));
        }
    }
}
