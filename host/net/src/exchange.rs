//! One request with its redirects: every hop is checked again.

use std::time::Duration;

use reqwest::Response as HttpResponse;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::audit::Recorder;
use crate::client::{Access, Client, Request};
use crate::config::Config;
use crate::error::{Error, TimeoutKind};
use crate::headers;
use crate::policy::{Grants, Origin, Refusal, Rules, check, join_url, parse_url, redact};
use crate::transport::MAX_HEADERS;

/// A checked request, which may be sent several times.
pub(crate) struct Exchange<'a> {
    client: &'a Client,
    access: &'a Access<'a>,
    /// The requested URL.
    pub(crate) url: Url,
    headers: HeaderMap,
    /// Whether the bytes will be checked against a digest.
    digest: bool,
    pub(crate) deadline: Deadline,
}

/// The deadline of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

/// A final response: one that is not a redirect.
pub(crate) struct FinalResponse {
    pub(crate) http: HttpResponse,
    /// Where it came from.
    pub(crate) url: Url,
}

/// Where the next request goes.
struct Target {
    url: Url,
    /// What the URL stands for, if it is at a mirror that the user chose.
    mirrored: Option<Url>,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let far = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        Self {
            at: Instant::now() + limit.min(far),
            limit,
        }
    }

    pub(crate) fn error(&self, url: &Url) -> Error {
        Error::Timeout {
            url: redact(url),
            kind: TimeoutKind::Total,
            limit: self.limit,
        }
    }

    /// Waits for `future` until `limit` from now, or until the deadline.
    pub(crate) async fn wait<T>(
        &self,
        future: impl Future<Output = T>,
        limit: Duration,
        url: &Url,
        kind: TimeoutKind,
    ) -> Result<T, Error> {
        let soon = Instant::now() + limit;
        match timeout_at(soon.min(self.at), future).await {
            Ok(value) => Ok(value),
            Err(_) if soon >= self.at => Err(self.error(url)),
            Err(_) => Err(Error::Timeout {
                url: redact(url),
                kind,
                limit,
            }),
        }
    }

    /// Sleeps, unless the deadline comes before the end of it.
    pub(crate) async fn sleep(&self, pause: Duration) -> bool {
        if Instant::now() + pause >= self.at {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

impl<'a> Exchange<'a> {
    /// Reads a request and decides about it. No network access.
    pub(crate) fn new(
        client: &'a Client,
        request: &Request,
        access: &'a Access<'a>,
        digest: bool,
        limit: Duration,
    ) -> Result<Self, Error> {
        let exchange = Self {
            client,
            access,
            url: parse_url(&request.url)?,
            headers: headers::read_request(&request.headers)?,
            digest,
            deadline: Deadline::after(limit),
        };
        exchange.check(&exchange.url)?;
        if exchange.config().offline {
            return Err(Error::Offline {
                url: redact(&exchange.url),
            });
        }
        Ok(exchange)
    }

    pub(crate) fn config(&self) -> &'a Config {
        self.client.config()
    }

    fn check(&self, url: &Url) -> Result<(), Refusal> {
        let rules = Rules {
            grants: self.access.grants,
            exceptions: &self.config().private,
            digest: self.digest,
        };
        check(url, &rules)
    }

    /// Sends the request and follows its redirects. `extra` are the client's own header fields,
    /// sent at every hop. The response can have any status but that of a redirect.
    pub(crate) async fn send(
        &self,
        extra: &HeaderMap,
        recorder: &mut Recorder<'_>,
    ) -> Result<FinalResponse, Error> {
        let mut target = self.mirrored(self.url.clone());
        let mut same_origin = true;
        let mut from = None;
        for _ in 0..=self.config().max_redirects {
            same_origin &= Origin::of(&target.url) == Origin::of(&self.url);
            let sent = self.send_once(&target, same_origin, extra, recorder).await;
            let response = sent.map_err(|error| blame(error, from.as_deref()))?;
            if headers::size(response.headers()) > MAX_HEADERS {
                return Err(Error::TooLarge {
                    url: redact(&target.url),
                    what: "header section",
                    limit: MAX_HEADERS as u64,
                });
            }
            let Some(location) = redirect(&response) else {
                return Ok(FinalResponse {
                    http: response,
                    url: target.url,
                });
            };
            let redirecting = redact(&target.url);
            target = self
                .follow(&target, &location)
                .map_err(|refusal| blame(refusal.into(), Some(&redirecting)))?;
            from = Some(redirecting);
        }
        Err(Refusal::TooManyRedirects {
            url: redact(&self.url),
            limit: self.config().max_redirects,
        }
        .into())
    }

    async fn send_once(
        &self,
        target: &Target,
        same_origin: bool,
        extra: &HeaderMap,
        recorder: &mut Recorder<'_>,
    ) -> Result<HttpResponse, Error> {
        let transport = self.client.transport();
        let client = transport
            .client(&target.url, target.mirrored.is_some())
            .await?;
        let mut headers = if same_origin {
            self.headers.clone()
        } else {
            headers::harmless(&self.headers)
        };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(extra.clone());
        self.add_credentials(&target.url, &mut headers)?;

        recorder.hop(redact(&target.url), target.mirrored.as_ref().map(redact));
        let config = self.config();
        // Connecting has its own, shorter limit inside of this one.
        let limit = config.connect_timeout.saturating_add(config.idle_timeout);
        let request = client.get(target.url.clone()).headers(headers).send();
        let response = self
            .deadline
            .wait(request, limit, &target.url, TimeoutKind::Idle)
            .await?
            .map_err(|error| transport.explain(error, &target.url))
            .inspect_err(|error| {
                if matches!(error, Error::Refused(_)) {
                    recorder.not_sent();
                }
            })?;
        let status = response.status().as_u16();
        recorder.status(status);
        let refused = (status == 407).then(|| transport.proxy_wants_login(&target.url));
        refused.flatten().map_or(Ok(response), Err)
    }

    /// Adds the credentials of exactly the origin that this hop goes to.
    fn add_credentials(&self, url: &Url, headers: &mut HeaderMap) -> Result<(), Error> {
        if !self.access.use_credentials {
            return Ok(());
        }
        let origin = Origin::of(url);
        for credential in &self.config().credentials {
            if Some(&credential.origin) != origin.as_ref() {
                continue;
            }
            let bad = |reason: &str| Error::Setting {
                setting: "credentials",
                reason: format!("{}: {reason}", credential.origin),
            };
            let name = HeaderName::from_bytes(credential.header.as_bytes())
                .map_err(|_| bad("the header has no valid name"))?;
            let mut value = HeaderValue::from_str(credential.value.expose())
                .map_err(|_| bad("the value holds control characters"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(())
    }

    /// Applies the user's mirrors to a URL that passed the rules.
    fn mirrored(&self, url: Url) -> Target {
        let mirrors = &self.config().mirrors;
        match mirrors.iter().find_map(|mirror| mirror.rewrite(&url)) {
            Some(at) => Target {
                url: at,
                mirrored: Some(url),
            },
            None => Target {
                url,
                mirrored: None,
            },
        }
    }

    /// Decides about a redirect.
    fn follow(&self, from: &Target, location: &str) -> Result<Target, Refusal> {
        let url = join_url(&from.url, location)?;
        if from.url.scheme() == "https" && url.scheme() != "https" {
            return Err(Refusal::Downgrade {
                from: redact(&from.url),
                to: redact(&url),
            });
        }
        // The user chose the mirror, so it may redirect within its own origin.
        if from.mirrored.is_some() && Origin::of(&url) == Origin::of(&from.url) {
            return Ok(Target {
                url,
                mirrored: from.mirrored.clone(),
            });
        }
        // The user's exceptions are for what the user names, or grants to a source. An untrusted
        // server must not choose among the private hosts.
        let named = |url: &Url| self.config().private.iter().any(|e| e.names(url));
        let asked = matches!(self.access.grants, Grants::UserAsked);
        if asked && named(&url) && !named(&from.url) && from.mirrored.is_none() {
            return Err(Refusal::Inward {
                from: redact(&from.url),
                to: redact(&url),
            });
        }
        self.check(&url)?;
        Ok(self.mirrored(url))
    }
}

/// Names the server whose redirect led to a refusal.
fn blame(error: Error, from: Option<&str>) -> Error {
    match (error, from) {
        (Error::Refused(refusal), Some(from))
            if !matches!(refusal, Refusal::Downgrade { .. } | Refusal::Inward { .. }) =>
        {
            Error::Refused(Refusal::Redirect {
                from: from.to_owned(),
                refusal: Box::new(refusal),
            })
        }
        (error, _) => error,
    }
}

/// Where a response redirects to. A redirect without a target is a response like any other.
fn redirect(response: &HttpResponse) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// The error that belongs to a response that is not a success.
pub(crate) fn status_error(response: &FinalResponse) -> Error {
    let headers = response.http.headers();
    Error::Status {
        url: redact(&response.url),
        status: response.http.status().as_u16(),
        retry_after: headers::retry_after(headers),
        rate_limit_reset: headers::rate_limit_reset(headers),
    }
}
