//! Models: listed, downloaded, loaded and deleted.

pub(crate) mod catalog;
pub(crate) mod download;
pub(crate) mod load;
pub(crate) mod managed;
