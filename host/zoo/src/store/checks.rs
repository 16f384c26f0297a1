//! When somebody last asked where a source comes from whether it has changed.
//!
//! A host that is kept from showing what is new looks like one that has nothing new; the age of the
//! last look is all that tells. The times are beside the lock, not in it: the lock says what is
//! registered, is kept and compared, and must not change because somebody looked.
//!
//! One file a source, `checks/<source-key>`, holds one time. It is a note: that it cannot be
//! written stops nothing.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::Zoo;
use crate::reference::SourceId;
use crate::store::audit::now;
use crate::store::lock::LockedSource;
use crate::store::write_atomic;

/// The longest note, in bytes.
const MAX_NOTE: u64 = 64;

impl Zoo {
    /// Notes that a source was looked for now. `--locked` and `--frozen` leave everything as it is.
    pub(crate) fn note_check(&self, id: &SourceId) {
        if self.config().locked || self.config().frozen {
            return;
        }
        let written = write_atomic(&self.check_path(id), now().as_bytes());
        if let Err(error) = written {
            tracing::debug!("when {id} was checked is not noted: {error}");
        }
    }

    /// When a source was last looked for: when it was registered, or checked after that (RFC 3339,
    /// UTC).
    pub(crate) fn last_check(&self, locked: &LockedSource) -> String {
        let registered = &locked.registered;
        let noted = crate::store::files::read_capped(&self.check_path(&locked.id), MAX_NOTE)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<Timestamp>().ok());
        match (noted, registered.parse::<Timestamp>()) {
            (Some(noted), Ok(at)) if noted > at => noted.to_string(),
            _ => registered.clone(),
        }
    }

    pub(crate) fn forget_check(&self, id: &SourceId) {
        // Whoever registers the source again has a later time in the lock.
        let _ = std::fs::remove_file(self.check_path(id));
    }

    fn check_path(&self, id: &SourceId) -> PathBuf {
        self.store().home().join("checks").join(id.key())
    }
}

/// How long ago a time of the store was (RFC 3339); `None` when it is none. What lies ahead is no
/// time ago.
#[must_use]
pub fn age_of(time: &str) -> Option<Duration> {
    let time: Timestamp = time.parse().ok()?;
    let seconds = Timestamp::now().as_second() - time.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
