//! Runs: models applied to datasets.

pub(crate) mod apply;
pub(crate) mod embed;
pub(crate) mod run;

pub use apply::ApplyOptions;
pub use embed::EmbedOptions;
pub use run::{Applied, Watch};
