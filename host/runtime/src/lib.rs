//! The runtime: from a [`Plan`] and its weight files to a [`Model`] that predicts.
//!
//! ```no_run
//! use std::path::Path;
//! use modelzoo_runtime::{DecodeLimits, DeviceSpec, Model, Plan, PredictOptions, decode_image};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan: Plan = serde_json::from_str(&std::fs::read_to_string("plan.json")?)?;
//! let model = Model::build(&plan, Path::new("weights"), &DeviceSpec::Auto.open()?)?;
//! let image = decode_image(Path::new("cat.jpg"), &DecodeLimits::default())?;
//! let input = model.preprocess(&image)?;
//! let predictions = model.predict(&[input], &PredictOptions::default())?;
//! println!("{:?}", predictions.first());
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
mod head;
mod image;
mod layers;
mod model;
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
pub use head::{PredictOptions, Prediction, PredictionKind};
pub use image::{DecodeLimits, Image, ImageReason, decode_image, decode_image_bytes};
pub use model::Model;
pub use modelzoo_model::plan::{
    Architecture, Color, Embeddings, MAX_SIDE, Normalization, Plan, Pooling, Preprocessing,
    Resampling, Size, Step, Tokenizer, TokenizerFormat,
};
pub use modelzoo_model::task::{Classification, Head, MultiLabel, Scoring, ZeroShot};
pub use precision::Precision;
pub use precision_spec::PrecisionSpec;
pub use preprocess::Input;
pub use text::Tokens;
pub use weights::Weights;
