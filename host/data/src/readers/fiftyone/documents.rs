//! The sample documents of a FiftyOneDataset, found without holding them.

use std::io::Write;
use std::path::Path;

use crate::error::Error;
use crate::files::Stamp;
use crate::readers::fiftyone::document_file::{DocumentFile, Edit};
use crate::readers::fiftyone::parts::Parts;

/// The documents, in the dataset's order.
pub(crate) enum Documents {
    /// `samples.json`.
    File(DocumentFile),
    /// `samples/`, one file per document.
    Parts(Parts),
}

impl Documents {
    /// Whether what is at the path now is not what was opened.
    pub(crate) fn is_stale(&self) -> bool {
        let stamp = match self {
            Self::File(file) => &file.stamp,
            Self::Parts(parts) => &parts.stamp,
        };
        Stamp::at(self.path()).as_ref() != Some(stamp)
    }

    /// The file or directory that lists the samples.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(file) => &file.path,
            Self::Parts(parts) => &parts.path,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::File(file) => file.len(),
            Self::Parts(parts) => parts.len(),
        }
    }

    /// The text of one document; none beyond the last.
    pub(crate) fn read(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::File(file) => file.read(index),
            Self::Parts(parts) => parts.read(index),
        }
    }

    /// Writes `samples.json`: the documents that there are as `edit` answers to
    /// their text, then `added` more, for which it has no text to go by. What is
    /// between the documents of a `samples.json` is kept; those at the places `omitted`,
    /// which are in order, are not.
    pub(crate) fn rewrite(
        &self,
        out: &mut impl Write,
        omitted: &[usize],
        added: usize,
        edit: &mut Edit<'_>,
    ) -> Result<(), Error> {
        match self {
            Self::File(file) => file.rewrite(out, omitted, added, edit),
            // Their samples are never the images of a directory, so that none is omitted.
            Self::Parts(parts) => write_list(out, &parts.path, parts.len(), &mut |index| {
                let text = parts.read(index)?.unwrap_or_default();
                edit(index, Some(text.trim_ascii().to_vec()))
            }),
        }
    }
}

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
