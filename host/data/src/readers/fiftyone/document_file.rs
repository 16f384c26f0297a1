//! `samples.json`: all documents in one file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use modelzoo_base::file::open_regular;
use modelzoo_base::json::{Scan, ScanError, Scanner};

use crate::error::Error;
use crate::extents::{Extent, Extents};
use crate::files::{At, BYTE_ORDER_MARK, MAX_DOCUMENT, Stamp, malformed};

/// Answers to the number and the text of a document with its new text.
pub(crate) type Edit<'a> = dyn FnMut(usize, Option<Vec<u8>>) -> Result<Vec<u8>, Error> + 'a;

/// `samples.json`, kept open: what is read stays the file that was indexed, even
/// when another is renamed over it.
pub(crate) struct DocumentFile {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    file: File,
    documents: Extents,
    /// Where the first document is or would be.
    first: u64,
}

impl DocumentFile {
    /// Opens the file, checks all of it, and finds its documents.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let file = open_regular(&path).map_err(Error::io("open", &path))?;
        let metadata = file.metadata().map_err(Error::io("look at", &path))?;
        let stamp = Stamp::of(&metadata);
        let (first, documents) = index(&path, &file)?;
        Ok(Self {
            path,
            stamp,
            file,
            documents,
            first,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.documents.len()
    }

    pub(crate) fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(document) = self.documents.get(index) else {
            return Ok(None);
        };
        let mut text = vec![0; document.length as usize];
        self.from(document.start)
            .read_exact(&mut text)
            .map_err(Error::io("read", &self.path))?;
        Ok(Some(text))
    }

    fn from(&self, offset: u64) -> At<'_> {
        At {
            file: &self.file,
            offset,
        }
    }

    /// Writes the file with documents as `edit` gives them, and `added` more at the end; without
    /// those at the places `omitted`, which are in order.
    pub(crate) fn rewrite(
        &self,
        out: &mut impl Write,
        omitted: &[usize],
        added: usize,
        edit: &mut Edit<'_>,
    ) -> Result<(), Error> {
        let failed = || Error::io("copy", &self.path);
        let mut source = BufReader::with_capacity(1 << 20, self.from(0));
        let mut copy = |bytes: u64, out: &mut dyn Write| {
            match io::copy(&mut (&mut source).take(bytes), out).map_err(failed())? {
                copied if copied == bytes => Ok(()),
                // The file was cut off since it was opened.
                _ => Err(failed()(io::ErrorKind::UnexpectedEof.into())),
            }
        };
        let (mut at, mut written) = (0, 0_usize);
        for (index, document) in self.documents.iter().enumerate() {
            let is_omitted = omitted.binary_search(&index).is_ok();
            let before = document.start - at;
            // What is before the first document begins the list; the rest separates two.
            match index == 0 || (written > 0 && !is_omitted) {
                true => copy(before, out)?,
                false => copy(before, &mut io::sink())?,
            }
            if is_omitted {
                copy(document.length, &mut io::sink())?;
            } else {
                let mut text = Vec::with_capacity(document.length as usize);
                copy(document.length, &mut text)?;
                out.write_all(&edit(index, Some(text))?).map_err(failed())?;
                written += 1;
            }
            at = document.start + document.length;
        }
        if self.documents.len() == 0 && added > 0 {
            copy(self.first, out)?;
        }
        for index in 0..added {
            if written > 0 {
                out.write_all(b", ").map_err(failed())?;
            }
            let text = edit(self.documents.len() + index, None)?;
            out.write_all(&text).map_err(failed())?;
            written += 1;
        }
        io::copy(&mut source, out).map_err(failed())?;
        Ok(())
    }
}

/// Checks the whole file and finds its documents: where the first is or would
/// be, and where each lies.
fn index(path: &Path, file: &File) -> Result<(u64, Extents), Error> {
    let skipped = byte_order_mark(file).map_err(Error::io("read", path))?;
    let mut scanner = Scanner::new(At {
        file,
        offset: skipped,
    });
    let mut found = None;
    let mut too_large = None;
    scanner
        .object(|scanner, key| {
            if key != "samples" {
                return scanner.skip_value();
            }
            if found.is_some() {
                return scanner.fail("a second list of samples");
            }
            let mut documents = Extents::default();
            let first = skipped + scanner.offset() + 1;
            scanner.array(|scanner| {
                let start = scanner.offset();
                if scanner.peek_token()? != Some(b'{') {
                    return scanner.fail("a sample that is not an object");
                }
                scanner.skip_value()?;
                let bytes = scanner.offset() - start;
                if bytes > MAX_DOCUMENT {
                    too_large = Some(bytes);
                    return scanner.fail("too large");
                }
                documents.push(Extent {
                    start: skipped + start,
                    length: bytes,
                    line: 0,
                });
                Scan::Ok(())
            })?;
            found = Some((first, documents));
            Scan::Ok(())
        })
        .and_then(|_| scanner.finish())
        .map_err(|error| match (too_large, error) {
            (Some(bytes), _) => Error::TooLarge {
                path: path.to_owned(),
                bytes,
                limit: MAX_DOCUMENT,
            },
            (None, ScanError::Syntax { offset, reason }) => Error::Malformed {
                path: path.to_owned(),
                offset: skipped + offset,
                reason,
            },
            (None, error @ ScanError::Io(_)) => malformed(path, error),
        })?;
    found.ok_or_else(|| Error::Malformed {
        path: path.to_owned(),
        offset: 0,
        reason: "no list of samples under \"samples\"".to_owned(),
    })
}

/// How many bytes of a byte order mark the file begins with.
fn byte_order_mark(file: &File) -> io::Result<u64> {
    let mut start = Vec::new();
    let length = BYTE_ORDER_MARK.len() as u64;
    At { file, offset: 0 }
        .take(length)
        .read_to_end(&mut start)?;
    Ok(if start == BYTE_ORDER_MARK { length } else { 0 })
}
