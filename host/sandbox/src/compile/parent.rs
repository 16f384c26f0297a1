//! Starts the compiler process and waits for its answer.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use modelzoo_base::text::excerpt;

use super::protocol;
use crate::error::{CompileLimit, Error};
use crate::limits::{ERROR_BYTES, Limits};

/// The most bytes that are kept of the child's standard error.
const STDERR_BYTES: u64 = 4096;
/// The pause between checks whether a child that has answered has exited.
const PAUSE: Duration = Duration::from_millis(1);
/// What Rust programs print when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Compiles a component in a process of its own, which `command` starts.
pub(super) fn compile(command: Command, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let deadline = Instant::now().checked_add(limits.compile_wall);
    let broken = |source| Error::NoCompiler { source };
    let mut child = Killed(start(command, limits).map_err(broken)?);
    let pipes = Pipes::with(&mut child.0, bytes, limits).map_err(broken)?;
    let Some(out) = before(deadline, |left| pipes.out.recv_timeout(left)) else {
        return Err(too_slow(limits));
    };
    let Some(status) = child.wait(deadline).map_err(broken)? else {
        return Err(too_slow(limits));
    };
    if status.success() {
        return read(out.map_err(broken)?, limits);
    }
    let stderr = before(deadline, |left| pipes.errors.recv_timeout(left)).unwrap_or_default();
    Err(died(status, &stderr, limits))
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

/// Kills the process when it is dropped.
struct Killed(Child);

impl Killed {
    /// Its exit status; `None` if it still runs at `deadline`.
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
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What threads read from the child: neither side waits for the other, and a pipe that another
/// process keeps open blocks a thread only.
struct Pipes {
    out: Receiver<io::Result<Vec<u8>>>,
    errors: Receiver<String>,
}

impl Pipes {
    fn with(child: &mut Child, bytes: &[u8], limits: &Limits) -> io::Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let stderr = child.stderr.take().ok_or_else(gone)?;
        let bytes = bytes.to_vec();
        // A child that ends early reports the reason on standard error.
        thread(move || drop(stdin.write_all(&bytes)))?;
        // Code is never larger than the memory that it was made in.
        let most = limits.compile_memory_bytes;
        let (send, out) = channel();
        thread(move || drop(send.send(read_whole(stdout, most))))?;
        let (send, errors) = channel();
        thread(move || {
            let text = read_up_to(stderr, STDERR_BYTES).unwrap_or_default();
            drop(send.send(String::from_utf8_lossy(&text).into_owned()));
        })?;
        Ok(Self { out, errors })
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name("modelzoo-pipe".to_owned())
        .spawn(work)
        .map(drop)
}

/// Reads everything, unless it is more than `most` bytes.
fn read_whole(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(from, most.saturating_add(1))?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("its answer is too long"));
    }
    Ok(bytes)
}

/// Reads everything and keeps the first `most` bytes.
fn read_up_to(mut from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(most).read_to_end(&mut bytes)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(bytes)
}

/// The next value before `deadline`; without a deadline, whenever it comes.
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
        Some(&protocol::CODE) => {
            out.remove(0);
            Ok(out)
        }
        Some(&protocol::UNUSABLE) => Err(Error::Unusable {
            reason: text(out.get(1..).unwrap_or_default()),
        }),
        Some(&protocol::MEMORY) => Err(too_large(limits)),
        _ => Err(Error::NoCompiler {
            source: io::Error::other("it gives an unknown answer"),
        }),
    }
}

/// Why a child that failed ended.
fn died(status: ExitStatus, stderr: &str, limits: &Limits) -> Error {
    use std::os::unix::process::ExitStatusExt as _;
    if stderr.contains(OUT_OF_MEMORY) {
        return too_large(limits);
    }
    match status.signal() {
        Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => too_slow(limits),
        Some(_) => Error::CompilerCrashed {
            // As in `signal: 11 (SIGSEGV)`.
            how: status.to_string(),
        },
        None => {
            let reason = stderr.lines().find(|line| !line.is_empty());
            let reason = reason.unwrap_or("it gives no reason");
            let how = excerpt(&format!("{status}: {reason}"), ERROR_BYTES);
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
