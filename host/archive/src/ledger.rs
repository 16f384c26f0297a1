//! The account of an archive's entries: every one passes through here before anything is
//! written, whatever the format.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use crate::error::{ErrorKind, shown};
use crate::path::{MAX_PARTS, PathError, RelPath, fold};

/// Unpacked bytes below which no ratio is suspicious.
const RATIO_FREE: u64 = 16 << 20;
/// Bytes that all names of an archive may have together; they are held in memory.
const MAX_NAME_BYTES: u64 = 64 << 20;

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Entries, and the directories that they lie in.
    pub max_entries: u64,
    /// Parts of a path, the file name included; more than 16 has no effect.
    pub max_depth: usize,
    /// Unpacked bytes for one byte of the archive, above 16 MiB.
    pub max_ratio: u64,
}

impl Default for Limits {
    /// 4 GiB, 100 000 entries, 16 parts, 200 to 1.
    fn default() -> Self {
        Self {
            max_bytes: 4 << 30,
            max_entries: 100_000,
            max_depth: MAX_PARTS,
            max_ratio: 200,
        }
    }
}

impl Limits {
    /// Refuses an amount of unpacked bytes that only a bomb makes of so small an archive.
    pub(crate) fn check_ratio(&self, packed: u64, unpacked: u64) -> Result<(), ErrorKind> {
        if unpacked > RATIO_FREE && unpacked > packed.saturating_mul(self.max_ratio) {
            return Err(ErrorKind::RatioTooHigh {
                limit: self.max_ratio,
            });
        }
        Ok(())
    }

    /// Refuses a number of entries.
    pub(crate) fn check_entries(&self, entries: u64) -> Result<(), ErrorKind> {
        if entries > self.max_entries {
            return Err(ErrorKind::TooManyEntries {
                limit: self.max_entries,
            });
        }
        Ok(())
    }
}

/// A kind of entry that may be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// What has been admitted so far.
pub(crate) struct Ledger<'a> {
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    name_bytes: u64,
    names: Names,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            entries: 0,
            bytes: 0,
            name_bytes: 0,
            names: Names::default(),
        }
    }

    /// Bytes of all files admitted so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Admits an entry of `size` bytes; `None` stands for the archive's own top directory.
    pub(crate) fn admit(
        &mut self,
        name: &[u8],
        kind: Kind,
        size: u64,
    ) -> Result<Option<RelPath>, ErrorKind> {
        self.entries += 1;
        self.limits.check_entries(self.entries)?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.max_bytes {
            return Err(ErrorKind::TooLarge {
                limit: self.limits.max_bytes,
            });
        }
        let Some(path) = self.path(name, kind)? else {
            return Ok(None);
        };
        self.name_bytes += name.len() as u64;
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(ErrorKind::NameTooLong { entry: shown(name) });
        }
        self.names.insert(&path, kind)?;
        // A directory counts also where no entry names it.
        self.limits.check_entries(self.names.nodes.len() as u64)?;
        Ok(Some(path))
    }

    /// The path of an entry. `./` in front, which many tars have, and `/` after a directory's
    /// name are no part of it.
    fn path(&self, name: &[u8], kind: Kind) -> Result<Option<RelPath>, ErrorKind> {
        let refuse = |reason| match reason {
            PathError::TooManyParts => ErrorKind::TooDeep {
                entry: shown(name),
                limit: self.limits.max_depth.min(MAX_PARTS),
            },
            PathError::PartTooLong => ErrorKind::NameTooLong { entry: shown(name) },
            reason => ErrorKind::UnsafePath {
                entry: shown(name),
                reason,
            },
        };
        let text = std::str::from_utf8(name).map_err(|_| refuse(PathError::NotUtf8))?;
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = match kind {
            Kind::Directory => text.strip_suffix('/').unwrap_or(text),
            Kind::File => text,
        };
        if kind == Kind::Directory && (text == "." || (text.is_empty() && name == b"./")) {
            return Ok(None);
        }
        if text.split('/').nth(self.limits.max_depth).is_some() {
            return Err(refuse(PathError::TooManyParts));
        }
        RelPath::parse(text).map(Some).map_err(refuse)
    }
}

/// Every name of the archive, part by part, so that memory grows with the bytes of the names and
/// not with their depth.
#[derive(Default)]
struct Names {
    /// From the node of a directory and the folded name of something in it.
    nodes: HashMap<(usize, Box<str>), Node>,
}

struct Node {
    id: usize,
    spelled: Box<str>,
    kind: Kind,
}

impl Names {
    /// Files must be new; a directory may be named again, in the same spelling.
    fn insert(&mut self, path: &RelPath, kind: Kind) -> Result<(), ErrorKind> {
        let mut parent = 0;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            let this = if last { kind } else { Kind::Directory };
            let id = self.nodes.len() + 1;
            match self.nodes.entry((parent, fold(part).into_boxed_str())) {
                Slot::Vacant(slot) => {
                    slot.insert(Node {
                        id,
                        spelled: part.into(),
                        kind: this,
                    });
                    parent = id;
                }
                Slot::Occupied(slot) => {
                    let node = slot.get();
                    let same = *node.spelled == *part;
                    match (same, node.kind, this) {
                        (true, Kind::Directory, Kind::Directory) => parent = node.id,
                        (true, Kind::File, Kind::File) => {
                            return Err(ErrorKind::Duplicate {
                                entry: shown(path.as_ref().as_bytes()),
                            });
                        }
                        _ => {
                            return Err(ErrorKind::Collision {
                                entry: shown(path.as_ref().as_bytes()),
                                other: shown(node.spelled.as_bytes()),
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
