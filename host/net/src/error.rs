//! What can go wrong with a request.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use modelzoo_base::Remedy;

use crate::policy::Refusal;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request has no response. The text is one line with the thing and the reason, and holds no
/// secret: URLs are shown without their query. The way out, where there is one, is
/// [`Error::remedy`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule forbids it; nothing was sent to the place that is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client is offline.
    #[error("{url} is not fetched: offline")]
    Offline {
        /// The URL.
        url: String,
    },
    /// The name has no address.
    #[error("cannot find the address of {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to {origin}: {reason}")]
    Connect {
        /// The origin.
        origin: String,
        /// The innermost cause.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// The proxy does not carry the request to its origin.
    #[error("cannot connect to {origin} through the proxy {proxy}: {fault}")]
    Proxy {
        /// The origin.
        origin: String,
        /// The proxy's address, without user name and password.
        proxy: String,
        /// The setting that names the proxy, such as `HTTPS_PROXY`.
        setting: &'static str,
        /// What is wrong.
        fault: ProxyFault,
    },
    /// The server's certificate is not trusted, or TLS went wrong otherwise.
    #[error("no secure connection to {origin}: {reason}")]
    Tls {
        /// The origin.
        origin: String,
        /// The innermost cause.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// Something took too long.
    #[error("{url} timed out: {kind} for {} s", limit.as_secs_f32())]
    Timeout {
        /// The URL.
        url: String,
        /// What took too long.
        kind: TimeoutKind,
        /// The limit.
        limit: Duration,
    },
    /// The response is not a success.
    #[error("{url} answered {status}{}", status_text(*status))]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// When the caller's quota is used up, the time at which it is filled again, in seconds
        /// since 1970 (`x-ratelimit-reset` with `x-ratelimit-remaining: 0`).
        rate_limit_reset: Option<u64>,
    },
    /// The response, or its header section, is larger than allowed.
    #[error("the {what} of {url} is larger than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// `body` or `header section`.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// The body has another length than expected.
    #[error("{url} has {actual} bytes, but {expected} were expected")]
    LengthMismatch {
        /// The URL.
        url: String,
        /// The expected length.
        expected: u64,
        /// The length that the server announced or sent.
        actual: u64,
    },
    /// The body has another digest than expected.
    #[error("{url} has the sha256 {actual}, but {expected} was expected")]
    DigestMismatch {
        /// The URL that the bytes came from, after redirects and mirrors.
        url: String,
        /// The expected digest, in hexadecimal.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// A page for people came instead of a file.
    #[error("{url} answered with a web page instead of a file")]
    WebPage {
        /// The URL.
        url: String,
    },
    /// The body is compressed although that was not asked for.
    #[error("{url} answered with the content encoding `{encoding}`, which was not asked for")]
    Encoded {
        /// The URL.
        url: String,
        /// The encoding.
        encoding: String,
    },
    /// The connection broke off.
    #[error("{url} broke off after {received} bytes: {reason}")]
    Interrupted {
        /// The URL.
        url: String,
        /// How many bytes of the body are there.
        received: u64,
        /// The innermost cause.
        reason: String,
        /// The whole chain.
        source: Source,
    },
    /// The response is not valid HTTP.
    #[error("{url} answered with something that is not valid HTTP: {reason}")]
    Protocol {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A setting makes no sense.
    #[error("the setting `{setting}` cannot be used: {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Why.
        reason: String,
    },
}

/// What is wrong with a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyFault {
    /// It wants a user name and a password (407), and has got none.
    LoginWanted,
    /// It does not accept the user name and the password (407).
    LoginRefused,
    /// It answers with a refusal instead of a connection.
    Refused,
    /// There is no connection to it; why.
    Unreachable(String),
}

impl std::fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LoginWanted => "it wants a user name and a password",
            Self::LoginRefused => "it does not accept the user name and the password",
            Self::Refused => "it refuses the connection",
            Self::Unreachable(reason) => reason,
        })
    }
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutKind {
    /// Connecting.
    Connect,
    /// The server said nothing.
    Idle,
    /// The server sent less than the least rate.
    Slow,
    /// The whole request.
    Total,
}

