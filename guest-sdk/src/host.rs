//! Calls of the host's functions. Outside a component there is no host and every call is an error,
//! so that a source can be checked, and its `load_model` tested, as native Rust.

use crate::Result;
use crate::bindings::modelzoo::source::types;

/// Calls a function of the bindings; `name` names it in the error where there is no host.
#[cfg(target_family = "wasm")]
pub(crate) fn call<T>(
    _name: &str,
    function: impl FnOnce() -> Result<T, types::Error>,
) -> Result<T> {
    Ok(function()?)
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn call<T>(
    name: &str,
    _function: impl FnOnce() -> Result<T, types::Error>,
) -> Result<T> {
    Err(crate::Error::Unsupported(format!(
        "`{name}` needs a modelzoo host: it works only in a component"
    )))
}
