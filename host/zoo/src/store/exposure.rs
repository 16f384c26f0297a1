//! What of a store other users of the machine can change.
//!
//! Who can write to a store decides which weights and components are used, and, with `config.toml`,
//! from where they are fetched. The super-user can do all that anyway, and is not looked for.

use std::fmt;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::layout::Store;
use super::usage::entries;

/// The most that are listed.
const MOST: usize = 16;

/// Something that other users can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// Its path.
    pub path: PathBuf,
    /// Who can change it, in words that follow the path.
    pub reason: String,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.reason)
    }
}

impl Exposure {
    /// What other users can do to a file or directory of this metadata.
    pub(crate) fn of(path: &Path, meta: &Metadata) -> Option<Self> {
        reason(meta).map(|reason| Self {
            path: path.to_owned(),
            reason,
        })
    }
}

impl Store {
    /// What other users can change of the store's directory and its parts, and whether they can put
    /// another directory in its place. A link counts as what it leads to.
    pub(crate) fn exposures(&self) -> Vec<Exposure> {
        let parts = [
            "",
            "modelzoo.lock",
            "config.toml",
            "audit.jsonl",
            "sources",
            "models",
            "cache",
            "staging",
            "checks",
            "locks",
        ];
        let parts = parts.map(|part| match part {
            "" => self.home().to_owned(),
            part => self.home().join(part),
        });
        let found = parts.iter().filter_map(|path| {
            let meta = fs::metadata(path).ok()?;
            Exposure::of(path, &meta)
        });
        self.exposed_above().into_iter().chain(found).collect()
    }

    /// As [`Store::exposures`], with everything that is in the sources and models.
    pub(crate) fn all_exposures(&self) -> Vec<Exposure> {
        let mut found = self.exposures();
        for part in ["sources", "models"] {
            for path in entries(&self.home().join(part)).unwrap_or_default() {
                add_below(&path, &mut found);
            }
        }
        found.truncate(MOST);
        found
    }

    /// A directory above the store in which others can rename.
    fn exposed_above(&self) -> Option<Exposure> {
        let above = self.home().ancestors().skip(1);
        above
            .filter_map(|path| Some((path, fs::metadata(path).ok()?)))
            .find(|(_, meta)| is_shared(meta) && !is_sticky(meta))
            .and_then(|(path, meta)| Exposure::of(path, &meta))
    }
}

fn add_below(path: &Path, found: &mut Vec<Exposure>) {
    if found.len() >= MOST {
        return;
    }
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if !meta.is_symlink() {
        found.extend(Exposure::of(path, &meta));
    }
    if meta.is_dir() {
        for path in entries(path).unwrap_or_default() {
            add_below(&path, found);
        }
    }
}

#[cfg(unix)]
mod imp {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt as _;

    const ROOT: u32 = 0;

    /// Who can change a file or directory, besides this user and the super-user.
    pub(super) fn reason(meta: &Metadata) -> Option<String> {
        let (owner, group) = (meta.uid(), meta.gid());
        if owner != ROOT && owner != rustix::process::geteuid().as_raw() {
            return Some(format!("belongs to user {owner}"));
        }
        match is_shared(meta) {
            true if meta.mode() & 0o002 != 0 => Some("can be changed by every user".to_owned()),
            true => Some(format!("can be changed by group {group}")),
            false => None,
        }
    }

    /// Whether others than the owner may write. A group of the owner's number is the owner's own:
    /// so systems number the group that each user has for himself.
    pub(super) fn is_shared(meta: &Metadata) -> bool {
        let private = meta.gid() == ROOT || meta.gid() == meta.uid();
        meta.mode() & 0o002 != 0 || (meta.mode() & 0o020 != 0 && !private)
    }

    /// Whether in a directory only the owner of a file renames it.
    pub(super) fn is_sticky(meta: &Metadata) -> bool {
        meta.mode() & 0o1000 != 0
    }
}

/// Elsewhere access is not a matter of modes and owners.
#[cfg(not(unix))]
mod imp {
    use std::fs::Metadata;

    pub(super) fn reason(_: &Metadata) -> Option<String> {
        None
    }

    pub(super) fn is_shared(_: &Metadata) -> bool {
        false
    }

    pub(super) fn is_sticky(_: &Metadata) -> bool {
        false
    }
}

use imp::{is_shared, is_sticky, reason};
