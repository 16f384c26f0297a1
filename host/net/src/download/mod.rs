//! Downloads of files: streamed, hashed, limited, resumed, and published only when complete.

mod partial;
mod range;
mod sink;
mod transfer;

use std::path::Path;

use sha2::{Digest as _, Sha256};
use url::Url;

use crate::audit::Recorder;
use crate::client::{Access, Client, Request};
use crate::error::Error;
use crate::exchange::Exchange;
use transfer::Transfer;

/// What to do with the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// Where the complete file goes; its directory exists. An existing file is
    /// replaced.
    pub into: &'a Path,
    /// A directory on the same file system where unfinished downloads are kept, so that a later
    /// call resumes them. They are found by URL. Without one, nothing is kept.
    pub partials: Option<&'a Path>,
    /// The name under which progress is reported.
    pub label: &'a str,
    /// The largest size in bytes.
    pub max_bytes: u64,
    /// The digest that the bytes must have.
    pub expect_sha256: Option<[u8; 32]>,
    /// The length that the bytes must have.
    pub expect_size: Option<u64>,
    /// Refuse a web page: servers respond with one where a login is missing or a quota is used
    /// up.
    pub refuse_html: bool,
}

impl<'a> Download<'a> {
    /// A file of at most `max_bytes`, without expectations, that is not kept if it breaks off.
    pub fn new(into: &'a Path, label: &'a str, max_bytes: u64) -> Self {
        Self {
            into,
            partials: None,
            label,
            max_bytes,
            expect_sha256: None,
            expect_size: None,
            refuse_html: false,
        }
    }
}

/// A file that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: [u8; 32],
    /// Where it came from, after redirects and mirrors, without the query.
    pub final_url: Url,
    /// The `content-type` of the response.
    pub content_type: Option<String>,
    /// The `etag` of the response.
    pub etag: Option<String>,
}

/// [`Client::download`].
pub(crate) async fn download(
    client: &Client,
    request: &Request,
    access: &Access<'_>,
    what: &Download<'_>,
    recorder: &mut Recorder<'_>,
) -> Result<Downloaded, Error> {
    let digest = what.expect_sha256.is_some();
    let limit = client.config().total_timeout;
    let exchange = Exchange::new(client, request, access, digest, limit)?;
    let key = hex::encode(Sha256::digest(exchange.url.as_str()));
    let task = access.progress.start(what.label, what.expect_size);
    let mut transfer = Transfer::open(exchange, what, task, &key).await?;
    match transfer.run(recorder).await {
        // The bytes of an earlier process may be at fault: try again from the start.
        Err(error) if transfer.inherited() && is_spoilt(&error) => {
            tracing::info!(%error, "starting the download again");
            transfer.restart().await?;
        }
        result => return transfer.end(result).await,
    }
    let result = transfer.run(recorder).await;
    transfer.end(result).await
}

/// Whether the bytes that are there are useless.
pub(crate) fn is_spoilt(error: &Error) -> bool {
    matches!(
        error,
        Error::DigestMismatch { .. }
            | Error::LengthMismatch { .. }
            | Error::TooLarge { .. }
            | Error::WebPage { .. }
            | Error::Encoded { .. }
    )
}
