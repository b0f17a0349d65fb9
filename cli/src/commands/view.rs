//! `nsscope view`: the viewer and the captures, served to a browser on this machine. Not here: the viewer itself, which
//! is `www`.
//!
//! Any program of the machine can connect to a loopback port, and any web page can have a browser connect to it. So
//! nothing is served but to a GET of a path that begins with a random token, and to the server's own name, which a page
//! that had its own name resolve to 127.0.0.1 does not send (DNS rebinding).

use crate::args;
use crate::error::{Failure, Outcome, note, reason};
use crate::signals;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rust_embed::Embed;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// What `cargo xtask viewer` built.
#[derive(Embed)]
#[folder = "viewer"]
struct Viewer;

/// How many requests are answered at once.
const WORKERS: usize = 8;

/// On every answer. What a page may load it says itself; here is what only a header can say.
const HEADERS: [(&str, &str); 5] = [
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
];

/// Whether the viewer is built in.
pub(crate) fn has_viewer() -> bool {
    Viewer::get("index.html").is_some()
}

/// `nsscope view`.
pub(crate) fn run(args: &args::View) -> Outcome {
    if !has_viewer() {
        return Err(Failure::new(
            "this nsscope was built without the viewer\n  \
             build it in: cargo xtask viewer && cargo build --release -p nsscope",
        ));
    }
    for path in &args.files {
        let metadata = File::open(path).and_then(|file| file.metadata());
        let metadata = metadata.map_err(|error| Failure::file("open", path, &error))?;
        if !metadata.is_file() {
            return Err(Failure::new(format!("cannot open {}: it is not a file", path.display())));
        }
    }
    let signals = signals::count_ends()?;
    let server = Server::http((Ipv4Addr::LOCALHOST, args.port))
        .map_err(|error| Failure::new(format!("cannot listen on 127.0.0.1:{}: {error}", args.port)))?;
    let port = server.server_addr().to_ip().map_or(args.port, |addr| addr.port());
    let site = Arc::new(Site {
        hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        token: token()?,
        files: args.files.clone(),
    });
    let server = Arc::new(server);
    for _ in 0..WORKERS {
        let (server, site) = (Arc::clone(&server), Arc::clone(&site));
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                // Whoever asked may have gone.
                let _ = site.answer(request);
            }
        });
    }
    let url = site.url();
    println!("{url}");
    if !args.no_browser {
        browse(&url, port);
    }
    note("Ctrl-C ends");
    while signals.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the browser where there is a display for it.
fn browse(url: &str, port: u16) {
    if !["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().any(|name| std::env::var_os(name).is_some()) {
        note(format_args!(
            "there is no display here: open the address in a browser\n  \
             on another machine after: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE"
        ));
    } else if let Err(error) = open::that_detached(url) {
        note(format_args!("no browser opens ({}): open the address in one", reason(&error)));
    }
}

