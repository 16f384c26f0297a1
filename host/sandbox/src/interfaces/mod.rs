//! The WIT interfaces that guests can import: one module per interface.

pub(crate) mod artifacts;
pub(crate) mod bindings;
pub(crate) mod fetch;
pub(crate) mod log;
pub(crate) mod refusal;
pub(crate) mod state;
pub(crate) mod wasi;
