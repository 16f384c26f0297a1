//! Runs: models applied to datasets.

pub(crate) mod apply;
pub(crate) mod embed;
mod loaded;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod view;

pub use apply::ApplyOptions;
pub use embed::EmbedOptions;
pub use run::{Applied, Runner, Watch};
pub use view::{ViewOptions, Viewed, view};
