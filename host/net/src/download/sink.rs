//! Hashing and writing, each on a thread of its own, while the network goes on.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// So many chunks (of at most some 400 KiB) may wait for each of the two threads.
const QUEUE: usize = 32;

/// Takes the bytes of a file in order.
pub(crate) struct Sink {
    to_hash: mpsc::Sender<Bytes>,
    to_file: mpsc::Sender<Bytes>,
    hash: JoinHandle<Sha256>,
    file: JoinHandle<io::Result<()>>,
}

impl Sink {
    /// Goes on after the bytes that `hasher` has seen; `file` stands at their end.
    pub(crate) fn start(file: File, hasher: Sha256) -> Self {
        let (to_hash, hash_queue) = mpsc::channel(QUEUE);
        let (to_file, file_queue) = mpsc::channel(QUEUE);
        Self {
            to_hash,
            to_file,
            hash: tokio::task::spawn_blocking(move || hash(hasher, hash_queue)),
            file: tokio::task::spawn_blocking(move || write(file, file_queue)),
        }
    }

    /// Takes a chunk; waits while both threads are behind. `false` when the file cannot be
    /// written: [`Sink::finish`] then says why.
    pub(crate) async fn push(&self, chunk: Bytes) -> bool {
        let hashed = self.to_hash.send(chunk.clone()).await;
        let written = self.to_file.send(chunk).await;
        hashed.is_ok() && written.is_ok()
    }

    /// Waits until everything is written, and returns the digest.
    pub(crate) async fn finish(self) -> io::Result<[u8; 32]> {
        drop((self.to_hash, self.to_file));
        self.file.await??;
        Ok(self.hash.await?.finalize().into())
    }
}

fn hash(mut hasher: Sha256, mut queue: mpsc::Receiver<Bytes>) -> Sha256 {
    while let Some(chunk) = queue.blocking_recv() {
        hasher.update(&chunk);
    }
    hasher
}

fn write(mut file: File, mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut chunks = Vec::with_capacity(QUEUE);
    while queue.blocking_recv_many(&mut chunks, QUEUE) > 0 {
        write_all(&mut file, &chunks)?;
        chunks.clear();
    }
    Ok(())
}

/// Small chunks (HTTP/2 frames, TLS records) go to the kernel together.
fn write_all(file: &mut File, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = slices.as_mut_slice();
    // Leading empty slices would look like a file that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
