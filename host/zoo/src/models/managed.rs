//! Models whose files the host fetches itself, as the manifest says: by `artifacts`, or by the
//! `manager` of the reference system. No hook runs.
//!
//! Nothing but a file comes of them; so they are fetched as an address that the user typed would
//! be: from any public host, without credentials. An address stands in the manifest, where the user
//! can read it, or is made from what stands there, and then its host is one of a closed list:
//! `huggingface.co`, `dl.fbaipublicfiles.com`, `openaipublic.azureedge.net` and `github.com` for a
//! configuration, Google Drive's for the id of a file there. `inspect` shows both kinds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hex::FromHex as _;
use modelzoo_archive::{Extracted, Limits, Options, RelPath};
use modelzoo_net::{Access, Download, Downloaded, Grants, Request};
use modelzoo_sandbox::Artifact;

use crate::Zoo;
use crate::error::Error;
use crate::manifest::{ArtifactEntry, Manager, ModelEntry};
use crate::models::catalog::ModelRecord;
use crate::reference::SourceId;
use crate::store::audit::AuditLog;
use crate::translate::{self, Fetch};

/// How much may be fetched for a model whose manifest gives no size.
const MAX_BYTES: u64 = 64 << 30;

/// What the host fetches for a model.
pub(crate) struct Managed {
    wanted: Vec<Wanted>,
    /// Whether an archive stays beside what was in it.
    keep_archives: bool,
}

/// A file to fetch.
struct Wanted {
    artifact: ArtifactEntry,
    /// Whether the model can do without it.
    optional: bool,
    /// Fetched only where the one before it is not there.
    instead: bool,
}

impl From<ArtifactEntry> for Wanted {
    fn from(artifact: ArtifactEntry) -> Self {
        Self {
            artifact,
            optional: false,
            instead: false,
        }
    }
}

/// Who fetches the files of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The host, as `artifacts` says.
    Artifacts,
    /// The host, as `manager` says; and what the configuration needs beside it.
    Manager,
    /// The host, as `default_deployment_config_dict` implies.
    Configuration,
    /// A hook.
    Hook,
    /// Nobody: there is no hook either.
    Nobody,
}

impl By {
    /// Who it is for a model of a source that has a component, or has none. Whether a
    /// configuration is one that is known is for [`of_entry`] to say.
    pub(crate) fn of(entry: &ModelEntry, has_component: bool) -> Self {
        let manager = entry.manager.as_ref();
        if !entry.artifacts.is_empty() {
            Self::Artifacts
        } else if manager.is_some_and(|m| m.url.is_some() || m.google_drive_id.is_some()) {
            Self::Manager
        } else if has_component {
            Self::Hook
        } else if entry.default_deployment_config_dict.is_some() {
            Self::Configuration
        } else {
            Self::Nobody
        }
    }
}

impl Managed {
    /// Every address that may be asked for a file, in order.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let urls = self.wanted.iter().flat_map(|wanted| &wanted.artifact.urls);
        urls.cloned().collect()
    }
}

/// The files to fetch for a model; `None` when its hook is to do it.
pub(crate) fn managed(record: &ModelRecord) -> Result<Option<Managed>, Error> {
    of_entry(&record.entry, record.component.is_some(), &record.source.id)
}

/// As [`managed`], for a model of a source that may not be registered.
pub(crate) fn of_entry(
    entry: &ModelEntry,
    has_component: bool,
    source_id: &SourceId,
) -> Result<Option<Managed>, Error> {
    if !entry.artifacts.is_empty() {
        return Ok(Some(Managed {
            wanted: entry.artifacts.iter().cloned().map(Wanted::from).collect(),
            keep_archives: false,
        }));
    }
    let managed = entry
        .manager
        .as_ref()
        .map(|manager| by_manager(entry, manager));
    let managed = managed.transpose()?.flatten();
    // Without a manager, a hook goes before what the configuration implies.
    if managed.is_none() && has_component {
        return Ok(None);
    }
    let implied = match &entry.default_deployment_config_dict {
        None => Vec::new(),
        Some(deployment) => match translate::fetches(deployment) {
            Ok(fetches) => implied(fetches)?,
            // The manager's file is worth having, whoever can load it.
            Err(_) if managed.is_some() => Vec::new(),
            Err(source) => {
                return Err(Error::Translate {
                    model: entry.name().to_string(),
                    source_id: source_id.clone(),
                    source: Box::new(source),
                });
            }
        },
    };
    Ok(match managed {
        Some(mut managed) => {
            managed.wanted.extend(implied);
            Some(managed)
        }
        None if implied.is_empty() => None,
        None => Some(Managed {
            wanted: implied,
            keep_archives: false,
        }),
    })
}

/// The one file of a manager; `None` where it names none.
fn by_manager(entry: &ModelEntry, manager: &Manager) -> Result<Option<Managed>, Error> {
    let url = match (&manager.url, &manager.google_drive_id) {
        (Some(url), _) => url.clone(),
        (None, Some(id)) => google_drive(id),
        (None, None) => return Ok(None),
    };
    let artifact = ArtifactEntry {
        path: file_of_manager(entry)?,
        urls: vec![url],
        sha256: None,
        size_bytes: None,
        unpack: manager.extract_archive,
    };
    Ok(Some(Managed {
        wanted: vec![artifact.into()],
        keep_archives: !manager.delete_archive,
    }))
}

