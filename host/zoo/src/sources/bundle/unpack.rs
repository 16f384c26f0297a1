//! Reading a bundle, which is untrusted input, into staging.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use modelzoo_archive::{Archive, ErrorKind, Extracted, Format, Limits, RelPath};
use modelzoo_base::json::count_values;
use serde::Deserialize;

use super::index::{FORMAT, INDEX, Index, MODELS, SNAPSHOT, declared_models};
use crate::error::{BundleError, Error};
use crate::manifest::{Allowance, Manifest};
use crate::sources::snapshot::{Snapshot, declared, digests_of, find};
use crate::store::files::{FileDigests, read_capped, tree_of};
use crate::store::receipt::{FILES, RECEIPT, Receipt};
use crate::store::snapshot::{MANIFEST, MAX_MANIFEST, join};
use crate::store::{LockedSource, WorkDir};

/// The most bytes of `bundle.json` and all receipts together; they are held in memory.
const MAX_SMALL: u64 = 64 << 20;
/// The most values in them, of which a file has four.
const MAX_VALUES: u64 = 1 << 21;
const MAX_ENTRIES: u64 = 1_000_000;

/// A bundle of which only the index and the receipts have been read.
pub(super) struct Bundle {
    file: PathBuf,
    archive: Archive,
    staging: WorkDir,
    /// Of the file.
    pub(super) bytes: u64,
    /// The source's entry, without permissions and other models.
    pub(super) source: LockedSource,
    /// Sorted by name.
    pub(super) models: Vec<BundledModel>,
}

/// A model in a bundle.
pub(super) struct BundledModel {
    pub(super) receipt: Receipt,
    /// The name of its directory.
    pub(super) dir: String,
}

/// A complete bundle in staging.
pub(super) struct Unpacked {
    pub(super) snapshot: Snapshot,
    /// Each model, with its directory in staging.
    pub(super) models: Vec<(BundledModel, PathBuf)>,
}

