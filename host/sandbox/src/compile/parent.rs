//! The side that starts the process and waits for its answer.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use modelzoo_base::text::excerpt;

use super::{CompileLimit, answer};
use crate::error::Error;
use crate::limits::ERROR_BYTES;
use crate::limits::Limits;

/// What is kept of what the child says on standard error.
const COMPLAINT_BYTES: u64 = 4096;
/// How often it is looked whether a child is gone that has said all that it had to say.
const PAUSE: Duration = Duration::from_millis(1);
/// What Rust programs say when they end for want of memory.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Compiles a component in a process of its own, which `command` starts.
pub(super) fn compile(command: Command, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let deadline = Instant::now().checked_add(limits.compile_wall);
    let broken = |source| Error::NoCompiler { source };
    let mut child = Killed(start(command, limits).map_err(broken)?);
    let talk = Talk::with(&mut child.0, bytes, limits).map_err(broken)?;
    let Some(out) = before(deadline, |left| talk.out.recv_timeout(left)) else {
        return Err(too_slow(limits));
    };
    let Some(status) = child.wait(deadline).map_err(broken)? else {
        return Err(too_slow(limits));
    };
    if status.success() {
        return read(out.map_err(broken)?, limits);
    }
    let complaint = before(deadline, |left| talk.complaint.recv_timeout(left)).unwrap_or_default();
    Err(died(status, &complaint, limits))
}

fn start(mut command: Command, limits: &Limits) -> io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let seconds = limits.compile_wall.as_secs().saturating_add(1);
    command
        .arg(limits.compile_memory_bytes.to_string())
        .arg(seconds.saturating_mul(threads).to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Ends the process when nothing is expected of it any more.
struct Killed(Child);

impl Killed {
    /// How it ended; `None` where it has not until `deadline`.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is read from the child, by threads of their own: neither side waits for the other, and
/// a pipe that something else keeps open holds up a thread only.
struct Talk {
    out: Receiver<io::Result<Vec<u8>>>,
    complaint: Receiver<String>,
}

impl Talk {
    fn with(child: &mut Child, bytes: &[u8], limits: &Limits) -> io::Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let stderr = child.stderr.take().ok_or_else(gone)?;
        let bytes = bytes.to_vec();
        // A child that ends early says why elsewhere.
        thread(move || drop(stdin.write_all(&bytes)))?;
        // Code is never larger than the memory that it was made in.
        let most = limits.compile_memory_bytes;
        let (send, out) = channel();
        thread(move || drop(send.send(read_whole(stdout, most))))?;
        let (send, complaint) = channel();
        thread(move || {
            let said = read_up_to(stderr, COMPLAINT_BYTES).unwrap_or_default();
            drop(send.send(String::from_utf8_lossy(&said).into_owned()));
        })?;
        Ok(Self { out, complaint })
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name("modelzoo-pipe".to_owned())
        .spawn(work)
        .map(drop)
}

/// All that comes, unless it is more than `most` bytes.
fn read_whole(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(from, most.saturating_add(1))?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it answers with too much"));
    }
    Ok(bytes)
}

/// All that comes, of which the first `most` bytes are kept.
fn read_up_to(mut from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(most).read_to_end(&mut bytes)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(bytes)
}

/// What comes before `deadline`, which is never where it is `None`.
fn before<T>(
    deadline: Option<Instant>,
    mut next: impl FnMut(Duration) -> Result<T, RecvTimeoutError>,
) -> Option<T> {
    loop {
        let left = deadline.map_or(Duration::from_secs(3600), |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        match next(left) {
            Ok(value) => return Some(value),
            Err(RecvTimeoutError::Timeout) if deadline.is_none() => {}
            Err(_) => return None,
        }
    }
}

/// The child's answer.
fn read(mut out: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Error> {
    let text = |out: &[u8]| excerpt(&String::from_utf8_lossy(out), ERROR_BYTES);
    match out.first() {
        Some(&answer::CODE) => {
            out.remove(0);
            Ok(out)
        }
        Some(&answer::UNUSABLE) => Err(Error::Unusable {
            reason: text(out.get(1..).unwrap_or_default()),
        }),
        Some(&answer::MEMORY) => Err(too_large(limits)),
        _ => Err(Error::NoCompiler {
            source: io::Error::other("it answers with something else"),
        }),
    }
}

/// Why a child ended that did not end well.
fn died(status: ExitStatus, complaint: &str, limits: &Limits) -> Error {
    use std::os::unix::process::ExitStatusExt as _;
    if complaint.contains(OUT_OF_MEMORY) {
        return too_large(limits);
    }
    match status.signal() {
        Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => too_slow(limits),
        Some(_) => Error::CompilerCrashed {
            // As in `signal: 11 (SIGSEGV)`.
            how: status.to_string(),
        },
        None => {
            let said = complaint.lines().find(|line| !line.is_empty());
            let said = said.unwrap_or("it does not say why");
            let how = excerpt(&format!("{status}: {said}"), ERROR_BYTES);
            Error::CompilerCrashed { how }
        }
    }
}

fn too_slow(limits: &Limits) -> Error {
    Error::CompileLimit {
        limit: CompileLimit::Time(limits.compile_wall),
    }
}

fn too_large(limits: &Limits) -> Error {
    Error::CompileLimit {
        limit: CompileLimit::Memory(limits.compile_memory_bytes),
    }
}