impl std::fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Idle => "the server sent nothing",
            Self::Slow => "the server sent next to nothing",
            Self::Total => "it was not done",
        })
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// What can be done about it, where something can.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Refused(refusal) => refusal.remedy(),
            Self::Offline { .. } => Some(Remedy::GoOnline),
            Self::Resolve { .. } | Self::Connect { .. } => Some(Remedy::advice(
                "check the name and the network; behind a proxy, set HTTPS_PROXY",
            )),
            Self::Proxy { setting, fault, .. } => {
                Some(Remedy::advice(proxy_advice(setting, fault)))
            }
            Self::Setting { setting, .. } => setting_remedy(setting),
            Self::Tls { .. } => Some(Remedy::advice(
                "if a certificate authority of your own signed it, name it: MODELZOO_CA_BUNDLE, or `ca_bundle` in config.toml",
            )),
            Self::Status {
                status,
                retry_after,
                rate_limit_reset,
                ..
            } => status_remedy(*status, *retry_after, *rate_limit_reset),
            Self::WebPage { .. } => Some(Remedy::advice(
                "the address may need a login, or may have moved: open it in a browser",
            )),
            Self::Timeout { .. } | Self::Interrupted { .. } => Some(Remedy::advice(
                "run the command again: a download goes on where it stopped",
            )),
            _ => None,
        }
    }

    /// Whether trying again can help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Interrupted { .. } => true,
            Self::Timeout { kind, .. } => *kind != TimeoutKind::Total,
            Self::Status {
                status,
                rate_limit_reset,
                ..
            } => {
                rate_limit_reset.is_none()
                    && matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }
}

fn proxy_advice(setting: &str, fault: &ProxyFault) -> String {
    match fault {
        ProxyFault::LoginWanted | ProxyFault::LoginRefused => format!(
            "the login is part of {setting}, as in http://user:password@host:port; special characters are percent-encoded"
        ),
        ProxyFault::Refused => format!(
            "the proxy has to allow this host and port; NO_PROXY lists hosts that are reached without it, and {setting} names the proxy"
        ),
        ProxyFault::Unreachable(_) => {
            format!("check {setting}; NO_PROXY lists hosts that are reached without a proxy")
        }
    }
}

fn setting_remedy(setting: &str) -> Option<Remedy> {
    let advice = match setting {
        "ca_bundle" => {
            "install the system's certificates, or name a file of them: MODELZOO_CA_BUNDLE, or `ca_bundle` in config.toml"
        }
        "SSL_CERT_FILE" | "SSL_CERT_DIR" => {
            "unset it for the system's certificates; MODELZOO_CA_BUNDLE names a PEM file with further ones"
        }
        "NO_PROXY" | "no_proxy" => {
            "it lists hosts (example.org, .example.org), addresses and networks (10.0.0.0/8), separated by commas"
        }
        "HTTPS_PROXY" | "https_proxy" | "HTTP_PROXY" | "http_proxy" | "ALL_PROXY" | "all_proxy" => {
            "a proxy is http://host:port or socks5h://host:port, with user:password@ before the host if it needs a login; special characters are percent-encoded"
        }
        _ => return None,
    };
    Some(Remedy::advice(advice))
}

/// The words that belong to the statuses which people meet.
fn status_text(status: u16) -> &'static str {
    match status {
        400 => " (bad request)",
        401 => " (not authorised)",
        403 => " (forbidden)",
        404 => " (not found)",
        410 => " (gone)",
        416 => " (range not satisfiable)",
        429 => " (too many requests)",
        500 => " (server error)",
        502 => " (bad gateway)",
        503 => " (unavailable)",
        504 => " (gateway timeout)",
        _ => "",
    }
}

fn status_remedy(status: u16, after: Option<Duration>, reset: Option<u64>) -> Option<Remedy> {
    if let Some(reset) = reset {
        let when = i64::try_from(reset)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map_or_else(|| "later".to_owned(), |time| format!("after {time}"));
        return Some(Remedy::advice(format!(
            "the quota is used up: try again {when}, or with an access token"
        )));
    }
    if let Some(after) = after {
        return Some(Remedy::advice(format!(
            "the server asks to try again after {} s",
            after.as_secs()
        )));
    }
    match status {
        401 | 403 => Some(Remedy::advice(
            "it may need an access token, or terms to be accepted",
        )),
        404 | 410 => Some(Remedy::advice(
            "check the address; a private one needs an access token",
        )),
        _ => None,
    }
}
