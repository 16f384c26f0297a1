//! The runtime: from a [`Plan`] and its weight files to a [`Model`] that predicts.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use modelzoo_model::Model as _;
//! use modelzoo_model::sample::{Fields, Media, Sample};
//! use modelzoo_model::task::PredictOptions;
//! use modelzoo_runtime::{DeviceSpec, Model, Plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan: Plan = serde_json::from_str(&std::fs::read_to_string("plan.json")?)?;
//! let model = Model::build(&plan, Path::new("weights"), &DeviceSpec::Auto.open()?)?;
//! let media = Media::Image(std::fs::read("cat.jpg")?);
//! let sample = model.prepare(Sample { media, fields: Fields::new() })?;
//! let outputs = model.predict(std::slice::from_ref(&sample))?;
//! if let Some(task) = model.task() {
//!     let decoder = task.decoder(&PredictOptions::default())?;
//!     for output in outputs {
//!         println!("{:?}", decoder.decode(output, &sample.origin)?);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The plan and the weights are untrusted input: every size is checked before it is allocated, every
//! tensor before it is used.
//!
//! # Features
//! `cuda`, `cudnn` and `metal` add devices; `accelerate` makes candle's CPU operations use
//! Apple's library. The CPU is always available, with kernels for AVX-512, AVX2 and any other
//! instruction set, selected at run time.

#![deny(unsafe_code)]

pub mod architectures;
mod batches;
mod device;
mod embedding;
mod error;
mod files;
mod image;
mod layers;
mod model;
mod opencv;
mod precision;
mod precision_spec;
mod preprocess;
mod resample;
mod text;
mod trace;
mod weights;

use modelzoo_model::plan;

pub use architectures::{ArchitectureInfo, architectures};
pub use device::{Device, DeviceSpec};
pub use error::{Error, NoDeviceReason};
pub use image::{DecodeLimits, Image, ImageReason, decode_image, decode_image_bytes};
pub use model::Model;
pub use modelzoo_model::plan::{
    Architecture, Color, Embeddings, MAX_SIDE, Normalization, Plan, Pooling, Preprocessing,
    Resampling, Size, Step, Tokenizer, TokenizerFormat,
};
pub use precision::Precision;
pub use precision_spec::PrecisionSpec;
pub use weights::Weights;
