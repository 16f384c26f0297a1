//! SHA-256 of what is read or written, on its way.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

/// How many bytes are copied at once.
const BLOCK: usize = 256 << 10;

/// Copies everything from `from` to `to`; gives the number of bytes and the state of their digest.
///
/// # Errors
/// Either side fails.
pub fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, Sha256)> {
    let mut to = Hashing::new(to);
    let mut buffer = vec![0; BLOCK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let (_, count, hasher) = to.finish();
    Ok((count, hasher))
}

/// Reads everything; gives the number of bytes and the state of their digest.
///
/// # Errors
/// It cannot be read.
pub fn of(from: &mut impl Read) -> io::Result<(u64, Sha256)> {
    copy(from, &mut io::sink())
}

/// A reader or writer that hashes and counts the bytes that pass.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    /// Begins with no bytes.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            count: 0,
        }
    }

    /// How many bytes have passed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The reader or writer, the number of bytes, and the state of their digest.
    #[must_use]
    pub fn finish(self) -> (T, u64, Sha256) {
        (self.inner, self.count, self.hasher)
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.pass(into.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.pass(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_counts_and_hashes() {
        let bytes: Vec<u8> = (0..BLOCK * 2 + 3).map(|n| n as u8).collect();
        let mut copied = Vec::new();
        let (count, hasher) = copy(&mut bytes.as_slice(), &mut copied).unwrap();
        assert_eq!(count, bytes.len() as u64);
        assert_eq!(copied, bytes);
        assert_eq!(hasher.finalize(), Sha256::digest(&bytes));
    }

    #[test]
    fn reader_hashes_what_it_gives() {
        let mut reader = Hashing::new(&b"abcdef"[..]);
        reader.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(reader.count(), 3);
        let (rest, count, hasher) = reader.finish();
        assert_eq!((rest, count), (&b"def"[..], 3));
        assert_eq!(hasher.finalize(), Sha256::digest(b"abc"));
    }
}
