//! What can go wrong, each with the thing that it happened to.

use std::io;
use std::path::PathBuf;

use modelzoo_base::Remedy;
use modelzoo_base::text::escape;
use modelzoo_model::plan::PlanError;

use crate::image::ImageReason;
use crate::precision::Precision;

/// Why a model could not be built or run.
///
/// The message names the thing and the reason in one line; [`Error::remedy`] says what to do,
/// where there is something to do. Text that comes from files is escaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan names an unknown architecture.
    #[error("unknown architecture `{}`", escape(.name))]
    UnknownArchitecture {
        /// The name that the plan has.
        name: String,
        /// The most similar known names, best first; may be empty.
        nearest: Vec<String>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// A field of an architecture's configuration is unknown, missing or out of range.
    #[error("config of architecture `{architecture}`: {}{reason}", field_prefix(.field))]
    BadConfig {
        /// The architecture.
        architecture: &'static str,
        /// The field, for example `layers[3].stride`; empty where the reason names it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field of the plan is out of range.
    #[error("plan: {}{reason}", field_prefix(.field))]
    BadPlan {
        /// The field, for example `preprocessing.normalize.std`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The number of classes is not the number of the network's outputs.
    #[error("plan: the head has {classes} classes, but the network has {outputs} outputs")]
    ClassCount {
        /// Names in the plan.
        classes: usize,
        /// Outputs of the network.
        outputs: usize,
    },
    /// The model does not take such samples, or does not have such outputs.
    #[error("the model {what}")]
    CannotDo {
        /// What it does not do, for example `takes no texts`.
        what: &'static str,
        /// What the reader can do, where there is something.
        remedy: Remedy,
    },
    /// An embedding is asked of a layer that the architecture does not have.
    #[error("the network has no layer `{}`", escape(.name))]
    UnknownLayer {
        /// The name that was asked for.
        name: String,
        /// The most similar layers, best first; may be empty.
        nearest: Vec<String>,
    },
    /// A tokenizer's file is invalid, or does not fit the network.
    #[error("tokenizer {}: {reason}", .path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A text has more tokens than the network takes.
    #[error("a text of {tokens} tokens is longer than the {limit} that the network takes")]
    TextTooLong {
        /// Tokens of the text, the special ones included.
        tokens: usize,
        /// The most that the network takes.
        limit: usize,
    },
    /// The architecture needs a tensor that the weights do not hold.
    #[error("weights: no tensor `{}`", escape(.name))]
    MissingTensor {
        /// The tensor.
        name: String,
        /// The most similar names in the weights, best first; may be empty.
        nearest: Vec<String>,
    },
    /// The weights hold a tensor that the architecture does not use.
    #[error("weights: tensor `{}` is not used by the architecture{}", escape(.name), and_more(*.others))]
    UnexpectedTensor {
        /// The first such tensor, in the order of the names.
        name: String,
        /// How many more there are.
        others: usize,
        /// The most similar names in the architecture, best first; may be empty.
        nearest: Vec<String>,
    },
    /// A tensor has another shape than the architecture needs.
    #[error("weights: tensor `{}` has the shape {got:?}, the architecture needs {want:?}", escape(.name))]
    WrongShape {
        /// The tensor.
        name: String,
        /// The shape that the architecture needs.
        want: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A tensor's elements are not floating-point numbers that we can read.
    #[error("weights: tensor `{}` has elements of the type {dtype}", escape(.name))]
    WrongType {
        /// The tensor.
        name: String,
        /// The type, as safetensors writes it.
        dtype: &'static str,
    },
    /// A weights file is invalid.
    #[error("weights file {}: {reason}", .path.display())]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A PyTorch checkpoint needs more than tensors. It is never unpickled, so none of its code has
    /// run.
    #[error("weights file {}: its pickle asks for `{}`, which tensors do not need", .path.display(), escape(.global))]
    UnsafePickle {
        /// The file.
        path: PathBuf,
        /// The name that it needs, for example `os.system`.
        global: String,
    },
    /// A weights file could not be read.
    #[error("weights file {}: {source}", .path.display())]
    WeightsIo {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An image could not be read or decoded.
    #[error("image {name}: {reason}")]
    UnreadableImage {
        /// The file's path.
        name: String,
        /// Why.
        reason: ImageReason,
    },
    /// An image cannot be converted to the network's input.
    #[error("image of {width}x{height} pixels: {reason}")]
    Preprocess {
        /// Columns of the image.
        width: u32,
        /// Rows of the image.
        height: u32,
        /// Why.
        reason: String,
    },
    /// The name of a device is unknown.
    #[error("unknown device `{}`", escape(.name))]
    UnknownDevice {
        /// The name.
        name: String,
    },
    /// A device does not exist, or this build does not support it.
    #[error("device `{device}` is not available: {reason}")]
    NoDevice {
        /// The device, for example `cuda:1`.
        device: String,
        /// Why.
        reason: NoDeviceReason,
    },
    /// The name of a precision is unknown.
    #[error("unknown precision `{}`", escape(.name))]
    UnknownPrecision {
        /// The name.
        name: String,
    },
    /// Half precision on the CPU.
    #[error("device `{device}` does not compute in half precision: it is slower there than full")]
    NoHalf {
        /// The device.
        device: String,
    },
    /// A weight is larger than any number of half precision.
    #[error(
        "{layer}: weights of up to {largest} are too large for half precision, which ends at 65504"
    )]
    TooLargeForHalf {
        /// The layer, by the name of its weights where it has one.
        layer: String,
        /// The largest absolute value.
        largest: f32,
    },
    /// An input does not fit the network or a layer.
    #[error("{layer}: {reason}")]
    BadInput {
        /// The layer, by the name of its weights where it has one.
        layer: String,
        /// What does not fit.
        reason: String,
    },
    /// A feature map would be larger than the limit.
    #[error("{layer}: a result of {elements} elements is more than the limit of {limit}")]
    TooLarge {
        /// The layer.
        layer: String,
        /// How many elements it would have; saturated.
        elements: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The network's output for an image is NaN or infinite, so that it has no label.
    #[error("the network's output for input {index} of the batch is not a finite number")]
    NotFinite {
        /// The input's position in the batch.
        index: usize,
        /// What it was computed in.
        precision: Precision,
    },
    /// A computation failed on the device, for example for lack of memory.
    #[error("computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

/// Why a device is not available.
#[derive(Debug, thiserror::Error)]
pub enum NoDeviceReason {
    /// The build lacks the feature.
    #[error("this build has no support for it")]
    NotBuilt {
        /// The cargo feature.
        feature: &'static str,
    },
    /// The driver or the device failed.
    #[error("{0}")]
    Failed(#[source] candle_core::Error),
}

impl Error {
    /// What the reader can do about it, where there is something.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::UnknownArchitecture { nearest, known, .. } if nearest.is_empty() => {
                let known = known.join("`, `");
                Some(Remedy::advice(format!(
                    "the known architectures are `{known}`"
                )))
            }
            Self::UnknownArchitecture { nearest, .. }
            | Self::UnknownLayer { nearest, .. }
            | Self::MissingTensor { nearest, .. }
            | Self::UnexpectedTensor { nearest, .. } => did_you_mean(nearest),
            Self::WrongShape { .. } => Some(Remedy::advice(
                "the weights belong to another variant of the architecture: compare its config with the weights",
            )),
            Self::WrongType { .. } => Some(Remedy::advice(
                "the types F16, BF16, F32 and F64 are read; quantised weights are not",
            )),
            Self::UnsafePickle { .. } => Some(Remedy::advice(
                "save the model's `state_dict()` alone, or use a safetensors file",
            )),
            Self::UnknownDevice { .. } => Some(Remedy::advice(
                "the devices are `auto`, `cpu`, `cuda`, `cuda:<number>` and `metal`",
            )),
            Self::NoDevice {
                reason: NoDeviceReason::NotBuilt { feature },
                ..
            } => Some(Remedy::OtherDevice {
                feature: Some(feature),
            }),
            Self::NoDevice { .. } => Some(Remedy::OtherDevice { feature: None }),
            Self::UnknownPrecision { .. } => Some(Remedy::advice(
                "the precisions are `auto`, `full` and `half`",
            )),
            Self::NoHalf { .. } => Some(Remedy::FullPrecisionOrGpu),
            Self::TooLargeForHalf { .. } => Some(Remedy::FullPrecision),
            Self::NotFinite {
                precision: Precision::Half,
                ..
            } => Some(Remedy::FullPrecision),
            Self::CannotDo { remedy, .. } => Some(remedy.clone()),
            Self::TextTooLong { .. } => Some(Remedy::advice(
                "shorten the text, or let the plan's `max_tokens` cut it",
            )),
            _ => None,
        }
    }

    pub(crate) fn bad_plan(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadPlan {
            field: field.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn bad_input(layer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadInput {
            layer: layer.into(),
            reason: reason.into(),
        }
    }
}

impl From<PlanError> for Error {
    fn from(PlanError { field, reason }: PlanError) -> Self {
        Self::BadPlan { field, reason }
    }
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("`{}`: ", escape(field))
    }
}

fn and_more(others: usize) -> String {
    if others == 0 {
        String::new()
    } else {
        format!(" (nor are {others} others)")
    }
}

fn did_you_mean(nearest: &[String]) -> Option<Remedy> {
    let names: Vec<_> = nearest
        .iter()
        .map(|name| escape(name).into_owned())
        .collect();
    (!names.is_empty()).then_some(Remedy::DidYouMean(names))
}
