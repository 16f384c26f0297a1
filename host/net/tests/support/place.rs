//! Where a test's downloads go.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use modelzoo_net::{Access, Client, Config, Download, Downloaded, Error, Progress, Request, Task};
use sha2::{Digest as _, Sha256};

use super::{Log, Seen, Server, config, cut, serve_file, user};

pub const CAP: u64 = 64 * 1024 * 1024;
pub const ETAG: &str = "\"one\"";

/// A place for downloads, as the store has one.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("staging")).unwrap();
        Self(dir)
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("staging/file.bin")
    }

    pub fn partials(&self) -> PathBuf {
        self.0.path().join("partials")
    }

    /// Every file, and its length.
    pub fn files(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        for dir in [self.0.path().join("staging"), self.partials()] {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                files.push((name, entry.metadata().unwrap().len()));
            }
        }
        files.sort();
        files
    }

    pub fn part(&self) -> PathBuf {
        let parts = fs::read_dir(self.partials())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut parts = parts.filter(|path| path.extension().is_some_and(|e| e == "part"));
        let part = parts.next().unwrap();
        assert_eq!(parts.next(), None);
        part
    }

    pub async fn fetch(
        &self,
        client: &Client,
        url: &str,
        change: impl FnOnce(&mut Download<'_>),
    ) -> Result<Downloaded, Error> {
        let log = Log::default();
        self.fetch_with(client, url, &user(&log), change).await
    }

    pub async fn fetch_with(
        &self,
        client: &Client,
        url: &str,
        access: &Access<'_>,
        change: impl FnOnce(&mut Download<'_>),
    ) -> Result<Downloaded, Error> {
        let (into, partials) = (self.file(), self.partials());
        let mut what = Download::new(&into, "file.bin", CAP);
        what.partials = Some(&partials);
        change(&mut what);
        client.download(&Request::new(url), access, &what).await
    }

    /// The file is there, it is the only one, and it is right.
    pub fn assert_holds(&self, bytes: &[u8], done: &Downloaded) {
        assert_eq!(fs::read(self.file()).unwrap(), bytes);
        assert_eq!(
            (done.size, done.sha256),
            (bytes.len() as u64, digest(bytes))
        );
        assert_eq!(self.files(), [("file.bin".to_owned(), bytes.len() as u64)]);
    }
}

pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A client that tries once only.
pub fn once() -> Client {
    Client::new(Config {
        retries: 0,
        ..config()
    })
    .unwrap()
}

pub fn starts(server: &Server) -> Vec<Option<usize>> {
    server.seen().iter().map(Seen::range_start).collect()
}

/// Breaks off the first answer after `after` bytes, and behaves from then on.
pub fn breaking(bytes: &[u8], after: usize) -> Server {
    let bytes = bytes.to_vec();
    Server::start(move |seen, wire| match seen.index {
        0 => cut(wire, &bytes, after, &[("etag", ETAG)]),
        _ => serve_file(seen, wire, &bytes, ETAG),
    })
}

/// What was shown, in order.
#[derive(Default, Clone)]
pub struct Shown(pub Arc<Mutex<Vec<String>>>);

impl Shown {
    pub fn add(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Progress for Shown {
    fn start(&self, label: &str, total: Option<u64>) -> Box<dyn Task> {
        self.add(format!("start {label} {total:?}"));
        Box::new(self.clone())
    }
}

impl Task for Shown {
    fn set_total(&mut self, total: u64) {
        self.add(format!("total {total}"));
    }

    fn set(&mut self, done: u64) {
        self.add(format!("{done}"));
    }
}
