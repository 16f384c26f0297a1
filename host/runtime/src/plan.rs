//! A plan: everything that is needed to build a model, as data.
//!
//! It mirrors the `deployment` interface of `wit/v0.1` field for field, with snake case where
//! WIT has kebab case, so that a guest's answer and a file describe a model in one way:
//!
//! ```
//! use modelzoo_runtime::Plan;
//!
//! let plan: Plan = serde_json::from_str(r#"{
//!     "architecture": { "name": "resnet", "config": { "depth": 18, "num_classes": 2 } },
//!     "weights": ["cats.safetensors"],
//!     "preprocessing": {
//!         "color": "rgb",
//!         "steps": [
//!             { "resize_shortest": { "to": 256, "resampling": "bilinear" } },
//!             { "center_crop": { "height": 224, "width": 224 } }
//!         ],
//!         "normalize": { "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225] }
//!     },
//!     "head": { "classification": { "classes": ["cat", "dog"], "confidence_thresh": 0.5 } }
//! }"#)?;
//! assert_eq!(plan.architecture.name, "resnet");
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The largest side of a network's input, in pixels.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// Everything that is needed to build a model, besides the weight files themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The network itself.
    pub architecture: Architecture,
    /// The artifacts that hold the weights, in safetensors format, relative to the model's
    /// directory. Several files are read as one: no tensor name may occur twice.
    pub weights: Vec<String>,
    /// From an image to the network's input.
    pub preprocessing: Preprocessing,
    /// What the network's output means.
    pub head: Head,
}

/// An architecture by name, with its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// One of [`crate::architectures()`].
    pub name: String,
    /// A JSON object; its fields are those of the architecture's configuration in
    /// [`crate::architectures`](mod@crate::architectures). An unknown field is an error.
    pub config: serde_json::Value,
}

/// The colours of the images that a model was trained on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Three channels: red, green, blue.
    Rgb,
    /// One channel: luma (ITU-R 601), as Pillow's mode `L`.
    Gray,
}

impl Color {
    /// How many channels an image of this kind has: 3 or 1.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// How pixels are resampled; antialiased when the image gets smaller, as in Pillow, except
/// `Nearest`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// The pixel nearest to the centre.
    Nearest,
    /// A triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// A windowed sinc of three lobes.
    Lanczos,
}

/// A size in pixels.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Size {
    pub(crate) fn area(self) -> u64 {
        u64::from(self.height) * u64::from(self.width)
    }
}

/// One step on the way from a decoded image to the network's input.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Resizing to exactly a size; the aspect ratio may change.
    Resize {
        /// The size afterwards.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Resizing so that the shorter side has a length; the longer one is
    /// `to * longer / shorter`, rounded down, as in torchvision.
    ResizeShortest {
        /// The shorter side afterwards, in pixels.
        to: u32,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Cuts the middle out; where the image is smaller, it is padded with black.
    CenterCrop(Size),
}

/// What is subtracted from, and then divides, each channel's values, which are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// One value a channel.
    pub mean: Vec<f32>,
    /// One value a channel, none of them zero.
    pub std: Vec<f32>,
}

/// From an image to a tensor with values 0 to 1, or normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The colours that the network takes.
    pub color: Color,
    /// The steps, in this order.
    pub steps: Vec<Step>,
    /// Applied last; without it the values stay 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalization>,
}

/// One label an image: the class with the largest softmax probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
}

/// What a network's output means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One label an image.
    Classification(Classification),
}

impl Plan {
    /// Checks everything that can be checked without the weights.
    ///
    /// # Errors
    /// [`Error::BadPlan`] names the field and what is wrong with it.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.weights.is_empty() {
            return Err(Error::bad_plan("weights", "names no file"));
        }
        self.preprocessing.validate()?;
        match &self.head {
            Head::Classification(head) => head.validate(),
        }
    }
}

impl Preprocessing {
    fn validate(&self) -> Result<(), Error> {
        for (index, step) in self.steps.iter().enumerate() {
            let sides = match *step {
                Step::Resize { to, .. } => [to.height, to.width],
                Step::ResizeShortest { to, .. } => [to, to],
                Step::CenterCrop(to) => [to.height, to.width],
            };
            if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
                let field = format!("preprocessing.steps[{index}]");
                return Err(Error::bad_plan(
                    field,
                    format!("a side must be 1 to {MAX_SIDE} pixels"),
                ));
            }
        }
        let Some(Normalization { mean, std }) = &self.normalize else {
            return Ok(());
        };
        let channels = self.color.channels();
        for (field, values) in [("mean", mean), ("std", std)] {
            let field = format!("preprocessing.normalize.{field}");
            if values.len() != channels {
                let reason = format!("has {} values for {channels} channels", values.len());
                return Err(Error::bad_plan(field, reason));
            }
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::bad_plan(
                    field,
                    "has a value that is not a finite number",
                ));
            }
        }
        if std.contains(&0.0) {
            return Err(Error::bad_plan(
                "preprocessing.normalize.std",
                "must not contain zero",
            ));
        }
        Ok(())
    }

    /// The size of every input, where the steps fix it.
    pub(crate) fn fixed_size(&self) -> Option<Size> {
        match *self.steps.last()? {
            Step::Resize { to, .. } | Step::CenterCrop(to) => Some(to),
            Step::ResizeShortest { .. } => None,
        }
    }
}

impl Classification {
    fn validate(&self) -> Result<(), Error> {
        if self.classes.is_empty() {
            return Err(Error::bad_plan("head.classification.classes", "is empty"));
        }
        match self.confidence_thresh {
            Some(value) if !(0.0..=1.0).contains(&value) => Err(Error::bad_plan(
                "head.classification.confidence_thresh",
                "must be 0 to 1",
            )),
            _ => Ok(()),
        }
    }
}
