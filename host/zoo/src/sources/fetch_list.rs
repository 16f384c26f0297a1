//! The files that the host fetches for a model without a hook, as the manifest says: by
//! `artifacts`, or by FiftyOne's `manager`.
//!
//! The result is files only, so they are fetched like an address that the user typed: from any
//! public host, without credentials. An address is in the manifest, where the user can read it, or
//! is made from what the manifest says, and then its host is one of a closed list:
//! `huggingface.co`, `dl.fbaipublicfiles.com`, `openaipublic.azureedge.net` and `github.com` for a
//! configuration, Google Drive's for the id of a file there. `inspect` shows both kinds.

use modelzoo_archive::RelPath;

use crate::error::Error;
use crate::manifest::{ArtifactEntry, Manager, ModelEntry};
use crate::reference::SourceId;
use crate::translate::{self, Fetch};

/// The files that the host fetches for a model, in order.
pub(crate) struct FetchList {
    pub(crate) items: Vec<FetchItem>,
    /// Whether an archive is kept beside its contents.
    pub(crate) keep_archives: bool,
}

/// A file to fetch.
pub(crate) struct FetchItem {
    pub(crate) artifact: ArtifactEntry,
    /// Whether the model works without it.
    pub(crate) optional: bool,
    /// Whether it is fetched only if the item before it does not exist.
    pub(crate) instead: bool,
}

impl From<ArtifactEntry> for FetchItem {
    fn from(artifact: ArtifactEntry) -> Self {
        Self {
            artifact,
            optional: false,
            instead: false,
        }
    }
}

impl FetchList {
    /// Every address from which a file may be fetched, in order.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let urls = self.items.iter().flat_map(|item| &item.artifact.urls);
        urls.cloned().collect()
    }

    /// The files to fetch for a model; `None` if a hook downloads it.
    pub(crate) fn of(
        entry: &ModelEntry,
        has_component: bool,
        source_id: &SourceId,
    ) -> Result<Option<Self>, Error> {
        if !entry.artifacts.is_empty() {
            return Ok(Some(FetchList {
                items: entry
                    .artifacts
                    .iter()
                    .cloned()
                    .map(FetchItem::from)
                    .collect(),
                keep_archives: false,
            }));
        }
        let managed = entry
            .manager
            .as_ref()
            .map(|manager| by_manager(entry, manager));
        let managed = managed.transpose()?.flatten();
        // Without a manager, a hook takes precedence over what the configuration implies.
        if managed.is_none() && has_component {
            return Ok(None);
        }
        let implied = match &entry.default_deployment_config_dict {
            None => Vec::new(),
            Some(deployment) => match translate::fetches(deployment) {
                Ok(fetches) => implied(fetches)?,
                // The manager's file is fetched even if the host cannot load it.
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
                managed.items.extend(implied);
                Some(managed)
            }
            None if implied.is_empty() => None,
            None => Some(FetchList {
                items: implied,
                keep_archives: false,
            }),
        })
    }
}

/// The one file of a manager; `None` if it names none.
fn by_manager(entry: &ModelEntry, manager: &Manager) -> Result<Option<FetchList>, Error> {
    let url = match (&manager.url, &manager.google_drive_id) {
        (Some(url), _) => url.clone(),
        (None, Some(id)) => google_drive(id),
        (None, None) => return Ok(None),
    };
    let artifact = ArtifactEntry {
        path: manager_file(entry)?,
        urls: vec![url],
        sha256: None,
        size_bytes: None,
        unpack: manager.extract_archive,
    };
    Ok(Some(FetchList {
        items: vec![artifact.into()],
        keep_archives: !manager.delete_archive,
    }))
}

/// The name of a manager's file in the model's directory.
pub(crate) fn manager_file(entry: &ModelEntry) -> Result<RelPath, Error> {
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

fn implied(fetches: Vec<Fetch>) -> Result<Vec<FetchItem>, Error> {
    let wanted = |fetch: Fetch| {
        Ok(FetchItem {
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

/// The address at which Google Drive serves a file of any size without a confirmation page.
fn google_drive(id: &str) -> String {
    let query: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("https://drive.usercontent.google.com/download?export=download&confirm=t&id={query}")
}
