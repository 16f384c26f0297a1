//! Writing the log.

use std::path::PathBuf;

use modelzoo_net::RequestRecord;
use serde::Serialize;
use serde_json::Value;

use super::files;
use crate::reference::SourceId;
use crate::store::layout::Store;
use crate::store::outcome::RegisterOutcome;
use crate::store::receipt::Receipt;

/// Writes the records of one source.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    path: PathBuf,
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
/// The longest string of a record, in bytes: error messages are shorter.
const MAX_TEXT: usize = 4 << 10;
/// The longest string in a list or an object of a record, in bytes: the origin of a URL is
/// shorter.
const MAX_INNER_TEXT: usize = 320;

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
        let line = Line {
            time: now(),
            source: &self.source,
            model: self.model.as_deref(),
            event,
        };
        let written = serde_json::to_value(&line)
            .and_then(|mut value| {
                shorten(&mut value);
                serde_json::to_string(&value)
            })
            .map_err(std::io::Error::from)
            .and_then(|text| files::append(&self.path, &text));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "cannot write the audit log");
        }
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

/// Truncates strings that are longer than any legitimate one.
fn shorten(record: &mut Value) {
    fn cut(value: &mut Value, max: usize) {
        match value {
            Value::String(text) if text.len() > max => {
                text.truncate(text.floor_char_boundary(max));
                text.push('…');
            }
            Value::Array(items) => items.iter_mut().for_each(|v| cut(v, MAX_INNER_TEXT)),
            Value::Object(fields) => fields.values_mut().for_each(|v| cut(v, MAX_INNER_TEXT)),
            _ => {}
        }
    }
    if let Value::Object(fields) = record {
        fields.values_mut().for_each(|value| cut(value, MAX_TEXT));
    }
}

/// The time, as RFC 3339 in UTC, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Second)
        .unwrap_or_else(|_| jiff::Timestamp::now())
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_are_cut_and_origins_kept() {
        let url = format!("https://{}.example/{}", "a".repeat(200), "ä".repeat(5000));
        let mut record = serde_json::json!({
            "reason": "ä".repeat(5000),
            "hops": [{ "url": url, "status": 200 }],
            "bytes": 7,
        });
        shorten(&mut record);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(text(&record["reason"]).len(), MAX_TEXT + '…'.len_utf8());
        let url = text(&record["hops"][0]["url"]);
        assert!(url.contains(".example/") && url.len() < 520, "{url}");
        assert_eq!(record["bytes"], 7);
    }
}
