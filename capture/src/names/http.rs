//! The HTTP interface of Docker, which podman has too, over a Unix socket: what runs, and what happens. Not here: other
//! interfaces.

use super::answer::{Answer, PATIENCE, Rank, health_check, labels};
use super::socket::connect;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Docker,
    Podman,
}

/// Most that is read of one answer, or of one line of a stream, in bytes.
const LIMIT: usize = 16 << 20;

impl Api {
    fn runtime(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    fn answer(self, socket: &Path) -> Answer {
        let runtime = self.runtime();
        Answer {
            runtime: runtime.into(),
            source: format!("{runtime} ({})", socket.display()),
            rank: Rank::Api as u32,
            ..Answer::default()
        }
    }
}

/// The containers that run.
///
/// # Errors
/// Where nobody answers in time.
pub(super) fn list(api: Api, socket: &Path) -> io::Result<Vec<Answer>> {
    let path = match api {
        Api::Docker => "/containers/json",
        // Its own list tells pods and pids, too.
        Api::Podman => "/v4.0.0/libpod/containers/json",
    };
    let Value::Array(list) = get(socket, path)? else { return Ok(Vec::new()) };
    let read = |container: &Value| {
        // Other names are those that links give it: `/other/alias`.
        let names = container["Names"].as_array()?.iter().filter_map(Value::as_str);
        let name = names.map(|name| name.trim_start_matches('/')).min_by_key(|name| name.matches('/').count())?;
        let text = |key: &str| container[key].as_str().unwrap_or_default().to_string();
        let mut labels = labels(&container["Labels"]);
        for (theirs, ours) in [("PodName", "pod"), ("Pod", "pod_id")] {
            if let Some(value) = container[theirs].as_str().filter(|value| !value.is_empty()) {
                labels.push((ours.into(), value.into()));
            }
        }
        Some(Answer {
            id: container["Id"].as_str()?.into(),
            name: name.into(),
            image: text("Image"),
            pid: container["Pid"].as_u64().unwrap_or(0) as u32,
            labels,
            ..api.answer(socket)
        })
    };
    let mut answers: Vec<Answer> = list.iter().filter_map(read).collect();
    // Whoever has a health check says how it went.
    for (container, answer) in list.iter().zip(&mut answers) {
        let status = container["Status"].as_str().unwrap_or_default();
        if status.contains("healthy)") || status.contains("health:") {
            answer.labels.extend(health_check_of(socket, &answer.id));
        }
    }
    Ok(answers)
}

/// The health check of a container, as a label.
fn health_check_of(socket: &Path, id: &str) -> Option<(String, String)> {
    let all = get(socket, &format!("/containers/{id}/json")).ok()?;
    health_check(&all["Config"]["Healthcheck"]["Test"])
}

/// What happens to containers, as it happens.
pub(super) struct Events<'s> {
    api: Api,
    socket: &'s Path,
    stream: BufReader<UnixStream>,
    /// Containers of which a health check is known, or that there is none.
    checked: Vec<String>,
}

impl<'s> Events<'s> {
    /// Follows a runtime's events. Whoever keeps a clone of the stream ends it by shutting that down.
    ///
    /// # Errors
    /// Where the socket does not answer.
    pub(super) fn open(api: Api, socket: &'s Path) -> io::Result<Self> {
        let stream = send(socket, "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D")?;
        Ok(Self { api, socket, stream: BufReader::new(stream), checked: Vec::new() })
    }

    /// The connection.
    pub(super) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// The next container of which something is said; `None` when the stream is over.
    pub(super) fn next(&mut self) -> Option<Answer> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let len = (&mut self.stream).take(LIMIT as u64).read_until(b'\n', &mut line).ok()?;
            if len == 0 {
                return None;
            }
            // The header's lines are no JSON, nor is what has the length of a piece.
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            let actor = &event["Actor"];
            let (Some(id), Some(name)) = (actor["ID"].as_str(), actor["Attributes"]["name"].as_str()) else { continue };
            let mut labels = labels(&actor["Attributes"]);
            let action = event["Action"].as_str().or(event["status"].as_str()).unwrap_or_default();
            if action.starts_with("exec") && !self.checked.iter().any(|known| known == id) {
                self.checked.push(id.into());
                labels.extend(health_check_of(self.socket, id));
            }
            return Some(Answer {
                id: id.into(),
                name: name.into(),
                image: actor["Attributes"]["image"].as_str().unwrap_or_default().into(),
                labels,
                ..self.api.answer(self.socket)
            });
        }
    }
}

/// Asks for something. HTTP/1.0: the answer comes in one piece and ends with the connection.
fn send(socket: &Path, path: &str) -> io::Result<UnixStream> {
    let mut stream = connect(socket, PATIENCE)?;
    // In one piece: who answers may read but once.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    Ok(stream)
}

fn get(socket: &Path, path: &str) -> io::Result<Value> {
    let until = Instant::now() + PATIENCE;
    let mut stream = send(socket, path)?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        // No timeout of zero: that would be none.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            len if Instant::now() < until && answer.len() < LIMIT => answer.extend(&piece[..len]),
            _ => return Err(ErrorKind::TimedOut.into()),
        }
    }
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |at| &answer[at + 4..]);
    serde_json::from_slice(body).map_err(|_| ErrorKind::InvalidData.into())
}
