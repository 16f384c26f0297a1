//! Files that a configuration implies, beside the one that a manager names.

/// A file to fetch for a model, and what it is called in the model's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// One part, without directories.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Whether the model works without it.
    pub optional: bool,
    /// Fetched only if the file before it in the list does not exist.
    pub instead: bool,
}

impl Fetch {
    /// A file without which there is no model.
    pub(super) fn needed(name: &str, url: String) -> Self {
        Self {
            name: name.to_owned(),
            url,
            optional: false,
            instead: false,
        }
    }

    /// A file that may be missing.
    pub(super) fn optional(name: &str, url: String) -> Self {
        Self {
            optional: true,
            ..Self::needed(name, url)
        }
    }

    /// A file that takes the place of the optional one before it.
    pub(super) fn or_else(name: &str, url: String) -> Self {
        Self {
            instead: true,
            ..Self::needed(name, url)
        }
    }
}

/// What follows the last `/` of an address.
pub(super) fn file_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
