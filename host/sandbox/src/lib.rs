//! Runs the hooks of a source with no authority of their own.
//!
//! A source brings a WebAssembly component that exports `download-model`, `load-model` or both
//! (`wit/v0.1`). This crate looks at it before anything of it runs ([`inspect()`]), compiles it
//! once ([`Engine::load`], kept under its digest), and calls its hooks
//! ([`Engine::download_model`], [`Engine::load_model`]) within [`Limits`].
//!
//! What a hook has:
//!
//! | | `download-model` | `load-model` |
//! |---|---|---|
//! | `/source`, `/model` through WASI | read | read |
//! | `modelzoo:source/log` | yes | yes |
//! | `modelzoo:source/fetch` | what the user has granted | no |
//! | `modelzoo:source/artifacts` | into the call's own directory | no |
//! | clock | stands still | stands still |
//! | randomness | the same in every run | the same in every run |
//! | environment, arguments, input | empty | empty |
//! | sockets and everything else | no | no |
//!
//! What it may not have it can still import, as the toolchains of some languages do; the call
//! ends the hook, with the interface's name ([`HookError::Forbidden`]).
//!
//! However a hook ends, the host goes on: a crash, a limit, a timeout is a typed [`HookError`]
//! that names the source, the model and the hook.

mod artifacts;
mod bindings;
mod budget;
mod cache;
mod clocks;
mod deployment;
mod engine;
mod error;
mod fetch;
mod files;
mod filesystem;
mod hook;
mod hook_error;
mod inspect;
mod limiter;
mod limits;
mod log;
mod refusal;
mod staging;
mod state;
mod stdio;
mod stop;
mod text;
mod ticker;
mod wasi;

pub use budget::Activity;
pub use engine::{Component, Engine};
pub use error::Error;
pub use hook::{Artifact, DownloadCall, Identity, LoadCall, Loaded};
pub use hook_error::{GuestErrorKind, Hook, HookError, Site};
pub use inspect::{ComponentInfo, Hooks, SUPPORTED, inspect};
pub use limits::Limits;
pub use log::{Level, Log, NoLog};
pub use stop::Limit;
