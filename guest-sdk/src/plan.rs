//! The description of a model, from which the host builds it.
//!
//! ```
//! use modelzoo_guest::plan::{Architecture, Classification, Plan, Preprocessing};
//! use serde_json::json;
//!
//! # fn main() -> modelzoo_guest::Result<()> {
//! let plan = Plan::new(
//!     Architecture::new("resnet", json!({"depth": 50, "num_classes": 2}))?,
//!     Classification::new(["cat", "dog"]).confidence_thresh(0.5),
//! )
//! .weights(["weights.safetensors"])
//! .preprocessing(Preprocessing::imagenet());
//! # assert_eq!(plan.weights.len(), 1);
//! # Ok(())
//! # }
//! ```

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::modelzoo::source::deployment as wit;
use crate::{ArtifactName, Error, Result};

/// Everything that the host needs to know to build a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The network itself.
    pub architecture: Architecture,
    /// The artifacts that hold the weights, in safetensors format.
    pub weights: Vec<ArtifactName>,
    /// From an image file to the network's input.
    pub preprocessing: Preprocessing,
    /// What the network's output means.
    pub head: Head,
}

impl Plan {
    /// A plan with no weights yet, and the preprocessing that [`Preprocessing::default`] is.
    pub fn new(architecture: Architecture, head: impl Into<Head>) -> Self {
        Self {
            architecture,
            weights: Vec::new(),
            preprocessing: Preprocessing::default(),
            head: head.into(),
        }
    }

    /// Says which artifacts hold the weights: one, or several that complete each other.
    #[must_use]
    pub fn weights<W: Into<ArtifactName>>(mut self, files: impl IntoIterator<Item = W>) -> Self {
        self.weights = files.into_iter().map(Into::into).collect();
        self
    }

    /// Says how an image becomes the network's input.
    #[must_use]
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = preprocessing;
        self
    }
}

/// A network that the host knows, for example `resnet` or `sequential`, and its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Its name.
    pub name: String,
    /// Its configuration. The fields of each architecture are documented with the host, which
    /// refuses unknown ones.
    pub config: Map<String, Value>,
}

impl Architecture {
    /// An architecture by name, with a configuration that is a JSON object: a `json!({…})`, or a
    /// structure that serialises to one.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the configuration does not become a JSON object.
    pub fn new(name: impl Into<String>, config: impl Serialize) -> Result<Self> {
        let name = name.into();
        match serde_json::to_value(config) {
            Ok(Value::Object(config)) => Ok(Self { name, config }),
            Ok(_) => Err(Error::invalid_input(format_args!(
                "the configuration of `{name}` is no JSON object"
            ))),
            Err(error) => Err(Error::invalid_input(format_args!(
                "the configuration of `{name}`: {error}"
            ))),
        }
    }
}

/// The colours of the images that the model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// Three channels: red, green, blue.
    #[default]
    Rgb,
    /// One channel: luma (ITU-R 601), as Pillow's mode `L`.
    Gray,
}

/// How pixels are resampled. All of them are antialiased when the image gets smaller, as in
/// Pillow, except `Nearest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Resampling {
    Nearest,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

/// A size in pixels: made from a number, for a square, or from `(height, width)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl From<u32> for Size {
    fn from(side: u32) -> Self {
        Self {
            height: side,
            width: side,
        }
    }
}

impl From<(u32, u32)> for Size {
    fn from((height, width): (u32, u32)) -> Self {
        Self { height, width }
    }
}

/// One step on the way from a decoded image to the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Resizes to exactly this size; the aspect ratio may change.
    Resize(Size, Resampling),
    /// Resizes so that the shorter side has this length; the aspect ratio stays.
    ResizeShortest(u32, Resampling),
    /// Cuts the middle out; where the image is smaller, it is padded with black.
    CenterCrop(Size),
}

/// What is subtracted from, and then divides, each channel's values, which are 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Normalization {
    /// One value a channel.
    pub mean: Vec<f32>,
    /// One value a channel, none of them zero.
    pub std: Vec<f32>,
}

/// From an image file to a tensor of shape `[channels, height, width]`. The default is the RGB
/// image as it is, with values 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preprocessing {
    /// The colours.
    pub color: Color,
    /// The steps, in this order.
    pub steps: Vec<Step>,
    /// Applied last; without it the values stay 0 to 1.
    pub normalize: Option<Normalization>,
}

impl Preprocessing {
    /// Three channels, no steps yet.
    #[must_use]
    pub fn rgb() -> Self {
        Self::default()
    }

    /// One channel, no steps yet.
    #[must_use]
    pub fn gray() -> Self {
        Self {
            color: Color::Gray,
            ..Self::default()
        }
    }

    /// What torchvision's classifiers are evaluated with: the shorter side to 256 pixels, the
    /// middle 224 × 224 of it, and the mean and standard deviation of ImageNet.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::rgb()
            .resize_shortest(256)
            .center_crop(224)
            .normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    }

    /// Adds a step: resizes to exactly this size, bilinearly.
    #[must_use]
    pub fn resize(self, to: impl Into<Size>) -> Self {
        self.step(Step::Resize(to.into(), Resampling::Bilinear))
    }

    /// Adds a step: resizes bilinearly so that the shorter side has this length.
    #[must_use]
    pub fn resize_shortest(self, to: u32) -> Self {
        self.step(Step::ResizeShortest(to, Resampling::Bilinear))
    }

    /// Adds a step: cuts the middle out.
    #[must_use]
    pub fn center_crop(self, to: impl Into<Size>) -> Self {
        self.step(Step::CenterCrop(to.into()))
    }

    /// Adds any step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Sets the mean and the standard deviation of each channel.
    #[must_use]
    pub fn normalize(mut self, mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        self.normalize = Some(Normalization {
            mean: mean.into(),
            std: std.into(),
        });
        self
    }
}

