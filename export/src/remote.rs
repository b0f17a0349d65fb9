//! Objects in a store (Amazon S3 and what speaks its protocol, Google Cloud Storage), and a collector's end of OTLP/HTTP.
//! Not here: what is written there.

use rusty_s3::actions::{CreateMultipartUpload, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

/// Bytes that are kept until they are sent. S3 wants 5 MiB of each part but the last, and takes 10,000 parts.
const PART: usize = 8 << 20;

/// How often a request is sent where the network or the server is at fault.
const TRIES: u32 = 5;

/// The longest pause before a request is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a signed request is valid.
const VALID: Duration = Duration::from_secs(3600);

/// How much of an answer is looked at, bytes.
const MOST_OF_ANSWER: u64 = 1 << 16;

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // Keys are for whom they were given for.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("nsscope/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_write(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(Duration::from_secs(60)));
    config.build().new_agent()
}

/// An answer that is a success.
struct Answer {
    headers: ureq::http::HeaderMap,
    body: String,
}

/// Sends a request until it succeeds. What the server says is wrong with it, or is to go elsewhere, is not sent again.
fn answered(what: impl Display, send: impl Fn() -> Result<Response<Body>, ureq::Error>) -> io::Result<Answer> {
    let mut pause = Duration::from_secs(1);
    for tried in 1.. {
        let (why, asked) = match send() {
            Ok(response) => {
                let (head, mut body) = response.into_parts();
                let said = body.with_config().limit(MOST_OF_ANSWER).lossy_utf8(true).read_to_string();
                // S3 may find out that it fails only once it has said that it does not.
                let failed = said.as_ref().is_ok_and(|said| said.contains("<Error>"));
                match said {
                    Ok(body) if head.status.is_success() && !failed => {
                        return Ok(Answer { headers: head.headers, body });
                    }
                    Err(error) if head.status.is_success() => (error.to_string(), None),
                    said => {
                        let why = format!("{} {}", head.status, reason(&said.unwrap_or_default()));
                        let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
                        if (300..500).contains(&head.status.as_u16()) && !is_busy.contains(&head.status) {
                            return Err(io::Error::other(format!("{what}: {why}")));
                        }
                        let later = head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                        (why, later.map(Duration::from_secs))
                    }
                }
            }
            Err(error) => (error.to_string(), None),
        };
        if tried == TRIES {
            return Err(io::Error::other(format!("{what}: {why} (tried {TRIES} times)")));
        }
        thread::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE));
        pause *= 2;
    }
    unreachable!("the loop has no end")
}

/// What an answer says is wrong: S3's code and message, or the beginning of the text, fit for a terminal.
fn reason(said: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = said.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    };
    let text = match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => said.to_string(),
    };
    text.trim().chars().take(300).flat_map(char::escape_debug).collect()
}

fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Where a bucket is, and who we are there.
fn bucket(scheme: &str, name: &str) -> Result<(Bucket, Credentials), String> {
    let is_google = scheme == "gs";
    let (credentials, wanted) = if is_google {
        let [key, secret] = ["GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY"].map(|name| variable(&[name]));
        let wanted = "GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY: gcloud storage hmac create makes them";
        (key.zip(secret).map(|(key, secret)| Credentials::new(key, secret)), wanted)
    } else {
        let wanted = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: aws configure export-credentials --format env";
        (Credentials::from_env(), wanted)
    };
    let credentials = credentials.ok_or_else(|| format!("these variables are not set: {wanted}"))?;
    let region = variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]).filter(|_| !is_google);
    let region = region.unwrap_or_else(|| if is_google { "auto" } else { "us-east-1" }.into());
    let (endpoint, style) = if is_google {
        let emulator = variable(&["STORAGE_EMULATOR_HOST"]);
        (emulator.unwrap_or_else(|| "https://storage.googleapis.com".into()), UrlStyle::Path)
    } else if let Some(endpoint) = variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
        (endpoint, UrlStyle::Path)
    } else {
        // A certificate of Amazon's is for one name before the rest.
        let style = if name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        (format!("https://s3.{region}.amazonaws.com"), style)
    };
    let url = endpoint.parse().map_err(|error| format!("{endpoint}: {error}"))?;
    let bucket = Bucket::new(url, style, name.to_string(), region).map_err(|error| format!("{endpoint}: {error}"))?;
    Ok((bucket, credentials))
}

/// An object in a store: there once it is whole, and what was sent of it is given up where it never is. Clones are of the
/// same object.
#[derive(Clone)]
pub struct Object(Arc<Mutex<Upload>>);

struct Upload {
    agent: Agent,
    bucket: Bucket,
    credentials: Credentials,
    url: String,
    name: String,
    /// What is not sent yet.
    part: Vec<u8>,
    /// The id of an upload in parts, once one has begun.
    id: Option<String>,
    /// What the store calls the parts that it has.
    tags: Vec<String>,
    /// Whether a part was not taken: nothing more is sent.
    failed: bool,
}

