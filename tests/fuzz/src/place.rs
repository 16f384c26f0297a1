//! Directories that inputs are written to.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The file beside the directory that an input is confined to.
const CANARY: &[u8] = b"canary";

/// A temporary directory with `inside`, which an input may change, and a file beside
/// it that must not change.
pub(crate) struct Place {
    directory: TempDir,
    /// The directory inside, without links in its path.
    pub(crate) inside: PathBuf,
}

impl Place {
    /// Makes one, in a memory file system if there is one.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = match tempfile::tempdir_in(memory) {
            Ok(directory) => directory,
            Err(_) => tempfile::tempdir().expect("a temporary directory"),
        };
        fs::write(directory.path().join("canary"), CANARY).expect("the canary is written");
        let real = directory.path().canonicalize().expect("it is there");
        let inside = real.join("inside");
        fs::create_dir(&inside).expect("the directory inside is made");
        Self { directory, inside }
    }

    /// Writes a file inside.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.inside.join(name);
        fs::write(&path, bytes).expect("an input is written");
        path
    }

    /// Nothing may have changed outside.
    pub(crate) fn assert_untouched(&self) {
        let names = fs::read_dir(self.directory.path()).expect("it is there");
        assert_eq!(names.count(), 2, "something was made outside");
        let canary = fs::read(self.directory.path().join("canary")).expect("the canary is there");
        assert_eq!(canary, CANARY, "something was written outside");
    }
}

/// The regular files below a directory with their contents, by path. Nothing else is allowed but
/// directories.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut rest = vec![root.to_owned()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(&directory).expect("a directory can be read") {
            let path = entry.expect("an entry can be read").path();
            let kind = fs::symlink_metadata(&path).expect("it is there");
            if kind.is_dir() {
                rest.push(path);
                continue;
            }
            assert!(kind.is_file(), "{path:?} is neither file nor directory");
            let name = path.strip_prefix(root).expect("it is below the root");
            let name = name.to_str().expect("names are UTF-8").to_owned();
            files.push((name, fs::read(&path).expect("a file can be read")));
        }
    }
    files.sort();
    files
}
