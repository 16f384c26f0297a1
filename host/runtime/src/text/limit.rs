//! A time limit for tokenizers.
//!
//! Texts that stay short through all steps need no limit: the work of a checked tokenizer grows at
//! most with the square of their length. Backtracking patterns do: fancy-regex gives up on one match
//! after a million steps, but a text can have as many matches as bytes. So do long texts. These run
//! on a thread of their own, and are abandoned when they take too long.
//!
//! A thread cannot be ended from outside. So an abandoned tokenizer accepts no more such texts, and
//! at most one thread per caller that was waiting runs on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::{Encode, Encoder, Tokens};

/// The longest text, in bytes after all steps, without a time limit.
const SHORT: u64 = 8 << 10;
/// The most bytes that a text may have after all steps.
pub(super) const MAX_GROWN: u64 = 8 << 20;
/// The time limit for a text. The slowest tokenizers take a second for a megabyte.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tokenizer that is abandoned when it takes too long.
pub(super) struct Limited {
    encode: Arc<dyn Encode>,
    max_text: usize,
    /// The longest text, in bytes, without a time limit.
    short: usize,
    patience: Duration,
    /// Set when it was abandoned. Threads may still run, one per caller that was waiting: there must
    /// be no more.
    stuck: AtomicBool,
}

impl Limited {
    pub(super) fn new(encoder: Encoder) -> Self {
        let growth = encoder.growth.max(1);
        let bytes = |grown: u64| usize::try_from(grown / growth).unwrap_or(usize::MAX);
        Self {
            encode: encoder.encode,
            max_text: bytes(MAX_GROWN).min(super::MAX_TEXT),
            short: if encoder.watched { 0 } else { bytes(SHORT) },
            patience: PATIENCE,
            stuck: AtomicBool::new(false),
        }
    }

    pub(super) fn encode(&self, text: &str, max: Option<usize>) -> Result<Tokens, String> {
        let (bytes, limit) = (text.len(), self.max_text);
        if bytes > limit {
            return Err(format!(
                "takes texts of at most {limit} bytes, and this one has {bytes}"
            ));
        }
        if bytes > self.short {
            self.on_a_thread(text, max)
        } else {
            contained(&*self.encode, text, max)
        }
    }

    fn on_a_thread(&self, text: &str, max: Option<usize>) -> Result<Tokens, String> {
        let too_long = || {
            let seconds = self.patience.as_secs_f32();
            Err(format!("took more than {seconds} seconds for a text"))
        };
        if self.stuck.load(Ordering::Relaxed) {
            return too_long();
        }
        let (sender, receiver) = sync_channel(1);
        let (encode, text) = (Arc::clone(&self.encode), text.to_owned());
        let run = move || {
            // The receiver is gone if the tokenizer was abandoned.
            let _ = sender.send(contained(&*encode, &text, max));
        };
        let thread = std::thread::Builder::new().name("tokenizer".to_owned());
        thread.spawn(run).map_err(|error| error.to_string())?;
        match receiver.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.store(true, Ordering::Relaxed);
                too_long()
            }
            Err(RecvTimeoutError::Disconnected) => Err(GAVE_UP.to_owned()),
        }
    }
}

const GAVE_UP: &str = "gave up on a text";

/// Encodes; a panic is an error.
fn contained(encode: &dyn Encode, text: &str, max: Option<usize>) -> Result<Tokens, String> {
    let run = || encode.encode(text, max);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(GAVE_UP.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what the text says.
    struct Odd;

    impl Encode for Odd {
        fn encode(&self, text: &str, _: Option<usize>) -> Result<Tokens, String> {
            match text {
                "panic" => panic!("as told"),
                "hang" => loop {
                    std::thread::park();
                },
                _ => Ok(Tokens::new(vec![1], false)),
            }
        }

        fn specials(&self) -> usize {
            0
        }
    }

    fn odd(watched: bool, growth: u64, patience: Duration) -> Limited {
        let mut limited = Limited::new(Encoder {
            encode: Arc::new(Odd),
            growth,
            watched,
            padding: None,
        });
        limited.patience = patience;
        limited
    }

    #[test]
    fn hanging_tokenizer_is_abandoned() {
        let odd = odd(true, 1, Duration::from_millis(50));
        for text in ["hang", "good"] {
            let reason = odd.encode(text, None).unwrap_err();
            assert!(reason.contains("took more than"), "{reason}");
        }
    }

    #[test]
    fn tokenizer_panic_is_an_error() {
        for watched in [false, true] {
            let odd = odd(watched, 1, PATIENCE);
            assert_eq!(odd.encode("panic", None).unwrap_err(), GAVE_UP);
            assert_eq!(odd.encode("good", None).unwrap().ids(), [1]);
        }
    }

    #[test]
    fn long_texts_are_timed_and_longer_ones_refused() {
        let odd = odd(false, 1 << 10, PATIENCE);
        assert!(odd.encode(&"a".repeat(8 << 10), None).is_ok());
        let reason = odd.encode(&"a".repeat((8 << 10) + 1), None).unwrap_err();
        assert!(reason.contains("at most 8192 bytes"), "{reason}");
    }

    /// Without the time limit, this would not end.
    #[test]
    fn short_text_that_grows_is_timed() {
        let patience = Duration::from_millis(50);
        let odd = odd(false, (8 << 10) / 3, patience);
        let reason = odd.encode("hang", None).unwrap_err();
        assert!(reason.contains("took more than"), "{reason}");
        // A text that stays short has no time limit.
        assert_eq!(odd.encode("hi", None).unwrap().ids(), [1]);
    }
}
