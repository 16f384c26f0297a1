//! The error of the library. It lies below everything that reports one.

mod bundle;

use std::io;
use std::path::{Path, PathBuf};

use modelzoo_base::Remedy;
use modelzoo_model::ModelError;
use modelzoo_model::task::{DecodeError, OptionError};
use modelzoo_net::policy::Permissions;

pub use self::bundle::BundleError;

use crate::reference::SourceId;
use crate::store::FileChange;
use crate::store::pin::listed;
use crate::translate::TranslateError;

/// Why a verb of the [`Zoo`](crate::Zoo) failed.
///
/// The text is one line that names the thing and the reason; [`Error::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are what the messages say they are")]
pub enum Error {
    #[error("{setting}: {reason}")]
    Config { setting: String, reason: String },
    #[error("{path} {reason}: its settings are not followed", path = path.display())]
    ForeignConfig { path: PathBuf, reason: String },
    #[error("no directory for the store: the platform names no home directory")]
    NoHome,
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} cannot be read: {reason}", path = path.display())]
    BadLock { path: PathBuf, reason: String },
    #[error("{path} was changed by something else than modelzoo: {reason}", path = path.display())]
    LockChanged { path: PathBuf, reason: String },
    #[error("{path}: its format is {format}, and this modelzoo reads format {reads}", path = path.display())]
    LockFormat {
        path: PathBuf,
        format: u32,
        reads: u32,
    },
    #[error("{path} is {size} bytes, and at most {cap} are read", path = path.display())]
    FileTooLarge { path: PathBuf, size: u64, cap: u64 },

    #[error(transparent)]
    Reference(#[from] crate::reference::ReferenceError),
    #[error(transparent)]
    Name(#[from] crate::name::NameError),
    #[error("{path}: no such file or directory", path = .0.display())]
    NoSuchPath(PathBuf),
    #[error("{path}: {reason}")]
    BadPath { path: String, reason: String },
    #[error("GitHub has no repository {repo}{}", if *with_token { "" } else { " that can be seen without a token" })]
    NoSuchRepository {
        repo: String,
        with_token: bool,
        namesake: Option<String>,
    },
    #[error("{repo} has no branch, tag or commit `{git_ref}`")]
    NoSuchRef { repo: String, git_ref: String },
    #[error("`{git_ref}` is both a branch ({branch}) and a tag ({tag}) of {repo}")]
    AmbiguousRef {
        repo: String,
        git_ref: String,
        branch: String,
        tag: String,
    },
    #[error("{url} did not answer as GitHub's API does")]
    BadApiAnswer { url: String },
    #[error("{url} answered with the commit {answered}, and {asked} was asked for")]
    OtherCommit {
        url: String,
        asked: String,
        answered: String,
    },
    #[error(
        "the commit {commit} is on no branch or tag of {repo} that was looked at; GitHub serves commits of forks under this name too"
    )]
    UnreachableCommit {
        repo: String,
        commit: String,
        reference: String,
    },

    #[error(transparent)]
    Manifest(#[from] crate::manifest::ManifestError),
    #[error(
        "{reference} has no manifest.json{}",
        if rejected.is_empty() { " (looked at its root and four levels below)".to_owned() }
        else { format!("; looked at {}", rejected.join(", ")) }
    )]
    NoManifest {
        reference: String,
        rejected: Vec<String>,
    },
    #[error("{manifest} declares {file}, which the source does not contain")]
    MissingFile { manifest: String, file: String },
    #[error("{file} has the digest {actual}, and the manifest says {expected}")]
    ComponentDigest {
        file: String,
        expected: String,
        actual: String,
    },
    #[error("{file}: {source}")]
    Component {
        file: String,
        source: modelzoo_sandbox::Error,
    },

    #[error("no source {wanted} is registered")]
    UnknownSource {
        wanted: String,
        nearest: Vec<String>,
    },
    #[error("no model {wanted} {}", scope.as_ref().map_or("is declared by any registered source".to_owned(), |s| format!("is declared by {s}")))]
    UnknownModel {
        wanted: String,
        scope: Option<SourceId>,
        nearest: Vec<String>,
        any_source: bool,
    },
    #[error("several sources declare {wanted}: {}", candidates.join(", "))]
    AmbiguousModel {
        wanted: String,
        candidates: Vec<String>,
    },
    #[error("{source_id} declares {} models: {}", models.len(), models.join(", "))]
    ModelNotChosen {
        source_id: SourceId,
        models: Vec<String>,
    },
    #[error("{model} does not support {device}")]
    Requirement { model: String, device: &'static str },
    #[error("{model} is not downloaded")]
    NotDownloaded { model: String },
    #[error("{model} cannot be {}: {reason}", if *download { "downloaded" } else { "loaded" })]
    NoHook {
        model: String,
        download: bool,
        reason: String,
    },
    #[error("{source_id} asks for permissions that it does not have: {}", missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    PermissionNeeded {
        source_id: SourceId,
        missing: Permissions,
    },
    #[error("{source_id} does not ask for {permission}")]
    GrantNotAsked {
        source_id: SourceId,
        permission: String,
        asked: Permissions,
    },
    #[error("the files of {model} were made by an earlier version of {source_id}")]
    Outdated { model: String, source_id: SourceId },
    #[error("{model} is not as it was downloaded: {reason}")]
    NotAsDownloaded { model: String, reason: String },
    #[error("{file} of {model} cannot be what its name says: {reason}")]
    NotTheFile {
        model: String,
        file: String,
        reason: String,
    },
    #[error("{model} came to {bytes} bytes, and its manifest says {declared}")]
    SizeFarOff {
        model: String,
        bytes: u64,
        declared: u64,
    },
    #[error("{model} is not what was downloaded before: {}", listed(changes))]
    ArtifactChanged {
        model: String,
        source_id: SourceId,
        changes: Vec<FileChange>,
    },
    #[error("{model} was not downloaded before, and a frozen run records nothing new")]
    Frozen { model: String },
    #[error("{source_id} was changed by another command meanwhile")]
    ChangedMeanwhile { source_id: SourceId },
    #[error("{path} is changed by another machine all the time", path = path.display())]
    LockContended { path: PathBuf },
    #[error("the files that were being written for {what} are gone")]
    WorkLost { what: String },
    #[error("{source_id} is not what was registered: its files were changed in the store")]
    SnapshotChanged { source_id: SourceId },
    #[error("{source_id} would go back: {}", steps.join("; "))]
    Rollback {
        source_id: SourceId,
        steps: Vec<String>,
    },
    #[error("{} in use by another command", is_or_are(models))]
    InUse { models: Vec<String> },
    #[error("the audit log has no record of {source_id}")]
    NoRecords { source_id: String },
    #[error("{path} holds no modelzoo.lock, but directories of a store", path = .0.display())]
    NoStore(PathBuf),
    #[error("{source_id}: a locked run leaves modelzoo.lock as it is")]
    NotLocked { source_id: SourceId },
    #[error(
        "{source_id} is not what modelzoo.lock pins: its tree is {actual} instead of {expected}"
    )]
    PinMoved {
        source_id: SourceId,
        expected: String,
        actual: String,
    },
    #[error("{model} has {size} bytes, and {free} are free on the disk of the store")]
    NoRoom { model: String, size: u64, free: u64 },
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the download hook of {model} ended without leaving a file")]
    NothingDownloaded { model: String },

    #[error(transparent)]
    Hook(#[from] modelzoo_sandbox::HookError),
    #[error(transparent)]
    Sandbox(modelzoo_sandbox::Error),
    #[error(transparent)]
    Net(#[from] modelzoo_net::Error),
    #[error(transparent)]
    Archive(#[from] modelzoo_archive::Error),
    #[error(transparent)]
    Runtime(#[from] modelzoo_runtime::Error),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{model} of {source_id} cannot be built: {source}")]
    Build {
        model: String,
        source_id: SourceId,
        source: Box<modelzoo_runtime::Error>,
    },
    #[error("{model} of {source_id}: its `default_deployment_config_dict`: {source}")]
    Translate {
        model: String,
        source_id: SourceId,
        source: Box<TranslateError>,
    },
    #[error("{model} gives embeddings, no labels")]
    NoLabels { model: String },
    #[error("{model} takes {takes}, and the dataset is a {gives}")]
    WrongSamples {
        model: String,
        takes: &'static str,
        gives: &'static str,
    },
    #[error(transparent)]
    Data(#[from] modelzoo_data::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// What the user can do about it, where that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::NoHome => Some(Remedy::advice("set MODELZOO_HOME to a directory")),
            Self::Io { action, source, .. } => io_remedy(action, source),
            Self::ForeignConfig { .. } => Some(Remedy::advice(
                "if its settings are yours, make it a file of your own that nobody else can write \
                 (`chown`, `chmod go-w`); otherwise remove it, or set MODELZOO_HOME to another directory",
            )),
            Self::Reference(error) => error.remedy(),
            Self::Name(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
            Self::NoSuchRepository {
                namesake: Some(path),
                ..
            } => Some(Remedy::advice(format!(
                "if the directory is meant, write {path}"
            ))),
            Self::NoSuchRepository {
                with_token: false, ..
            } => Some(Remedy::advice(
                "set GITHUB_TOKEN if the repository is private",
            )),
            Self::NoSuchRepository { .. } => Some(Remedy::advice(
                "check the spelling, and that GITHUB_TOKEN may read it",
            )),
            Self::AmbiguousRef { .. } => Some(Remedy::advice(
                "name the commit instead, as <user>/<repo>/<commit>",
            )),
            Self::BadApiAnswer { .. } => Some(Remedy::advice("check GITHUB_API_URL")),
            Self::OtherCommit { .. } => Some(Remedy::advice(
                "nothing of it was kept; check GITHUB_API_URL, and the mirrors of GitHub's hosts",
            )),
            Self::UnreachableCommit { reference, .. } => Some(Remedy::AllowUnreachableCommit {
                reference: reference.clone(),
            }),
            Self::LockChanged { .. } => Some(Remedy::AcceptLock),
            Self::LockFormat { .. } => Some(Remedy::advice(
                "another version of modelzoo wrote it: use that version, or move the file away and register the sources again",
            )),
            Self::NoManifest { .. } => Some(Remedy::advice(
                "a source has a manifest.json with `name` and `models`",
            )),
            Self::ComponentDigest { .. } => Some(Remedy::advice(
                "the publisher has to correct `component.sha256`, or the file was changed on its way",
            )),
            Self::NoSuchPath(_) => Some(Remedy::advice(
                "a path is relative to this directory; <user>/<repo> names a repository on GitHub",
            )),
            Self::MissingFile { .. } => Some(Remedy::advice(
                "the publisher has to add it, or to take it out of the manifest",
            )),
            Self::Component { source, .. } | Self::Sandbox(source) => source.remedy(),
            Self::UnknownSource { nearest, .. } => {
                Some(Remedy::did_you_mean(nearest, Remedy::ListSources))
            }
            Self::UnknownModel {
                any_source: false, ..
            } => Some(Remedy::RegisterSource),
            Self::UnknownModel { nearest, .. } => {
                Some(Remedy::did_you_mean(nearest, Remedy::ListModels))
            }
            Self::AmbiguousModel { wanted, candidates } => {
                candidates.first().map(|source| Remedy::NameSource {
                    example: format!("{source}:{wanted}"),
                })
            }
            Self::Requirement { device, .. } if device.contains("CPU") => {
                Some(Remedy::IgnoreRequirement)
            }
            Self::Requirement { .. } => Some(Remedy::OtherDeviceOrLevel),
            Self::ModelNotChosen { .. } => Some(Remedy::NameModel),
            Self::NotDownloaded { model } => Some(Remedy::Download {
                model: model.clone(),
            }),
            Self::PermissionNeeded { missing, .. } => Some(Remedy::Grant(
                missing.iter().map(ToString::to_string).collect(),
            )),
            Self::GrantNotAsked { asked, .. } if asked.is_empty() => Some(Remedy::GrantNothing),
            Self::GrantNotAsked { asked, .. } => Some(Remedy::advice(format!(
                "it asks for {}",
                asked
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
            Self::ArtifactChanged {
                model, source_id, ..
            } => Some(Remedy::AcceptChanges {
                model: model.clone(),
                source_id: source_id.to_string(),
            }),
            Self::Outdated { model, .. } | Self::NotAsDownloaded { model, .. } => {
                Some(Remedy::DownloadAgain {
                    model: Some(model.clone()),
                })
            }
            Self::NotTheFile { .. } => Some(Remedy::advice(
                "nothing was kept: the server may be out of order, so try again later; if it stays so, the publisher has to correct the address or the name of the file",
            )),
            Self::SizeFarOff { .. } => Some(Remedy::advice(
                "nothing was kept: the server may be out of order, so try again later; if it stays so, the publisher has to correct `size_bytes`",
            )),
            Self::Frozen { .. } => Some(Remedy::Unfreeze),
            Self::NoRoom { .. } => Some(Remedy::MakeRoom),
            Self::NotLocked { .. } => Some(Remedy::Unlock),
            Self::ChangedMeanwhile { .. } => Some(Remedy::advice("run it again")),
            Self::LockContended { .. } => Some(Remedy::advice(
                "on a file system without locks, change a store from one machine at a time",
            )),
            Self::WorkLost { .. } => Some(Remedy::advice(
                "run it again, and leave the directory `staging` of the store alone meanwhile",
            )),
            Self::SnapshotChanged { source_id } => Some(Remedy::RegisterAgain {
                source_id: Some(source_id.to_string()),
            }),
            Self::Rollback { source_id, .. } => Some(Remedy::AllowRollback {
                source_id: source_id.to_string(),
            }),
            Self::InUse { .. } => Some(Remedy::advice(
                "wait until that command has ended, or end it; then run this again",
            )),
            Self::NoRecords { .. } => Some(Remedy::ListAudited),
            Self::NoStore(_) => Some(Remedy::advice(
                "check MODELZOO_HOME; remove what is not needed by hand",
            )),
            Self::PinMoved { source_id, .. } => Some(Remedy::RegisterAgain {
                source_id: Some(source_id.to_string()),
            }),
            Self::Bundle(error) => Some(error.remedy()),
            Self::Hook(error) => error.remedy(),
            Self::Net(error) => error.remedy(),
            Self::Archive(error) => error.remedy(),
            Self::Runtime(error) => error.remedy(),
            Self::Model(error) => error.remedy(),
            Self::Build { source, .. } => source.remedy(),
            Self::Data(error) => error.remedy(),
            Self::Translate { source, .. } => source.remedy(),
            Self::NoLabels { model } => Some(Remedy::Embed {
                model: Some(model.clone()),
            }),
            Self::WrongSamples { takes: "texts", .. } => Some(Remedy::advice(
                "texts are a file that ends in .txt, .jsonl or .csv",
            )),
            Self::WrongSamples { .. } => Some(Remedy::advice(
                "images are a directory of them, or a FiftyOneDataset",
            )),
            Self::Config { setting, .. } => config_remedy(setting),
            Self::BadLock { .. }
            | Self::FileTooLarge { .. }
            | Self::BadPath { .. }
            | Self::NoSuchRef { .. }
            | Self::NoHook { .. }
            | Self::NothingDownloaded { .. }
            | Self::Options(_)
            | Self::Decode(_) => None,
        }
    }

    /// Whether the user has to grant something before this can succeed.
    #[must_use]
    pub fn needs_permission(&self) -> bool {
        matches!(self, Self::PermissionNeeded { .. })
    }
}

/// `a is` or `a, b are`.
fn is_or_are(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

fn config_remedy(setting: &str) -> Option<Remedy> {
    let advice = match setting {
        "MODELZOO_HOME" => "set it to the path of a directory, or unset it for the default",
        "MODELZOO_ALLOW_PRIVATE" | "allow_private" => {
            "an entry is a host (nas.lan:443), an address (10.0.0.7) or a network (10.0.0.0/8)"
        }
        "MODELZOO_CA_BUNDLE" | "ca_bundle" => {
            "name a PEM file of certificates, or leave it out for the system's alone"
        }
        "GITHUB_TOKEN" => "set it to the token alone, or unset it",
        "GITHUB_API_URL" | "github.api_url" => {
            "an example is https://github.example.com/api/v3; without one it is GitHub's own"
        }
        "MODELZOO_OFFLINE" | "RAYON_NUM_THREADS" => "correct it, or unset it",
        _ if setting.starts_with("mirrors.") => {
            "a mirror is written as \"https://origin.example\" = \"https://host.example/path\""
        }
        _ => return None,
    };
    Some(Remedy::advice(advice))
}

fn io_remedy(action: &str, error: &io::Error) -> Option<Remedy> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Remedy::MakeRoom),
        io::ErrorKind::PermissionDenied if action == "read" => Some(Remedy::advice(
            "it belongs to somebody else, or its permissions do not let you read it",
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some(Remedy::advice(
                "choose a directory that you may write; MODELZOO_HOME names that of the store",
            ))
        }
        _ => None,
    }
}
