//! `modelzoo:source/artifacts`: everything that `download-model` leaves behind.
//!
//! See `wit/v0.1/artifacts.wit`. The files themselves are [`Staging`]'s matter; here are the
//! names' checks, the clock, and the way from a guest's call to the disk and back.

mod staging;

use std::io;

use modelzoo_archive::{self as archive, RelPath};
use modelzoo_base::text::excerpt;

pub(crate) use crate::interfaces::artifacts::staging::Staging;
use crate::interfaces::bindings::source::artifacts as wit;
use crate::interfaces::bindings::source::types;
use crate::interfaces::refusal::Refusal;
use crate::interfaces::state::{Download, State};
use crate::limits::budget::Activity;
use crate::limits::stop::{Limit, Stop};
use crate::session::Artifact;

/// What the WIT functions answer with.
type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

/// The most bytes of a guest's name that an error repeats.
const NAME_BYTES: usize = 200;

impl wit::Host for State {
    async fn write(&mut self, name: String, contents: Vec<u8>) -> Answer<types::Artifact> {
        self.stage(move |staging| {
            let written = staging.write(&parse(&name)?, &contents)?;
            Ok(answer(written))
        })
        .await
    }

    async fn append(&mut self, name: String, contents: Vec<u8>) -> Answer<types::Artifact> {
        self.stage(move |staging| {
            let written = staging.append(&parse(&name)?, &contents)?;
            Ok(answer(written))
        })
        .await
    }

    async fn copy_from_source(&mut self, path: String, into: String) -> Answer<types::Artifact> {
        self.stage(move |staging| {
            // As the guest's file system has it, too.
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
    ) -> Answer<Vec<types::Artifact>> {
        self.stage(move |staging| {
            let files = extract(staging, &parse(&name)?, &how)?;
            Ok(files.into_iter().map(answer).collect())
        })
        .await
    }

    async fn rename(&mut self, name: String, to: String) -> Answer<types::Artifact> {
        self.stage(move |staging| {
            let renamed = staging.rename(&parse(&name)?, &parse(&to)?)?;
            Ok(answer(renamed))
        })
        .await
    }

    async fn remove(&mut self, name: String) -> Answer<()> {
        self.stage(move |staging| staging.remove(&parse(&name)?))
            .await
    }

    async fn list(&mut self) -> wasmtime::Result<Vec<types::Artifact>> {
        let download = self.download("artifacts")?;
        Ok(download.staging.list().into_iter().map(answer).collect())
    }
}

impl State {
    /// Does something with the files, on a thread that may wait for the disk, and on the time
    /// for the disk.
    async fn stage<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Staging) -> Result<T, Refusal> + Send + 'static,
    ) -> Answer<T> {
        let _spending = self.spend_on(Activity::Disk)?;
        let download = self.download("artifacts")?;
        let mut staging = std::mem::take(&mut download.staging);
        let (staging, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut staging);
            (staging, result)
        })
        .await
        .map_err(|e| Stop::Host {
            doing: "writing artifacts".to_owned(),
            source: io::Error::other(e),
        })?;
        download.staging = staging;
        Ok(download.answer(result))
    }
}

impl Download {
    /// Passes the guest's half of a refusal on, and remembers the host's.
    pub(crate) fn answer<T>(&mut self, result: Result<T, Refusal>) -> Result<T, types::Error> {
        result.map_err(|refusal| {
            if refusal.limit.is_some() {
                self.refused.limit = refusal.limit;
            }
            if refusal.remedy.is_some() {
                self.refused.remedy = refusal.remedy;
            }
            refusal.error
        })
    }
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

/// An artifact as WIT has it.
pub(crate) fn answer(artifact: Artifact) -> types::Artifact {
    types::Artifact {
        name: artifact.name.to_string(),
        size: artifact.size,
        sha256: artifact.sha256,
    }
}

/// Unpacks an artifact beside its place, checks every name, and only then puts the files in
/// place.
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

/// What the guest is told when an archive cannot be unpacked; without the host's paths.
fn unpacking_refused(staging: &Staging, name: &RelPath, error: &archive::Error) -> Refusal {
    use archive::ErrorKind as Kind;
    let text = format!("`{name}`: {}", error.kind);
    match &error.kind {
        Kind::TooLarge { .. } => Refusal::limit(Limit::StagingBytes, staging.max_bytes()),
        Kind::Read(e) => Refusal::io(format_args!("cannot read `{name}`"), e),
        Kind::Write { path, source } => {
            Refusal::io(format_args!("cannot unpack `{path}` of `{name}`"), source)
        }
        Kind::TooManyEntries { .. } | Kind::RatioTooHigh { .. } => Refusal::new(
            types::Error::Limit(excerpt(&text, crate::limits::ERROR_BYTES)),
        ),
        Kind::Unsupported { .. } | Kind::NotAnArchive | Kind::Encrypted { .. } => Refusal {
            remedy: error.remedy(),
            ..Refusal::new(types::Error::Unsupported(excerpt(
                &text,
                crate::limits::ERROR_BYTES,
            )))
        },
        _ => Refusal {
            remedy: error.remedy(),
            ..Refusal::invalid(text)
        },
    }
}
