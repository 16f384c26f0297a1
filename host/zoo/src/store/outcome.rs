//! What a registration changes, as the caller and the audit log see it.

use serde::Serialize;

/// What registering did to the store.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RegisterOutcome {
    /// It was not registered before.
    New,
    /// It was registered before, and nothing was fetched.
    AlreadyRegistered,
    /// It was fetched again and is the same.
    Unchanged,
    /// Nothing was fetched, and it has other permissions now.
    Granted,
    /// It was fetched again and differs.
    Replaced(Changes),
}

/// How a source differs from what was registered.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The commit before and now.
    pub commit: Option<(String, String)>,
    /// The digest of its component (of all of them, with commas) before and now.
    pub component: Option<(String, String)>,
    /// Models that are new.
    pub models_added: Vec<String>,
    /// Models that are gone. Their downloaded files stay until they are deleted.
    pub models_removed: Vec<String>,
    /// Permissions that were not asked for before.
    pub permissions_added: Vec<String>,
    /// Models that are gone in every version, or whose latest version is lower than before, in
    /// words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rollback: Vec<String>,
}
