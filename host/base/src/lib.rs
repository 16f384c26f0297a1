//! What every other crate uses and what knows none of them: text that is safe to show, names that
//! were probably meant, files that appear complete or not at all, JSON, digests, remedies.

#![deny(missing_docs)]

pub mod budget;
pub mod digest;
pub mod dir;
pub mod file;
pub mod json;
mod nearest;
mod remedy;
pub mod text;

pub use nearest::nearest;
pub use remedy::Remedy;
