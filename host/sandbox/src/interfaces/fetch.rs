//! `modelzoo:source/fetch`: the network, as far as the user has granted it.
//!
//! See `wit/v0.1/fetch.wit`. The policy and the transfer are `modelzoo-net`'s; here are the
//! meters of the call, and the way of a download into the staging directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use modelzoo_archive::RelPath;
use modelzoo_base::text::excerpt;
use modelzoo_net as net;

use crate::events::Teller;
use crate::interfaces::artifacts::{answer, parse};
use crate::interfaces::bindings::source::fetch as wit;
use crate::interfaces::bindings::source::types;
use crate::interfaces::refusal::Refusal;
use crate::interfaces::state::{Download, State};
use crate::limits::ERROR_BYTES;
use crate::limits::budget::Activity;
use crate::limits::stop::Limit;
use crate::limits::{GET_BYTES, Limits};
use crate::session::DownloadCall;

/// What the WIT functions answer with.
type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

/// The network of one hook call.
pub(crate) struct Network {
    client: net::Client,
    permissions: net::policy::Permissions,
    use_credentials: bool,
    partials: Option<PathBuf>,
    audit: Arc<Meter>,
    progress: Arc<Teller>,
    /// The limit of bytes that the call may fetch, and what is left of it.
    bytes: Option<(u64, u64)>,
    /// The limit of requests, and what is left of it.
    requests: (u32, u32),
}

impl Network {
    /// The network as the call has it; `teller` is told of requests and downloads.
    pub(crate) fn new(call: &DownloadCall<'_>, limits: &Limits, teller: &Arc<Teller>) -> Self {
        Self {
            client: call.client.clone(),
            permissions: call.permissions.clone(),
            use_credentials: call.use_credentials,
            partials: call.partials.map(Into::into),
            audit: Arc::new(Meter {
                inner: teller.clone(),
                bytes: AtomicU64::new(0),
            }),
            progress: teller.clone(),
            bytes: call.max_download_bytes.map(|max| (max, max)),
            requests: (limits.requests, limits.requests),
        }
    }

