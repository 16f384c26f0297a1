//! The façade: every verb, each carried out by the part of the crate that owns it.

use std::path::Path;
use std::sync::Arc;

use modelzoo_net::Progress;

use crate::config::Config;
use crate::context::{Context, Messages};
use crate::doctor::Diagnosis;
use crate::error::Error;
use crate::models::cache::ModelCache;
use crate::models::{
    DownloadOptions, Downloaded, Filter, LoadOptions, LoadedModel, ModelSummary, Models,
};
use crate::sources::{
    AuditOptions, Exported, ImportOptions, Imported, Inspection, RegisterOptions, Registered,
    Registry, SourceInfo, UpdateOptions,
};
use crate::store::{AuditReport, Garbage, LockedSource, ModelRecord, Usage, Verified};

/// A model zoo in a directory.
///
/// Opening one reads no file: the network client and the sandbox are built when they are first
/// needed, so that listing is quick.
pub struct Zoo {
    context: Context,
    loaded: ModelCache,
}

impl Zoo {
    /// Opens the zoo in `config.home`. The directory is created by the first call that writes. If
    /// other users can change the store, a warning says so.
    #[must_use]
    pub fn open(config: Config) -> Self {
        let context = Context::new(config);
        if let Some(first) = context.store.exposures().first() {
            tracing::warn!("other users can change what this store holds: {first}");
        }
        Self {
            context,
            loaded: ModelCache::default(),
        }
    }

    /// Reports the progress of downloads to `progress`.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.context.progress = progress;
        self
    }

    /// Sends the messages of hooks to `messages`.
    #[must_use]
    pub fn with_messages(mut self, messages: Arc<dyn Messages>) -> Self {
        self.context.messages = messages;
        self
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.context.config
    }

    fn registry(&self) -> Registry<'_> {
        Registry::new(&self.context)
    }

    fn models(&self) -> Models<'_> {
        Models::new(&self.context, &self.loaded)
    }
}

/// Sources.
impl Zoo {
    /// Registers what `reference` names: a directory, an archive, or a GitHub repository.
    ///
    /// Everything is fetched and checked first; then the source becomes visible at once.
    ///
    /// # Errors
    /// [`Error::PermissionNeeded`] if the source asks for more than is granted; otherwise an error
    /// of the reference, the network or the source. The store is then as it was.
    pub async fn register_source(
        &self,
        reference: &str,
        options: RegisterOptions<'_>,
    ) -> Result<Registered, Error> {
        self.registry().register(reference, options).await
    }

    /// Fetches a registered source again and replaces it if it has changed.
    ///
    /// # Errors
    /// [`Error::UnknownSource`]; [`Error::Rollback`] if the fetched version looks older than the
    /// registered one; otherwise as [`Zoo::register_source`]. The source is then as it was.
    pub async fn update_source(
        &self,
        source: &str,
        options: UpdateOptions<'_>,
    ) -> Result<Registered, Error> {
        self.registry().update(source, options).await
    }

    /// What [`Zoo::update_source`] would change. Only the time of the check is stored.
    ///
    /// # Errors
    /// As [`Zoo::update_source`], except for missing permissions and rollbacks, which are part of
    /// the result.
    pub async fn check_source(&self, source: &str) -> Result<Registered, Error> {
        self.registry().check(source).await
    }

    /// The registered sources, sorted by id.
    ///
    /// # Errors
    /// If the lock cannot be read.
    pub fn list_sources(&self) -> Result<Vec<SourceInfo>, Error> {
        self.registry().list()
    }

    /// A registered source, by any spelling of its reference or by its id.
    ///
    /// # Errors
    /// [`Error::UnknownSource`] if it is not registered.
    pub fn source(&self, reference: &str) -> Result<LockedSource, Error> {
        self.registry().locked(reference)
    }

    /// Removes a source and its models.
    ///
    /// # Errors
    /// [`Error::UnknownSource`] if it is not registered; [`Error::InUse`] if one of its models is
    /// loaded. The store is then as it was.
    pub fn delete_source(&self, reference: &str) -> Result<LockedSource, Error> {
        self.registry().delete(reference)
    }

    /// Describes a source and what it asks for. `source` is a registered source, in any spelling;
    /// or a reference to one that is not, which is fetched to staging and not kept; or the path of
    /// a component. Nothing of it is compiled or run.
    ///
    /// A component that registering would refuse is part of the result, with the reason.
    ///
    /// # Errors
    /// An error of the reference, the network, or the source's manifest.
    pub async fn inspect(&self, source: &str) -> Result<Inspection, Error> {
        self.registry().inspect(source).await
    }

    /// Writes a registered source and its downloaded models, or the named ones, into one new file.
    /// Every byte is checked against the lock and the receipts on the way.
    ///
    /// # Errors
    /// [`Error::UnknownSource`]; [`Error::UnknownModel`] and [`Error::NotDownloaded`] for a named
    /// model; [`Error::SnapshotChanged`] and [`Error::Bundle`] if a file is not what was registered
    /// or downloaded, or if `output` exists. No file is left behind then.
    pub fn export_bundle(
        &self,
        source: &str,
        models: &[String],
        output: &Path,
    ) -> Result<Exported, Error> {
        self.registry().export(source, models, output)
    }

