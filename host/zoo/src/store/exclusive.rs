//! The exclusive lock of a store: one process at a time publishes, deletes and collects.
//!
//! It is the system's lock on a file, which ends with its process. Some network file systems grant
//! such a lock to everybody. That shows: it is then granted twice. There the lock is a number
//! instead. Each holder makes the file with the number after the last one, which only one process
//! can, and says in it when it is done. A number whose holder has ended counts as done.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use modelzoo_base::file::{self, Access, AtomicFile};

use super::layout::create_dir_all;
use super::process::{Liveness, Process};
use crate::error::Error;

/// How long to wait before telling the user.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);
/// How long a holder of another machine, which cannot be asked, is waited for. Holders rename
/// files; none takes that long.
const LOST: Duration = Duration::from_secs(600);
/// How many numbers are kept. A process that was stopped for as many turns does not take a number
/// again that others have had.
const KEPT: u64 = 64;
/// What a number's file says when its holder is done.
const DONE: &str = "done";

/// Keeps other processes from changing the store until it is dropped.
#[derive(Debug)]
pub(crate) struct ExclusiveLock {
    _file: File,
    _number: Option<Number>,
}

impl ExclusiveLock {
    /// Waits for the lock. The file is made if it does not exist, and stays; `numbers` is made where
    /// the system's locks do nothing.
    pub(crate) fn acquire(path: &Path, numbers: &Path) -> Result<Self, Error> {
        let mut patience = Patience::default();
        loop {
            create_dir_all(file::directory(path))?;
            let file = open(path).map_err(|e| Error::io("open", path, e))?;
            let locked = lock(&file, &mut patience).is_ok();
            if !file::is_at(&file, path) {
                // The directory was cleared meanwhile.
                continue;
            }
            let number = match locked && excludes(path) {
                true => None,
                false => Some(Number::acquire(numbers, &mut patience)?),
            };
            return Ok(Self {
                _file: file,
                _number: number,
            });
        }
    }
}

/// Whether the lock that this process holds on a file excludes others.
pub(super) fn excludes(path: &Path) -> bool {
    let again = OpenOptions::new().write(true).open(path);
    let again = again.map(|file| file.try_lock());
    matches!(again, Ok(Err(TryLockError::WouldBlock)))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).open(path)
}

/// Locks a file. The system releases the lock of a process that was killed, so this waits for a
/// live one only.
fn lock(file: &File, patience: &mut Patience) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => patience.pause(),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Waits for others, and tells the user once when that takes long.
#[derive(Debug, Default)]
struct Patience {
    since: Option<Instant>,
    told: bool,
}

impl Patience {
    fn pause(&mut self) {
        let since = self.since.get_or_insert_with(Instant::now);
        if !self.told && since.elapsed() > PATIENCE {
            self.told = true;
            tracing::warn!("waiting for another modelzoo command that is changing this store");
        }
        std::thread::sleep(PAUSE);
    }
}

/// A number that this process holds.
#[derive(Debug)]
struct Number {
    path: PathBuf,
}

impl Number {
    fn acquire(dir: &Path, patience: &mut Patience) -> Result<Self, Error> {
        create_dir_all(dir)?;
        let failed = |e| Error::io("lock", dir, e);
        loop {
            let last = numbers(dir).map_err(failed)?.last().copied();
            if last.is_some_and(|last| !is_done(&of(dir, last))) {
                patience.pause();
                continue;
            }
            let next = last.unwrap_or(0).saturating_add(1);
            let path = of(dir, next);
            if !take(&path).map_err(failed)? {
                continue;
            }
            let all = numbers(dir).map_err(failed)?;
            if all.last() != Some(&next) {
                // This process was stopped between looking and taking; others went on.
                let _ = fs::remove_file(&path);
                continue;
            }
            for old in all.into_iter().filter(|n| n.saturating_add(KEPT) < next) {
                let _ = fs::remove_file(of(dir, old));
            }
            return Ok(Self { path });
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // If this fails, others wait until this process has ended.
        let _ = AtomicFile::create(&self.path, Access::Shared).and_then(|mut file| {
            file.write_all(DONE.as_bytes())?;
            file.replace()
        });
    }
}

/// The numbers that were taken, in order.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn of(dir: &Path, number: u64) -> PathBuf {
    dir.join(number.to_string())
}

/// Takes a number; false if another process has it.
fn take(path: &Path) -> io::Result<bool> {
    let text = Process::this().to_text();
    let mut file = AtomicFile::create(path, Access::Shared)?;
    file.write_all(text.as_bytes())?;
    let taken = match file.publish() {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            // A file system that can neither link nor rename without replacing.
            File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()))
        }
        taken => taken,
    };
    match taken {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether the holder of a number is done, or has ended.
fn is_done(path: &Path) -> bool {
    if fs::read(path).is_ok_and(|bytes| bytes == DONE.as_bytes()) {
        return true;
    }
    match Process::read(path).map(|holder| holder.liveness()) {
        Some(Liveness::Running) => false,
        Some(Liveness::Ended) => true,
        Some(Liveness::Unknown) | None => is_older(path, LOST),
    }
}

/// Whether a file was last changed longer ago than that.
pub(super) fn is_older(path: &Path, than: Duration) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let age = changed.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age > than)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn lock_excludes_and_shows_that_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let (path, numbers) = (dir.path().join("a/lock"), dir.path().join("numbers"));
        let held = ExclusiveLock::acquire(&path, &numbers).unwrap();
        assert!(excludes(&path));
        assert!(!numbers.exists(), "locks work here");
        drop(held);
        assert!(!excludes(&path), "nobody holds it");
        ExclusiveLock::acquire(&path, &numbers).unwrap();
    }

    #[test]
    fn number_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (holders, turns) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let number = Number::acquire(dir.path(), &mut Patience::default()).unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(number);
                    }
                });
            }
        });
        assert_eq!(turns.into_inner(), 200);
        let kept = numbers(dir.path()).unwrap();
        assert!(kept.len() as u64 <= KEPT + 1, "{kept:?}");
        assert_eq!(kept.last(), Some(&200));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn number_of_an_ended_process_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut holder = serde_json::to_value(Process::this()).unwrap();
        holder["pid"] = child.id().into();
        child.wait().unwrap();
        fs::write(of(dir.path(), 7), holder.to_string()).unwrap();
        let number = Number::acquire(dir.path(), &mut Patience::default()).unwrap();
        assert_eq!(number.path, of(dir.path(), 8));
        assert!(!is_done(&number.path), "this process runs");
        // What cannot be read is waited for.
        fs::write(of(dir.path(), 9), "").unwrap();
        assert!(!is_done(&of(dir.path(), 9)));
    }
}
