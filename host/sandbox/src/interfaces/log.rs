//! `modelzoo:source/log`: messages for the person who runs the host. What a guest prints to its
//! standard output and standard error comes here too, line by line.
//!
//! See `wit/v0.1/log.wit`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use modelzoo_base::text::excerpt;
use serde::{Deserialize, Serialize};

use crate::interfaces::bindings::source::log as wit;
use crate::interfaces::state::State;

/// The most bytes of one message or line.
const MESSAGE_BYTES: usize = 8 << 10;
/// What a message costs beside its bytes, so that empty ones are not free.
const MESSAGE_COST: u64 = 16;
/// How many of the last lines of standard error are kept for the report of a trap.
const TAIL_LINES: usize = 32;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the author of the source.
    Debug,
    /// What is going on; the guest's standard output.
    Info,
    /// Something that the user should know; the guest's standard error.
    Warn,
    /// Something that stops the work.
    Error,
}

/// Where the messages of a hook go.
pub trait Log: Send + Sync {
    /// Takes one message: one line, without control characters, of at most 8 KiB.
    fn log(&self, level: Level, message: &str);
}

/// Drops all messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl Log for NoLog {
    fn log(&self, _level: Level, _message: &str) {}
}

/// The messages of one hook call, metered.
#[derive(Clone)]
pub(crate) struct Messages(Arc<Mutex<Inner>>);

struct Inner {
    out: Arc<dyn Log>,
    left: u64,
    full: bool,
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

impl Messages {
    /// Messages that go to `out`, up to `bytes` of them.
    pub(crate) fn new(out: Arc<dyn Log>, bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            out,
            left: bytes,
            full: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: VecDeque::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Broken off in the middle, only messages are missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One message, which may have several lines.
    pub(crate) fn send(&self, level: Level, message: &str) {
        let mut inner = self.lock();
        for line in message.trim_end().lines() {
            inner.send(level, line);
        }
    }

    /// Bytes of an output stream; passed on as soon as there is a whole line.
    pub(crate) fn print(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            inner.line(stream).extend_from_slice(piece);
            if piece.ends_with(b"\n") || inner.line(stream).len() >= MESSAGE_BYTES {
                inner.flush(stream);
            }
        }
    }

    /// Passes on what has no line end yet, and answers with the last lines of standard error.
    pub(crate) fn finish(&self) -> Vec<String> {
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
        if self.full {
            return;
        }
        let line = excerpt(line, MESSAGE_BYTES);
        match self.left.checked_sub(line.len() as u64 + MESSAGE_COST) {
            Some(left) => {
                self.left = left;
                self.out.log(level, &line);
            }
            None => {
                self.full = true;
                self.out.log(
                    Level::Warn,
                    "too many messages: the rest of them is dropped",
                );
            }
        }
    }
}

impl wit::Host for State {
    async fn log(&mut self, level: wit::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Debug => Level::Debug,
            wit::Level::Info => Level::Info,
            wit::Level::Warn => Level::Warn,
            wit::Level::Error => Level::Error,
        };
        self.messages.send(level, &message);
        Ok(())
    }
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

    fn messages(bytes: u64) -> (Arc<Lines>, Messages) {
        let lines = Arc::new(Lines::default());
        (lines.clone(), Messages::new(lines, bytes))
    }

    #[test]
    fn output_arrives_line_by_line() {
        let (lines, messages) = messages(10_000);
        messages.print(Stream::Out, b"one\ntw");
        messages.print(Stream::Err, b"oops\r\n\n");
        messages.print(Stream::Out, b"o\nthr\x1bee");
        assert_eq!(messages.finish(), ["oops"]);
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
    fn too_many_messages_are_dropped_and_said_to_be() {
        let (lines, messages) = messages(100);
        for _ in 0..1000 {
            messages.send(Level::Info, "");
            messages.send(Level::Debug, "0123456789");
            messages.print(Stream::Err, b"panicked\n");
        }
        let got = lines.0.lock().unwrap();
        assert_eq!(got.len(), 5, "{got:?}");
        assert_eq!(got.last().unwrap().0, Level::Warn);
        assert!(got.last().unwrap().1.contains("dropped"));
        // The report of a trap still has its lines.
        assert_eq!(messages.finish().len(), TAIL_LINES);
    }

    #[test]
    fn endless_lines_are_cut() {
        let (lines, messages) = messages(100_000);
        for _ in 0..3 {
            messages.print(Stream::Out, &[b'x'; MESSAGE_BYTES]);
        }
        let got = lines.0.lock().unwrap();
        assert_eq!(got.len(), 3);
        assert!(got.iter().all(|(_, line)| line.len() <= MESSAGE_BYTES));
    }
}
