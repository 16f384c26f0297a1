//! How much of the log's current file the records of each source take.
//!
//! The file is read once, and then only what was appended since: by this process and by others.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What stands before the source's id in each record.
const SOURCE: &[u8] = b"\"source\":\"";

/// The bytes that each source takes.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    file: Option<FileId>,
    upto: u64,
    /// By id, as it is written.
    bytes: HashMap<Vec<u8>, u64>,
}

impl Shares {
    /// The bytes that the source of a record takes already.
    pub(super) fn taken(&self, path: &Path, record: &[u8]) -> io::Result<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match File::open(path) {
            Ok(file) => seen.read(file)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => *seen = Seen::default(),
            Err(e) => return Err(e),
        }
        let taken = source_of(record).and_then(|source| seen.bytes.get(source));
        Ok(taken.copied().unwrap_or_default())
    }
}

impl Seen {
    /// Adds what was appended to a file, or counts from the start if it is another one.
    fn read(&mut self, mut file: File) -> io::Result<()> {
        let meta = file.metadata()?;
        let id = Some(file_id(&meta));
        if self.file != id || meta.len() < self.upto {
            *self = Self {
                file: id,
                ..Self::default()
            };
        }
        file.seek(SeekFrom::Start(self.upto))?;
        let rest = meta.len().saturating_sub(self.upto);
        let mut reader = BufReader::with_capacity(1 << 16, file.take(rest));
        let mut line = Vec::new();
        // A line that another process has not finished is read next time.
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let length = line.len() as u64;
            self.upto += length;
            if let Some(source) = source_of(&line) {
                *self.bytes.entry(source.to_owned()).or_default() += length;
            }
            line.clear();
        }
        Ok(())
    }
}

/// The id of a record's source, as it is written.
fn source_of(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(SOURCE.len()).position(|w| w == SOURCE)?;
    let rest = line.get(at + SOURCE.len()..)?;
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    rest.get(..end)
}

/// What tells one file from the next at the same path.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = Option<std::time::SystemTime>;

#[cfg(unix)]
fn file_id(meta: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    (meta.dev(), meta.ino())
}

#[cfg(not(unix))]
fn file_id(meta: &Metadata) -> FileId {
    meta.created().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn records_of_each_source_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let shares = Shares::default();
        let record = |source: &str| format!("{{\"time\":\"t\",\"source\":{source}}}\n");
        let (a, b) = (record(r#""a\\""#), record(r#""a\"b""#));
        let taken = |line: &str| shares.taken(&path, line.as_bytes()).unwrap();
        assert_eq!(taken(&a), 0, "there is no file");
        fs::write(&path, format!("{a}{b}{a}torn\n{a}")).unwrap();
        assert_eq!(taken(&a), 3 * a.len() as u64);
        assert_eq!(taken(&b), b.len() as u64);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, "{b}{}", &b[..5]).unwrap();
        assert_eq!(taken(&b), 2 * b.len() as u64);
        write!(file, "{}", &b[5..]).unwrap();
        assert_eq!(taken(&b), 3 * b.len() as u64);
        fs::rename(&path, dir.path().join("old")).unwrap();
        fs::write(&path, &b).unwrap();
        assert_eq!((taken(&a), taken(&b)), (0, b.len() as u64));
    }
}
