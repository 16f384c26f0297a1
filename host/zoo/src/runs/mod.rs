//! Runs: models applied to datasets.

pub(crate) mod apply;
pub(crate) mod embed;
pub(crate) mod run;
