//! Detectors: a port that must not be connected to, and snapshots of files that must not change.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A port on loopback that accepts connections and sends nothing.
pub(crate) struct Canary(TcpListener);

impl Canary {
    pub(crate) fn set() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// `127.0.0.1:port`
    pub(crate) fn authority(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    /// Whether a connection was made since the last call. The system accepts a connection
    /// before `connect` returns, so there is nothing to wait for.
    pub(crate) fn was_called(&self) -> bool {
        match self.0.accept() {
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => panic!("{e}"),
        }
    }
}

/// The state of a path, which shows whether it was replaced, changed or touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Directory,
    File { bytes: Vec<u8>, touched: SystemTime },
    Link(PathBuf),
}

/// The state of everything below a directory, except below `except`.
pub(crate) fn snapshot(below: &Path, except: &[PathBuf]) -> BTreeMap<PathBuf, FileState> {
    let mut all = BTreeMap::new();
    walk(below, except, &mut all);
    all
}

fn walk(path: &Path, except: &[PathBuf], all: &mut BTreeMap<PathBuf, FileState>) {
    if except.iter().any(|e| e == path) {
        return;
    }
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let seen = if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), except, all);
        }
        FileState::Directory
    } else if metadata.is_symlink() {
        FileState::Link(std::fs::read_link(path).unwrap())
    } else {
        FileState::File {
            bytes: std::fs::read(path).unwrap(),
            touched: metadata.modified().unwrap(),
        }
    };
    all.insert(path.to_owned(), seen);
}

/// The paths at which two states differ.
pub(crate) fn differences(
    before: &BTreeMap<PathBuf, FileState>,
    after: &BTreeMap<PathBuf, FileState>,
) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let mut changed: Vec<_> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

#[test]
fn canaries_detect_connections_and_changes() {
    let canary = Canary::set();
    assert!(!canary.was_called());
    let _connection = TcpStream::connect(canary.authority()).unwrap();
    assert!(canary.was_called());
    assert!(!canary.was_called());

    let dir = tempfile::tempdir().unwrap();
    let [kept, changed, gone, new, hidden] =
        ["kept", "changed", "gone", "new", "hidden"].map(|name| dir.path().join(name));
    for path in [&kept, &changed, &gone, &hidden] {
        std::fs::write(path, "before").unwrap();
    }
    let state = || snapshot(dir.path(), std::slice::from_ref(&hidden));
    let before = state();
    assert_eq!(differences(&before, &state()), Vec::<PathBuf>::new());
    std::fs::write(&changed, "after").unwrap();
    std::fs::write(&hidden, "after").unwrap();
    std::fs::remove_file(&gone).unwrap();
    std::fs::write(&new, "").unwrap();
    assert_eq!(differences(&before, &state()), [changed, gone, new]);
}