impl Object {
    /// An object that is yet to be written: `s3://BUCKET/NAME`, or `gs://BUCKET/NAME`. Credentials, region and endpoint are
    /// in the variables that `aws` reads: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
    /// `AWS_ENDPOINT_URL`; for Google an HMAC key in `GS_ACCESS_KEY_ID` and `GS_SECRET_ACCESS_KEY`.
    ///
    /// # Errors
    /// Where the URL is another one, or the credentials are missing.
    pub fn new(url: &str) -> io::Result<Self> {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("not a URL".into()))?;
        let (of, name) = rest.split_once('/').unwrap_or((rest, ""));
        if !["s3", "gs"].contains(&scheme) || of.is_empty() || name.is_empty() {
            return Err(wrong("an object is s3://BUCKET/NAME or gs://BUCKET/NAME".into()));
        }
        let (bucket, credentials) = bucket(scheme, of).map_err(wrong)?;
        Ok(Self(Arc::new(Mutex::new(Upload {
            agent: agent(),
            bucket,
            credentials,
            url: url.to_string(),
            name: name.to_string(),
            part: Vec::new(),
            id: None,
            tags: Vec::new(),
            failed: false,
        }))))
    }

    fn upload(&self) -> MutexGuard<'_, Upload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All is written: from now on the object is there, in place of one of that name.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub fn finish(&self) -> io::Result<()> {
        self.upload().finish()
    }
}

impl Write for Object {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut upload = self.upload();
        if upload.part.len() == PART {
            upload.send_part()?;
        }
        let taken = bytes.len().min(PART - upload.part.len());
        upload.part.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Does nothing: a part is sent when there is enough of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload {
    fn send_part(&mut self) -> io::Result<()> {
        let Self { agent, bucket, credentials, url, name, part, id, tags, failed } = self;
        if mem::replace(failed, true) {
            return Err(io::Error::other(format!("{url}: a part before was not taken")));
        }
        if id.is_none() {
            let create = bucket.create_multipart_upload(Some(credentials), name).sign(VALID);
            let answer = answered(&url, || agent.post(create.as_str()).send_empty())?;
            let created = CreateMultipartUpload::parse_response(&answer.body);
            let created = created.map_err(|error| io::Error::other(format!("{url}: {error}")))?;
            *id = Some(created.upload_id().to_string());
        }
        let number = tags.len() as u16 + 1;
        let id = id.as_deref().unwrap_or_default();
        let put = bucket.upload_part(Some(credentials), name, number, id).sign(VALID);
        let answer = answered(format_args!("{url}, part {number}"), || agent.put(put.as_str()).send(&part[..]))?;
        let tag = answer.headers.get("etag").and_then(|tag| tag.to_str().ok());
        tags.push(
            tag.ok_or_else(|| io::Error::other(format!("{url}: the store names no ETag of a part")))?.to_string(),
        );
        part.clear();
        *failed = false;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.id.is_some() && !self.part.is_empty() {
            self.send_part()?;
        }
        let Self { agent, bucket, credentials, url, name, part, id, tags, .. } = self;
        if let Some(whole) = id.as_deref() {
            let complete =
                bucket.complete_multipart_upload(Some(credentials), name, whole, tags.iter().map(String::as_str));
            let to = complete.sign(VALID);
            let parts = complete.body();
            answered(&url, || agent.post(to.as_str()).send(&parts))?;
            *id = None;
        } else {
            let put = bucket.put_object(Some(credentials), name).sign(VALID);
            answered(&url, || agent.put(put.as_str()).send(&part[..]))?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    /// Gives up an upload that is not whole, or its parts stay and cost.
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            let abort = self.bucket.abort_multipart_upload(Some(&self.credentials), &self.name, id).sign(VALID);
            let _ = self.agent.delete(abort.as_str()).call();
        }
    }
}

/// A collector of spans: its URL for OTLP/HTTP, such as `http://localhost:4318/v1/traces`.
pub struct Collector {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Collector {
    /// Headers, of which there may be one with a key, are in `OTEL_EXPORTER_OTLP_HEADERS`: `NAME=VALUE,NAME=VALUE`.
    pub fn new(url: &str) -> Self {
        let headers = variable(&["OTEL_EXPORTER_OTLP_HEADERS"]).unwrap_or_default();
        let pairs = headers.split(',').filter_map(|pair| pair.split_once('='));
        let headers = pairs.map(|(name, value)| (name.trim().to_string(), value.trim().to_string())).collect();
        Self { agent: agent(), url: url.to_string(), headers }
    }

    /// Sends a request, as JSON.
    ///
    /// # Errors
    /// Where it cannot be reached, or does not take all of it.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        let answer = answered(&self.url, || {
            let post = self.agent.post(&self.url).header("content-type", "application/json");
            self.headers.iter().fold(post, |post, (name, value)| post.header(name, value)).send(request)
        })?;
        // `ExportTracePartialSuccess`: a warning where nothing was refused.
        let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let refused = &said["partialSuccess"]["rejectedSpans"];
        match refused.as_u64().or_else(|| refused.as_str()?.parse().ok()) {
            None | Some(0) => Ok(()),
            Some(spans) => {
                let why = reason(said["partialSuccess"]["errorMessage"].as_str().unwrap_or_default());
                Err(io::Error::other(format!("{}: it refused {spans} spans: {why}", self.url)))
            }
        }
    }
}
