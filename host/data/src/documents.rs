//! The sample documents of a FiftyOneDataset, found without holding them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Error;
use crate::media::open_regular;
use crate::scan::{Scan, ScanError, Scanner};

/// The largest document that is read: masks make some of them large.
const MAX_DOCUMENT: u64 = 256 * 1024 * 1024;

/// The documents, in the dataset's order.
pub(crate) enum Documents {
    /// `samples.json`.
    File(Listing),
    /// `samples/`, one file a document.
    Folder(Folder),
}

/// `samples.json`, kept open: what is read stays the file that was indexed, even
/// when another is renamed over it.
pub(crate) struct Listing {
    pub(crate) path: PathBuf,
    file: File,
    stamp: Stamp,
    spans: Vec<Span>,
    /// Where the first document is or would be.
    first: u64,
}

pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    stamp: Stamp,
    names: Vec<OsString>,
}

#[derive(Clone, Copy)]
struct Span {
    offset: u64,
    length: u32,
}

/// What tells one state of a file from the next.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    node: (u64, u64),
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            node: (metadata.dev(), metadata.ino()),
        }
    }
}

impl Documents {
    /// Opens and checks `samples.json`.
    pub(crate) fn open_file(path: PathBuf) -> Result<Self, Error> {
        let file = open_regular(&path).map_err(Error::io("open", &path))?;
        let metadata = file.metadata().map_err(Error::io("look at", &path))?;
        let stamp = Stamp::of(&metadata);
        let (first, spans) = index(&path, &file)?;
        Ok(Self::File(Listing {
            path,
            file,
            stamp,
            spans,
            first,
        }))
    }

    /// Lists the documents in `samples/`, in the order of their names.
    pub(crate) fn open_folder(path: PathBuf) -> Result<Self, Error> {
        let stamp = Stamp::of(&fs::metadata(&path).map_err(Error::io("look at", &path))?);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let name = entry.map_err(Error::io("list", &path))?.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.ends_with(b".json") && !bytes.starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(Self::Folder(Folder { path, stamp, names }))
    }

    /// Whether what is at the path now is not what was opened.
    pub(crate) fn is_stale(&self) -> bool {
        let stamp = match self {
            Self::File(listing) => &listing.stamp,
            Self::Folder(folder) => &folder.stamp,
        };
        fs::metadata(self.path()).map_or(true, |now| Stamp::of(&now) != *stamp)
    }

    /// The file or directory that lists the samples.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(listing) => &listing.path,
            Self::Folder(folder) => &folder.path,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::File(listing) => listing.spans.len(),
            Self::Folder(folder) => folder.names.len(),
        }
    }

    /// The text of one document; none beyond the last.
    pub(crate) fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::File(listing) => listing.read(index),
            Self::Folder(folder) => folder.read(index),
        }
    }

    /// Writes a list of documents: those that there are as `edit` answers to
    /// their text, then `added` more, for which it has no text to go by. What is
    /// between the documents of a `samples.json` is kept.
    pub(crate) fn rewrite(
        &self,
        out: &mut impl Write,
        added: usize,
        edit: &mut Edit<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::File(listing) => listing.rewrite(out, added, edit),
            Self::Folder(folder) => {
                write_list(out, &folder.path, folder.names.len(), &mut |index| {
                    let text = folder.read(index)?.unwrap_or_default();
                    edit(index, Some(text.trim_ascii().to_vec()))
                })
            }
        }
    }
}

/// Answers to the number and the text of a document with its new text.
pub(crate) type Edit<'a> = dyn FnMut(usize, Option<Vec<u8>>) -> Result<Vec<u8>, Error> + 'a;

/// Writes `{"samples": […]}` with `count` documents.
pub(crate) fn write_list(
    out: &mut impl Write,
    path: &Path,
    count: usize,
    document: &mut dyn FnMut(usize) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io("write", path));
    write(b"{\"samples\": [")?;
    for index in 0..count {
        if index > 0 {
            write(b", ")?;
        }
        write(&document(index)?)?;
    }
    write(b"]}")
}

