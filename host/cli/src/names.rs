//! The names of verbs and flags that hints suggest. The command line is declared with the same
//! constants, so that a new name is written here and nowhere else.

/// Verbs.
pub(crate) mod verb {
    pub(crate) const AUDIT: &str = "audit";
    pub(crate) const BUNDLE: &str = "bundle";
    pub(crate) const BUNDLE_EXPORT: &str = "export";
    pub(crate) const DOCTOR: &str = "doctor";
    pub(crate) const DOWNLOAD: &str = "download";
    pub(crate) const EMBED: &str = "embed";
    pub(crate) const GC: &str = "gc";
    pub(crate) const LIST: &str = "list";
    pub(crate) const LIST_SOURCES: &str = "list-sources";
    pub(crate) const REGISTER_SOURCE: &str = "register-source";
    pub(crate) const UPDATE_SOURCE: &str = "update-source";
    pub(crate) const VERIFY: &str = "verify";
}

/// Long flags, without the dashes.
pub(crate) mod flag {
    pub(crate) const ACCEPT_CHANGES: &str = "accept-changes";
    pub(crate) const ACCEPT_LOCK: &str = "accept-lock";
    pub(crate) const ALLOW_OUTSIDE: &str = "allow-outside";
    pub(crate) const ALLOW_ROLLBACK: &str = "allow-rollback";
    pub(crate) const ALLOW_UNREACHABLE_COMMIT: &str = "allow-unreachable-commit";
    pub(crate) const DEVICE: &str = "device";
    pub(crate) const ERROR_LEVEL: &str = "error-level";
    pub(crate) const FROZEN: &str = "frozen";
    pub(crate) const GRANT: &str = "grant";
    pub(crate) const KWARG: &str = "kwarg";
    pub(crate) const LAYER: &str = "layer";
    pub(crate) const LOCKED: &str = "locked";
    pub(crate) const MODEL_NAME: &str = "model-name";
    pub(crate) const OFFLINE: &str = "offline";
    pub(crate) const OUTPUT: &str = "output";
    pub(crate) const OVERWRITE: &str = "overwrite";
    pub(crate) const PRECISION: &str = "precision";
    pub(crate) const REPAIR: &str = "repair";
    pub(crate) const SOURCE: &str = "source";
    pub(crate) const TEXT_FIELD: &str = "text-field";
    pub(crate) const YES: &str = "yes";
}
