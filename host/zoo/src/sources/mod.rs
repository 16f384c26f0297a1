//! Sources: registered, inspected, updated and deleted, and exported as bundles.

pub(crate) mod acquire;
pub(crate) mod bundle;
pub(crate) mod github;
pub(crate) mod grant;
pub(crate) mod inspect;
pub(crate) mod register;
pub(crate) mod rollback;
pub(crate) mod update;