/// What a manager's file is called in the model's directory.
pub(crate) fn manager_file(record: &ModelRecord) -> Result<RelPath, Error> {
    file_of_manager(&record.entry)
}

fn file_of_manager(entry: &ModelEntry) -> Result<RelPath, Error> {
    match &entry.base_filename {
        Some(path) => Ok(path.clone()),
        None => path_of(&entry.name().file_stem()),
    }
}

fn path_of(name: &str) -> Result<RelPath, Error> {
    RelPath::parse(name).map_err(|e| Error::BadPath {
        path: name.to_owned(),
        reason: e.to_string(),
    })
}

fn implied(fetches: Vec<Fetch>) -> Result<Vec<Wanted>, Error> {
    let wanted = |fetch: Fetch| {
        Ok(Wanted {
            artifact: ArtifactEntry {
                path: path_of(&fetch.name)?,
                urls: vec![fetch.url],
                sha256: None,
                size_bytes: None,
                unpack: false,
            },
            optional: fetch.optional,
            instead: fetch.instead,
        })
    };
    fetches.into_iter().map(wanted).collect()
}

/// Where Google Drive serves a file of any size without asking back.
fn google_drive(id: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("https://drive.usercontent.google.com/download?export=download&confirm=t&id={query}")
}

impl Zoo {
    /// Fetches files into a model's directory, and answers with all that is there then.
    pub(crate) async fn fetch_artifacts(
        &self,
        record: &ModelRecord,
        managed: &Managed,
        files: &Path,
        audit: &AuditLog,
    ) -> Result<Vec<Artifact>, Error> {
        let mut made = BTreeMap::new();
        let mut before = true;
        for wanted in &managed.wanted {
            if wanted.instead && before {
                continue;
            }
            let artifact = &wanted.artifact;
            let kept = !artifact.unpack || managed.keep_archives;
            let into = match kept {
                true => artifact.path.under(files),
                false => files.with_file_name("archive"),
            };
            let fetched = match self.fetch_one(record, artifact, &into, audit).await {
                Ok(fetched) => fetched,
                Err(error) if wanted.optional && is_missing(&error) => {
                    before = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            before = true;
            if kept {
                made.insert(artifact.path.clone(), (fetched.size, fetched.sha256));
            }
            if artifact.unpack {
                let unpacked = unpack(&into, files)?;
                made.extend(unpacked.into_iter().map(|f| (f.path, (f.size, f.sha256))));
            }
        }
        let artifacts = made.into_iter().map(|(name, (size, sha256))| Artifact {
            name,
            size,
            sha256: hex::encode(sha256),
        });
        Ok(artifacts.collect())
    }

    /// Refuses to begin what cannot end: the manifest says that the model is larger than the disk.
    pub(crate) fn check_room(&self, record: &ModelRecord) -> Result<(), Error> {
        let listed = record
            .entry
            .artifacts
            .iter()
            .filter_map(|a| a.size_bytes)
            .sum();
        let size = record.entry.size_bytes.unwrap_or_default().max(listed);
        match self.store().free_bytes() {
            Some(free) if size > free => Err(Error::NoRoom {
                model: record.name(),
                size,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Fetches one file from the first of its addresses that has the right bytes.
    async fn fetch_one(
        &self,
        record: &ModelRecord,
        artifact: &ArtifactEntry,
        into: &PathBuf,
        audit: &AuditLog,
    ) -> Result<Downloaded, Error> {
        let partials = self.store().partials_dir(&record.source.id.key())?;
        let access = Access {
            grants: Grants::UserAsked,
            use_credentials: false,
            audit,
            progress: self.progress(),
        };
        if let Some(dir) = into.parent() {
            crate::store::create_dir_all(dir)?;
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
            match self.client()?.download(&request, &access, &download).await {
                Ok(downloaded) => return Ok(downloaded),
                Err(error) => {
                    if artifact.urls.len() > 1 {
                        tracing::warn!("{error}; trying the next address of {label}");
                    }
                    failure = Some(error);
                }
            }
        }
        Err(failure.map_or_else(
            || Error::NothingDownloaded {
                model: record.name(),
            },
            Error::from,
        ))
    }
}

/// Whether a server said that there is no such file.
fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::Net(modelzoo_net::Error::Status {
            status: 404 | 410,
            ..
        })
    )
}

/// The most bytes to fetch for a file: what the manifest allows, or what it says that the model
/// has, with room for a size that was rounded.
fn cap(record: &ModelRecord) -> u64 {
    let rounded = |size: u64| size.saturating_add(size / 10).saturating_add(1 << 20);
    record
        .max_download_bytes
        .or(record.entry.size_bytes.map(rounded))
        .unwrap_or(MAX_BYTES)
}

fn unpack(archive: &Path, into: &Path) -> Result<Vec<Extracted>, Error> {
    let options = Options {
        limits: Limits {
            max_bytes: MAX_BYTES,
            ..Limits::default()
        },
        strip_root: true,
        select: &|_| true,
    };
    Ok(modelzoo_archive::extract(archive, into, &options)?)
}
