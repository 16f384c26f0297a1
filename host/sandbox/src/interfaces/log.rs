//! `modelzoo:source/log`: messages for the person who runs the host.
//!
//! See `wit/v0.1/log.wit`. The lines that a guest prints to its standard output and standard error
//! go the same way ([`LogCtx::print`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{HasData, Linker};

use super::bindings::log::{self as wit, add_to_linker as link};
use crate::events::{Level, Log};
use modelzoo_base::text::excerpt;

/// The most bytes of one message or line.
const MESSAGE_BYTES: usize = 8 << 10;
/// What a message costs in addition to its bytes, so that empty ones are not free.
const MESSAGE_COST: u64 = 16;
/// The number of last lines of standard error that are kept for the report of a trap.
const TAIL_LINES: usize = 32;

/// The messages of a guest, with a limit per call.
#[derive(Clone)]
pub(crate) struct LogCtx(Arc<Mutex<Inner>>);

struct Inner {
    log: Arc<dyn Log>,
    /// The bytes that the running call has left; none once a message was too long.
    left: Option<u64>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    tail: VecDeque<String>,
}

/// One of a guest's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl LogCtx {
    /// Messages that go to `log`; at most `bytes` before the first call.
    pub(crate) fn new(log: Arc<dyn Log>, bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            log,
            left: Some(bytes),
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: VecDeque::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // After a panic in the middle, only messages are missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a call, which may send `bytes` of messages.
    pub(crate) fn start_call(&self, bytes: u64) {
        self.lock().left = Some(bytes);
    }

    /// Sends one message, which may have several lines.
    pub(crate) fn send(&self, level: Level, message: &str) {
        let mut inner = self.lock();
        for line in message.trim_end().lines() {
            inner.send(level, line);
        }
    }

    /// Adds bytes of an output stream, and sends each line once it is complete.
    pub(crate) fn print(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            inner.line(stream).extend_from_slice(piece);
            if piece.ends_with(b"\n") || inner.line(stream).len() >= MESSAGE_BYTES {
                inner.flush(stream);
            }
        }
    }

    /// Ends a call: sends the lines that are not complete, and returns the last lines of standard
    /// error.
    pub(crate) fn finish_call(&self) -> Vec<String> {
        let mut inner = self.lock();
        inner.flush(Stream::Out);
        inner.flush(Stream::Err);
        std::mem::take(&mut inner.tail).into()
    }
}

impl Inner {
    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Out => &mut self.stdout,
            Stream::Err => &mut self.stderr,
        }
    }

    fn flush(&mut self, stream: Stream) {
        let line = std::mem::take(self.line(stream));
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            return;
        }
        let level = match stream {
            Stream::Out => Level::Info,
            Stream::Err => Level::Warn,
        };
        self.send(level, line);
        if stream == Stream::Err {
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(excerpt(line, MESSAGE_BYTES));
        }
    }

    fn send(&mut self, level: Level, line: &str) {
        let Some(left) = self.left else {
            return;
        };
        let line = excerpt(line, MESSAGE_BYTES);
        self.left = left.checked_sub(line.len() as u64 + MESSAGE_COST);
        if self.left.is_some() {
            self.log.log(level, &line);
        } else {
            let text = "too many messages: the rest of them is dropped";
            self.log.log(Level::Warn, text);
        }
    }
}

/// The log of a guest, borrowed for one call.
pub(crate) struct LogView<'a> {
    pub(crate) ctx: &'a LogCtx,
}

impl wit::Host for LogView<'_> {
    async fn log(&mut self, level: wit::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Debug => Level::Debug,
            wit::Level::Info => Level::Info,
            wit::Level::Warn => Level::Warn,
            wit::Level::Error => Level::Error,
        };
        self.ctx.send(level, &message);
        Ok(())
    }
}

/// [`LogView`] for a linker.
struct HasLog;

impl HasData for HasLog {
    type Data<'a> = LogView<'a>;
}

/// Adds `modelzoo:source/log` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> LogView<'_>,
) -> wasmtime::Result<()> {
    link::<_, HasLog>(linker, view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(Level, String)>>);

    impl Log for Lines {
        fn log(&self, level: Level, message: &str) {
            self.0.lock().unwrap().push((level, message.to_owned()));
        }
    }

    fn log(bytes: u64) -> (Arc<Lines>, LogCtx) {
        let lines = Arc::new(Lines::default());
        (lines.clone(), LogCtx::new(lines, bytes))
    }

    #[test]
    fn output_is_sent_line_by_line() {
        let (lines, log) = log(10_000);
        log.print(Stream::Out, b"one\ntw");
        log.print(Stream::Err, b"oops\r\n\n");
        log.print(Stream::Out, b"o\nthr\x1bee");
        assert_eq!(log.finish_call(), ["oops"]);
        let got = lines.0.lock().unwrap().clone();
        let want = [
            (Level::Info, "one"),
            (Level::Warn, "oops"),
            (Level::Info, "two"),
            (Level::Info, "thr\\u{1b}ee"),
        ];
        assert_eq!(got, want.map(|(level, line)| (level, line.to_owned())));
    }

    #[test]
    fn messages_over_the_limit_are_dropped_with_a_warning() {
        let (lines, log) = log(100);
        for _ in 0..1000 {
            log.send(Level::Info, "");
            log.send(Level::Debug, "0123456789");
            log.print(Stream::Err, b"panicked\n");
        }
        let got = lines.0.lock().unwrap();
        assert_eq!(got.len(), 5, "{got:?}");
        assert_eq!(got.last().unwrap().0, Level::Warn);
        assert!(got.last().unwrap().1.contains("dropped"));
        // The report of a trap still has its lines.
        assert_eq!(log.finish_call().len(), TAIL_LINES);
        drop(got);
        // The next call may send messages again.
        log.start_call(100);
        log.send(Level::Info, "again");
        assert_eq!(lines.0.lock().unwrap().last().unwrap().1, "again");
    }

    #[test]
    fn long_lines_are_split() {
        let (lines, log) = log(100_000);
        for _ in 0..3 {
            log.print(Stream::Out, &[b'x'; MESSAGE_BYTES]);
        }
        let got = lines.0.lock().unwrap();
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|(_, line)| line.len() <= MESSAGE_BYTES));
    }
}
