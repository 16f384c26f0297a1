//! Runs the hooks of a source with no authority of their own.
//!
//! A source brings a WebAssembly component that exports `download-model`, `load-model` or both
//! (`wit/v0.1`). This crate inspects it before any of it runs ([`inspect()`]), compiles it once
//! ([`Engine::load`], cached under its digest), and calls its hooks ([`Engine::download_model`],
//! [`Session::load_model`]) within [`Limits`].
//!
//! What a hook has:
//!
//! | | `download-model` | `load-model` |
//! |---|---|---|
//! | `/source`, `/model` through WASI | read | read |
//! | `modelzoo:source/log` | yes | yes |
//! | `modelzoo:source/fetch` | what the user granted | no |
//! | `modelzoo:source/artifacts` | into the call's own directory | no |
//! | clock | stands still | stands still |
//! | randomness | the same in every run | the same in every run |
//! | environment, arguments, input | empty | empty |
//! | sockets and everything else | no | no |
//!
//! A component can import what its hooks do not have, as the toolchains of some languages make it
//! do. A call then ends the hook and names the interface ([`HookError::Forbidden`]).
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use modelzoo_sandbox::{Engine, Identity, Limits, Loaded, NoLog, SessionOptions};
//!
//! # async fn load() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(Some(Path::new("cache")), Limits::default())?;
//! let component = engine.load_file(Path::new("source/source.wasm"))?;
//! let identity = Identity {
//!     source: "acme/digits".to_owned(),
//!     model: "acme/digits-cnn@1.0".to_owned(),
//! };
//! let mut session = engine.open_session(
//!     &component,
//!     SessionOptions {
//!         identity: &identity,
//!         model_name: "acme/digits-cnn@1.0",
//!         model_path: "/model/digits-cnn.safetensors",
//!         source_dir: Path::new("source"),
//!         model_dir: Path::new("model"),
//!         log: Arc::new(NoLog),
//!     },
//! )?;
//! let Loaded::Plan(plan) = session.load_model(&serde_json::Map::new()).await?;
//! println!("a {}", plan.architecture.name);
//! # Ok(())
//! # }
//! ```
//!
//! A hook runs on a thread of its own, which on Linux the kernel confines to the hook's
//! directories ([`ConfinementStatus`]). Components are compiled in a process of their own if the
//! embedding program provides one ([`Compiler`]).
//!
//! However a hook ends, the host goes on: a crash, a limit and a timeout are typed [`HookError`]s
//! that name the source, the model and the hook.
//!
//! The modules form layers: `session` runs hooks on an `engine`, which links the
//! `interfaces` and has components built by `compile`; `confinement`, `events` and
//! `limits` know none of these.

mod compile;
mod confinement;
mod engine;
mod error;
mod events;
mod files;
mod interfaces;
mod limits;
mod session;

pub use compile::{Compiler, compile_child};
pub use confinement::ConfinementStatus;
pub use engine::inspect::{ComponentInfo, Hooks, Import, inspect};
pub use engine::{Component, Engine};
pub use error::{CompileLimit, Error};
pub use events::{Level, Log, NoLog};
pub use interfaces::artifacts::Artifact;
pub use interfaces::name::SUPPORTED;
pub use interfaces::table::ImportAnswer;
pub use limits::Limits;
pub use limits::stop::{Activity, Limit};
pub use session::{
    DownloadCall, GuestErrorKind, Hook, HookError, Identity, Loaded, Session, SessionOptions, Site,
};
