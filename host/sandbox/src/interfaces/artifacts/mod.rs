//! `modelzoo:source/artifacts`: the files that `download-model` leaves behind.
//!
//! See `wit/v0.1/artifacts.wit`. [`Staging`] holds the files; this module checks names, charges the
//! time to the disk's budget, and carries a guest's call to the disk and back.

mod staging;

use std::io;
use std::sync::Arc;

use modelzoo_archive::{self as archive, RelPath};
use wasmtime::component::{HasData, Linker};

pub use self::staging::Artifact;
pub(crate) use self::staging::Staging;
use super::bindings::artifacts::{self as wit, add_to_linker as link};
use super::types::{self, HostError, Refusal, TypesView};
use crate::limits::ERROR_BYTES;
use crate::limits::budget::Budget;
use crate::limits::stop::{Activity, Limit, Stop};
use modelzoo_base::text::excerpt;

/// The most bytes of a guest's name that an error repeats.
const NAME_BYTES: usize = 200;

/// The artifacts of a download, borrowed for one call.
pub(crate) struct ArtifactsView<'a> {
    pub(crate) staging: &'a mut Staging,
    pub(crate) budget: &'a Arc<Budget>,
    pub(crate) types: TypesView<'a>,
}

impl wit::Host for ArtifactsView<'_> {
    async fn write(
        &mut self,
        name: String,
        contents: Vec<u8>,
    ) -> Result<types::Artifact, HostError> {
        self.stage(move |staging| {
            let written = staging.write(&parse(&name)?, &contents)?;
            Ok(answer(written))
        })
        .await
    }

    async fn append(
        &mut self,
        name: String,
        contents: Vec<u8>,
    ) -> Result<types::Artifact, HostError> {
        self.stage(move |staging| {
            let written = staging.append(&parse(&name)?, &contents)?;
            Ok(answer(written))
        })
        .await
    }

    async fn copy_from_source(
        &mut self,
        path: String,
        into: String,
    ) -> Result<types::Artifact, HostError> {
        self.stage(move |staging| {
            // Also as the guest's file system has it.
            let path = parse(path.strip_prefix("/source/").unwrap_or(&path))?;
            let copied = staging.copy_from_source(&path, &parse(&into)?)?;
            Ok(answer(copied))
        })
        .await
    }

    async fn extract(
        &mut self,
        name: String,
        how: wit::Extraction,
    ) -> Result<Vec<types::Artifact>, HostError> {
        self.stage(move |staging| {
            let files = extract(staging, &parse(&name)?, &how)?;
            Ok(files.into_iter().map(answer).collect())
        })
        .await
    }

    async fn rename(&mut self, name: String, to: String) -> Result<types::Artifact, HostError> {
        self.stage(move |staging| {
            let renamed = staging.rename(&parse(&name)?, &parse(&to)?)?;
            Ok(answer(renamed))
        })
        .await
    }

    async fn remove(&mut self, name: String) -> Result<(), HostError> {
        self.stage(move |staging| staging.remove(&parse(&name)?))
            .await
    }

    async fn list(&mut self) -> wasmtime::Result<Vec<types::Artifact>> {
        Ok(self.staging.list().into_iter().map(answer).collect())
    }
}

impl ArtifactsView<'_> {
    /// Works on the files, on a thread that may block on the disk, and charges the time to the
    /// disk's budget.
    async fn stage<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Staging) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, HostError> {
        let _charge = self.budget.charge(Activity::Disk)?;
        let mut staging = std::mem::take(self.staging);
        let (staging, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut staging);
            (staging, result)
        })
        .await
        .map_err(|e| Stop::Host {
            doing: "writing artifacts".to_owned(),
            source: io::Error::other(e),
        })?;
        *self.staging = staging;
        Ok(result?)
    }
}

impl types::Host for ArtifactsView<'_> {
    fn convert_error(&mut self, error: HostError) -> wasmtime::Result<types::Error> {
        types::Host::convert_error(&mut self.types, error)
    }
}

/// [`ArtifactsView`] for a linker.
struct HasArtifacts;

impl HasData for HasArtifacts {
    type Data<'a> = ArtifactsView<'a>;
}

/// Adds `modelzoo:source/artifacts` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> ArtifactsView<'_>,
) -> wasmtime::Result<()> {
    link::<_, HasArtifacts>(linker, view)
}

