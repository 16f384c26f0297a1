//! The audit log: one JSON line per grant, denial and request, in `audit.jsonl` of the store.
//!
//! The log is bounded (`files`): a source whose hooks make many requests must not fill the disk, and
//! must not push all other records out of the log with a few long lines.

mod files;
mod log;
mod record;
mod report;
mod tally;

pub(crate) use self::log::{AuditLog, Event, now};
pub use self::report::{AuditReport, BadDate, Since};
pub(crate) use self::tally::Mirrors;
pub use self::tally::{Denied, Failed, Narrower, Needed, OriginUse, SourceAudit};
