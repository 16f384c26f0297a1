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

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The largest side of a network's input, in pixels.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// The most tokens that texts are padded to, and the most of a text for any network.
pub(crate) const MAX_TOKENS: u32 = 1 << 16;

/// Everything that is needed to build a model, besides the weight files themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The network itself.
    pub architecture: Architecture,
    /// The artifacts that hold the weights, relative to the model's directory. Several files are
    /// read as one: no tensor name may occur twice.
    pub weights: Vec<String>,
    /// From an image to the network's input; absent for a network that takes texts alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// From a text to the network's input; absent for a network that takes images alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// What the network's output means; absent for a model that gives embeddings alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Where embeddings come from; without it, from where the architecture says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<Embeddings>,
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
    /// Enlarges an image that is smaller than `to` on one side or both, keeping the aspect ratio,
    /// until it is not; others stay as they are.
    ResizeMin {
        /// The least size.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Shrinks an image that is larger than `to` on one side or both, keeping the aspect ratio,
    /// until it is not; others stay as they are.
    ResizeMax {
        /// The largest size.
        to: Size,
        /// How pixels are resampled.
        resampling: Resampling,
    },
    /// Cuts the middle out whose sides are multiples of so many pixels; an image that is smaller
    /// than that is padded to it with black.
    CropToMultiple(u32),
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

/// A tokenizer's files, relative to the model's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerFormat {
    /// A `tokenizer.json` of Hugging Face's tokenizers.
    Json {
        /// The file.
        file: String,
    },
    /// The byte-pair merges of CLIP, plain or compressed with gzip
    /// (`bpe_simple_vocab_16e6.txt.gz`).
    ClipBpe {
        /// The file.
        merges: String,
    },
    /// A `vocab.txt` of BERT: one word piece a line.
    WordPiece {
        /// The file.
        vocab: String,
        /// Whether texts are brought to lower case, and their accents removed.
        lowercase: bool,
    },
}

/// From a text to the numbers of its tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// Its files.
    pub format: TokenizerFormat,
    /// The most tokens of a text, the special ones included; a longer text is cut. Without it, a
    /// text that is longer than the network takes is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Whether each text is padded to `max_tokens`, for networks that were trained so and take
    /// no mask (SigLIP).
    #[serde(default)]
    pub pad_to_max: bool,
}

/// One label a sample: the class with the largest softmax probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them. A sample whose best class is
    /// another has no label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

/// Any number of labels a sample: the classes whose sigmoid is large enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiLabel {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// From this confidence (0 to 1) on, a class is given. The user's own threshold wins.
    pub confidence_thresh: f32,
    /// The classes that are given as labels; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

/// How similarities become confidences.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// All classes share one: CLIP.
    #[default]
    Softmax,
    /// Each class for itself: as SigLIP was trained.
    Sigmoid,
}

/// One label an image: the class whose prompt is most similar to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroShot {
    /// The labels.
    pub classes: Vec<String>,
    /// The text that stands for each class, as many as there are classes: `a photo of a cat`.
    pub prompts: Vec<String>,
    /// How similarities become confidences.
    #[serde(default)]
    pub scoring: Scoring,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

/// What a network's output means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One label an image.
    Classification(Classification),
    /// Any number of labels an image.
    MultiLabel(MultiLabel),
    /// One label an image, of classes that the network was not trained for.
    ZeroShot(ZeroShot),
}

/// How the positions of a layer's output (tokens, or places of a feature map) become one vector.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// They do not: all of them, one after the other, are the vector.
    #[default]
    None,
    /// The first one.
    First,
    /// The mean of each channel, over the tokens that are not padding.
    Mean,
    /// The largest of each channel, over the tokens that are not padding.
    Max,
}

/// Where embeddings come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embeddings {
    /// The layer whose output is taken, or its input where the name follows a `<`. Without it,
    /// the one that the architecture says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// How its positions become one vector.
    #[serde(default)]
    pub pooling: Pooling,
    /// Whether each vector is divided by its length.
    #[serde(default)]
    pub normalize: bool,
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
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.validate()?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            tokenizer.validate()?;
        }
        if self.preprocessing.is_none() && self.tokenizer.is_none() {
            let reason = "or `tokenizer` must be given: the model takes nothing";
            return Err(Error::bad_plan("preprocessing", reason));
        }
        let Some(head) = &self.head else {
            return Ok(());
        };
        if self.preprocessing.is_none() {
            let reason = "needs images, so `preprocessing` too";
            return Err(Error::bad_plan("head", reason));
        }
        if matches!(head, Head::ZeroShot(_)) && self.tokenizer.is_none() {
            let reason = "must be given: the prompts of `head.zero_shot` are texts";
            return Err(Error::bad_plan("tokenizer", reason));
        }
        head.validate()
    }
}

impl Tokenizer {
    fn validate(&self) -> Result<(), Error> {
        match self.max_tokens {
            _ if !self.pad_to_max => Ok(()),
            Some(0..=MAX_TOKENS) => Ok(()),
            Some(max) => Err(Error::bad_plan(
                "tokenizer.max_tokens",
                format!("would pad texts to {max} tokens; at most {MAX_TOKENS} are possible"),
            )),
            None => {
                let reason = "cannot be without `max_tokens`";
                Err(Error::bad_plan("tokenizer.pad_to_max", reason))
            }
        }
    }
}

impl Preprocessing {
    fn validate(&self) -> Result<(), Error> {
        for (index, step) in self.steps.iter().enumerate() {
            let sides = match *step {
                Step::Resize { to, .. }
                | Step::ResizeMin { to, .. }
                | Step::ResizeMax { to, .. } => [to.height, to.width],
                Step::ResizeShortest { to, .. } | Step::CropToMultiple(to) => [to, to],
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
            Step::ResizeShortest { .. }
            | Step::ResizeMin { .. }
            | Step::ResizeMax { .. }
            | Step::CropToMultiple(_) => None,
        }
    }
}

impl Head {
    /// Its name in a plan.
    fn name(&self) -> &'static str {
        match self {
            Self::Classification(_) => "classification",
            Self::MultiLabel(_) => "multi_label",
            Self::ZeroShot(_) => "zero_shot",
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let (classes, threshold, filter) = match self {
            Self::Classification(head) => {
                (&head.classes, head.confidence_thresh, &head.filter_classes)
            }
            Self::MultiLabel(head) => (
                &head.classes,
                Some(head.confidence_thresh),
                &head.filter_classes,
            ),
            Self::ZeroShot(head) => (&head.classes, head.confidence_thresh, &head.filter_classes),
        };
        let bad = |field: &str, reason: String| {
            Err(Error::bad_plan(
                format!("head.{}.{field}", self.name()),
                reason,
            ))
        };
        if classes.is_empty() {
            return bad("classes", "is empty".to_owned());
        }
        if threshold.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return bad("confidence_thresh", "must be 0 to 1".to_owned());
        }
        let known: HashSet<&String> = classes.iter().collect();
        if let Some(unknown) = filter.iter().find(|class| !known.contains(class)) {
            let reason = format!("`{}` is not one of the classes", unknown.escape_debug());
            return bad("filter_classes", reason);
        }
        match self {
            Self::ZeroShot(head) if head.prompts.len() != classes.len() => {
                let (prompts, classes) = (head.prompts.len(), classes.len());
                bad(
                    "prompts",
                    format!("has {prompts} texts for {classes} classes"),
                )
            }
            _ => Ok(()),
        }
    }
}
