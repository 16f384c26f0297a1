//! The hooks of a component: what they are called with, what they return, and how a call runs.

mod download;
mod hook_error;
mod load;
mod worker;

pub use self::download::DownloadCall;
pub use self::hook_error::{GuestErrorKind, Hook, HookError, Identity, Site};
pub use self::load::{Loaded, Session, SessionOptions};
