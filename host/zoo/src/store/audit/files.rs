//! The files of the log: appended to, rotated when they are full, and read as one.
//!
//! When `audit.jsonl` is full it becomes `audit.1.jsonl`, the one before it `audit.2.jsonl`, and
//! so on; the oldest is removed. A process that has the file open meanwhile continues to write to
//! it under its new name, so that no line is lost.
//!
//! One source may take a share of `audit.jsonl`. Its further records go to two files of its own,
//! where they push out nothing but its own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use modelzoo_base::file;

use super::record::{CUT, Record};
use crate::reference::SourceId;
use crate::store::layout::create_dir_all;

/// The length in bytes at which a file is full.
const FULL: u64 = 8 << 20;
/// How many full files are kept.
const KEPT: u32 = 8;
/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The most bytes of a file that the records of one source take.
pub(super) const SHARE: u64 = FULL / 8;
/// The length in bytes at which a file of one source is full.
const OWN_FULL: u64 = SHARE / 2;

/// Appends one line.
pub(super) fn append(path: &Path, text: &str) -> io::Result<()> {
    let file = write_line(path, text)?;
    if file.metadata()?.len() >= FULL {
        rotate(path, &file)?;
    }
    Ok(())
}

/// Appends one line to the file of the source with this key. When it is full, it replaces the one
/// before; `cut` makes the record of how many records are gone with that.
pub(super) fn append_own(
    log: &Path,
    key: &str,
    text: &str,
    cut: impl FnOnce(u64) -> io::Result<String>,
) -> io::Result<()> {
    let path = log.with_extension(format!("{key}.jsonl"));
    let file = write_line(&path, text)?;
    if file.metadata()?.len() < OWN_FULL
        || matches!(file.try_lock(), Err(TryLockError::WouldBlock))
        || fs::metadata(&path)?.len() < OWN_FULL
    {
        return Ok(());
    }
    let before = earlier(&path, 1);
    let gone = match File::open(&before) {
        Ok(file) => count(file)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    if gone > 0 {
        write_line(&path, &cut(gone)?)?;
    }
    fs::rename(&path, before)
}

fn write_line(path: &Path, text: &str) -> io::Result<File> {
    create_dir_all(file::directory(path)).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let mut file = options.open(path)?;
    // One write of a whole line: lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes())?;
    Ok(file)
}

/// How many records a file stands for: its own, and those that were cut before.
fn count(file: File) -> io::Result<u64> {
    let mut records = 0;
    for_each_line(file, |line| {
        let record = line.and_then(|line| Record::read(line).record);
        records += match record {
            Some(record) if record.event == CUT => record.number("records"),
            _ => 1,
        };
    })?;
    Ok(records)
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

/// Opens the existing files, those of single sources first, then the oldest first.
pub(super) fn open(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut files: Vec<(PathBuf, File)> = Vec::new();
    // From the newest: a file that is rotated meanwhile is then found twice rather than never.
    let ages = (1..=KEPT).map(|age| earlier(path, age));
    let all = std::iter::once(path.to_owned()).chain(ages);
    for path in all.chain(own(path)?) {
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

/// The files of single sources, the newer of each before the older.
fn own(log: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(file::directory(log)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut keys = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        let key = name
            .to_str()
            .and_then(|name| name.strip_prefix("audit.")?.strip_suffix(".jsonl"))
            .map(|key| key.strip_suffix(".1").unwrap_or(key))
            .filter(|key| SourceId::is_key(key));
        keys.extend(key.map(str::to_owned));
    }
    let files = keys.into_iter().flat_map(|key| {
        let path = log.with_extension(format!("{key}.jsonl"));
        let before = earlier(&path, 1);
        [path, before]
    });
    Ok(files.collect())
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
    fn source_pushes_out_its_own_records_and_they_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        append(&path, "theirs").unwrap();
        let key = "0123456789abcdef".repeat(2);
        let record = |event: &str, n: u64| {
            format!(
                r#"{{"time":"2026-01-02T03:04:05Z","source":"s","event":"{event}","records":{n},"x":"{}"}}"#,
                "x".repeat(10_000)
            )
        };
        const WRITTEN: u64 = 1000;
        for n in 0..WRITTEN {
            append_own(&path, &key, &record("file", n), |n| Ok(record(CUT, n))).unwrap();
        }
        let (mut kept, mut cut) = (0, 0);
        for (_, file) in open(&path).unwrap() {
            assert!(file.metadata().unwrap().len() <= OWN_FULL + 30_000);
            for_each_line(file, |line| match Record::read(line.unwrap()).record {
                Some(record) if record.event == CUT => cut += record.number("records"),
                Some(_) => kept += 1,
                None => assert_eq!(line, Some(&b"theirs"[..])),
            })
            .unwrap();
        }
        assert_eq!(kept + cut, WRITTEN);
        assert!(kept > 50 && cut > 0, "{kept} {cut}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
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
