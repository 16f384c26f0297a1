//! `modelzoo:source/fetch`: the network, as far as the user granted it.
//!
//! See `wit/v0.1/fetch.wit`. `modelzoo-net` has the policy and the transfer; this module counts
//! requests and bytes, and puts downloads into the staging directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use modelzoo_archive::RelPath;
use modelzoo_net as net;
use wasmtime::component::{HasData, Linker};

use super::artifacts::{Staging, answer, parse};
use super::bindings::fetch::{self as wit, add_to_linker as link};
use super::types::{self, HostError, Refusal, TypesView};
use crate::events::EventSender;
use crate::limits::ERROR_BYTES;
use crate::limits::Limits;
use crate::limits::budget::Budget;
use crate::limits::stop::{Activity, Limit};
use modelzoo_base::text::excerpt;

/// The most bytes of a response to `get`; part of the interface, and therefore not a setting.
const GET_BYTES: u64 = 16 << 20;

/// The network of one hook call.
pub(crate) struct FetchCtx {
    client: net::Client,
    permissions: net::policy::Permissions,
    use_credentials: bool,
    partials: Option<PathBuf>,
    audit: Arc<ByteCounter>,
    progress: Arc<EventSender>,
    /// The limit of bytes that the call may fetch, and what is left of it.
    bytes: Option<(u64, u64)>,
    /// The limit of requests, and what is left of it.
    requests: (u32, u32),
}

impl FetchCtx {
    /// Requests that go through `client` and need `permissions`; `events` reports them.
    pub(crate) fn new(
        client: net::Client,
        permissions: net::policy::Permissions,
        limits: &Limits,
        events: &Arc<EventSender>,
    ) -> Self {
        Self {
            client,
            permissions,
            use_credentials: false,
            partials: None,
            audit: Arc::new(ByteCounter {
                inner: events.clone(),
                bytes: AtomicU64::new(0),
            }),
            progress: events.clone(),
            bytes: None,
            requests: (limits.requests, limits.requests),
        }
    }

    /// Sends the client's credentials, each to its own origin.
    pub(crate) fn use_credentials(mut self, use_credentials: bool) -> Self {
        self.use_credentials = use_credentials;
        self
    }

    /// Keeps interrupted downloads in this directory, to resume them.
    pub(crate) fn partials(mut self, directory: Option<PathBuf>) -> Self {
        self.partials = directory;
        self
    }

    /// Limits the bytes of all responses together.
    pub(crate) fn max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.bytes = bytes.map(|max| (max, max));
        self
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
    fn count_request(&mut self) -> Result<(), Refusal> {
        let (limit, left) = &mut self.requests;
        *left = left
            .checked_sub(1)
            .ok_or_else(|| Refusal::limit(Limit::Requests, (*limit).into()))?;
        Ok(())
    }

    /// The most bytes of a response, where another limit, `limit` with value `max`, leaves `room`.
    fn cap(&self, room: u64, limit: Limit, max: u64) -> Cap {
        match self.bytes {
            Some((max, left)) if left < room => Cap {
                bytes: left,
                limit: Limit::DownloadBytes,
                max,
            },
            Some(_) | None => Cap {
                bytes: room,
                limit,
                max,
            },
        }
    }

    /// Subtracts the bytes of the last request, whether it succeeded or not.
    fn count_bytes(&mut self) {
        let bytes = self.audit.bytes.swap(0, Ordering::Relaxed);
        if let Some((_, left)) = &mut self.bytes {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// Passes records on, and adds up the bytes.
struct ByteCounter {
    inner: Arc<EventSender>,
    bytes: AtomicU64,
}

impl net::Audit for ByteCounter {
    fn request(&self, record: &net::RequestRecord) {
        self.bytes.fetch_add(record.bytes, Ordering::Relaxed);
        self.inner.request(record);
    }
}

/// The most bytes of a response, and the limit that sets them.
#[derive(Clone, Copy)]
struct Cap {
    bytes: u64,
    limit: Limit,
    max: u64,
}

/// The network of a guest, borrowed for one call.
pub(crate) struct FetchView<'a> {
    pub(crate) ctx: &'a mut FetchCtx,
    pub(crate) staging: &'a mut Staging,
    pub(crate) budget: &'a Arc<Budget>,
    pub(crate) types: TypesView<'a>,
}

impl wit::Host for FetchView<'_> {
    async fn get(&mut self, request: wit::Request) -> Result<wit::Response, HostError> {
        let _charge = self.budget.charge(Activity::Network)?;
        Ok(get(self.ctx, request).await?)
    }

    async fn download(
        &mut self,
        request: wit::Request,
        into: String,
        expect: wit::Expectation,
    ) -> Result<types::Artifact, HostError> {
        let _charge = self.budget.charge(Activity::Network)?;
        Ok(download(self.ctx, self.staging, request, &into, &expect).await?)
    }
}

impl types::Host for FetchView<'_> {
    fn convert_error(&mut self, error: HostError) -> wasmtime::Result<types::Error> {
        types::Host::convert_error(&mut self.types, error)
    }
}

