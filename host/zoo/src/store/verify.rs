//! Checks the stored files against the lock and the receipts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::files::{digest_of, entries, hash_file, list_files};
use super::layout::Store;
use super::receipt::{FILES, RECEIPT, Receipt};
use super::record::ModelRecord;
use crate::error::Error;
use crate::reference::SourceId;

/// The state of one source or model.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// The source's id, or the model's name.
    pub name: String,
    /// The source's id.
    pub source: SourceId,
    /// Whether it is a source or a model.
    pub kind: VerifiedKind,
    /// What is wrong with it; empty when nothing is.
    pub problems: Vec<String>,
    /// Whether it was downloaded again.
    pub repaired: bool,
}

/// What was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedKind {
    /// The snapshot of a source, against the lock.
    Source,
    /// The files of a model, against its receipt, and that against the lock.
    Model,
}

impl Store {
    /// Reads every byte of the registered sources and of the downloaded models, and checks it
    /// against the lock and the receipts.
    pub(crate) fn verify(&self) -> Result<Vec<Verified>, Error> {
        let mut results = Vec::new();
        for source in self.lock()?.sources() {
            let dir = self.snapshot_dir(source);
            let problems = match digest_of(&dir) {
                Ok(tree) if tree == source.tree => Vec::new(),
                Ok(_) => vec![format!("{} is not what was registered", dir.display())],
                Err(error) => vec![error.to_string()],
            };
            let intact = problems.is_empty();
            results.push(Verified {
                name: source.id.to_string(),
                source: source.id.clone(),
                kind: VerifiedKind::Source,
                problems,
                repaired: false,
            });
            if intact {
                for record in self.models_of(source)? {
                    results.extend(record.verify());
                }
            }
        }
        Ok(results)
    }
}

impl ModelRecord {
    /// Checks every byte of the model against its receipt, and that against the lock; `None` if
    /// nothing is downloaded.
    pub(crate) fn verify(&self) -> Option<Verified> {
        let problems = check_model(self)?;
        Some(Verified {
            name: self.name(),
            source: self.source.id.clone(),
            kind: VerifiedKind::Model,
            problems,
            repaired: false,
        })
    }
}

/// What is wrong with the files of a model; `None` when nothing was downloaded.
fn check_model(record: &ModelRecord) -> Option<Vec<String>> {
    if fs::symlink_metadata(&record.dir).is_err() {
        return None;
    }
    let Some(receipt) = Receipt::read(&record.dir) else {
        return Some(vec!["its receipt is missing or cannot be read".into()]);
    };
    let mut problems: Vec<String> = record
        .unlike(&receipt)
        .and_then(|state| state.problem())
        .into_iter()
        .collect();
    let files = record.files_dir();
    for file in &receipt.files {
        problems.extend(
            check_file(&file.name.under(&files), file.size, &file.sha256)
                .map(|p| format!("{}: {p}", file.name)),
        );
    }
    let known: BTreeSet<_> = receipt.files.iter().map(|f| f.name.to_string()).collect();
    match list_files(&files) {
        Ok(found) => {
            let extra = found.iter().filter(|f| !known.contains(f.as_ref()));
            problems.extend(extra.map(|f| format!("{f}: the receipt does not list it")));
        }
        Err(error) => problems.push(error.to_string()),
    }
    problems.extend(strays(record));
    Some(problems)
}

/// What lies beside the files and the receipt of a model.
fn strays(record: &ModelRecord) -> Vec<String> {
    match entries(&record.dir) {
        Ok(found) => found
            .iter()
            .filter_map(|(path, _)| path.file_name())
            .filter(|name| *name != FILES && *name != RECEIPT)
            .map(|name| format!("{}: modelzoo did not write it", name.to_string_lossy()))
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn check_file(path: &Path, size: u64, sha256: &str) -> Option<String> {
    match fs::symlink_metadata(path) {
        Err(error) => Some(error.to_string()),
        Ok(meta) if !meta.is_file() => Some("is not a regular file".into()),
        Ok(meta) if meta.len() != size => {
            Some(format!("has {} bytes instead of {size}", meta.len()))
        }
        Ok(_) => match hash_file(path) {
            Ok((_, actual)) if actual == sha256 => None,
            Ok(_) => Some("has other bytes than were downloaded".into()),
            Err(error) => Some(error.to_string()),
        },
    }
}