    fn access(&self) -> net::Access<'_> {
        net::Access {
            grants: net::Grants::Only(&self.permissions),
            use_credentials: self.use_credentials,
            audit: &*self.audit,
            progress: &*self.progress,
        }
    }

    /// Counts a request.
    fn count(&mut self) -> Result<(), Refusal> {
        let (limit, left) = &mut self.requests;
        *left = left
            .checked_sub(1)
            .ok_or_else(|| Refusal::limit(Limit::Requests, (*limit).into()))?;
        Ok(())
    }

    /// What an answer may have, where `room` is what another limit leaves.
    fn cap(&self, room: u64, limit: Limit, max: u64) -> Cap {
        match self.bytes {
            Some((max, left)) if left < room => Cap {
                bytes: left,
                limit: Limit::DownloadBytes,
                max,
            },
            _ => Cap {
                bytes: room,
                limit,
                max,
            },
        }
    }

    /// Takes what the last request fetched off what is left, whether it ended well or not.
    fn spend(&mut self) {
        let bytes = self.audit.bytes.swap(0, Ordering::Relaxed);
        if let Some((_, left)) = &mut self.bytes {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// Passes records on, and adds the fetched bytes up.
struct Meter {
    inner: Arc<Teller>,
    bytes: AtomicU64,
}

impl net::Audit for Meter {
    fn request(&self, record: &net::RequestRecord) {
        self.bytes.fetch_add(record.bytes, Ordering::Relaxed);
        self.inner.request(record);
    }
}

/// How many bytes an answer may have, and which limit that is.
#[derive(Clone, Copy)]
struct Cap {
    bytes: u64,
    limit: Limit,
    max: u64,
}

impl wit::Host for State {
    async fn get(&mut self, request: wit::Request) -> Answer<wit::Response> {
        let _spending = self.spend_on(Activity::Network)?;
        let download = self.download("fetch")?;
        let result = get(download, request).await;
        Ok(download.answer(result))
    }

    async fn download(
        &mut self,
        request: wit::Request,
        into: String,
        expect: wit::Expectation,
    ) -> Answer<types::Artifact> {
        let _spending = self.spend_on(Activity::Network)?;
        let download = State::download(self, "fetch")?;
        let result = fetch(download, request, &into, &expect).await;
        Ok(download.answer(result))
    }
}

async fn get(download: &mut Download, request: wit::Request) -> Result<wit::Response, Refusal> {
    let request = request_of(request);
    let network = &mut download.network;
    network.count()?;
    let cap = match network.bytes {
        Some((max, left)) if left < GET_BYTES => (left, Some(max)),
        _ => (GET_BYTES, None),
    };
    let got = network.client.get(&request, &network.access(), cap.0).await;
    network.spend();
    let response = got.map_err(|e| match (&e, cap.1) {
        (net::Error::TooLarge { what: "body", .. }, Some(max)) => {
            Refusal::limit(Limit::DownloadBytes, max)
        }
        _ => refused(e),
    })?;
    Ok(wit::Response {
        status: response.status,
        headers: response.headers,
        body: response.body.to_vec(),
    })
}

async fn fetch(
    download: &mut Download,
    request: wit::Request,
    into: &str,
    expect: &wit::Expectation,
) -> Result<types::Artifact, Refusal> {
    let name = parse(into)?;
    let request = request_of(request);
    let digest = expect.sha256.as_deref().map(parse_digest).transpose()?;
    let Download {
        network, staging, ..
    } = download;
    if let (Some(have), Some(want)) = (staging.get(&name), expect.sha256.as_deref())
        && have.sha256 == want
        && expect.size.is_none_or(|size| size == have.size)
    {
        return Ok(answer(have));
    }
    staging.check(&name, expect.size.unwrap_or(0))?;
    network.count()?;
    let cap = network.cap(
        staging.room(&name),
        Limit::StagingBytes,
        staging.max_bytes(),
    );
    if expect.size.is_some_and(|size| size > cap.bytes) {
        return Err(Refusal::limit(cap.limit, cap.max));
    }
    // Beside its place first: what breaks off leaves the artifact that is there alone.
    let aside = staging
        .temporary()
        .map_err(|e| Refusal::io(format_args!("cannot make `{name}`"), &e))?
        .into_temp_path();
    let job = net::Download {
        into: &aside,
        partials: network.partials.as_deref(),
        label: name.as_ref(),
        max_bytes: cap.bytes,
        expect_sha256: digest,
        expect_size: expect.size,
        // What is answered where a login is missing; a digest tells that without asking.
        refuse_html: digest.is_none() && !is_page(&name),
    };
    let access = network.access();
    let got = network.client.download(&request, &access, &job).await;
    network.spend();
    let done = got.map_err(|e| match e {
        net::Error::TooLarge { what: "body", .. } => Refusal::limit(cap.limit, cap.max),
        e => refused(e),
    })?;
    let artifact = staging.adopt(aside, &name, done.size, done.sha256)?;
    Ok(answer(artifact))
}

fn is_page(name: &RelPath) -> bool {
    let name = name.file_name().to_ascii_lowercase();
    name.ends_with(".html") || name.ends_with(".htm")
}

/// The network's own client checks the URL and the header fields.
fn request_of(request: wit::Request) -> net::Request {
    net::Request {
        url: request.url,
        headers: request.headers,
    }
}

fn parse_digest(text: &str) -> Result<[u8; 32], Refusal> {
    let mut digest = [0; 32];
    let is_lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut digest) {
        Ok(()) if is_lower => Ok(digest),
        _ => Err(Refusal::invalid(format_args!(
            "`{}` is no SHA-256 digest of 64 lower-case hexadecimal digits",
            excerpt(text, 80)
        ))),
    }
}

/// What the guest is told when there is no answer; without the host's paths.
fn refused(error: net::Error) -> Refusal {
    use net::Error as Net;
    let text = excerpt(&error.to_string(), ERROR_BYTES);
    let told = match &error {
        Net::Refused(refusal) => match refusal.kind() {
            "url" | "header" => types::Error::InvalidInput(text),
            _ => types::Error::Denied(text),
        },
        Net::Status {
            status: 404 | 410, ..
        } => types::Error::NotFound(text),
        Net::Status { status, url, .. } => types::Error::Status(types::HttpFailure {
            status: *status,
            url: excerpt(url, ERROR_BYTES),
        }),
        Net::TooLarge { .. } => types::Error::Limit(text),
        Net::LengthMismatch { .. } | Net::DigestMismatch { .. } | Net::WebPage { .. } => {
            types::Error::Mismatch(text)
        }
        Net::Io { action, source, .. } => {
            return Refusal::io(
                format_args!("cannot {action} a file of the download"),
                source,
            );
        }
        Net::Setting { .. } => types::Error::Other(text),
        _ => types::Error::Network(text),
    };
    Refusal {
        remedy: error.remedy(),
        ..Refusal::new(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_lower_case_and_whole() {
        let good = "0f".repeat(32);
        assert_eq!(parse_digest(&good).unwrap(), [0x0f; 32]);
        assert!(parse_digest(&good.to_uppercase()).is_err());
        assert!(parse_digest(&good[1..]).is_err());
        assert!(parse_digest(&format!("{good}00")).is_err());
        assert!(parse_digest("").is_err());
    }
}
