//! Whether what was downloaded for a model can be what its manifest declares.

use std::path::Path;

use modelzoo_archive::RelPath;
use modelzoo_sandbox::Artifact;

use super::content;
use crate::error::Error;
use crate::manifest::ArtifactEntry;
use crate::store::ModelRecord;
use crate::store::files::{hash_file, list_files};

/// How many times larger than declared the files of a hook may be: repositories hold the same
/// weights in several formats.
const FORMATS: u64 = 8;
/// How much larger than declared any download may be.
const ROOM: u64 = 1 << 20;

/// Checks a file that a manifest names and the host fetched.
///
/// # Errors
/// As [`check_file`]; [`Error::NotTheFile`] also if it is empty, whatever its name.
pub(super) fn check_listed(
    record: &ModelRecord,
    artifact: &ArtifactEntry,
    path: &Path,
) -> Result<(), Error> {
    let empty = std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
    if empty && artifact.size_bytes != Some(0) {
        return Err(Error::NotTheFile {
            model: record.name(),
            file: artifact.path.to_string(),
            reason: "it is empty".to_owned(),
        });
    }
    check_file(record, &artifact.path, path)
}

/// Checks a file that was fetched or made for a model.
///
/// # Errors
/// [`Error::NotTheFile`] if its contents cannot be those of a file of its name.
pub(super) fn check_file(record: &ModelRecord, name: &RelPath, path: &Path) -> Result<(), Error> {
    let main = record.entry.base_filename.as_ref() == Some(name)
        || (record.entry.base_filename.is_none()
            && name.as_ref() == record.entry.name().file_stem());
    match content::problem(path, name.as_ref(), main) {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(Error::NotTheFile {
            model: record.name(),
            file: name.to_string(),
            reason,
        }),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Checks the bytes that the host fetched for a model against the size that the manifest declares.
/// How much may be fetched at most is a limit of each request.
///
/// # Errors
/// [`Error::SizeFarOff`] if they are less than half of it.
pub(super) fn check_fetched(record: &ModelRecord, bytes: u64) -> Result<(), Error> {
    check_size(record, bytes, u64::MAX)
}

/// Checks the files that a hook left for a model. What it copied from its source is the publisher's
/// own file, whatever its name.
///
/// # Errors
/// As [`check_file`]; [`Error::SizeFarOff`] if they are less than half of the size that the
/// manifest declares, or many times as large.
pub(super) fn check_made(
    record: &ModelRecord,
    artifacts: &[Artifact],
    files: &Path,
) -> Result<(), Error> {
    for artifact in artifacts {
        let path = artifact.name.under(files);
        match check_file(record, &artifact.name, &path) {
            Err(Error::NotTheFile { .. }) if is_copy(record, artifact, &path) => {}
            checked => checked?,
        }
    }
    let bytes = artifacts
        .iter()
        .fold(0, |sum: u64, a| sum.saturating_add(a.size));
    let declared = record.entry.size_bytes.unwrap_or(u64::MAX);
    let most = declared.saturating_mul(FORMATS).saturating_add(ROOM);
    check_size(record, bytes, most)
}

/// Whether a file is one of the source's own, and not a pointer to another: no server answered with
/// it, and the lock pins it.
fn is_copy(record: &ModelRecord, artifact: &Artifact, path: &Path) -> bool {
    let dir = &record.manifest_dir;
    let has_size = |path: &Path| std::fs::metadata(path).is_ok_and(|m| m.len() == artifact.size);
    let own = list_files(dir).unwrap_or_default();
    let mut own = own
        .iter()
        .map(|name| name.under(dir))
        .filter(|p| has_size(p));
    own.any(|own| hash_file(&own).is_ok_and(|(_, sha256)| sha256 == artifact.sha256))
        && !content::is_pointer(path)
}

fn check_size(record: &ModelRecord, bytes: u64, most: u64) -> Result<(), Error> {
    let Some(declared) = record.entry.size_bytes else {
        return Ok(());
    };
    match bytes < declared / 2 || bytes > most {
        false => Ok(()),
        true => Err(Error::SizeFarOff {
            model: record.name(),
            bytes,
            declared,
        }),
    }
}
