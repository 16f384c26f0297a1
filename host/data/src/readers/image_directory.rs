//! A directory of images.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::media::Root;
use crate::options::OpenOptions;
use crate::readers::{Entry, Format, Reader, Samples, walk};

pub(crate) const FORMAT: Format = Format {
    matches: Path::is_dir,
    open: |path, options| Ok(Box::new(ImageDirectory::open(path, options)?)),
};

/// The images in a directory and below it, in the order of their paths.
struct ImageDirectory {
    root: Root,
    /// Where a FiftyOneDataset of these images would list them.
    list: PathBuf,
    images: Vec<String>,
    warnings: Vec<String>,
}

impl ImageDirectory {
    fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let root = Root::open(path).map_err(Error::io("open", path))?;
        let found = walk::walk(&root, options.allow_outside)?;
        if found.images.is_empty() {
            return Err(Error::NoImages {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            list: root.real.join("samples.json"),
            root,
            images: found.images,
            warnings: found.warnings,
        })
    }
}

impl Reader for ImageDirectory {
    fn kind(&self) -> &'static str {
        "directory of images"
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn list(&self) -> &Path {
        &self.root.real
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn entry(&self, index: usize) -> Result<Option<Entry>, Error> {
        Ok(self.images.get(index).map(|image| Entry::File {
            stored: Ok(image.clone()),
            document: None,
        }))
    }

    fn samples(&self) -> Samples<'_> {
        Samples::Files
    }

    fn is_stale(&self) -> bool {
        self.list.exists()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
