//! What was asked of the network, and what became of it.

use serde::Serialize;

use crate::error::Error;

/// Is told about every request once, when it has ended, also when it was refused or cancelled.
pub trait Audit: Send + Sync {
    /// One request has ended.
    fn request(&self, record: &RequestRecord);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

impl Audit for NoAudit {
    fn request(&self, _record: &RequestRecord) {}
}

/// One request with everything that it led to. URLs carry no query and no user name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// The method; `GET`.
    pub method: &'static str,
    /// The URL that was asked for.
    pub url: String,
    /// Every request that was sent for it, redirects and retries included, in order.
    pub hops: Vec<Hop>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The length of the response in bytes, as far as it came.
    pub bytes: u64,
    /// The digest of the response, when it was a complete download; lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One request on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where it went.
    pub url: String,
    /// The status of the response; `None` when there was none.
    pub status: Option<u16>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The response is there.
    Ok,
    /// A rule forbids it.
    Denied,
    /// It was tried, and something went wrong, or it was cancelled.
    Failed,
}

/// Writes the record of one request, whatever way its future ends.
pub(crate) struct Recorder<'a> {
    audit: &'a dyn Audit,
    record: Option<RequestRecord>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(audit: &'a dyn Audit, url: &str) -> Self {
        Self {
            audit,
            record: Some(RequestRecord {
                method: "GET",
                url: crate::policy::redact_text(url),
                hops: Vec::new(),
                outcome: Outcome::Failed,
                reason: Some("cancelled".to_owned()),
                bytes: 0,
                sha256: None,
            }),
        }
    }

    pub(crate) fn hop(&mut self, url: String) {
        if let Some(record) = &mut self.record {
            record.hops.push(Hop { url, status: None });
        }
    }

    /// The last hop was refused when its name was looked up, and nothing was sent.
    pub(crate) fn not_sent(&mut self) {
        if let Some(record) = &mut self.record {
            record.hops.pop();
        }
    }

    pub(crate) fn status(&mut self, status: u16) {
        if let Some(hop) = self.record.as_mut().and_then(|r| r.hops.last_mut()) {
            hop.status = Some(status);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.bytes = bytes;
        }
    }

    /// Writes the record of a request that ended by itself.
    pub(crate) fn finish(mut self, error: Option<&Error>, sha256: Option<String>) {
        if let Some(mut record) = self.record.take() {
            record.outcome = match error {
                None => Outcome::Ok,
                Some(Error::Refused(_) | Error::Offline { .. }) => Outcome::Denied,
                Some(_) => Outcome::Failed,
            };
            record.reason = error.map(Error::to_string);
            record.sha256 = sha256;
            self.audit.request(&record);
        }
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            self.audit.request(&record);
        }
    }
}
