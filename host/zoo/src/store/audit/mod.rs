//! The audit log: one JSON line per grant, denial and request, in `audit.jsonl` of the store.
//!
//! The log is bounded: a source whose hooks make many requests must not fill the disk, and must not
//! push the records of others out of the log. A record has a largest size (`bound`), a source takes a
//! share of a file at most (`shares`) and has further files of its own (`files`), and what is left out
//! is counted.

mod bound;
mod files;
mod log;
mod record;
mod report;
mod shares;
mod tally;

pub(crate) use self::log::{AuditLog, Event, now};
pub use self::report::{AuditReport, BadDate, Since};
pub(crate) use self::shares::Shares;
pub use self::tally::{Denied, Failed, Narrower, Needed, OriginUse, SourceAudit};
