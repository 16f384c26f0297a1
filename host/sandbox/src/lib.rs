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
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use modelzoo_sandbox::{Engine, Identity, Limits, LoadCall, Loaded, NoLog};
//!
//! # async fn load() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(Some(Path::new("cache")), Limits::default())?;
//! let component = engine.load_file(Path::new("source/source.wasm"))?;
//! let identity = Identity {
//!     source: "acme/digits".to_owned(),
//!     model: "acme/digits-cnn@1.0".to_owned(),
//! };
//! let loaded = engine
//!     .load_model(
//!         &component,
//!         LoadCall {
//!             identity: &identity,
//!             model_name: "acme/digits-cnn@1.0",
//!             model_path: "/model/digits-cnn.safetensors",
//!             source_dir: Path::new("source"),
//!             model_dir: Path::new("model"),
//!             kwargs: &serde_json::Map::new(),
//!             log: Arc::new(NoLog),
//!         },
//!     )
//!     .await?;
//! if let Loaded::Plan(plan) = loaded {
//!     println!("a {}", plan.architecture.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A hook runs on a thread of its own, which on Linux the kernel confines to the hook's
//! directories ([`WallStatus`]); components are compiled in a process of their own where the
//! embedding program provides one ([`Compiler`]).
//!
//! However a hook ends, the host goes on: a crash, a limit, a timeout is a typed [`HookError`]
//! that names the source, the model and the hook.

mod compile;
mod confinement;
mod deployment;
mod engine;
mod error;
mod events;
mod files;
mod interfaces;
mod limits;
mod session;

pub use compile::{CompileLimit, Compiler, compile_child};
pub use confinement::WallStatus;
pub use engine::inspect::{ComponentInfo, Hooks, SUPPORTED, inspect};
pub use engine::{Component, Engine};
pub use error::Error;
pub use interfaces::log::{Level, Log, NoLog};
pub use interfaces::wasi::is_linked;
pub use limits::Limits;
pub use limits::budget::Activity;
pub use limits::stop::Limit;
pub use session::hook_error::{GuestErrorKind, Hook, HookError, Site};
pub use session::{Artifact, DownloadCall, Identity, LoadCall, Loaded};
