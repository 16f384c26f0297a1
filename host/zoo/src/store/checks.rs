//! When a source was last checked for changes at its origin.
//!
//! A host that is kept from showing a new version looks like one that has none; only the age of
//! the last check tells them apart. The times are not in the lock: the lock says what is
//! registered, users keep and compare it, and a check must not change it.
//!
//! One file per source, `checks/<source-key>`, holds one time. If it cannot be written, the command
//! goes on.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::audit::now;
use super::files::read_capped;
use super::layout::{Store, write_atomic};
use super::locked::LockedSource;
use crate::reference::SourceId;

/// The longest note, in bytes.
const MAX_NOTE: u64 = 64;

impl Store {
    /// Notes that a source was checked now.
    pub(crate) fn note_check(&self, id: &SourceId) {
        let written = write_atomic(&self.check_path(id), now().as_bytes());
        if let Err(error) = written {
            tracing::debug!("when {id} was checked is not noted: {error}");
        }
    }

    /// When a source was last checked: when it was registered, or later (RFC 3339, UTC). `None` if
    /// it came with a bundle and was not compared with its origin since.
    pub(crate) fn last_check(&self, locked: &LockedSource) -> Option<String> {
        if locked.imported {
            return None;
        }
        let registered = &locked.registered;
        let noted = read_capped(&self.check_path(&locked.id), MAX_NOTE)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<Timestamp>().ok());
        Some(match (noted, registered.parse::<Timestamp>()) {
            (Some(noted), Ok(at)) if noted > at => noted.to_string(),
            _ => registered.clone(),
        })
    }

    pub(crate) fn forget_check(&self, id: &SourceId) {
        // A source that is registered again has a later time in the lock.
        let _ = std::fs::remove_file(self.check_path(id));
    }

    fn check_path(&self, id: &SourceId) -> PathBuf {
        self.home().join("checks").join(id.key())
    }
}

/// How long ago a time was (RFC 3339); `None` if the text is not one. A time in the future was zero
/// seconds ago.
#[must_use]
pub fn age_of(time: &str) -> Option<Duration> {
    let time: Timestamp = time.parse().ok()?;
    let seconds = Timestamp::now().as_second() - time.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
