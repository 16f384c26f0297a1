//! What must stay as it is: a port that nobody may call, and files that nobody may change.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A port on this machine that takes connections and answers nothing, whatever the protocol.
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

    /// Whether anybody has connected since it was last asked. The system takes a connection
    /// before the one who connects goes on, so there is nothing to wait for.
    pub(crate) fn was_called(&self) -> bool {
        match self.0.accept() {
            Ok(_) => true,
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => panic!("{e}"),
        }
    }
}

/// What is at a path: enough to see that it was replaced, changed, or only touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Directory,
    File { bytes: Vec<u8>, touched: SystemTime },
    Link(PathBuf),
}

/// Everything below a directory, but for what is below one of `except`.
pub(crate) fn look(below: &Path, except: &[PathBuf]) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    walk(below, except, &mut all);
    all
}

fn walk(path: &Path, except: &[PathBuf], all: &mut BTreeMap<PathBuf, Seen>) {
    if except.iter().any(|e| e == path) {
        return;
    }
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let seen = if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), except, all);
        }
        Seen::Directory
    } else if metadata.is_symlink() {
        Seen::Link(std::fs::read_link(path).unwrap())
    } else {
        Seen::File {
            bytes: std::fs::read(path).unwrap(),
            touched: metadata.modified().unwrap(),
        }
    };
    all.insert(path.to_owned(), seen);
}

/// The paths at which two looks differ.
pub(crate) fn differences(
    before: &BTreeMap<PathBuf, Seen>,
    after: &BTreeMap<PathBuf, Seen>,
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
fn the_canaries_notice() {
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
    let look = || look(dir.path(), std::slice::from_ref(&hidden));
    let before = look();
    assert_eq!(differences(&before, &look()), Vec::<PathBuf>::new());
    std::fs::write(&changed, "after").unwrap();
    std::fs::write(&hidden, "after").unwrap();
    std::fs::remove_file(&gone).unwrap();
    std::fs::write(&new, "").unwrap();
    assert_eq!(differences(&before, &look()), [changed, gone, new]);
}
