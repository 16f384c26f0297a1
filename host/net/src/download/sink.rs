//! Hashing and writing, on a thread of their own, while the network goes on.
//!
//! One thread does both: a chunk that was just hashed is still in its cache when it is copied to
//! the kernel, and hash and copy together are faster than any network. Another thread has the
//! disk take in what was written meanwhile, so that little is left to wait for at the end.

use std::fs::File;
use std::io::{self, Write as _};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// So many chunks (of at most some 400 KiB) may wait.
const QUEUE: usize = 32;
/// The disk is told to take in the bytes whenever there are so many new ones.
const FLUSH: u64 = 32 * 1024 * 1024;

/// Takes the bytes of a file in order.
pub(crate) struct Sink {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<io::Result<Sha256>>,
    flusher: JoinHandle<io::Result<()>>,
}

impl Sink {
    /// Goes on after the bytes that `hasher` has seen; `file` stands at their end, and `same` is
    /// the same file.
    pub(crate) fn start(file: File, same: File, hasher: Sha256) -> Self {
        let (queue, chunks) = mpsc::channel(QUEUE);
        let (nudge, nudges) = mpsc::channel(1);
        Self {
            queue,
            writer: tokio::task::spawn_blocking(move || write(file, hasher, chunks, &nudge)),
            flusher: tokio::task::spawn_blocking(move || flush(&same, nudges)),
        }
    }

    /// Takes a chunk; waits while there are too many. `false` when the file cannot be written:
    /// [`Sink::finish`] then says why.
    pub(crate) async fn push(&self, chunk: Bytes) -> bool {
        self.queue.send(chunk).await.is_ok()
    }

    /// Waits until everything is written, and returns the digest.
    pub(crate) async fn finish(self) -> io::Result<[u8; 32]> {
        drop(self.queue);
        let hasher = self.writer.await?;
        // A failure that the kernel told the flusher about is told only once.
        self.flusher.await??;
        Ok(hasher?.finalize().into())
    }
}

fn write(
    mut file: File,
    mut hasher: Sha256,
    mut queue: mpsc::Receiver<Bytes>,
    nudge: &mpsc::Sender<()>,
) -> io::Result<Sha256> {
    let mut fresh = 0;
    while let Some(chunk) = queue.blocking_recv() {
        hasher.update(&chunk);
        file.write_all(&chunk)?;
        fresh += chunk.len() as u64;
        // While the last flush is still going on, the next one waits for more.
        if fresh >= FLUSH && nudge.try_send(()).is_ok() {
            fresh = 0;
        }
    }
    Ok(hasher)
}

fn flush(file: &File, mut nudges: mpsc::Receiver<()>) -> io::Result<()> {
    while nudges.blocking_recv().is_some() {
        file.sync_data()?;
    }
    Ok(())
}
