//! Checks the stored files against the lock and the receipts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::files::{digest_of, entries, hash_file, list_files};
use super::layout::Store;
use super::locked::LockedSource;
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

/// How often to look again at a source that other commands change meanwhile.
const ATTEMPTS: u32 = 3;

impl Store {
    /// Reads every byte of the registered sources and of the downloaded models, and checks it
    /// against the lock and the receipts. What is wrong with one of them is in its result, and does
    /// not keep the others from being checked.
    pub(crate) fn verify(&self) -> Result<Vec<Verified>, Error> {
        let mut results = Vec::new();
        for source in self.lock()?.sources() {
            results.extend(self.verify_source(source.clone())?);
        }
        Ok(results)
    }

    /// Checks a source and its models. Another command may replace or delete them meanwhile: then
    /// they are checked as they are afterwards.
    fn verify_source(&self, mut source: LockedSource) -> Result<Vec<Verified>, Error> {
        let mut results = self.check_source(&source);
        for _ in 1..ATTEMPTS {
            if results.iter().all(|result| result.problems.is_empty()) {
                break;
            }
            match self.lock()?.get(&source.id) {
                None => return Ok(Vec::new()),
                Some(now) if *now == source => break,
                Some(now) => source = now.clone(),
            }
            results = self.check_source(&source);
        }
        Ok(results)
    }

    fn check_source(&self, source: &LockedSource) -> Vec<Verified> {
        let dir = self.snapshot_dir(source);
        let mut problems = match digest_of(&dir) {
            Ok(tree) if tree == source.tree => Vec::new(),
            Ok(_) => vec![format!("{} is not what was registered", dir.display())],
            Err(error) => vec![error.to_string()],
        };
        let mut models = Vec::new();
        if problems.is_empty() {
            match self.models_of(source) {
                Ok(records) => models = records,
                Err(error) => problems.push(error.to_string()),
            }
        }
        let this = Verified {
            name: source.id.to_string(),
            source: source.id.clone(),
            kind: VerifiedKind::Source,
            problems,
            repaired: false,
        };
        let models = models.iter().filter_map(ModelRecord::verify);
        std::iter::once(this).chain(models).collect()
    }
}

impl ModelRecord {
    /// Checks every byte of the model against its receipt, and that against the lock; `None` if
    /// nothing is downloaded.
    pub(crate) fn verify(&self) -> Option<Verified> {
        check_model(self).map(|problems| Verified {
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
    let is_there = || fs::symlink_metadata(&record.dir).is_ok();
    if !is_there() {
        return None;
    }
    let mut problems = Vec::new();
    match Receipt::read(&record.dir) {
        None => problems.push("its receipt is missing or cannot be read".into()),
        Some(receipt) => {
            problems.extend(record.unlike(&receipt).and_then(|state| state.problem()));
            check_files(record, &receipt, &mut problems);
            problems.extend(strays(record));
        }
    }
    // Deleted meanwhile.
    is_there().then_some(problems)
}

/// Adds what is wrong with the files that a receipt lists, and those that it does not list.
fn check_files(record: &ModelRecord, receipt: &Receipt, problems: &mut Vec<String>) {
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
