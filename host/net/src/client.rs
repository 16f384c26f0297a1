//! The client.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use url::Url;

use crate::audit::{Audit, Recorder};
use crate::body::Body;
use crate::config::Config;
use crate::download::{Download, Downloaded, download};
use crate::error::Error;
use crate::exchange::{Exchange, status_error};
use crate::headers;
use crate::policy::{Grants, Permission, Permissions, redact};
use crate::progress::Progress;
use crate::resolve::{Resolver, SystemResolver};
use crate::retry::Retries;
use crate::transport::Transport;

/// The only way to the network: an HTTP client that asks the [policy](crate::policy) before every
/// hop. It is cheap to clone, and its clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    transport: Transport,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// An absolute URL.
    pub url: String,
    /// Header fields beside the client's own. Fields that belong to the connection, to caching
    /// and to authorisation are refused. When the request ends up at another origin than the
    /// one of `url`, only `accept` and `accept-language` go along.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A request without header fields of its own.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// On whose behalf a request is made.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// What may be reached.
    pub grants: Grants<'a>,
    /// Whether the user's [credentials](crate::Credential) are sent to their origins.
    pub use_credentials: bool,
    /// Is told what was asked for and what became of it.
    pub audit: &'a dyn Audit,
    /// Shows downloads.
    pub progress: &'a dyn Progress,
}

/// A complete small response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status: 200 to 299, since everything else is an error.
    pub status: u16,
    /// The header fields, names in lower case, without cookies.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Where it came from, after redirects and mirrors, without the query.
    pub final_url: Url,
}

impl Response {
    /// The first field with this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// A client that looks names up with the operating system. Opens no socket.
    ///
    /// # Errors
    /// [`Error::Setting`] when the CA bundle or the proxy cannot be used.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A client that looks names up with `resolver`.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_resolver(config: Config, resolver: Arc<dyn Resolver>) -> Result<Self, Error> {
        let transport = Transport::new(&config, resolver)?;
        Ok(Self(Arc::new(Inner { config, transport })))
    }

    /// Reads the system's certificate authorities now, not when they are needed first: for those
    /// who are about to give up the files that they lie in. Opens no socket.
    ///
    /// # Errors
    /// [`Error::Setting`] when they cannot be read; a request that needs them says so too.
    pub async fn read_certificates(&self) -> Result<(), Error> {
        self.0.transport.tls().await.map(drop)
    }

    /// Whether a request that one of these permissions allows is checked with certificates: it is
    /// by `https`, and the user has not put a mirror in its place that is not.
    pub fn needs_certificates(&self, permissions: &Permissions) -> bool {
        let config = self.config();
        let plain = |permission: &Permission| {
            let mut mirrors = config.mirrors.iter();
            let mirror = mirrors.find(|mirror| permission.is_just(&mirror.from));
            mirror.is_some_and(|mirror| mirror.to.scheme() == "http")
        };
        let mut secured = permissions.iter().filter(|p| p.is_https());
        !config.offline && secured.any(|permission| !plain(permission))
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Fetches a small document into memory, with retries.
    ///
    /// # Errors
    /// Every [`Error`] but those of files; [`Error::TooLarge`] past `max_bytes`.
    pub async fn get(
        &self,
        request: &Request,
        access: &Access<'_>,
        max_bytes: u64,
    ) -> Result<Response, Error> {
        let mut recorder = Recorder::new(access.audit, &request.url);
        let result = self
            .get_recorded(request, access, max_bytes, &mut recorder)
            .await;
        recorder.finish(result.as_ref().err(), None);
        result
    }

    /// Fetches a file, with retries, and goes on where an earlier call stopped. See [`Download`].
    ///
    /// # Errors
    /// Every [`Error`]. Nothing is at [`Download::into`] then that was not there before.
    pub async fn download(
        &self,
        request: &Request,
        access: &Access<'_>,
        what: &Download<'_>,
    ) -> Result<Downloaded, Error> {
        let mut recorder = Recorder::new(access.audit, &request.url);
        let result = download(self, request, access, what, &mut recorder).await;
        let digest = result.as_ref().ok().map(|done| hex::encode(done.sha256));
        recorder.finish(result.as_ref().err(), digest);
        result
    }

    async fn get_recorded(
        &self,
        request: &Request,
        access: &Access<'_>,
        max_bytes: u64,
        recorder: &mut Recorder<'_>,
    ) -> Result<Response, Error> {
        let limit = self.config().document_timeout;
        let exchange = Exchange::new(self, request, access, false, limit)?;
        let mut retries = Retries::new(self.config());
        loop {
            match get_once(&exchange, max_bytes, recorder).await {
                Ok(response) => return Ok(response),
                Err(error) => retries.pause(error, exchange.deadline).await?,
            }
        }
    }
}

async fn get_once(
    exchange: &Exchange<'_>,
    max_bytes: u64,
    recorder: &mut Recorder<'_>,
) -> Result<Response, Error> {
    let response = exchange.send(&HeaderMap::new(), recorder).await?;
    let status = response.http.status();
    if !status.is_success() {
        return Err(status_error(&response));
    }
    let headers = response.http.headers();
    let too_large = |url: &Url| Error::TooLarge {
        url: redact(url),
        what: "body",
        limit: max_bytes,
    };
    if let Some(encoding) = headers::encoding(headers) {
        return Err(Error::Encoded {
            url: redact(&response.url),
            encoding: encoding.to_owned(),
        });
    }
    if response
        .http
        .content_length()
        .is_some_and(|length| length > max_bytes)
    {
        return Err(too_large(&response.url));
    }
    let headers = headers::read_answer(headers);
    let mut body = Body::new(response, exchange.config(), exchange.deadline);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await? {
        recorder.bytes(body.received);
        if body.received > max_bytes {
            return Err(too_large(body.url()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Response {
        status: status.as_u16(),
        headers,
        body: bytes.freeze(),
        final_url: without_query(body.url()),
    })
}

/// A URL that can be kept: what could be a token is gone.
pub(crate) fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}
