//! Models: found by name, listed, downloaded, loaded and deleted.

pub(crate) mod artifacts;
pub(crate) mod cache;
pub(crate) mod catalog;
mod content;
pub(crate) mod download;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod load_model;
pub(crate) mod loaded;
mod plausible;
pub(crate) mod requirements;
mod safetensors;
pub(crate) mod verify;

pub(crate) use catalog::Models;

pub use download::{DownloadOptions, Downloaded};
pub use list::{Filter, ModelSummary};
pub use load_model::LoadOptions;
pub use loaded::LoadedModel;
pub use requirements::ErrorLevel;
