//! Calls by gRPC over HTTP/2 (RFC 9113) on a Unix socket, as far as a client of one call a connection needs it. Not here:
//! what is asked, and of whom.

use super::answer::PATIENCE;
use super::socket::connect;
use prost::Message;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

/// Most that is read of one message, in bytes.
const LIMIT: usize = 16 << 20;

/// Most that a frame holds unless a client wants more, in bytes (SETTINGS_MAX_FRAME_SIZE).
const FRAME: usize = 16 << 10;

/// Bytes that the other side may send before we say that more may come: of one message, and some.
const WINDOW: u32 = 2 * LIMIT as u32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Of DATA and HEADERS: nothing follows.
const END_STREAM: u8 = 1;
/// Of SETTINGS and PING: an answer to the other side's.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The only stream of a connection that asks once.
const STREAM: u32 = 1;

/// A call: the messages that come back, one in most calls.
pub(super) struct Call<M> {
    stream: BufReader<UnixStream>,
    /// By when an answer has to be there.
    until: Option<Instant>,
    /// What has come of the next message.
    data: Vec<u8>,
    message: PhantomData<M>,
}

impl<M: Message + Default> Call<M> {
    /// Calls a method, `/package.Service/Method`, with headers of its own. What has not come by `until` is not waited for;
    /// without, the call may last: whoever keeps a clone of the stream ends it by shutting that down.
    ///
    /// # Errors
    /// Where the socket does not take it.
    pub(super) fn open(
        socket: &Path,
        method: &str,
        headers: &[(&str, &str)],
        request: &impl Message,
        until: Option<Instant>,
    ) -> io::Result<Self> {
        let own = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let mut block = Vec::new();
        for (name, value) in own.iter().chain(headers) {
            // A literal that is not indexed, and is not packed (RFC 7541, 6.2.2).
            block.push(0);
            for text in [name, value] {
                let len = u8::try_from(text.len()).ok().filter(|&len| len < 127).ok_or(ErrorKind::InvalidInput)?;
                block.push(len);
                block.extend(text.as_bytes());
            }
        }
        let settings = [(1_u16, 0), (2, 0), (4, WINDOW)];
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let body = request.encode_to_vec();
        let body = [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat();
        let left = until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()));
        let mut stream = connect(socket, left)?;
        stream.write_all(
            &[
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
                frame(SETTINGS, 0, 0, &settings),
                frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()),
                frame(HEADERS, END_HEADERS, STREAM, &block),
                frame(DATA, END_STREAM, STREAM, &body),
            ]
            .concat(),
        )?;
        Ok(Self { stream: BufReader::new(stream), until, data: Vec::new(), message: PhantomData })
    }

    /// The connection.
    pub(super) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// The next message; `None` when there is none, or not in time.
    pub(super) fn next(&mut self) -> Option<M> {
        loop {
            if let Some(&[is_packed, a, b, c, d]) = self.data.first_chunk() {
                let len = u32::from_be_bytes([a, b, c, d]) as usize;
                if is_packed != 0 || len > LIMIT {
                    return None;
                }
                if let Some(message) = self.data.get(5..5 + len) {
                    let message = M::decode(message).ok();
                    self.data.drain(..5 + len);
                    return message;
                }
            }
            self.take_frame().ok()?;
        }
    }

    /// Takes the next frame, and answers it where it wants that.
    fn take_frame(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let (len, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes(stream) & !(1 << 31));
        if len > FRAME {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut payload = vec![0; len];
        self.fill(&mut payload)?;
        match kind {
            DATA if stream == STREAM => {
                let data = match payload.split_first() {
                    Some((pad, rest)) if flags & PADDED != 0 => &rest[..rest.len().saturating_sub(usize::from(*pad))],
                    _ => &payload,
                };
                self.data.extend(data);
                if len > 0 {
                    let more = (len as u32).to_be_bytes();
                    let more = [frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, STREAM, &more)];
                    self.stream.get_mut().write_all(&more.concat())?;
                }
            }
            SETTINGS if flags & ACK == 0 => self.stream.get_mut().write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            PING if flags & ACK == 0 => self.stream.get_mut().write_all(&frame(PING, ACK, 0, &payload))?,
            RST_STREAM | GOAWAY => return Err(ErrorKind::ConnectionAborted.into()),
            // Of the headers nothing is read: an error is an answer without a message.
            HEADERS if flags & END_STREAM != 0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        Ok(())
    }

    /// Reads until all is there, in time.
    fn fill(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.stream.buffer().is_empty() {
                if let Some(until) = self.until {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    self.stream.get_ref().set_read_timeout(Some(left))?;
                }
                if self.stream.fill_buf()?.is_empty() {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            let len = self.stream.read(bytes)?;
            bytes = &mut bytes[len..];
        }
        Ok(())
    }
}

/// A frame's bytes: nothing that is sent is longer than one may be.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::{JoinHandle, spawn};
    use std::time::Duration;

    #[derive(Clone, PartialEq, Message)]
    struct Text {
        #[prost(string, tag = "1")]
        text: String,
    }

    /// A server that sends these bytes, and gives back what it was sent until the client left.
    fn server(socket: &Path, answer: Vec<u8>) -> JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(socket).expect("a socket");
        spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(&answer).expect("sent");
            let mut sent = Vec::new();
            stream.read_to_end(&mut sent).expect("read");
            sent
        })
    }

    fn call(socket: &Path) -> Call<Text> {
        let until = Instant::now() + Duration::from_millis(300);
        let request = Text { text: "question".into() };
        Call::open(socket, "/a.B/C", &[("name", "value")], &request, Some(until)).expect("a call")
    }

    fn message(text: &str) -> Vec<u8> {
        let body = Text { text: text.into() }.encode_to_vec();
        [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("socket");
        let both = [message("one"), message(&"two".repeat(9000))].concat();
        let (front, back) = both.split_at(7);
        let (middle, back) = back.split_at(15_000);
        let padded = [&[3][..], front, &[0; 3]].concat();
        let answer = [
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, END_HEADERS, STREAM, &[0x88]),
            frame(DATA, PADDED, STREAM, &padded),
            frame(PING, 0, 0, b"12345678"),
            frame(DATA, 0, STREAM, middle),
            // Of another stream, and of a type that nobody knows.
            frame(DATA, 0, 3, b"else"),
            frame(77, 0, 0, b"else"),
            frame(DATA, 0, STREAM, back),
            frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[]),
        ];
        let server = server(&socket, answer.concat());
        let mut call = call(&socket);
        assert_eq!(call.next().map(|message| message.text), Some("one".into()));
        assert_eq!(call.next().map(|message| message.text.len()), Some(27_000));
        assert_eq!(call.next(), None);
        drop(call);
        let sent = server.join().expect("served");
        let has = |part: &[u8]| sent.windows(part.len()).any(|window| window == part);
        assert!(sent.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        assert!(has(b"\x05:path\x06/a.B/C") && has(b"\x04name\x05value") && has(b"question"), "{sent:?}");
        assert!(has(&frame(SETTINGS, ACK, 0, &[])) && has(&frame(PING, ACK, 0, b"12345678")), "{sent:?}");
        assert!(has(&frame(WINDOW_UPDATE, 0, STREAM, &15_000_u32.to_be_bytes())), "{sent:?}");
    }

    #[test]
    fn a_server_that_lies_or_is_silent_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let long = [&[0xff, 0xff, 0xff, DATA, 0][..], &STREAM.to_be_bytes(), &[0; 100]].concat();
        let huge = frame(DATA, 0, STREAM, &[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        let packed = frame(DATA, 0, STREAM, &[1, 0, 0, 0, 1, 0]);
        let wrong = frame(DATA, 0, STREAM, &[0, 0, 0, 0, 2, 0xff, 0xff]);
        let pad = [frame(DATA, PADDED, STREAM, &[255, 0, 0]), frame(DATA, PADDED, STREAM, &[])].concat();
        let refused = frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[]);
        let answers = [vec![], vec![0; 4], long, huge, packed, wrong, pad, refused, frame(GOAWAY, 0, 0, &[0; 8])];
        for (index, answer) in answers.into_iter().enumerate() {
            let socket = dir.path().join(index.to_string());
            let server = server(&socket, answer);
            assert_eq!(call(&socket).next(), None, "{index}");
            server.join().expect("served");
        }
    }
}
