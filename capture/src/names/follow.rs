//! Follows what runtimes say: their event streams, and their files as they come, by inotify(7). Nobody is waited for:
//! what is not said in time is not in the recording. Not here: how an answer is read.

use super::answer::Answer;
use super::api::Events;
use super::places::{self, PLACES, Place, What};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::time::Timespec;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// After how many ms files are looked at again that may not have been written whole.
const AGAIN: [u64; 5] = [2, 10, 50, 200, 1000];

/// Something said, until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    answers: Receiver<Answer>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
    stop: Option<Arc<OwnedFd>>,
}

impl Follower {
    /// Follows the runtimes of this machine. The first answers are what there is already.
    pub(crate) fn start() -> Self {
        Self::of(PathBuf::from("/"))
    }

    pub(super) fn of(root: PathBuf) -> Self {
        let (answer, answers) = channel();
        let streams = Arc::default();
        // Without, files are read once.
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok().map(Arc::new);
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let watcher =
            Watcher { inotify, dirs: BTreeMap::new(), again: Vec::new(), answer, streams: Arc::clone(&streams) };
        let end = stop.clone();
        std::thread::spawn(move || watcher.run(&root, end.as_deref()));
        Self { answers, streams, stop }
    }

    /// What was said since the last time.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            let _ = rustix::io::write(&**stop, &1u64.to_ne_bytes());
        }
        for stream in self.streams.lock().map(|mut streams| std::mem::take(&mut *streams)).unwrap_or_default() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A directory that is looked at, for some places, each with how many components of its pattern lead there.
type Dir = (PathBuf, Vec<(usize, usize)>);

