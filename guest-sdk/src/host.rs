//! The calls of the host's functions. Outside a component there is no host, so that there every
//! call is an error: sources can then be checked, and their loading be tested, as ordinary Rust.

use crate::Result;
use crate::bindings::modelzoo::source::types;

/// Calls the host by a function of the bindings, which is named in the error where there is none.
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
