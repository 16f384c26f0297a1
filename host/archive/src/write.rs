//! Writing the files of an archive.

use std::io::{self, Write};
use std::path::Path;

use modelzoo_base::digest::Hashing;
use modelzoo_base::dir::Dir;
use sha2::Digest as _;

use crate::entry::Extracted;
use crate::error::ErrorKind;
use crate::path::RelPath;
use crate::stream::{BLOCK, Body};

/// A directory that is being unpacked into. What was made in it is removed when it is dropped
/// before [`Tree::keep`].
pub(crate) struct Tree {
    root: Dir,
    /// Directories and files made, in their order; each as its parent's parts and its own name.
    made: Vec<Made>,
    buffer: Vec<u8>,
}

struct Made {
    path: Vec<String>,
    directory: bool,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> Result<Self, ErrorKind> {
        let root_dir = Dir::open(root).map_err(|source| ErrorKind::Write {
            path: root.display().to_string(),
            source,
        })?;
        Ok(Self {
            root: root_dir,
            made: Vec::new(),
            buffer: vec![0; BLOCK],
        })
    }

    /// Writes a new file.
    pub(crate) fn write(
        &mut self,
        path: &RelPath,
        body: &mut dyn Body,
    ) -> Result<Extracted, ErrorKind> {
        let failed = |source| ErrorKind::Write {
            path: path.to_string(),
            source,
        };
        let mut file = Hashing::new(self.create(path).map_err(failed)?);
        loop {
            let count = body.read(&mut self.buffer)?;
            let Some(part) = self.buffer.get(..count).filter(|part| !part.is_empty()) else {
                break;
            };
            file.write_all(part).map_err(failed)?;
        }
        let (_, size, hasher) = file.finish();
        Ok(Extracted {
            path: path.clone(),
            size,
            sha256: hasher.finalize().into(),
        })
    }

    /// Keeps what was made.
    pub(crate) fn keep(mut self) {
        self.made.clear();
    }

    fn create(&mut self, path: &RelPath) -> io::Result<std::fs::File> {
        let mut parts: Vec<String> = path.parts().map(str::to_owned).collect();
        let name = parts.pop().unwrap_or_default();
        let mut dir = self.root.try_clone()?;
        for (index, part) in parts.iter().enumerate() {
            if dir.make(part)? {
                self.made.push(Made {
                    path: parts.iter().take(index + 1).cloned().collect(),
                    directory: true,
                });
            }
            dir = dir.enter(part)?;
        }
        let file = dir.create(&name)?;
        parts.push(name);
        self.made.push(Made {
            path: parts,
            directory: false,
        });
        Ok(file)
    }

    fn remove(&self, made: &Made) -> io::Result<()> {
        let Some((name, parents)) = made.path.split_last() else {
            return Ok(());
        };
        let mut dir = self.root.try_clone()?;
        for part in parents {
            dir = dir.enter(part)?;
        }
        dir.remove(name, made.directory)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The error that led here is the one to report; what cannot be removed stays in a
        // directory that the caller throws away.
        for made in std::mem::take(&mut self.made).iter().rev() {
            let _ = self.remove(made);
        }
    }
}
