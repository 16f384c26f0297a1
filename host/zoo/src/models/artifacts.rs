//! Fetching the files of a model without a hook.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hex::FromHex as _;
use modelzoo_archive::{Extracted, Limits, Options};
use modelzoo_net::{Access, Download, Downloaded, Grants, Request};
use modelzoo_sandbox::Artifact;

use super::catalog::Models;
use super::plausible;
use crate::error::Error;
use crate::manifest::ArtifactEntry;
use crate::sources::fetch_list::FetchList;
use crate::store::audit::AuditLog;
use crate::store::{ModelRecord, create_dir_all};

/// How much may be fetched for a model whose manifest gives no size.
const MAX_BYTES: u64 = 64 << 30;

impl Models<'_> {
    /// Fetches files into a model's directory, and returns all files in it. What is fetched has to
    /// be what its name and the manifest's sizes say.
    pub(crate) async fn fetch_artifacts(
        &self,
        record: &ModelRecord,
        list: &FetchList,
        files: &Path,
        audit: &AuditLog,
    ) -> Result<Vec<Artifact>, Error> {
        let mut made = BTreeMap::new();
        let mut bytes = 0_u64;
        // Whether the item before exists.
        let mut before = true;
        for item in &list.items {
            if item.instead && before {
                continue;
            }
            let artifact = &item.artifact;
            let kept = !artifact.unpack || list.keep_archives;
            let into = match kept {
                true => artifact.path.under(files),
                false => files.with_file_name("archive"),
            };
            let fetched = match self.fetch_one(record, artifact, &into, audit).await {
                Ok(fetched) => fetched,
                Err(error) if item.optional && is_missing(&error) => {
                    before = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            before = true;
            bytes = bytes.saturating_add(fetched.size);
            if kept {
                made.insert(artifact.path.clone(), (fetched.size, fetched.sha256));
            }
            if artifact.unpack {
                let unpacked =
                    unpack(&into, files).map_err(|error| error.named(artifact.path.to_string()))?;
                made.extend(unpacked.into_iter().map(|f| (f.path, (f.size, f.sha256))));
                if !kept {
                    std::fs::remove_file(&into).map_err(|e| Error::io("remove", &into, e))?;
                }
            }
        }
        plausible::check_fetched(record, bytes)?;
        let artifacts = made.into_iter().map(|(name, (size, sha256))| Artifact {
            name,
            size,
            sha256: hex::encode(sha256),
        });
        Ok(artifacts.collect())
    }

    /// Fails if the manifest says that the model is larger than the free space.
    pub(crate) fn check_room(&self, record: &ModelRecord) -> Result<(), Error> {
        let listed = record
            .entry
            .artifacts
            .iter()
            .filter_map(|a| a.size_bytes)
            .fold(0, u64::saturating_add);
        let size = record.entry.size_bytes.unwrap_or_default().max(listed);
        self.context.store.check_room(record.name(), size)
    }

    /// Fetches one file from the first of its addresses that has the right bytes.
    async fn fetch_one(
        &self,
        record: &ModelRecord,
        artifact: &ArtifactEntry,
        into: &PathBuf,
        audit: &AuditLog,
    ) -> Result<Downloaded, Error> {
        let (partials, _held) = self.context.store.hold_partials(&record.source.id.key())?;
        let access = Access {
            grants: Grants::UserAsked,
            use_credentials: false,
            audit,
            progress: &*self.context.progress,
        };
        if let Some(dir) = into.parent() {
            create_dir_all(dir)?;
        }
        let label = artifact.path.to_string();
        let download = Download {
            into,
            partials: Some(&partials),
            label: &label,
            max_bytes: artifact.size_bytes.unwrap_or_else(|| cap(record)),
            expect_sha256: artifact
                .sha256
                .as_ref()
                .and_then(|hex| <[u8; 32]>::from_hex(hex).ok()),
            expect_size: artifact.size_bytes,
            refuse_html: true,
        };
        let mut failure = None;
        for url in &artifact.urls {
            let request = Request {
                url: url.clone(),
                headers: Vec::new(),
            };
            match self
                .context
                .client()?
                .download(&request, &access, &download)
                .await
                .map_err(Error::from)
                .and_then(|fetched| {
                    // Other bytes than the right ones have been refused already.
                    if artifact.sha256.is_none() && !artifact.unpack {
                        plausible::check_listed(record, artifact, into)?;
                    }
                    Ok(fetched)
                }) {
                Ok(downloaded) => return Ok(downloaded),
                Err(error) => {
                    if artifact.urls.len() > 1 {
                        tracing::warn!("{error}; trying the next address of {label}");
                    }
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::NothingDownloaded {
            model: record.name(),
        }))
    }
}

/// Whether the file does not exist on the server.
fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::Net(modelzoo_net::Error::Status {
            status: 404 | 410,
            ..
        })
    )
}

/// The most bytes to fetch for a file: the manifest's limit, or the size of the model with room
/// for a rounded one.
fn cap(record: &ModelRecord) -> u64 {
    let rounded = |size: u64| size.saturating_add(size / 10).saturating_add(1 << 20);
    record
        .max_download_bytes
        .or(record.entry.size_bytes.map(rounded))
        .unwrap_or(MAX_BYTES)
}

fn unpack(archive: &Path, into: &Path) -> Result<Vec<Extracted>, modelzoo_archive::Error> {
    let options = Options {
        limits: Limits {
            max_bytes: MAX_BYTES,
            ..Limits::default()
        },
        strip_root: true,
        select: &|_| true,
    };
    modelzoo_archive::extract(archive, into, &options)
}
