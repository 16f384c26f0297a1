//! The settings of a client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::error::Error;
use crate::policy::{Origin, PrivateException};
use crate::proxy::Proxies;
use crate::secret::{Credential, Secret};

/// The settings of a [`Client`](crate::Client). All of them are the user's; no source can change
/// one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Open no socket and look no name up: every request is [`Error::Offline`](crate::Error).
    pub offline: bool,
    /// Private hosts and networks that may be reached.
    pub private: Vec<PrivateException>,
    /// Origins that are fetched from somewhere else.
    pub mirrors: Vec<Mirror>,
    /// A PEM file with certificate authorities to trust beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Header fields for single origins, sent where a request allows credentials.
    pub credentials: Vec<Credential>,
    /// Which proxy to use.
    pub proxy: Proxy,
    /// How long a connection (name lookup, TCP and TLS together) may take.
    pub connect_timeout: Duration,
    /// How long a server may send nothing, and over which time [`Config::min_rate`] is measured.
    pub idle_timeout: Duration,
    /// How long a download may take, retries included.
    pub total_timeout: Duration,
    /// How long a [`Client::get`](crate::Client::get) may take, retries included.
    pub document_timeout: Duration,
    /// The lowest rate of a response, in bytes per second over one idle timeout.
    pub min_rate: u64,
    /// How often a request is retried without progress.
    pub retries: u32,
    /// The pause before the first retry; it doubles with every further one, up to half a minute.
    pub backoff: Duration,
    /// The longest `Retry-After` that is obeyed; a longer one ends the request.
    pub max_retry_after: Duration,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// The `user-agent` field.
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            offline: false,
            private: Vec::new(),
            mirrors: Vec::new(),
            ca_bundle: None,
            credentials: Vec::new(),
            proxy: Proxy::FromEnvironment,
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(24 * 60 * 60),
            document_timeout: Duration::from_secs(2 * 60),
            min_rate: 256,
            retries: 4,
            backoff: Duration::from_millis(500),
            max_retry_after: Duration::from_secs(60),
            max_redirects: 5,
            user_agent: concat!("modelzoo/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// An origin that is fetched from somewhere else. Rules, grants and the keys of unfinished
/// downloads go by the address that was asked for; the mirror is the user's own choice, so it may
/// be private and may be plain `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What is replaced.
    pub from: Origin,
    /// What replaces it; the path that was asked for is appended to its path.
    pub to: Url,
}

impl Mirror {
    /// The address at the mirror, when this mirror is for `url`.
    pub(crate) fn rewrite(&self, url: &Url) -> Option<Url> {
        if Origin::of(url).as_ref() != Some(&self.from) {
            return None;
        }
        let mut rewritten = self.to.clone();
        rewritten.set_path(&format!(
            "{}{}",
            self.to.path().trim_end_matches('/'),
            url.path()
        ));
        rewritten.set_query(url.query());
        rewritten.set_fragment(None);
        Some(rewritten)
    }
}

/// Which proxy to use. Loopback hosts never go through one. A setting that cannot be used is an
/// error of [`Client::new`](crate::Client::new), and never means no proxy.
///
/// Through a proxy the proxy resolves names and connects, so the rule about addresses
/// can be kept for literal addresses only; the rules about names hold as ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in upper or lower case, and on
    /// macOS and Windows the system's settings.
    #[default]
    FromEnvironment,
    /// None, whatever the environment says.
    Never,
    /// This one.
    Always {
        /// Its URL (`http`, `https`, `socks5`, `socks5h`), with a user name and password if it
        /// needs them.
        url: Secret,
        /// Hosts that are reached without it, spelled as in `NO_PROXY`.
        except: String,
    },
}

/// Checks the variables of an environment that clients read: those of [`Proxy::FromEnvironment`],
/// and `SSL_CERT_FILE` and `SSL_CERT_DIR` where they replace the system's certificates.
///
/// # Errors
/// [`Error::Setting`] with the name of a variable that cannot be used. It does not hold the value
/// of one that may hold a password.
pub fn check_environment(env: &dyn Fn(&str) -> Option<OsString>) -> Result<(), Error> {
    Proxies::from_environment(env)?;
    crate::tls::check_environment(env)
}

/// Checks that a file can be the [`Config::ca_bundle`].
///
/// # Errors
/// [`Error::Setting`].
pub fn check_ca_bundle(path: &Path) -> Result<(), Error> {
    crate::tls::read_bundle(path).map(drop)
}
