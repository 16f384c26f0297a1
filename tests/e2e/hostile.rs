//! Sources that mean harm, through the command itself.
//!
//! Whatever a hook does, the same must hold afterwards; [`Attack::download`] and [`Attack::load`]
//! look at all of it:
//!
//! - the command fails with status 1 and one line that names the source, the model and the hook,
//!   perhaps with a hint, and nothing on standard error can be mistaken for it or moves a terminal;
//! - nothing that was there before is changed, in the store, in the dataset, or beside them, and
//!   nothing unfinished is left behind;
//! - nobody listens in vain for a call that nobody may make;
//! - the secrets of the environment are in no output and no file;
//! - the audit log says once that the hook failed, and why;
//! - the next command runs another source's hook in the same store.

pub(crate) mod arena;
pub(crate) mod canary;
mod crashes;
mod files;
mod limits;
mod messages;
mod network;
mod plans;
mod redirects;