struct Watcher {
    inotify: Option<OwnedFd>,
    /// By watch.
    dirs: BTreeMap<i32, Dir>,
    /// Files to look at again: when, how often they were, place and path.
    again: Vec<(Instant, usize, usize, PathBuf)>,
    answer: Sender<Answer>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Watcher {
    fn run(mut self, root: &Path, stop: Option<&OwnedFd>) {
        for place in 0..PLACES.len() {
            self.descend(root.into(), place, 0);
        }
        loop {
            let now = Instant::now();
            let (due, later): (Vec<_>, Vec<_>) = self.again.drain(..).partition(|(at, ..)| *at <= now);
            self.again = later;
            for (_, times, place, path) in due {
                self.read(path, place, times);
            }
            let Some(inotify) = self.inotify.as_ref() else { break };
            let Some(stop) = stop else { break };
            let timeout = self.again.iter().map(|(at, ..)| at.saturating_duration_since(now)).min();
            let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) if fds[1].revents().is_empty() => {}
                Err(rustix::io::Errno::INTR) => {}
                _ => break,
            }
            for (dir, place, depth, name) in self.news() {
                if PLACES[place].components().nth(depth).is_some_and(|component| places::fits(component, &name)) {
                    self.descend(dir.join(&name), place, depth + 1);
                }
            }
        }
    }

    /// What has come into the directories: directory, place, depth and name.
    fn news(&self) -> Vec<(PathBuf, usize, usize, String)> {
        let Some(inotify) = &self.inotify else { return Vec::new() };
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        let mut news = Vec::new();
        while let Ok(event) = events.next() {
            let name = event.file_name().and_then(|name| name.to_str().ok());
            let (Some(name), Some((dir, places))) = (name, self.dirs.get(&event.wd())) else { continue };
            if event.events().contains(ReadFlags::IGNORED) {
                continue;
            }
            news.extend(places.iter().map(|&(place, depth)| (dir.clone(), place, depth, name.to_string())));
        }
        news
    }

    /// Looks at a path that fits so many components of a place's pattern.
    fn descend(&mut self, path: PathBuf, place: usize, depth: usize) {
        let Some(component) = PLACES[place].components().nth(depth) else {
            return match PLACES[place].what {
                What::Files(_) => self.read(path, place, 0),
                What::Socket(_) => self.follow(path, &PLACES[place]),
            };
        };
        // Watched before it is read: what comes in between is seen twice.
        let what = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let watch = self.inotify.as_ref().and_then(|inotify| inotify::add_watch(inotify, &path, what).ok());
        if let Some(watch) = watch {
            let (_, places) = self.dirs.entry(watch).or_insert_with(|| (path.clone(), Vec::new()));
            if !places.contains(&(place, depth)) {
                places.push((place, depth));
            }
        }
        for entry in places::entries(&path, component) {
            self.descend(entry, place, depth + 1);
        }
    }

    fn read(&mut self, path: PathBuf, place: usize, times: usize) {
        let What::Files(reader) = PLACES[place].what else { return };
        let found = reader(&path);
        for answer in found.answers {
            // Nobody hears it any more: the end comes by `stop`.
            let _ = self.answer.send(PLACES[place].ranked(answer, &path));
        }
        if let Some(&after) = AGAIN.get(times).filter(|_| found.more) {
            self.again.push((Instant::now() + Duration::from_millis(after), times + 1, place, path));
        }
    }

    /// A thread for a socket: it may be silent as long as it likes.
    fn follow(&self, socket: PathBuf, place: &'static Place) {
        let What::Socket(api) = place.what else { return };
        let (answer, streams) = (self.answer.clone(), Arc::clone(&self.streams));
        std::thread::spawn(move || {
            // The stream first: what begins between the two is told twice.
            let mut events = api.events(&socket).ok();
            if let (Some(events), Ok(mut streams)) = (&events, streams.lock()) {
                streams.extend(events.stream().try_clone());
            }
            let there = api.list(&socket).into_iter();
            let news = std::iter::from_fn(move || events.as_mut().and_then(Events::next));
            for said in there.chain(news) {
                if answer.send(place.ranked(said, &socket)).is_err() {
                    break;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    /// Waits for the next answer. It does not give up: a test runner may.
    fn next(follower: &Follower) -> Answer {
        follower.answers.recv().expect("somebody answers")
    }

    #[test]
    fn what_comes_while_it_follows_is_told() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("run/containerd/io.containerd.runtime.v2.task/default/early");
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("config.json"), r#"{"linux":{"cgroupsPath":"/default/early"}}"#).expect("written");
        fs::write(dir.join("init.pid"), "7").expect("written");
        let follower = Follower::of(root.path().into());
        let early = next(&follower);
        assert_eq!((early.id.as_str(), early.pid, early.cgroup.as_str()), ("early", 7, "/default/early"));
        // A namespace that is new, too; its files come one after another.
        let late = root.path().join("run/containerd/io.containerd.runtime.v2.task/other/late");
        fs::create_dir_all(&late).expect("made");
        std::thread::sleep(Duration::from_millis(5));
        fs::write(late.join("config.json"), "{}").expect("written");
        let seen = next(&follower);
        assert_eq!((seen.id.as_str(), seen.name.as_str(), seen.namespace.as_str()), ("late", "late", "other"));
        fs::write(late.join("init.pid"), "8").expect("written");
        while next(&follower).pid != 8 {}
    }

    #[test]
    fn events_are_followed_to_the_end_of_the_stream() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("run")).expect("made");
        let listener = UnixListener::bind(root.path().join("run/docker.sock")).expect("a socket");
        let server = std::thread::spawn(move || {
            let mut held = Vec::new();
            for answer in [
                r#"{"Action":"start","Actor":{"ID":"aa","Attributes":{"name":"web","image":"nginx","com.docker.compose.project":"shop"}}}"#,
                "[]",
            ] {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = [0; 1024];
                let len = stream.read(&mut request).expect("a request");
                write!(stream, "HTTP/1.0 200 OK\r\n\r\n{answer}\n").expect("sent");
                if !request[..len].starts_with(b"GET /events") {
                    continue;
                }
                held.push(stream);
            }
            // Whoever follows ends it.
            let mut rest = Vec::new();
            for mut stream in held {
                stream.read_to_end(&mut rest).expect("the end");
            }
        });
        let follower = Follower::of(root.path().into());
        let web = next(&follower);
        assert_eq!((web.id.as_str(), web.name.as_str(), web.image.as_str()), ("aa", "web", "nginx"));
        assert_eq!(web.labels, [("compose".to_string(), "shop".to_string())]);
        drop(follower);
        server.join().expect("the stream ended");
    }
}
