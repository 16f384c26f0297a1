//! Bundles: a source with its models in one file, for a machine without a network.
//!
//! A bundle is a plain tar, since weights do not compress. One store and one choice of models
//! always make the same bytes.
//!
//! ```text
//! bundle.json                               the source's entry of the lock, and the models
//! snapshot/…                                the source's snapshot
//! models/<model>@<version>/receipt.json     what was downloaded
//! models/<model>@<version>/files/…
//! ```
//!
//! `bundle.json` holds the digest of the snapshot and of each receipt, and a receipt the digests of
//! its files: an import checks every byte against one of them. A bundle is not signed: it is
//! untrusted input like any source. So it does not carry the permissions of the store that it comes
//! from; the user who imports it is asked.

mod export;
mod import;
mod index;
mod unpack;

pub use export::Exported;
pub use import::{ImportOptions, Imported, ImportedModel};
