//! Properties of every reader of untrusted input, what it costs among them ([`cost`]).
//!
//! A [`Target`] has a body that reads bytes as one kind of input and panics if a property
//! does not hold; seeds, which are files of the repository and generated archives; and
//! words that the format knows. The tests of this crate run each body over its seeds and over
//! reproducible mutations of them. `cargo xtask fuzz` runs the same bodies in
//! libFuzzer, by the package in `fuzz`.
//!
//! Inputs that once broke a property are kept in `regressions/<target>` and run with the tests.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a body says by a panic that a property does not hold"
)]
#![cfg_attr(
    not(feature = "default"),
    allow(dead_code, reason = "each target uses a part of what they share")
)]

#[cfg(feature = "archives")]
mod archives;
pub mod cost;
#[cfg(feature = "datasets")]
mod datasets;
#[cfg(feature = "images")]
mod images;
#[cfg(feature = "zoo")]
mod manifests;
pub mod mutate;
#[cfg(feature = "permissions")]
mod permissions;
mod place;
#[cfg(feature = "zoo")]
mod references;
mod seeds;
#[cfg(feature = "weights")]
mod weights;

pub use seeds::offer;

/// A kind of input and its properties.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which the fuzzer's program has too.
    pub name: &'static str,
    /// Reads an input. Returns whether it is well-formed input of this kind.
    ///
    /// Panics if a property does not hold.
    pub run: fn(&[u8]) -> bool,
    /// Inputs to begin with, each with a name for its file.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// Words of the format.
    pub words: &'static [&'static str],
}

/// Archives in all formats, listed and unpacked.
#[cfg(feature = "archives")]
pub const ARCHIVES: Target = archives::TARGET;
/// Datasets, their labels and their vectors.
#[cfg(feature = "datasets")]
pub const DATASETS: Target = datasets::TARGET;
/// Images.
#[cfg(feature = "images")]
pub const IMAGES: Target = images::TARGET;
/// Manifests of sources.
#[cfg(feature = "zoo")]
pub const MANIFESTS: Target = manifests::TARGET;
/// URLs, permissions, origins and exceptions.
#[cfg(feature = "permissions")]
pub const PERMISSIONS: Target = permissions::TARGET;
/// What users type to name a source.
#[cfg(feature = "zoo")]
pub const REFERENCES: Target = references::TARGET;
/// Weight files.
#[cfg(feature = "weights")]
pub const WEIGHTS: Target = weights::TARGET;

/// All targets of the features that are on.
#[must_use]
pub fn targets() -> Vec<Target> {
    vec![
        #[cfg(feature = "archives")]
        ARCHIVES,
        #[cfg(feature = "datasets")]
        DATASETS,
        #[cfg(feature = "images")]
        IMAGES,
        #[cfg(feature = "zoo")]
        MANIFESTS,
        #[cfg(feature = "permissions")]
        PERMISSIONS,
        #[cfg(feature = "zoo")]
        REFERENCES,
        #[cfg(feature = "weights")]
        WEIGHTS,
    ]
}

/// A message must be one line without terminal controls.
fn assert_one_line(message: &str) {
    assert!(
        !message.chars().any(char::is_control),
        "a message with control characters: {message:?}"
    );
}
