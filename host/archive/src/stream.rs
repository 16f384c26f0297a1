//! The bytes of a tar, decompressed no further than its limits allow.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};

use crate::error::ErrorKind;
use crate::format::Format;
use crate::ledger::Limits;

/// Memory that an xz stream may ask for; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;
/// The largest Zstandard window, as a power of two: what `zstd` itself unpacks by default.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes read at a time.
pub(crate) const BLOCK: usize = 128 << 10;

/// The contents of one file of an archive.
pub(crate) trait Body {
    /// Reads some bytes; 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind>;
}

/// A sequence of decompressed bytes.
pub(crate) struct Stream<'a> {
    inner: Box<dyn Read + 'a>,
    limits: &'a Limits,
    packed: u64,
    unpacked: u64,
    spool: Option<BufWriter<&'a File>>,
}

impl<'a> Stream<'a> {
    /// The decompressed bytes of an archive of `packed` bytes that stands at its start.
    pub(crate) fn new(
        file: &'a File,
        packed: u64,
        format: Format,
        limits: &'a Limits,
    ) -> Result<Self, ErrorKind> {
        let file = BufReader::with_capacity(BLOCK, file);
        let inner: Box<dyn Read + 'a> = match format {
            Format::TarGz => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Format::TarBz2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
            Format::TarXz => Box::new(xz(file)?),
            Format::TarZst => Box::new(zst(file).map_err(ErrorKind::reading)?),
            Format::Tar | Format::Zip => Box::new(file),
        };
        Ok(Self {
            inner,
            limits,
            packed,
            unpacked: 0,
            spool: None,
        })
    }

    /// Also writes every byte that is read to a file.
    pub(crate) fn spooled(self, spool: &'a File) -> Self {
        Self {
            spool: Some(BufWriter::with_capacity(BLOCK, spool)),
            ..self
        }
    }

    /// Finishes the file that is written; returns its length.
    pub(crate) fn finish(self) -> Result<u64, ErrorKind> {
        if let Some(mut spool) = self.spool {
            spool.flush().map_err(spooling)?;
        }
        Ok(self.unpacked)
    }

    /// Reads some bytes; 0 at the end. One read is at most the buffer's length past a limit.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let count = loop {
            match self.inner.read(into) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ErrorKind::reading(error)),
            }
        };
        self.unpacked += count as u64;
        self.limits.check_ratio(self.packed, self.unpacked)?;
        if let (Some(spool), Some(read)) = (&mut self.spool, into.get(..count)) {
            spool.write_all(read).map_err(spooling)?;
        }
        Ok(count)
    }

    /// Fills the buffer; `false` when the end comes before its first byte.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<bool, ErrorKind> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(truncated()),
                count => filled += count,
            }
        }
        Ok(true)
    }

    /// Passes over some bytes.
    pub(crate) fn skip(&mut self, mut count: u64) -> Result<(), ErrorKind> {
        let mut buffer = vec![0; BLOCK.min(usize::try_from(count).unwrap_or(BLOCK))];
        while count > 0 {
            let want = buffer.len().min(usize::try_from(count).unwrap_or(BLOCK));
            let Some(part) = buffer.get_mut(..want) else {
                return Ok(());
            };
            match self.read(part)? {
                0 => return Err(truncated()),
                read => count -= read as u64,
            }
        }
        Ok(())
    }
}

pub(crate) fn truncated() -> ErrorKind {
    ErrorKind::malformed("it ends in the middle of an entry")
}

fn spooling(source: io::Error) -> ErrorKind {
    ErrorKind::Write {
        path: "decompressed tar".to_owned(),
        source,
    }
}

fn xz<R: Read>(file: BufReader<R>) -> Result<impl Read, ErrorKind> {
    let stream =
        liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
            .map_err(|error| ErrorKind::reading(error.into()))?;
    Ok(liblzma::bufread::XzDecoder::new_stream(file, stream))
}

fn zst<R: Read>(file: BufReader<R>) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}