/// Checks the name of an artifact.
pub(crate) fn parse(name: &str) -> Result<RelPath, Refusal> {
    RelPath::parse(name).map_err(|e| {
        Refusal::invalid(format_args!(
            "artifact name `{}`: {e}",
            excerpt(name, NAME_BYTES)
        ))
    })
}

/// An artifact in the WIT's type.
pub(crate) fn answer(artifact: Artifact) -> types::Artifact {
    types::Artifact {
        name: artifact.name.to_string(),
        size: artifact.size,
        sha256: artifact.sha256,
    }
}

/// Unpacks an artifact into a temporary directory, checks every name, and only then moves the
/// files to their places.
fn extract(
    staging: &mut Staging,
    name: &RelPath,
    how: &wit::Extraction,
) -> Result<Vec<Artifact>, Refusal> {
    let failed = |e: io::Error| Refusal::io(format_args!("cannot unpack `{name}`"), &e);
    if staging.get(name).is_none() {
        return Err(Refusal::not_found(format_args!(
            "there is no artifact `{name}`"
        )));
    }
    let into = match how.into.as_str() {
        "" => None,
        into => Some(parse(into)?),
    };
    let only = how
        .only
        .iter()
        .map(|path| parse(path.strip_suffix('/').unwrap_or(path)))
        .collect::<Result<Vec<_>, _>>()?;
    let aside = staging.temporary_dir().map_err(failed)?;
    let options = archive::Options {
        limits: archive::Limits {
            max_bytes: staging.free(),
            ..archive::Limits::default()
        },
        strip_root: how.strip_root,
        select: &|path| only.is_empty() || only.iter().any(|only| is_at_or_below(path, only)),
    };
    let unpacked = archive::extract(&staging.path(name), aside.path(), &options)
        .map_err(|e| unpacking_refused(staging, name, &e))?;
    if unpacked.is_empty() && !only.is_empty() {
        return Err(Refusal::not_found(format_args!(
            "`{name}` has nothing at `{}`",
            how.only.join("`, `")
        )));
    }
    let mut moves = Vec::with_capacity(unpacked.len());
    for file in unpacked {
        let to = match &into {
            None => file.path.clone(),
            Some(into) => parse(&format!("{into}/{}", file.path))?,
        };
        staging.check(&to, file.size)?;
        moves.push((file, to));
    }
    let new = moves.iter().filter(|(_, to)| staging.get(to).is_none());
    staging.check_count(new.count() as u64)?;
    moves
        .into_iter()
        .map(|(file, to)| {
            let from =
                tempfile::TempPath::try_from_path(file.path.under(aside.path())).map_err(failed)?;
            staging.adopt(from, &to, file.size, file.sha256)
        })
        .collect()
}

fn is_at_or_below(path: &RelPath, directory: &RelPath) -> bool {
    path.as_ref()
        .strip_prefix(directory.as_ref())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The guest's error when an archive cannot be unpacked; without paths of the host.
fn unpacking_refused(staging: &Staging, name: &RelPath, error: &archive::Error) -> Refusal {
    use archive::ErrorKind as Kind;
    let text = format!("`{name}`: {}", error.kind);
    match &error.kind {
        Kind::TooLarge { .. } => Refusal::limit(Limit::StagingBytes, staging.max_bytes()),
        Kind::Read(e) => Refusal::io(format_args!("cannot read `{name}`"), e),
        Kind::Write { path, source } => {
            Refusal::io(format_args!("cannot unpack `{path}` of `{name}`"), source)
        }
        Kind::TooManyEntries { .. } | Kind::RatioTooHigh { .. } => {
            Refusal::new(types::Error::Limit(excerpt(&text, ERROR_BYTES)))
        }
        Kind::Unsupported { .. } | Kind::NotAnArchive | Kind::Encrypted { .. } => {
            Refusal::new(types::Error::Unsupported(excerpt(&text, ERROR_BYTES)))
                .with_remedy(error.remedy())
        }
        Kind::UnsafePath { .. }
        | Kind::Link { .. }
        | Kind::SpecialFile { .. }
        | Kind::Duplicate { .. }
        | Kind::Collision { .. }
        | Kind::Malformed { .. }
        | Kind::TooDeep { .. }
        | Kind::NameTooLong { .. } => Refusal::invalid(text).with_remedy(error.remedy()),
    }
}