/// [`FetchView`] for a linker.
struct HasFetch;

impl HasData for HasFetch {
    type Data<'a> = FetchView<'a>;
}

/// Adds `modelzoo:source/fetch` to a linker.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> FetchView<'_>,
) -> wasmtime::Result<()> {
    link::<_, HasFetch>(linker, view)
}

async fn get(ctx: &mut FetchCtx, request: wit::Request) -> Result<wit::Response, Refusal> {
    let request = request_of(request);
    ctx.count_request()?;
    let (most, max_download) = match ctx.bytes {
        Some((max, left)) if left < GET_BYTES => (left, Some(max)),
        Some(_) | None => (GET_BYTES, None),
    };
    let got = ctx.client.get(&request, &ctx.access(), most).await;
    ctx.count_bytes();
    let response = got.map_err(|e| match (&e, max_download) {
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

async fn download(
    ctx: &mut FetchCtx,
    staging: &mut Staging,
    request: wit::Request,
    into: &str,
    expect: &wit::Expectation,
) -> Result<types::Artifact, Refusal> {
    let name = parse(into)?;
    let request = request_of(request);
    let digest = expect.sha256.as_deref().map(parse_digest).transpose()?;
    if let (Some(have), Some(want)) = (staging.get(&name), expect.sha256.as_deref())
        && have.sha256 == want
        && expect.size.is_none_or(|size| size == have.size)
    {
        return Ok(answer(have));
    }
    staging.check(&name, expect.size.unwrap_or(0))?;
    ctx.count_request()?;
    let cap = ctx.cap(
        staging.room(&name),
        Limit::StagingBytes,
        staging.max_bytes(),
    );
    if expect.size.is_some_and(|size| size > cap.bytes) {
        return Err(Refusal::limit(cap.limit, cap.max));
    }
    // Into a temporary file first: an interrupted download leaves the existing artifact alone.
    let temporary = staging
        .temporary()
        .map_err(|e| Refusal::io(format_args!("cannot create `{name}`"), &e))?
        .into_temp_path();
    let job = net::Download {
        into: &temporary,
        partials: ctx.partials.as_deref(),
        label: name.as_ref(),
        max_bytes: cap.bytes,
        expect_sha256: digest,
        expect_size: expect.size,
        // What servers send where a login is missing; a digest detects that by itself.
        refuse_html: digest.is_none() && !is_page(&name),
    };
    let got = ctx.client.download(&request, &ctx.access(), &job).await;
    ctx.count_bytes();
    let done = got.map_err(|e| match e {
        net::Error::TooLarge { what: "body", .. } => Refusal::limit(cap.limit, cap.max),
        e => refused(e),
    })?;
    let artifact = staging.adopt(temporary, &name, done.size, done.sha256)?;
    Ok(answer(artifact))
}

fn is_page(name: &RelPath) -> bool {
    let name = name.file_name().to_ascii_lowercase();
    name.ends_with(".html") || name.ends_with(".htm")
}

/// The client checks the URL and the header fields.
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
            "`{}` is not a SHA-256 digest of 64 lower-case hexadecimal digits",
            excerpt(text, 80)
        ))),
    }
}

/// The guest's error when there is no response; without paths of the host.
fn refused(error: net::Error) -> Refusal {
    use net::Error as Net;
    let text = excerpt(&error.to_string(), ERROR_BYTES);
    let guest_error = match &error {
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
        Net::Offline { .. }
        | Net::Resolve { .. }
        | Net::Connect { .. }
        | Net::Proxy { .. }
        | Net::Tls { .. }
        | Net::Timeout { .. }
        | Net::Encoded { .. }
        | Net::Interrupted { .. }
        | Net::Protocol { .. } => types::Error::Network(text),
    };
    Refusal::new(guest_error).with_remedy(error.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_lower_case_digests_are_accepted() {
        let good = "0f".repeat(32);
        assert_eq!(parse_digest(&good).unwrap(), [0x0f; 32]);
        assert!(parse_digest(&good.to_uppercase()).is_err());
        assert!(parse_digest(&good[1..]).is_err());
        assert!(parse_digest(&format!("{good}00")).is_err());
        assert!(parse_digest("").is_err());
    }
}
