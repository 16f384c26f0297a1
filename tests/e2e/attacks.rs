//! Attacks through the command itself: by references, archives, manifests, servers, datasets and
//! the store, and by hooks. `tests/attacks.toml` lists all of them; what only the engine can show
//! is tested with the sandbox.
//!
//! Whatever is tried, the same must hold afterwards. [`Testbed::refuses`](testbed::Testbed),
//! [`Attack::download`](testbed::Attack) and its siblings check all of it:
//!
//! - the command fails with the right status and one error line that names the source, the model
//!   and the hook, with a hint where there is one, and nothing on standard error imitates that
//!   line or controls a terminal;
//! - nothing that was there before has changed, in the store, in the dataset or beside them, and
//!   nothing unfinished is left;
//! - no connection reaches an address that is not allowed;
//! - the secrets of the environment are in no output and no file;
//! - the audit log holds the failure once, with its reason;
//! - the next command runs the hook of another source in the same store.

mod archives;
pub(crate) mod canary;
mod crashes;
mod data;
mod files;
mod limits;
mod manifests;
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod mirrors;
mod network;
mod packing;
mod plans;
mod redirects;
mod references;
mod secrets;
mod store;
pub(crate) mod testbed;
mod texts;
