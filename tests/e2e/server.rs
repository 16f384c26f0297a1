//! A scripted HTTP server on loopback, which can misbehave on purpose.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::world::repeats_the_canary;

/// A request as the server received it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of a `Range: bytes=N-` request.
    pub(crate) fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

/// A response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after so many bytes of the body, whatever `content-length` says.
    pub(crate) cut_after: Option<usize>,
    /// How long to wait after each 64 KiB of the body.
    pub(crate) pause: Option<Duration>,
}

impl Response {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            body: status.to_string().into_bytes(),
            ..Self::default()
        }
    }

    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::status(302).with("location", &to.into())
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A resumable file: it has an ETag and supports ranges.
    pub(crate) fn file(request: &Request, body: &[u8], etag: &str) -> Self {
        let whole = Self::ok(body)
            .with("etag", etag)
            .with("accept-ranges", "bytes");
        let fresh = request.header("if-range").is_none_or(|tag| tag == etag);
        match request.range_start() {
            Some(start) if fresh && start < body.len() => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                Self {
                    status: 206,
                    body: body[start..].to_vec(),
                    ..whole
                }
                .with("content-range", &range)
            }
            _ => whole,
        }
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A server, up until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    trusted: bool,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            stop: Arc::default(),
            trusted: false,
        };
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, stop) = (Arc::clone(&server.seen), Arc::clone(&server.stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(&stream, &*handler, &seen));
                }
            }
        });
        server
    }

    /// Serves files by their path, and 404 for everything else.
    pub(crate) fn files<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, body)| (path.to_owned(), body));
        let files: BTreeMap<String, _> = files.collect();
        Self::start(move |request| match files.get(request.path.as_str()) {
            Some(body) => Response::file(request, body, "\"v1\""),
            None => Response::status(404),
        })
    }

    /// This server is the API that the token is for; no other may get it.
    pub(crate) fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// `127.0.0.1:port`
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if !self.trusted && !std::thread::panicking() {
            let seen = format!("{:?}", self.seen());
            assert!(!repeats_the_canary(seen.as_bytes()), "{seen}");
        }
    }
}

fn serve(stream: &TcpStream, handler: &Handler, seen: &Mutex<Vec<Request>>) {
    let Some(request) = read_request(stream) else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    let response = handler(&request);
    let _ = write_response(stream, &response);
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.take(64 << 10));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Some(Request { path, headers });
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn write_response(mut stream: &TcpStream, response: &Response) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", response.status);
    if !response
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        head += &format!("content-length: {}\r\n", response.body.len());
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let end = response
        .cut_after
        .unwrap_or(response.body.len())
        .min(response.body.len());
    for chunk in response.body[..end].chunks(64 << 10) {
        stream.write_all(chunk)?;
        if let Some(pause) = response.pause {
            std::thread::sleep(pause);
        }
    }
    stream.flush()
}