    /// Registers the source of a bundle, as it was when it was exported, and puts its models into
    /// the store. No request is made.
    ///
    /// Everything is unpacked and checked first. Then the source becomes visible at once, and after
    /// it model by model. An interrupted import leaves a registered source with some of its models,
    /// each complete; importing again adds the others.
    ///
    /// # Errors
    /// [`Error::PermissionNeeded`] as [`Zoo::register_source`]; [`Error::Bundle`] if the file is
    /// not a bundle, is damaged, or has another tree than the registered source;
    /// [`Error::ArtifactChanged`] if it has other files of a model than the lock pins.
    pub fn import_bundle(
        &self,
        file: &Path,
        options: ImportOptions<'_>,
    ) -> Result<Imported, Error> {
        self.registry().import(file, options)
    }

    /// Reads the audit log: what each source was allowed and denied, and the least permissions that
    /// it needed.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if there is no record of the requested source; if the log or the lock
    /// cannot be read. Lines of the log that cannot be read are counted, and not an error.
    pub fn audit(&self, options: &AuditOptions) -> Result<AuditReport, Error> {
        self.registry().audit(options)
    }
}

/// Models.
impl Zoo {
    /// The models that a filter selects, sorted by name and then by source.
    ///
    /// # Errors
    /// If the lock cannot be read; [`Error::UnknownSource`] if the filter names a source that is
    /// not registered. A source whose manifests cannot be read is left out, with a warning.
    pub fn list(&self, filter: &Filter) -> Result<Vec<ModelSummary>, Error> {
        self.models().list(filter)
    }

    /// The model that a name means: the one of that version, or the latest. `source` keeps the
    /// search to one source.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] with the nearest names, [`Error::AmbiguousModel`] if several sources
    /// declare the name.
    pub fn model(&self, name: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        self.models().find(name, source)
    }

    /// Downloads a model. `name_or_source` is a model's name, or a reference to a source, which is
    /// registered if it is not.
    ///
    /// # Errors
    /// As [`Zoo::model`] and [`Zoo::register_source`], and whatever stops the download. A model
    /// that was downloaded before is then still there.
    pub async fn download(
        &self,
        name_or_source: &str,
        options: DownloadOptions<'_>,
    ) -> Result<Downloaded, Error> {
        self.models().download(name_or_source, options).await
    }

    /// Loads a model, as FiftyOne's `load_zoo_model`. `name_or_source` is a model's name, or a
    /// reference to a source, which is registered if it is not. The model is downloaded if it is
    /// not, its requirements are checked, and its plan is built on the device. The plan comes from
    /// the manifest's configuration, or else from the source's `load_model` hook.
    ///
    /// # Errors
    /// As [`Zoo::download`]; [`Error::NotDownloaded`] if the options forbid the download;
    /// [`Error::Requirement`] if the manifest excludes the device; [`Error::Hook`] if the hook
    /// fails, for example over an unknown kwarg; [`Error::Runtime`] if the device or the precision
    /// is not available, or the embeddings layer does not exist; [`Error::Build`] if the plan
    /// cannot be built.
    pub async fn load_model(
        &self,
        name_or_source: &str,
        options: LoadOptions<'_>,
    ) -> Result<Arc<LoadedModel>, Error> {
        self.models().load_model(name_or_source, options).await
    }

    /// Deletes the files of a model; its source stays registered.
    ///
    /// # Errors
    /// [`Error::NotDownloaded`] if there is nothing to delete; [`Error::InUse`] if the model is
    /// loaded; as [`Zoo::model`].
    pub fn delete(&self, name: &str, source: Option<&str>) -> Result<ModelRecord, Error> {
        self.models().delete(name, source)
    }

    /// Reads every byte of the sources and of the downloaded models, or of the named models, and
    /// checks it against the lock and the receipts.
    ///
    /// # Errors
    /// If the lock cannot be read; as [`Zoo::model`]. A difference, or a file that cannot be read, is
    /// not an error but a problem in the result.
    pub fn verify(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        self.models().verify(names)
    }

    /// As [`Zoo::verify`]; downloads a model with a problem again. All are tried.
    ///
    /// # Errors
    /// As [`Zoo::verify`] and [`Zoo::download`]: the first of them.
    pub async fn repair(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        self.models().repair(names).await
    }
}

/// The store and the machine.
impl Zoo {
    /// Accepts the lock as it is, although something else than modelzoo changed it. Everything that
    /// it names is still checked against it.
    ///
    /// # Errors
    /// If the lock cannot be read or written.
    pub fn accept_lock(&self) -> Result<(), Error> {
        self.context.store.accept_lock()
    }

    /// The disk usage of each source, each downloaded model, the cache and the staging area.
    ///
    /// # Errors
    /// If the lock or a directory cannot be read.
    pub fn usage(&self) -> Result<Vec<Usage>, Error> {
        self.context.store.usage()
    }

    /// What in the store is not reachable from the lock: abandoned work, old snapshots, and models
    /// that no registered source declares.
    ///
    /// # Errors
    /// If the lock or a directory cannot be read.
    pub fn garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.context.store.garbage()
    }

    /// Removes what [`Zoo::garbage`] lists. What other processes are working on stays.
    ///
    /// # Errors
    /// As [`Zoo::garbage`], and if something cannot be removed.
    pub fn collect_garbage(&self) -> Result<Vec<Garbage>, Error> {
        self.context.store.collect_garbage()
    }

    /// What this machine offers, and whether anything is broken. Makes no request and leaves
    /// nothing behind.
    #[must_use]
    pub fn doctor(&self) -> Diagnosis {
        Diagnosis::of(&self.context.config)
    }
}
