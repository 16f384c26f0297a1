//! The store: what is kept on disk, and how it is checked.
//!
//! `layout` says where files are and how they become visible at once; `lock` says what is
//! registered and what is pinned, `snapshot` holds the files of a source, `receipt` says what is
//! downloaded and `maker` what it belongs to, `record` and `catalog` put manifests, lock and
//! receipts together. `audit` is the log of
//! what happened; `usage`, `garbage` and `verify` look at what is there.
//!
//! What is being made lies in a `work` directory, whose owner (a `process`) others can see. The
//! holder of the `exclusive` lock lets it appear: `publish`.

pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod checks;
mod exclusive;
pub(crate) mod exposure;
pub(crate) mod files;
pub(crate) mod garbage;
pub(crate) mod in_use;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod locked;
pub(crate) mod maker;
pub(crate) mod outcome;
pub(crate) mod pin;
mod process;
mod publish;
pub(crate) mod read_only;
pub(crate) mod receipt;
pub(crate) mod record;
mod seal;
pub(crate) mod snapshot;
pub(crate) mod usage;
pub(crate) mod verify;
mod work;

pub(crate) use layout::{Store, create_dir_all, free_bytes, sync_tree};
pub(crate) use work::WorkDir;

pub use audit::{
    AuditReport, BadDate, Denied, Failed, Narrower, Needed, OriginUse, Since, SourceAudit,
};
pub use checks::age_of;
pub use exposure::Exposure;
pub use garbage::Garbage;
pub use locked::LockedSource;
pub use outcome::{Changes, RegisterOutcome};
pub use pin::FileChange;
pub use receipt::{Receipt, ReceiptFile};
pub use record::{ModelRecord, StoredModel};
pub use usage::Usage;
pub use verify::{Verified, VerifiedKind};
