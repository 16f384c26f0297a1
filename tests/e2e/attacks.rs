//! Attacks that need no hook: references, archives, manifests, servers, datasets and the store
//! itself, through the command. `tests/attacks.toml` lists all of them.
//!
//! What must hold afterwards is what holds for hostile hooks (see [`crate::hostile`]).

#[cfg(target_os = "linux")]
mod appetite;
mod archives;
mod data;
mod manifests;
mod network;
mod packing;
mod references;
mod secrets;
mod store;
mod texts;
