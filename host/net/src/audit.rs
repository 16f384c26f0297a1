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
    /// How many more were sent, to servers that are among those: a server that answers in parts,
    /// each after redirects, decides how many there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_hops: u64,
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The hops of a record up to which all are kept, and the bytes of their URLs.
const MAX_HOPS: usize = 64;
const MAX_URLS: usize = 64 << 10;

impl RequestRecord {
    /// Keeps a hop; once there are many, only the origins that are new. Returns whether it is kept.
    fn keep(&mut self, mut hop: Hop) -> bool {
        let bytes: usize = self.hops.iter().map(Hop::bytes).sum();
        let is_full = self.hops.len() >= MAX_HOPS || bytes + hop.bytes() > MAX_URLS;
        if is_full {
            hop.url = origin(&hop.url).to_owned();
            hop.mirrored = hop.mirrored.map(|url| origin(&url).to_owned());
            let is_known = self
                .hops
                .iter()
                .any(|known| known.origins() == hop.origins());
            if is_known || self.hops.len() >= 2 * MAX_HOPS {
                self.more_hops += 1;
                return false;
            }
        }
        self.hops.push(hop);
        true
    }
}

/// The scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(start..).unwrap_or_default();
    let end = rest
        .find(['/', '?', '#'])
        .map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or(url)
}

/// One request on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Where it went.
    pub url: String,
    /// What it stands for, where the user's mirror was asked instead: that is what has to be
    /// granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<String>,
    /// The status of the response; `None` when there was none.
    pub status: Option<u16>,
}

impl Hop {
    /// The length of its URLs.
    fn bytes(&self) -> usize {
        self.url.len() + self.mirrored.as_ref().map_or(0, String::len)
    }

    /// Where it went, and what that stands for.
    fn origins(&self) -> (&str, Option<&str>) {
        (origin(&self.url), self.mirrored.as_deref().map(origin))
    }
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
    /// Whether the last hop is among those of the record.
    kept: bool,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(audit: &'a dyn Audit, url: &str) -> Self {
        Self {
            audit,
            record: Some(RequestRecord {
                method: "GET",
                url: crate::policy::redact_text(url),
                hops: Vec::new(),
                more_hops: 0,
                outcome: Outcome::Failed,
                reason: Some("cancelled".to_owned()),
                bytes: 0,
                sha256: None,
            }),
            kept: false,
        }
    }

    pub(crate) fn hop(&mut self, url: String, mirrored: Option<String>) {
        if let Some(record) = &mut self.record {
            self.kept = record.keep(Hop {
                url,
                mirrored,
                status: None,
            });
        }
    }

    /// The last hop was refused when its name was looked up, and nothing was sent.
    pub(crate) fn not_sent(&mut self) {
        if let Some(record) = &mut self.record {
            match std::mem::take(&mut self.kept) {
                true => drop(record.hops.pop()),
                false => record.more_hops = record.more_hops.saturating_sub(1),
            }
        }
    }

    pub(crate) fn status(&mut self, status: u16) {
        if let Some(hop) = self.record.as_mut().and_then(|r| r.hops.last_mut())
            && self.kept
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_that_a_server_asks_for_are_bounded() {
        let mut recorder = Recorder::new(&NoAudit, "https://a.example/x");
        // Eight of them leave no room for another URL.
        let long = "x".repeat(MAX_URLS / 8 - 22);
        for number in 0..10_000 {
            recorder.hop(format!("https://a.example/{long}{number}"), None);
            recorder.status(206);
        }
        recorder.hop("https://b.example:8080/secret".to_owned(), None);
        recorder.status(200);
        recorder.hop("https://b.example:8080/again".to_owned(), None);
        recorder.status(404);
        recorder.hop("https://b.example:8080/refused".to_owned(), None);
        recorder.not_sent();
        let record = recorder.record.take().unwrap();
        let bytes: usize = record.hops.iter().map(|hop| hop.url.len()).sum();
        assert!(bytes <= MAX_URLS + 100, "{bytes}");
        let last = record.hops.last().unwrap();
        assert_eq!(last.url, "https://b.example:8080");
        assert_eq!(last.status, Some(200));
        let all = record.hops.len() as u64 + record.more_hops;
        assert_eq!(all, 10_002);
        let json = serde_json::to_vec(&record).unwrap();
        assert!(json.len() < 80 << 10, "{}", json.len());

        let mut recorder = Recorder::new(&NoAudit, "https://a.example/x");
        for number in 0..10_000 {
            recorder.hop(format!("https://{number}.example/"), None);
        }
        let record = recorder.record.take().unwrap();
        assert_eq!((record.hops.len(), record.more_hops), (128, 9872));
    }
}