/// What the network's output means.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Head {
    /// One label an image.
    Classification(Classification),
}

/// One label an image: the class with the largest softmax probability.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Classification {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    pub confidence_thresh: Option<f32>,
}

impl Classification {
    /// A classification with the name of each output, in order.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: classes.into_iter().map(Into::into).collect(),
            confidence_thresh: None,
        }
    }

    /// Gives no label below this confidence (0 to 1). `None` always gives one.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }
}

impl From<Classification> for Head {
    fn from(classification: Classification) -> Self {
        Self::Classification(classification)
    }
}

impl From<Plan> for wit::Plan {
    fn from(plan: Plan) -> Self {
        Self {
            architecture: wit::Architecture {
                name: plan.architecture.name,
                config: Value::Object(plan.architecture.config).to_string(),
            },
            weights: plan
                .weights
                .into_iter()
                .map(ArtifactName::into_string)
                .collect(),
            preprocessing: plan.preprocessing.into(),
            head: match plan.head {
                Head::Classification(head) => wit::Head::Classification(wit::Classification {
                    classes: head.classes,
                    confidence_thresh: head.confidence_thresh,
                }),
            },
        }
    }
}

impl From<Preprocessing> for wit::Preprocessing {
    fn from(preprocessing: Preprocessing) -> Self {
        Self {
            color: match preprocessing.color {
                Color::Rgb => wit::Color::Rgb,
                Color::Gray => wit::Color::Gray,
            },
            steps: preprocessing.steps.into_iter().map(Into::into).collect(),
            normalize: preprocessing
                .normalize
                .map(|Normalization { mean, std }| wit::Normalization { mean, std }),
        }
    }
}

impl From<Step> for wit::Step {
    fn from(step: Step) -> Self {
        match step {
            Step::Resize(to, resampling) => Self::Resize(wit::Resize {
                to: to.into(),
                resampling: resampling.into(),
            }),
            Step::ResizeShortest(to, resampling) => Self::ResizeShortest(wit::ResizeShortest {
                to,
                resampling: resampling.into(),
            }),
            Step::CenterCrop(to) => Self::CenterCrop(to.into()),
        }
    }
}

impl From<Size> for wit::Size {
    fn from(Size { height, width }: Size) -> Self {
        Self { height, width }
    }
}

impl From<Resampling> for wit::Resampling {
    fn from(resampling: Resampling) -> Self {
        match resampling {
            Resampling::Nearest => Self::Nearest,
            Resampling::Bilinear => Self::Bilinear,
            Resampling::Bicubic => Self::Bicubic,
            Resampling::Lanczos => Self::Lanczos,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelPath;
    use serde_json::json;

    #[test]
    fn becomes_what_the_host_reads() {
        let path = ModelPath::new("/model", "sub/w.safetensors");
        let plan = Plan::new(
            Architecture::new("sequential", json!({"layers": [1, 2]})).unwrap(),
            Classification::new(["a", "b"]).confidence_thresh(0.25),
        )
        .weights([&path])
        .preprocessing(
            Preprocessing::gray()
                .step(Step::Resize((8, 9).into(), Resampling::Lanczos))
                .resize_shortest(7)
                .center_crop(6)
                .normalize([0.5], [0.25]),
        );
        let wit = wit::Plan::from(plan);
        assert_eq!(wit.architecture.name, "sequential");
        assert_eq!(wit.architecture.config, r#"{"layers":[1,2]}"#);
        assert_eq!(wit.weights, ["sub/w.safetensors"]);
        assert!(matches!(wit.preprocessing.color, wit::Color::Gray));
        let [
            wit::Step::Resize(resize),
            wit::Step::ResizeShortest(shortest),
            wit::Step::CenterCrop(crop),
        ] = wit.preprocessing.steps.as_slice()
        else {
            panic!("{:?}", wit.preprocessing.steps);
        };
        assert_eq!((resize.to.height, resize.to.width), (8, 9));
        assert!(matches!(resize.resampling, wit::Resampling::Lanczos));
        assert_eq!(shortest.to, 7);
        assert!(matches!(shortest.resampling, wit::Resampling::Bilinear));
        assert_eq!((crop.height, crop.width), (6, 6));
        let normalize = wit.preprocessing.normalize.unwrap();
        assert_eq!((normalize.mean, normalize.std), (vec![0.5], vec![0.25]));
        let wit::Head::Classification(head) = wit.head;
        assert_eq!(head.classes, ["a", "b"]);
        assert_eq!(head.confidence_thresh, Some(0.25));
    }

    #[test]
    fn a_configuration_is_an_object() {
        for config in [json!([1]), json!(null), json!("depth")] {
            assert_eq!(
                Architecture::new("resnet", config),
                Err(Error::invalid_input(
                    "the configuration of `resnet` is no JSON object"
                ))
            );
        }
    }
}
