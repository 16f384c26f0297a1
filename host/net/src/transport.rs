//! Connections: one reqwest client for every origin, and the mapping of its errors.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;
use url::{Host, Url};

use crate::config::Config;
use crate::error::{Error, ProxyFault, TimeoutKind};
use crate::policy::{Origin, PrivateException, Refusal, redact};
use crate::proxy::Proxies;
use crate::resolve::{CheckedResolver, Resolver, Unresolved};
use crate::tls;

/// So many origins are remembered before all are forgotten.
const MAX_ORIGINS: usize = 64;
/// The largest header section that is kept, in bytes. (hyper stops reading at about 400 KiB.)
pub(crate) const MAX_HEADERS: usize = 64 * 1024;
const IDLE_CONNECTIONS: Duration = Duration::from_secs(20);
/// The flow-control windows of HTTP/2, in bytes: enough for 1 Gbit/s at 60 ms.
const WINDOW: u32 = 8 * 1024 * 1024;

/// Makes and keeps the clients. A client belongs to one origin, and to one set of exceptions, so
/// a pooled connection was checked by the very rules that the next request would be.
pub(crate) struct Transport {
    resolver: Arc<dyn Resolver>,
    proxies: Proxies,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceCell<ClientConfig>,
    exceptions: Arc<[PrivateException]>,
    connect_timeout: Duration,
    user_agent: String,
    origins: Mutex<HashMap<(Origin, bool), reqwest::Client>>,
}

impl Transport {
    pub(crate) fn new(config: &Config, resolver: Arc<dyn Resolver>) -> Result<Self, Error> {
        let extra_roots = match &config.ca_bundle {
            Some(path) => tls::read_bundle(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            resolver,
            proxies: Proxies::new(&config.proxy)?,
            extra_roots,
            tls: OnceCell::new(),
            exceptions: config.private.clone().into(),
            connect_timeout: config.connect_timeout,
            user_agent: config.user_agent.clone(),
            origins: Mutex::default(),
        })
    }

    /// The client for the origin of `url`. `mirror`: the URL is at a mirror of the user's, which
    /// may be private.
    pub(crate) async fn client(&self, url: &Url, mirror: bool) -> Result<reqwest::Client, Error> {
        let origin = Origin::of(url).ok_or_else(|| Refusal::host(url))?;
        let key = (origin, mirror);
        if let Some(client) = self.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(url, &key.0, mirror).await?;
        let mut origins = self.lock();
        if origins.len() >= MAX_ORIGINS {
            origins.clear();
        }
        origins.insert(key, client.clone());
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Origin, bool), reqwest::Client>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn build(
        &self,
        url: &Url,
        origin: &Origin,
        mirror: bool,
    ) -> Result<reqwest::Client, Error> {
        let chosen = self.proxies.choose(url)?;
        let needs_tls = origin.is_https() || chosen.is_some();
        let tls = if needs_tls {
            self.tls().await?
        } else {
            tls::trusting_nobody()?
        };
        let exceptions = match PrivateException::for_url(url).filter(|_| mirror) {
            Some(own) => self.exceptions.iter().cloned().chain([own]).collect(),
            None => Arc::clone(&self.exceptions),
        };
        let resolver = CheckedResolver {
            resolver: Arc::clone(&self.resolver),
            host: match origin.host() {
                Host::Domain(name) => name.clone(),
                address => address.to_string(),
            },
            port: origin.port(),
            exceptions,
            proxy: chosen.as_ref().map(|chosen| chosen.host.clone()),
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .dns_resolver(resolver)
            .redirect(Policy::none())
            .referer(false)
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTIONS)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(WINDOW)
            .http2_max_header_list_size(MAX_HEADERS as u32);
        if let Some(chosen) = chosen {
            builder = builder.proxy(chosen.proxy);
        }
        builder.build().map_err(|error| Error::Setting {
            setting: "network",
            reason: root_cause(&error),
        })
    }

