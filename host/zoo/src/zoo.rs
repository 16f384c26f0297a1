//! The zoo itself: a store, its settings, and who is told what is going on.

use std::sync::{Arc, OnceLock};

use modelzoo_net::policy::Origin;
use modelzoo_net::{Client, Credential, NoProgress, Progress};
use modelzoo_sandbox::{Engine, Level, Log};

use crate::config::Config;
use crate::error::Error;
use crate::reference::{ReferenceContext, SourceId, SourceRef, github_hosts};
use crate::store::Store;
use crate::store::audit::AuditLog;
use crate::store::lock::Lock;

/// Gets the messages of hooks.
pub trait Messages: Send + Sync {
    /// One message of a source's hook: one line, without control characters.
    fn message(&self, source: &SourceId, level: Level, text: &str);
}

/// Drops all messages.
struct Silence;

impl Messages for Silence {
    fn message(&self, _: &SourceId, _: Level, _: &str) {}
}

/// The messages of one source.
struct SourceLog {
    source: SourceId,
    messages: Arc<dyn Messages>,
}

impl Log for SourceLog {
    fn log(&self, level: Level, text: &str) {
        self.messages.message(&self.source, level, text);
    }
}

/// A model zoo in a directory.
///
/// Opening one does nothing yet: the network client and the sandbox are made when they are first
/// needed, so that listing is quick.
pub struct Zoo {
    config: Config,
    store: Store,
    progress: Arc<dyn Progress>,
    messages: Arc<dyn Messages>,
    client: OnceLock<Client>,
    engine: OnceLock<Engine>,
}

impl Zoo {
    /// Opens the zoo in `config.home`, which is made when something is first written.
    #[must_use]
    pub fn open(config: Config) -> Self {
        Self {
            store: Store::new(config.home.clone()),
            config,
            progress: Arc::new(NoProgress),
            messages: Arc::new(Silence),
            client: OnceLock::new(),
            engine: OnceLock::new(),
        }
    }

    /// Who is told how far downloads are.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Who gets the messages of hooks.
    #[must_use]
    pub fn with_messages(mut self, messages: Arc<dyn Messages>) -> Self {
        self.messages = messages;
        self
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    pub(crate) fn shared_progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.progress)
    }

    /// Where the messages of a source go.
    pub(crate) fn log_of(&self, source: &SourceId) -> Arc<dyn Log> {
        Arc::new(SourceLog {
            source: source.clone(),
            messages: Arc::clone(&self.messages),
        })
    }

    /// The audit log, for records of a source and perhaps one of its models.
    pub(crate) fn audit_of(&self, source: &SourceId, model: Option<String>) -> AuditLog {
        AuditLog::new(self.store.audit_path(), source.clone(), model)
    }

    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        Lock::read(&self.store.lock_path())
    }

    pub(crate) fn parse_reference(&self, text: &str) -> Result<SourceRef, Error> {
        Ok(SourceRef::parse(text, &self.reference_context()?)?)
    }

    /// The local path that was perhaps meant by a text that names a repository.
    pub(crate) fn namesake(&self, text: &str) -> Option<String> {
        self.reference_context().ok()?.local_namesake(text)
    }

    fn reference_context(&self) -> Result<ReferenceContext<'static>, Error> {
        Ok(ReferenceContext {
            github_hosts: github_hosts(&self.config.github_api),
            current_dir: std::env::current_dir()
                .map_err(|e| Error::io("resolve", ".".as_ref(), e))?,
            home: etcetera::home_dir().ok(),
            path_exists: &|path| path.exists(),
        })
    }

    pub(crate) fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let credentials = match &self.config.github_token {
            Some(token) => Origin::of(&self.config.github_api)
                .map(|origin| Credential::bearer(origin, token))
                .into_iter()
                .collect(),
            None => Vec::new(),
        };
        let client = Client::new(modelzoo_net::Config {
            offline: self.config.offline,
            private: self.config.private.clone(),
            mirrors: self.config.mirrors.clone(),
            ca_bundle: self.config.ca_bundle.clone(),
            credentials,
            ..modelzoo_net::Config::default()
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    pub(crate) fn engine(&self) -> Result<&Engine, Error> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::with_compiler(
            Some(&self.store.cache_dir()),
            self.config.limits.clone(),
            self.config.compiler.clone(),
        )
        .map_err(Error::Sandbox)?;
        Ok(self.engine.get_or_init(|| engine))
    }
}