impl Listing {
    fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(span) = self.spans.get(index) else {
            return Ok(None);
        };
        let mut text = vec![0; span.length as usize];
        self.from(span.offset)
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

    fn rewrite(
        &self,
        out: &mut impl Write,
        added: usize,
        edit: &mut Edit<'_>,
    ) -> Result<(), Error> {
        let failed = || Error::io("copy", &self.path);
        let mut source = BufReader::with_capacity(1 << 20, self.from(0));
        let mut at = 0;
        for (index, span) in self.spans.iter().enumerate() {
            io::copy(&mut (&mut source).take(span.offset - at), out).map_err(failed())?;
            let mut text = vec![0; span.length as usize];
            source.read_exact(&mut text).map_err(failed())?;
            out.write_all(&edit(index, Some(text))?).map_err(failed())?;
            at = span.offset + u64::from(span.length);
        }
        if self.spans.is_empty() && added > 0 {
            io::copy(&mut (&mut source).take(self.first), out).map_err(failed())?;
        }
        for index in self.spans.len()..self.spans.len() + added {
            if index > 0 {
                out.write_all(b", ").map_err(failed())?;
            }
            out.write_all(&edit(index, None)?).map_err(failed())?;
        }
        io::copy(&mut source, out).map_err(failed())?;
        Ok(())
    }
}

impl Folder {
    pub(crate) fn name(&self, index: usize) -> Option<&OsString> {
        self.names.get(index)
    }

    fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.name(index) {
            None => Ok(None),
            Some(name) => read_bounded(&self.path.join(name)).map(Some),
        }
    }
}

/// The contents of one JSON file.
pub(crate) fn read_bounded(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    open_regular(path)
        .map_err(Error::io("open", path))?
        .take(MAX_DOCUMENT + 1)
        .read_to_end(&mut text)
        .map_err(Error::io("read", path))?;
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            bytes: text.len() as u64,
            limit: MAX_DOCUMENT,
        });
    }
    Ok(text)
}

/// Checks the whole file and finds its documents: where the first is or would
/// be, and where each lies.
fn index(path: &Path, file: &File) -> Result<(u64, Vec<Span>), Error> {
    let mut scanner = Scanner::new(At { file, offset: 0 });
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
            let mut spans = Vec::new();
            let first = scanner.offset() + 1;
            scanner.array(|scanner| {
                let offset = scanner.offset();
                if scanner.peek_token()? != Some(b'{') {
                    return scanner.fail("a sample that is not an object");
                }
                scanner.skip_value()?;
                let bytes = scanner.offset() - offset;
                if bytes > MAX_DOCUMENT {
                    too_large = Some(bytes);
                    return scanner.fail("too large");
                }
                spans.push(Span {
                    offset,
                    length: bytes as u32,
                });
                Scan::Ok(())
            })?;
            found = Some((first, spans));
            Scan::Ok(())
        })
        .and_then(|_| scanner.finish())
        .map_err(|error| match too_large {
            Some(bytes) => Error::TooLarge {
                path: path.to_owned(),
                bytes,
                limit: MAX_DOCUMENT,
            },
            None => malformed(path, error),
        })?;
    found.ok_or_else(|| Error::Malformed {
        path: path.to_owned(),
        offset: 0,
        reason: "no list of samples under \"samples\"".to_owned(),
    })
}

pub(crate) fn malformed(path: &Path, error: ScanError) -> Error {
    match error {
        ScanError::Io(source) => Error::io("read", path)(source),
        ScanError::Syntax { offset, reason } => Error::Malformed {
            path: path.to_owned(),
            offset,
            reason,
        },
    }
}

/// Reads a shared file from a place of its own.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(self.file, into, self.offset)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(self.file, into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
