//! Why a request was not made.

use std::net::IpAddr;

use modelzoo_base::Remedy;
use url::Url;

use super::address::AddressKind;
use super::origin::Origin;

/// A rule that forbids a request. URLs in it carry no query and no user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is not a URL, or one that programs could read differently.
    #[error("bad URL {url}: {reason}")]
    BadUrl {
        /// The text, shortened and without secrets.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A scheme other than `https` and `http`.
    #[error("bad URL {url}: the scheme `{scheme}` is not supported")]
    BadScheme {
        /// The text, shortened and without secrets.
        url: String,
        /// The scheme.
        scheme: String,
    },
    /// No permission names the host.
    #[error("{origin} is not among the hosts that the source may reach")]
    Host {
        /// The origin, spelled as the permission that is missing.
        origin: String,
    },
    /// The host is, or resolves to, an address that untrusted input may not name.
    #[error("{host} is refused: {address} is {kind}")]
    Address {
        /// The host, as the URL spells it.
        host: String,
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        kind: AddressKind,
    },
    /// Plain `http` to a host that the user did not except.
    #[error("{url} is refused: plain http")]
    PlainHttp {
        /// The URL.
        url: String,
    },
    /// Plain `http` is granted, but nothing would detect changed bytes.
    #[error("{url} is refused: plain http without a digest")]
    HttpWithoutDigest {
        /// The URL.
        url: String,
    },
    /// A server redirects to a URL that is refused.
    #[error("{from} redirects to a place that is refused: {refusal}")]
    Redirect {
        /// Who redirected.
        from: String,
        /// Why the target is refused.
        #[source]
        refusal: Box<Refusal>,
    },
    /// A redirect from `https` to `http`.
    #[error("{from} redirects from https to http: {to}")]
    Downgrade {
        /// Who redirected.
        from: String,
        /// Where to.
        to: String,
    },
    /// A redirect from a host that anybody may have to one that the user's exceptions name.
    #[error("{from} redirects to a private host: {to}")]
    Inward {
        /// Who redirected.
        from: String,
        /// Where to.
        to: String,
    },
    /// More redirects than allowed.
    #[error("{url} redirects more than {limit} times")]
    TooManyRedirects {
        /// The URL that was asked for.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// A header field that the caller may not set.
    #[error("the request header `{name}` is refused: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

impl Refusal {
    pub(crate) fn host(url: &Url) -> Self {
        Self::Host {
            origin: Origin::of(url).map_or_else(|| super::redact(url), |o| o.to_string()),
        }
    }

    /// A word for logs: `url`, `host`, `address`, `http`, `redirect` or `header`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } | Self::BadScheme { .. } => "url",
            Self::Host { .. } => "host",
            Self::Address { .. } => "address",
            Self::PlainHttp { .. } | Self::HttpWithoutDigest { .. } => "http",
            Self::Redirect { .. }
            | Self::Downgrade { .. }
            | Self::Inward { .. }
            | Self::TooManyRedirects { .. } => "redirect",
            Self::Header { .. } => "header",
        }
    }

    /// What can be done about it, where something can.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Host { origin } => Some(Remedy::DeclareAndGrant(origin.clone())),
            Self::Address { host, .. } => Some(Remedy::advice(format!(
                "if this host is yours, allow it: MODELZOO_ALLOW_PRIVATE={host}, or `allow_private` in config.toml"
            ))),
            Self::PlainHttp { url } => {
                let host = host_of(url);
                Some(Remedy::advice(format!(
                    "use https; or, if this host is yours, allow it: MODELZOO_ALLOW_PRIVATE={host}, or `allow_private` in config.toml"
                )))
            }
            Self::HttpWithoutDigest { .. } => Some(Remedy::advice(
                "use https, or give the sha256 of what is fetched",
            )),
            Self::Redirect { refusal, .. } => refusal.remedy(),
            Self::BadUrl { reason, .. } if reason.contains("user name") => Some(Remedy::advice(
                "a token goes into the environment or the configuration, not into a URL",
            )),
            _ => None,
        }
    }

    /// What is wrong, without the URL.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::BadUrl { reason, .. } => reason.clone(),
            Self::BadScheme { scheme, .. } => format!("the scheme `{scheme}` is not supported"),
            other => other.to_string(),
        }
    }
}

/// The host of a URL that was made by [`super::redact`].
fn host_of(url: &str) -> String {
    Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}
