//! Writes model sources for modelzoo.
//!
//! A source is a WebAssembly component with up to two hooks. `download_model` downloads the files of
//! a model; `load_model` returns the plan from which the host builds and runs it. The component has
//! no authority of its own: the host fetches, writes and computes for it, within what its user
//! granted.
//!
//! ```
//! use modelzoo_guest::prelude::*;
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! struct Flowers;
//!
//! #[derive(Deserialize)]
//! struct Options {
//!     #[serde(default)]
//!     confidence_thresh: Option<f32>,
//! }
//!
//! impl Source for Flowers {
//!     fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()> {
//!         info!("downloading {model_name}");
//!         fetch::url("https://example.org/flowers/resnet18.safetensors")
//!             .sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
//!             .download(model_path)?;
//!         fetch::url("https://example.org/flowers/labels.txt")
//!             .download(model_path.sibling("labels.txt"))?;
//!         Ok(())
//!     }
//!
//!     fn load_model(_: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan> {
//!         let options: Options = kwargs.parse()?;
//!         let labels = std::fs::read_to_string(model_path.sibling("labels.txt"))?;
//!         let resnet = json!({"depth": 18, "num_classes": labels.lines().count()});
//!         let plan = Plan::new(
//!             Architecture::new("resnet", resnet)?,
//!             Classification::new(labels.lines()).confidence_thresh(options.confidence_thresh),
//!         )
//!         .weights([model_path])
//!         .preprocessing(Preprocessing::imagenet());
//!         Ok(plan)
//!     }
//! }
//!
//! modelzoo_guest::export!(Flowers);
//! # fn main() {}
//! ```
//!
//! The crate is a `cdylib`; `cargo build --release --target wasm32-wasip2` builds the component.
//!
//! # What a hook can see
//!
//! Both hooks read the model's files below `/model` and the source's files below
//! [`/source`](source), with `std::fs` as usual; both directories are read-only. There are no
//! environment variables, arguments, sockets or threads; the clock stands still, and random numbers
//! are the same in every run. [`fetch`] and [`artifacts`] work in `download_model` only.
//!
//! # Outside a component
//!
//! The crate also compiles for native targets, so that a source can be checked and its `load_model`
//! tested there, with [`ModelPath::new`] for a directory of the test. Functions that need the host
//! then return [`Error::Unsupported`].

pub mod artifacts;
#[doc(hidden)]
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from the WIT, which has the documentation"
)]
pub mod bindings;
mod error;
#[doc(hidden)]
pub mod export;
pub mod fetch;
mod host;
pub mod huggingface;
mod kwargs;
pub mod log;
mod path;
pub mod plan;
pub mod source;

pub use error::{Context, Error, Result};
pub use kwargs::Kwargs;
pub use path::{ArtifactName, MODEL_DIR, ModelPath};
pub use plan::Plan;

/// A source that downloads and loads its models; exported with `export!(MySource)`.
pub trait Source {
    /// Downloads a model: writes its files through [`fetch`] and [`artifacts`].
    ///
    /// - `model_name`: the name that the manifest declares, with `@version` if it has one.
    /// - `model_path`: the path of the manifest's `base_filename`. The hook creates a file or a
    ///   directory there, and may create others beside it.
    ///
    /// # Errors
    ///
    /// Why it failed; the host then drops all files.
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()>;

    /// Describes how to run a downloaded model. The plan must depend on the arguments and the files
    /// only.
    ///
    /// # Errors
    ///
    /// Why it failed, for example [`Error::InvalidInput`] for an unknown kwarg.
    fn load_model(model_name: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan>;
}

/// A source that only downloads; exported with `export!(MySource, download)`.
pub trait DownloadSource {
    /// See [`Source::download_model`].
    ///
    /// # Errors
    ///
    /// Why it failed; the host then drops all files.
    fn download_model(model_name: &str, model_path: &ModelPath) -> Result<()>;
}

/// A source that only loads; exported with `export!(MySource, load)`.
pub trait LoadSource {
    /// See [`Source::load_model`].
    ///
    /// # Errors
    ///
    /// Why it failed, for example [`Error::InvalidInput`] for an unknown kwarg.
    fn load_model(model_name: &str, model_path: &ModelPath, kwargs: Kwargs) -> Result<Plan>;
}

/// Exports the hooks of a type; once per crate.
///
/// - `export!(MySource)` exports both hooks of a [`Source`];
/// - `export!(MySource, download)` exports that of a [`DownloadSource`];
/// - `export!(MySource, load)` exports that of a [`LoadSource`]. Such a component must import neither
///   `fetch` nor `artifacts`: the host refuses it otherwise.
#[macro_export]
macro_rules! export {
    ($source:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Hooks = $crate::export::Both<$source>;
    $crate::export::export_download!(Hooks with_types_in $crate::export::download_types);
    $crate::export::export_load!(Hooks with_types_in $crate::export::load_types);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::export::check::<$crate::export::Both<$source>>();
    };
    ($source:ty, download) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Hooks = $crate::export::DownloadOnly<$source>;
    $crate::export::export_download!(Hooks with_types_in $crate::export::download_types);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::export::check::<$crate::export::DownloadOnly<$source>>();
    };
    ($source:ty, load) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Hooks = $crate::export::LoadOnly<$source>;
    $crate::export::export_load!(Hooks with_types_in $crate::export::load_types);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = $crate::export::check::<$crate::export::LoadOnly<$source>>();
    };
}

/// What most sources need: `use modelzoo_guest::prelude::*;`.
pub mod prelude {
    pub use crate::plan::{Architecture, Classification, Plan, Preprocessing};
    pub use crate::{
        Context as _, DownloadSource, Error, Kwargs, LoadSource, ModelPath, Result, Source,
        artifacts, debug, error, fetch, huggingface, info, source, warn,
    };
}
