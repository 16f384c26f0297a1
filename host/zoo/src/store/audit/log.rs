//! Writing the log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use modelzoo_net::RequestRecord;
use serde::Serialize;

use super::bound::bounded;
use super::files::{self, SHARE};
use super::shares::Shares;
use crate::reference::SourceId;
use crate::store::layout::Store;
use crate::store::outcome::RegisterOutcome;
use crate::store::receipt::Receipt;

/// Writes the records of one source.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    path: PathBuf,
    shares: Arc<Shares>,
    source: SourceId,
    model: Option<String>,
    call: Option<Call>,
}

/// A call of a hook, on whose behalf requests are made.
#[derive(Debug, Clone)]
struct Call {
    hook: &'static str,
    /// Distinguishes calls.
    id: String,
}

/// The name of the host where a hook could be named.
pub(super) const HOST: &str = "host";
/// What a record is about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(crate) enum Event<'a> {
    /// Permissions were granted to a source.
    Granted { permissions: &'a [String] },
    /// Permissions were asked for and not granted.
    Withheld { permissions: &'a [String] },
    /// A request was made, or refused.
    Request {
        /// The hook that asked for it, or `host`.
        by: &'a str,
        /// The call of the hook.
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<&'a str>,
        #[serde(flatten)]
        record: &'a RequestRecord,
    },
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
    /// A source was imported from a bundle.
    Imported {
        bundle: &'a str,
        #[serde(flatten)]
        outcome: &'a RegisterOutcome,
        tree: &'a str,
    },
    /// An operation was refused.
    Refused { reason: &'a str },
    /// A source, or the files of a model, were deleted.
    Deleted,
    /// A hook failed.
    HookFailed { hook: &'a str, reason: &'a str },
    /// So many earlier records of the source are gone.
    Cut { records: u64 },
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

impl Store {
    /// The audit log, for records of a source and perhaps one of its models.
    pub(crate) fn audit_log(&self, source: &SourceId, model: Option<String>) -> AuditLog {
        AuditLog {
            path: self.audit_path(),
            shares: self.shares(),
            source: source.clone(),
            model,
            call: None,
        }
    }
}

impl AuditLog {
    /// The log for one call of a hook: the requests are its own, not the host's.
    pub(crate) fn for_call(&self, hook: &'static str) -> Self {
        let moment = jiff::Timestamp::now().as_nanosecond();
        Self {
            call: Some(Call {
                hook,
                id: format!("{moment:x}-{:x}", std::process::id()),
            }),
            ..self.clone()
        }
    }

    /// Records why an operation was refused.
    pub(crate) fn refused(&self, error: &crate::error::Error) {
        self.record(&Event::Refused {
            reason: &error.to_string(),
        });
    }

    /// Records the files that were written for a model.
    pub(crate) fn record_files(&self, receipt: &Receipt) {
        for file in &receipt.files {
            self.record(&Event::File {
                name: file.name.as_ref(),
                size: file.size,
                sha256: &file.sha256,
            });
        }
    }

    /// Appends one line. If the log cannot be written, a warning says so.
    pub(crate) fn record(&self, event: &Event<'_>) {
        if let Err(error) = self.append(event) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write the audit log");
        }
    }

    fn append(&self, event: &Event<'_>) -> io::Result<()> {
        let text = self.line(event)?;
        let taken = self.shares.taken(&self.path, text.as_bytes())?;
        match taken.saturating_add(text.len() as u64) > SHARE {
            false => files::append(&self.path, &text),
            true => files::append_own(&self.path, &self.source.key(), &text, |records| {
                self.line(&Event::Cut { records })
            }),
        }
    }

    fn line(&self, event: &Event<'_>) -> io::Result<String> {
        let line = Line {
            time: now(),
            source: &self.source,
            model: self.model.as_deref(),
            event,
        };
        bounded(serde_json::to_value(&line)?)
    }
}

impl modelzoo_net::Audit for AuditLog {
    fn request(&self, record: &RequestRecord) {
        let call = self.call.as_ref();
        self.record(&Event::Request {
            by: call.map_or(HOST, |call| call.hook),
            call: call.map(|call| call.id.as_str()),
            record,
        });
    }
}

/// The time, as RFC 3339 in UTC, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_else(|_| jiff::Timestamp::now())
        .to_string()
}
