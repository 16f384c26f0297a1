//! The audit log: one JSON line per grant, denial and request, in `audit.jsonl` of the store.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use modelzoo_net::RequestRecord;
use serde::Serialize;

use crate::reference::SourceId;
use crate::register::RegisterOutcome;

/// Writes the records of one source.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    path: PathBuf,
    source: SourceId,
    model: Option<String>,
}

/// What a record is about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(crate) enum Event<'a> {
    /// Permissions were given to a source.
    Granted { permissions: &'a [String] },
    /// Permissions were asked for and not given.
    Withheld { permissions: &'a [String] },
    /// A request was made, or refused.
    Request(&'a RequestRecord),
    /// A file was written for a model.
    File {
        name: &'a str,
        size: u64,
        sha256: &'a str,
    },
    /// A source was registered, replaced, or found to be the same.
    Registered {
        #[serde(flatten)]
        outcome: &'a RegisterOutcome,
        tree: &'a str,
    },
    /// A source was brought by a bundle.
    Imported {
        bundle: &'a str,
        #[serde(flatten)]
        outcome: &'a RegisterOutcome,
        tree: &'a str,
    },
    /// Something was not done.
    Refused { reason: &'a str },
    /// A source, or what was downloaded of a model, was deleted.
    Deleted,
    /// A hook ended without success.
    HookFailed { hook: &'a str, reason: &'a str },
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    source: &'a SourceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf, source: SourceId, model: Option<String>) -> Self {
        Self {
            path,
            source,
            model,
        }
    }

    /// Appends one line. A log that cannot be written is reported, and stops nothing.
    pub(crate) fn record(&self, event: &Event<'_>) {
        let line = Line {
            time: now(),
            source: &self.source,
            model: self.model.as_deref(),
            event,
        };
        let written = serde_json::to_string(&line)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                if let Some(dir) = self.path.parent() {
                    std::fs::create_dir_all(dir)?;
                }
                // One write of a whole line: lines of several processes do not mix.
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?
                    .write_all(format!("{text}\n").as_bytes())
            });
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "cannot write the audit log");
        }
    }
}

impl modelzoo_net::Audit for AuditLog {
    fn request(&self, record: &RequestRecord) {
        self.record(&Event::Request(record));
    }
}

/// The time, as RFC 3339 in UTC, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_else(|_| jiff::Timestamp::now())
        .to_string()
}
