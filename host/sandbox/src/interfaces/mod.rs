//! The WIT interfaces that guests can import: one module per interface, each with its context, a
//! view that borrows the context for one call, and `add_to_linker`.
//!
//! [`table`] lists them with the phases that have them. To add an interface, write its module, give
//! [`State`](state::State) its context, and add a row to the table.

pub(crate) mod artifacts;
mod bindings;
pub(crate) mod deployment;
pub(crate) mod fetch;
pub(crate) mod linker;
pub(crate) mod log;
pub(crate) mod name;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod types;
pub(crate) mod wasi;

pub(crate) use self::bindings::LoadedModel;
