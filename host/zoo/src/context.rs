//! What the work on sources, models and runs has in common: the settings, the store, the network
//! client, the sandbox, and who is told about progress.

use std::sync::{Arc, OnceLock};

use modelzoo_net::policy::Origin;
use modelzoo_net::{Client, Credential, NoProgress, Progress};
use modelzoo_sandbox::{Engine, Level, Log};

use crate::config::Config;
use crate::error::Error;
use crate::reference::SourceId;
use crate::store::Store;

/// Receives the messages of hooks.
pub trait Messages: Send + Sync {
    /// One message of a source's hook: one line, without control characters.
    fn message(&self, source: &SourceId, level: Level, text: &str);
}

/// Drops all messages.
struct NoMessages;

impl Messages for NoMessages {
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

/// The settings, the store, and what is built from them when it is first needed.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) messages: Arc<dyn Messages>,
    client: OnceLock<Client>,
    engine: OnceLock<Engine>,
}

impl Context {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            store: Store::new(config.home.clone()),
            config,
            progress: Arc::new(NoProgress),
            messages: Arc::new(NoMessages),
            client: OnceLock::new(),
            engine: OnceLock::new(),
        }
    }

    /// Where the messages of a source go.
    pub(crate) fn log_of(&self, source: &SourceId) -> Arc<dyn Log> {
        Arc::new(SourceLog {
            source: source.clone(),
            messages: Arc::clone(&self.messages),
        })
    }

    /// The network client.
    pub(crate) fn client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let config = &self.config;
        let credentials = match &config.github_token {
            Some(token) => Origin::of(&config.github_api)
                .map(|origin| Credential::bearer(origin, token))
                .into_iter()
                .collect(),
            None => Vec::new(),
        };
        let client = Client::new(modelzoo_net::Config {
            offline: config.offline,
            private: config.private.clone(),
            mirrors: config.mirrors.clone(),
            ca_bundle: config.ca_bundle.clone(),
            credentials,
            ..modelzoo_net::Config::default()
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The sandbox.
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