    /// Reads the system's certificates when they are needed first.
    pub(crate) async fn tls(&self) -> Result<ClientConfig, Error> {
        let made = self.tls.get_or_try_init(|| async {
            let extra = self.extra_roots.clone();
            match tokio::task::spawn_blocking(move || tls::verifying(extra)).await {
                Ok(made) => made,
                Err(error) => Err(Error::Setting {
                    setting: "tls",
                    reason: error.to_string(),
                }),
            }
        });
        made.await.cloned()
    }

    /// What a failed request means.
    pub(crate) fn explain(&self, error: reqwest::Error, url: &Url) -> Error {
        let error = error.without_url();
        let origin = || origin_of(url);
        if let Some(refusal) = find::<Refusal>(&error) {
            return refusal.clone().into();
        }
        if let Some(at_proxy) = self.at_proxy(&error, url) {
            return at_proxy;
        }
        if let Some(unresolved) = find::<Unresolved>(&error) {
            return Error::Resolve {
                host: unresolved.host.clone(),
                source: unresolved.error(),
            };
        }
        if find::<rustls::Error>(&error).is_some() {
            return Error::Tls {
                origin: origin(),
                reason: root_cause(&error),
                source: error.into(),
            };
        }
        if error.is_timeout() {
            return Error::Timeout {
                url: redact(url),
                kind: TimeoutKind::Connect,
                limit: self.connect_timeout,
            };
        }
        if error.is_connect() {
            return Error::Connect {
                origin: origin(),
                reason: root_cause(&error),
                source: error.into(),
            };
        }
        broken(error, url, 0)
    }

    /// The error for a request that went wrong at the proxy; `None` if it did not, or goes through
    /// none.
    fn at_proxy(&self, error: &reqwest::Error, url: &Url) -> Option<Error> {
        let chosen = self.proxies.choose(url).ok()??;
        let unresolved = find::<Unresolved>(error).filter(|found| found.host == chosen.host);
        let fault = if let Some(unresolved) = unresolved {
            ProxyFault::Unreachable(format!("it has no address: {unresolved}"))
        } else if let Some(fault) = chosen.fault(chain(error)) {
            fault
        } else if error.is_timeout() && error.is_connect() {
            let limit = self.connect_timeout.as_secs_f32();
            ProxyFault::Unreachable(format!("no connection for {limit} s"))
        } else if error.is_connect() && find::<rustls::Error>(error).is_none() {
            ProxyFault::Unreachable(root_cause(error))
        } else {
            return None;
        };
        Some(chosen.error(origin_of(url), fault))
    }

    /// The error for the response 407, which a proxy gives, if the request goes through one.
    pub(crate) fn proxy_wants_login(&self, url: &Url) -> Option<Error> {
        // What comes through a tunnel is the server's.
        if url.scheme() == "https" {
            return None;
        }
        let chosen = self.proxies.choose(url).ok()??;
        let fault = chosen.login_fault();
        Some(chosen.error(origin_of(url), fault))
    }
}

fn origin_of(url: &Url) -> String {
    Origin::of(url).map_or_else(String::new, |origin| origin.to_string())
}

/// What it means when a response, or the rest of one, does not come.
pub(crate) fn broken(error: reqwest::Error, url: &Url, received: u64) -> Error {
    let error = error.without_url();
    match find::<hyper::Error>(&error) {
        // hyper tells these apart by name for servers only.
        Some(http) if http.is_parse() && http.to_string().contains("too large") => {
            Error::TooLarge {
                url: redact(url),
                what: "header section",
                limit: MAX_HEADERS as u64,
            }
        }
        Some(http) if http.is_parse() => Error::Protocol {
            url: redact(url),
            reason: root_cause(&error),
        },
        _ => Error::Interrupted {
            url: redact(url),
            received,
            reason: root_cause(&error),
            source: error.into(),
        },
    }
}

/// The first error of this type in a chain. An `io::Error` hides the error that it was made from
/// behind `get_ref`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<T>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error of a chain.
type Cause<'a> = &'a (dyn StdError + 'static);

/// An error and its causes.
fn chain(error: Cause<'_>) -> impl Iterator<Item = Cause<'_>> {
    fn next<'a>(error: &Cause<'a>) -> Option<Cause<'a>> {
        (*error).source()
    }
    std::iter::successors(Some(error), next)
}

/// The text of the innermost error of a chain.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