/// 128 random bits.
fn token() -> Outcome<String> {
    let mut bits = [0; 16];
    let mut have = 0;
    while have < bits.len() {
        have += rustix::rand::getrandom(&mut bits[have..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(format!("{:032x}", u128::from_ne_bytes(bits)))
}

struct Site {
    hosts: [String; 2],
    token: String,
    files: Vec<PathBuf>,
}

impl Site {
    /// The page with the files; they are parameters of it, and parts of a path themselves.
    fn url(&self) -> String {
        let mut url = format!("http://{}/{}/", self.hosts[0], self.token);
        for (number, path) in self.files.iter().enumerate() {
            let name = path.file_name().unwrap_or(path.as_os_str()).as_bytes();
            let path = format!("files/{number}/{}", percent_encode(name, NON_ALPHANUMERIC));
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str("url=");
            url.extend(percent_encode(path.as_bytes(), NON_ALPHANUMERIC));
        }
        url
    }

    fn answer(&self, request: Request) -> io::Result<()> {
        let host = header(&request, "Host").unwrap_or_default();
        if *request.method() != Method::Get {
            return refuse(request, 405);
        }
        if !self.hosts.iter().any(|own| own == host) {
            return refuse(request, 403);
        }
        let path = request.url().split('?').next().unwrap_or_default();
        let Some(path) = path.strip_prefix('/').and_then(|p| p.strip_prefix(&self.token)?.strip_prefix('/')) else {
            return refuse(request, 403);
        };
        let file = path.strip_prefix("files/").and_then(|rest| rest.split('/').next()?.parse::<usize>().ok());
        if let Some(file) = file.and_then(|number| self.files.get(number)) {
            return send_file(request, file);
        }
        let name = if path.is_empty() { "index.html" } else { path };
        match Viewer::get(name) {
            None => refuse(request, 404),
            Some(part) => {
                let response =
                    Response::from_data(part.data).with_header(plain("Content-Type", part.metadata.mimetype()));
                request.respond(with_headers(response))
            }
        }
    }
}

/// A file, or what of it a range asks for.
fn send_file(request: Request, path: &Path) -> io::Result<()> {
    let Ok(mut file) = File::open(path) else { return refuse(request, 404) };
    let size = file.metadata()?.len();
    let range = header(&request, "Range").and_then(|range| range_of(range, size));
    let (from, to) = range.unwrap_or((0, size));
    file.seek(SeekFrom::Start(from))?;
    let status = StatusCode(if range.is_some() { 206 } else { 200 });
    let length = usize::try_from(to - from).map_err(io::Error::other)?;
    let response = Response::new(status, Vec::new(), file.take(to - from), Some(length), None)
        .with_header(plain("Content-Type", "application/octet-stream"))
        .with_header(plain("Accept-Ranges", "bytes"));
    let response = match range {
        None => response,
        Some((from, to)) => {
            response.with_header(plain("Content-Range", &format!("bytes {from}-{}/{size}", to.saturating_sub(1))))
        }
    };
    // Whoever asks wants to know how much there is, whatever that is.
    request.respond(with_headers(response.with_chunked_threshold(usize::MAX)))
}

/// The bytes `bytes=FROM-` or `bytes=FROM-TO` of so many, the last one excluded; `None` where that is not what is asked
/// for, or none of it exists.
fn range_of(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let to = if to.is_empty() { size } else { to.parse::<u64>().ok()?.saturating_add(1).min(size) };
    (from < to).then_some((from, to))
}

fn refuse(request: Request, status: u16) -> io::Result<()> {
    let status = StatusCode(status);
    let response = Response::from_string(status.default_reason_phrase()).with_status_code(status);
    let response = if status.0 == 405 { response.with_header(plain("Allow", "GET")) } else { response };
    request.respond(with_headers(response))
}

fn with_headers<R: Read>(mut response: Response<R>) -> Response<R> {
    for (name, value) in HEADERS {
        response.add_header(plain(name, value));
    }
    response
}

/// A header of ASCII text.
fn plain(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("names and values here are ASCII")
}

fn header<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_there_is_of_them() {
        for (range, want) in [
            ("bytes=0-", Some((0, 10))),
            ("bytes=3-5", Some((3, 6))),
            ("bytes=3-18446744073709551615", Some((3, 10))),
            ("bytes=9-9", Some((9, 10))),
            ("bytes=10-", None),
            ("bytes=5-3", None),
            ("bytes=-3", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-", None),
        ] {
            assert_eq!(range_of(range, 10), want, "{range}");
        }
    }

    #[test]
    fn a_name_of_any_bytes_is_one_parameter() {
        let site = Site {
            hosts: ["h:1".into(), String::new()],
            token: "t".into(),
            files: vec!["x/a&b=c #é%.data".into(), "b".into()],
        };
        let want = "http://h:1/t/?url=files%2F0%2Fa%2526b%253Dc%2520%2523%25C3%25A9%2525%252Edata&url=files%2F1%2Fb";
        assert_eq!(site.url(), want);
    }
}
