//! A real HTTP server on loopback that does as the test says, and what else the tests share.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses another part"
)]

pub mod place;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelzoo_net::policy::{Grants, Permissions};
use modelzoo_net::{
    Access, Audit, Client, Config, Error, Lookup, NoProgress, Refusal, RequestRecord, Resolver,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection, with or without TLS.
pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query, or the whole URL when it came to a proxy.
    pub path: String,
    pub headers: HashMap<String, String>,
    /// How many came before it.
    pub index: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The offset that is asked for.
    pub fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

type Handler = dyn Fn(&Seen, &mut dyn Wire) + Send + Sync;

/// A server; it answers every connection once, in a thread of its own.
pub struct Server {
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Seen, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::launch(None, Arc::new(handler))
    }

    pub fn start_tls(
        tls: ServerConfig,
        handler: impl Fn(&Seen, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::launch(Some(Arc::new(tls)), Arc::new(handler))
    }

    /// A server that nobody should come to.
    pub fn canary() -> Self {
        Self::start(|_, wire| reply(wire, "200 OK", &[], b"you should not be here"))
    }

    fn launch(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let seen = Arc::clone(&server.seen);
        let connections = Arc::clone(&server.connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                *connections.lock().unwrap() += 1;
                let (seen, handler, tls) = (Arc::clone(&seen), Arc::clone(&handler), tls.clone());
                std::thread::spawn(move || serve(stream, tls, &seen, &*handler));
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        self.url_as("127.0.0.1", path)
    }

    /// The URL under another name for this machine.
    pub fn url_as(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many TCP connections were made, requests or not.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    seen: &Mutex<Vec<Seen>>,
    handler: &Handler,
) {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.set_nodelay(true).unwrap();
    match tls {
        Some(config) => {
            let connection = ServerConnection::new(config).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            answer(&mut stream, seen, handler);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        None => answer(&mut { stream }, seen, handler),
    }
}

fn answer(wire: &mut dyn Wire, seen: &Mutex<Vec<Seen>>, handler: &Handler) {
    let mut reader = BufReader::with_capacity(1, wire);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => lines.push(line.trim().to_owned()),
        }
    }
    let mut first = lines[0].split(' ');
    let mut request = Seen {
        method: first.next().unwrap().to_owned(),
        path: first.next().unwrap().to_owned(),
        headers: HashMap::new(),
        index: 0,
    };
    for (name, value) in lines[1..].iter().filter_map(|line| line.split_once(": ")) {
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.to_owned());
    }
    {
        let mut seen = seen.lock().unwrap();
        request.index = seen.len();
        seen.push(request.clone());
    }
    handler(&request, reader.into_inner());
}

/// Writes the head of an answer. The connection ends after it.
pub fn head(wire: &mut dyn Wire, status: &str, headers: &[(&str, &str)]) {
    let mut text = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let _ = wire.write_all(text.as_bytes());
}

/// Writes a whole answer.
pub fn reply(wire: &mut dyn Wire, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let length = body.len().to_string();
    let mut all = vec![("content-length", length.as_str())];
    all.extend_from_slice(headers);
    head(wire, status, &all);
    let _ = wire.write_all(body);
    let _ = wire.flush();
}

pub fn redirect(wire: &mut dyn Wire, to: &str) {
    reply(wire, "302 Found", &[("location", to)], b"");
}

/// Waits until the other side has gone away: a server that says nothing more.
pub fn hang(wire: &mut dyn Wire) {
    let _ = wire.flush();
    let _ = wire.read(&mut [0; 1]);
}

/// Bytes that differ everywhere.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(step).collect()
}

/// Answers as a good server does: whole, or the range that is asked for.
pub fn serve_file(seen: &Seen, wire: &mut dyn Wire, bytes: &[u8], etag: &str) {
    let same = seen
        .header("if-range")
        .is_none_or(|validator| validator == etag);
    match seen.range_start() {
        Some(start) if same && start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            let headers = [("etag", etag), ("content-range", range.as_str())];
            reply(wire, "206 Partial Content", &headers, &bytes[start..]);
        }
        Some(_) if same => {
            let range = format!("bytes */{}", bytes.len());
            reply(
                wire,
                "416 Range Not Satisfiable",
                &[("content-range", &range)],
                b"",
            );
        }
        _ => reply(wire, "200 OK", &[("etag", etag)], bytes),
    }
}

/// Promises all bytes and breaks off after some.
pub fn cut(wire: &mut dyn Wire, bytes: &[u8], after: usize, headers: &[(&str, &str)]) {
    let length = bytes.len().to_string();
    let mut all = vec![("content-length", length.as_str())];
    all.extend_from_slice(headers);
    head(wire, "200 OK", &all);
    let _ = wire.write_all(&bytes[..after]);
    let _ = wire.flush();
}

/// Knows the names of a test, and counts the questions.
#[derive(Default)]
pub struct Names {
    known: HashMap<String, Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub fn new(known: &[(&str, &[&str])]) -> Arc<Self> {
        let addresses = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        Arc::new(Self {
            known: known
                .iter()
                .map(|(name, list)| ((*name).to_owned(), addresses(list)))
                .collect(),
            asked: Mutex::default(),
        })
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        self.asked.lock().unwrap().push(name.to_owned());
        let found = self.known.get(name).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such host")) })
    }
}

/// Keeps the records.
#[derive(Default)]
pub struct Log(Mutex<Vec<RequestRecord>>);

impl Log {
    pub fn records(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap().clone()
    }

    /// The only record.
    pub fn only(&self) -> RequestRecord {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }
}

impl Audit for Log {
    fn request(&self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// Settings for tests: this machine is allowed, and waiting is short.
pub fn config() -> Config {
    Config {
        private: vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()],
        proxy: modelzoo_net::Proxy::Never,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(60),
        document_timeout: Duration::from_secs(60),
        retries: 2,
        backoff: Duration::from_millis(1),
        ..Config::default()
    }
}

pub fn client() -> Client {
    Client::new(config()).unwrap()
}

/// What the user asks for, recorded in `log`.
pub fn user(log: &Log) -> Access<'_> {
    access(Grants::UserAsked, log)
}

pub fn access<'a>(grants: Grants<'a>, log: &'a Log) -> Access<'a> {
    Access {
        grants,
        use_credentials: false,
        audit: log,
        progress: &NoProgress,
    }
}

pub fn permissions(list: &[&str]) -> Permissions {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// What refused a request.
pub fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}
