//! The files of the log: appended to, rotated when they are full, and read as one.
//!
//! When `audit.jsonl` is full it becomes `audit.1.jsonl`, the one before it `audit.2.jsonl`, and
//! so on; the oldest is removed. A process that has the file open meanwhile continues to write to
//! it under its new name, so that no line is lost.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The length in bytes at which a file is full.
const FULL: u64 = 8 << 20;
/// How many full files are kept.
const KEPT: u32 = 8;
/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Appends one line.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // One write of a whole line: lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes())?;
    if file.metadata()?.len() >= FULL {
        rotate(path, &file)?;
    }
    Ok(())
}

/// Rotates the files, unless another process does so.
fn rotate(path: &Path, file: &File) -> io::Result<()> {
    // Without locks, a file may be rotated before it is full.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(());
    }
    if fs::metadata(path)?.len() < FULL {
        return Ok(());
    }
    for age in (1..KEPT).rev() {
        match fs::rename(earlier(path, age), earlier(path, age + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    fs::rename(path, earlier(path, 1))
}

/// The file after `age` rotations.
fn earlier(path: &Path, age: u32) -> PathBuf {
    path.with_extension(format!("{age}.jsonl"))
}

/// Opens the existing files, the oldest first.
pub(super) fn open(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut files: Vec<(PathBuf, File)> = Vec::new();
    // From the newest: a file that is rotated meanwhile is then found twice rather than never.
    for age in 0..=KEPT {
        let path = match age {
            0 => path.to_owned(),
            age => earlier(path, age),
        };
        match File::open(&path) {
            Ok(file) if !is_open(&files, &file)? => files.push((path, file)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    files.reverse();
    Ok(files)
}

#[cfg(unix)]
fn is_open(files: &[(PathBuf, File)], file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let id = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino()));
    let new = id(file)?;
    for (_, open) in files {
        if id(open)? == new {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(not(unix))]
fn is_open(_: &[(PathBuf, File)], _: &File) -> io::Result<bool> {
    Ok(false)
}

/// Calls `each` with every line of a file, without the line feed; with `None` for a line that is
/// longer than any record.
pub(super) fn for_each_line(file: File, mut each: impl FnMut(Option<&[u8]>)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\n") {
            _ if read == 0 => return Ok(()),
            Some(whole) => each(Some(whole)),
            None if (read as u64) < MAX_LINE => each(Some(&line)),
            None => {
                reader.skip_until(b'\n')?;
                each(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<Option<String>> {
        let mut lines = Vec::new();
        for (_, file) in open(path).unwrap() {
            let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            for_each_line(file, |line| lines.push(line.map(text))).unwrap();
        }
        lines
    }

    #[test]
    fn full_files_are_rotated_and_the_oldest_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let filler = "x".repeat(FULL as usize);
        for n in 0..KEPT + 3 {
            append(&path, &format!("{n} {filler}")).unwrap();
            append(&path, &format!("{n} short")).unwrap();
        }
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, KEPT as usize + 1);
        let read = lines(&path);
        // The first kept file begins with the line after the one that filled the file before.
        assert_eq!(read.first().unwrap().as_deref(), Some("2 short"));
        assert_eq!(read.last().unwrap().as_deref(), Some("10 short"));
        // A line that is longer than any record is skipped, not read into memory.
        assert_eq!(read.iter().filter(|line| line.is_none()).count(), 8);
    }

    #[test]
    fn file_rotated_while_the_log_is_opened_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        append(&path, "one").unwrap();
        fs::hard_link(&path, earlier(&path, 1)).unwrap();
        let read = lines(&path);
        let expected = if cfg!(unix) { 1 } else { 2 };
        assert_eq!(read.len(), expected, "{read:?}");
    }

    #[test]
    fn line_without_an_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, "one\n\ntwo").unwrap();
        let read: Vec<_> = lines(&path).into_iter().flatten().collect();
        assert_eq!(read, ["one", "", "two"]);
        assert_eq!(
            lines(&dir.path().join("none")),
            Vec::<Option<String>>::new()
        );
    }
}