/// The role of an entry of a bundle.
enum Place<'a> {
    Index,
    Snapshot(RelPath),
    Receipt(&'a str),
    File(&'a str, RelPath),
}

impl<'a> Place<'a> {
    fn of(path: &'a RelPath) -> Option<Self> {
        let text = path.as_ref();
        if text == INDEX {
            return Some(Self::Index);
        }
        let (top, rest) = text.split_once('/')?;
        if top == SNAPSHOT {
            return RelPath::parse(rest).ok().map(Self::Snapshot);
        }
        let (dir, rest) = rest.split_once('/').filter(|_| top == MODELS)?;
        if rest == RECEIPT {
            return Some(Self::Receipt(dir));
        }
        let file = rest.strip_prefix(FILES)?.strip_prefix('/')?;
        RelPath::parse(file).ok().map(|file| Self::File(dir, file))
    }
}

/// Whether an entry is the index or a receipt.
fn is_small(path: &RelPath) -> bool {
    matches!(Place::of(path), Some(Place::Index | Place::Receipt(_)))
}

impl Bundle {
    /// Checks every entry of a file, and reads the index and the receipts into `staging`.
    pub(super) fn open(file: &Path, staging: WorkDir) -> Result<Self, Error> {
        let bytes = match std::fs::metadata(file) {
            Ok(meta) if meta.is_file() => meta.len(),
            // A bundle is read more than once, and opening a pipe may wait for ever.
            Ok(_) => return Err(BundleError::NotAFile(file.to_owned()).into()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(foreign(file, "there is no such file"));
            }
            Err(e) => return Err(Error::io("read", file, e)),
        };
        match modelzoo_archive::detect(file) {
            Ok(Format::Tar) => {}
            Err(e) if matches!(e.kind, ErrorKind::Read(_)) => return Err(Error::Archive(e)),
            _ => return Err(foreign(file, "it is not a tar")),
        }
        // A plain tar is read where it is: nothing is spooled.
        let spool = tempfile::tempfile_in(staging.path())
            .map_err(|e| Error::io("create a file in", staging.path(), e))?;
        let archive = Archive::open(file, limits(bytes), spool).map_err(|e| broken(file, e))?;
        let entries = archive.entries();
        if let Some(stray) = entries.iter().find(|e| Place::of(&e.path).is_none()) {
            return Err(foreign(file, format!("{} has no place in one", stray.path)));
        }
        let small = entries.iter().filter(|e| is_small(&e.path));
        if small.map(|e| e.size).sum::<u64>() > MAX_SMALL {
            return Err(foreign(file, "its receipts are too large"));
        }
        let small = |path: &RelPath| is_small(path).then(|| path.clone());
        let read = archive.extract(staging.path(), &small);
        let read = read.map_err(|e| broken(file, e))?;
        check_values(file, staging.path(), &read)?;
        let mut index = read_index(file, staging.path())?;
        let models = read_receipts(file, staging.path(), &read, &index)?;
        for BundledModel { receipt, .. } in &models {
            let (model, digest) = (receipt.model.clone(), receipt.sha256.clone());
            index.source.receipts.insert(model, digest);
        }
        Ok(Self {
            file: file.to_owned(),
            archive,
            staging,
            bytes,
            source: index.source,
            models,
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Unpacks the rest, and checks every byte against the index and the receipts.
    pub(super) fn unpack(self) -> Result<Unpacked, Error> {
        let Self { file, source, .. } = &self;
        let root = self.staging.path();
        let large = |path: &RelPath| (!is_small(path)).then(|| path.clone());
        let mut snapshot = FileDigests::new();
        let mut files: BTreeMap<&str, FileDigests> = BTreeMap::new();
        let extracted = self.archive.extract(root, &large);
        let extracted = extracted.map_err(|e| broken(file, e))?;
        for written in &extracted {
            let row = (written.size, hex::encode(written.sha256));
            match Place::of(&written.path) {
                Some(Place::Snapshot(name)) => _ = snapshot.insert(name, row),
                Some(Place::File(dir, name)) => {
                    files.entry(dir).or_default().insert(name, row);
                }
                _ => {}
            }
        }
        if tree_of(&snapshot) != source.tree {
            return Err(changed(file, "the files of the source have another digest"));
        }
        for model in &self.models {
            let found = files.remove(model.dir.as_str()).unwrap_or_default();
            check_files(file, &model.receipt, &found)?;
        }
        if let Some(dir) = files.keys().next() {
            return Err(foreign(file, format!("{dir} has files and no receipt")));
        }
        let names: Vec<RelPath> = snapshot.keys().cloned().collect();
        let directory = root.join(SNAPSHOT);
        let manifests = read_manifests(file, &directory, source, &names)?;
        let digests = digests_of(&manifests, &snapshot);
        check_models(file, &manifests, &digests, source, &self.models)?;
        let staged = |model: BundledModel| {
            let dir = root.join(MODELS).join(&model.dir);
            (model, dir)
        };
        let models = self.models.into_iter().map(staged).collect();
        let snapshot = Snapshot {
            root: directory,
            reachable: true,
            commit: self.source.commit,
            subdir: self.source.subdir,
            tree: self.source.tree,
            manifests,
            files: snapshot,
            _staging: self.staging,
        };
        Ok(Unpacked { snapshot, models })
    }
}

/// The limits of an uncompressed archive: it unpacks to at most its own size.
fn limits(bytes: u64) -> Limits {
    Limits {
        max_bytes: bytes,
        max_entries: MAX_ENTRIES,
        ..Limits::default()
    }
}

/// Checks that what is made of the index and of the receipts is not many times their bytes.
fn check_values(file: &Path, root: &Path, read: &[Extracted]) -> Result<(), Error> {
    let mut left = MAX_VALUES;
    for extracted in read {
        let text = read_capped(&extracted.path.under(root), MAX_SMALL)?;
        let rest = left.checked_sub(count_values(&text));
        left = rest.ok_or_else(|| foreign(file, "its receipts have too many values"))?;
    }
    Ok(())
}

fn read_index(file: &Path, root: &Path) -> Result<Index, Error> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let path = root.join(INDEX);
    if !path.is_file() {
        return Err(foreign(file, format!("it has no {INDEX}")));
    }
    let bytes = read_capped(&path, MAX_SMALL)?;
    let bad = |reason: String| foreign(file, format!("{INDEX}: {reason}"));
    let version: Version = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if version.format != FORMAT {
        return Err(bad(format!(
            "its format is {}, and this modelzoo reads format {FORMAT}",
            version.format
        )));
    }
    let mut index: Index = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    check_entry(&index.source)
        .map_err(|what| bad(format!("{what} of the source is not what modelzoo writes")))?;
    let Index { source, models, .. } = &mut index;
    source.granted = [].into_iter().collect();
    source.retain_pins(|model| models.contains_key(model));
    // All that is known of the source and of its models is what the bundle says.
    source.imported = true;
    source.imported_models = source.artifacts.keys().cloned().collect();
    source.digests.clear();
    source.receipts.clear();
    Ok(index)
}

/// Checks an entry of the lock that this store has not written.
///
/// # Errors
/// The field that is wrong.
fn check_entry(source: &LockedSource) -> Result<(), &'static str> {
    source.check()?;
    let hex = |text: &String| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if source
        .commit
        .as_ref()
        .is_some_and(|c| c.len() != 40 || !hex(c))
    {
        return Err("`commit`");
    }
    // Sorted, so that there are no duplicates.
    match source.manifests.is_sorted_by(|a, b| a < b) && !source.manifests.is_empty() {
        true => Ok(()),
        false => Err("`manifests`"),
    }
}

/// The unpacked receipts; they must be those that the index lists.
fn read_receipts(
    file: &Path,
    root: &Path,
    read: &[Extracted],
    index: &Index,
) -> Result<Vec<BundledModel>, Error> {
    let mut models = BTreeMap::new();
    for extracted in read {
        let Some(Place::Receipt(dir)) = Place::of(&extracted.path) else {
            continue;
        };
        let place = root.join(MODELS).join(dir);
        let receipt = Receipt::read(&place)
            .ok_or_else(|| changed(file, format!("{} cannot be read", extracted.path)))?;
        if index.models.get(&receipt.model) != Some(&hex::encode(extracted.sha256)) {
            return Err(changed(
                file,
                format!("{} is not the one that {INDEX} lists", extracted.path),
            ));
        }
        // The text that every store has for this receipt.
        let receipt = receipt.rewritten();
        receipt.write(&place)?;
        let dir = dir.to_owned();
        models.insert(receipt.model.clone(), BundledModel { receipt, dir });
    }
    match index.models.keys().find(|name| !models.contains_key(*name)) {
        None => Ok(models.into_values().collect()),
        Some(name) => Err(changed(file, format!("the receipt of {name} is missing"))),
    }
}

/// Checks the sizes and digests of the files of a model against its receipt.
fn check_files(file: &Path, receipt: &Receipt, found: &FileDigests) -> Result<(), Error> {
    let model = &receipt.model;
    for listed in &receipt.files {
        let name = &listed.name;
        match found.get(name) {
            None => return Err(changed(file, format!("{name} of {model} is missing"))),
            Some((size, sha256)) if *size == listed.size && *sha256 == listed.sha256 => {}
            Some(_) => {
                return Err(changed(
                    file,
                    format!("{name} of {model} has another digest than its receipt says"),
                ));
            }
        }
    }
    let listed: BTreeSet<_> = receipt.files.iter().map(|f| &f.name).collect();
    match found.keys().find(|name| !listed.contains(name)) {
        None => Ok(()),
        Some(name) => Err(foreign(
            file,
            format!("the receipt of {model} does not list {name}"),
        )),
    }
}

/// The manifests of a snapshot; they must declare each of its files.
fn read_manifests(
    file: &Path,
    snapshot: &Path,
    source: &LockedSource,
    names: &[RelPath],
) -> Result<Vec<(String, Manifest)>, Error> {
    let mut manifests = Vec::new();
    let mut known = BTreeSet::new();
    let mut allowance = Allowance::default();
    for dir in &source.manifests {
        let name = join(dir, MANIFEST);
        if find(names, &name).is_none() {
            return Err(foreign(file, format!("its source has no {name}")));
        }
        let text = read_capped(&snapshot.join(name), MAX_MANIFEST)?;
        let manifest = Manifest::parse_within(&text, &mut allowance)?;
        known.extend(declared(dir, &manifest, names)?);
        manifests.push((dir.clone(), manifest));
    }
    match names.iter().find(|name| !known.contains(*name)) {
        None => Ok(manifests),
        Some(name) => Err(foreign(
            file,
            format!("no manifest of its source declares {name}"),
        )),
    }
}

/// Checks the receipts against the source.
fn check_models(
    file: &Path,
    manifests: &[(String, Manifest)],
    digests: &BTreeMap<String, String>,
    source: &LockedSource,
    models: &[BundledModel],
) -> Result<(), Error> {
    let declared = declared_models(manifests, digests);
    for model in models {
        let receipt = &model.receipt;
        let name = &receipt.model;
        let Some(declared) = declared.get(name).filter(|d| d.dir() == model.dir) else {
            return Err(foreign(file, format!("its source does not declare {name}")));
        };
        if let Some(reason) = declared.mismatch(receipt, source) {
            return Err(foreign(file, format!("{name}: {reason}")));
        }
    }
    Ok(())
}

/// The error for a file that no export writes.
pub(super) fn foreign(file: &Path, reason: impl Into<String>) -> Error {
    Error::Bundle(BundleError::NotABundle {
        path: file.to_owned(),
        reason: reason.into(),
    })
}

/// The error for a bundle that was changed after its export.
fn changed(file: &Path, reason: impl Into<String>) -> Error {
    Error::Bundle(BundleError::Damaged {
        path: file.to_owned(),
        reason: reason.into(),
    })
}

/// The error for an archive that cannot be unpacked: it was changed, or is not a bundle.
fn broken(file: &Path, error: modelzoo_archive::Error) -> Error {
    match &error.kind {
        ErrorKind::Malformed { reason, .. } => changed(file, reason.clone()),
        ErrorKind::Read(_) | ErrorKind::Write { .. } => Error::Archive(error),
        kind => foreign(file, kind.to_string()),
    }
}
