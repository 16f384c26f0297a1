//! The plan of a model, from which the host builds it.
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

mod heads;
mod images;
mod places;
mod texts;

pub use heads::{Classification, Embeddings, Head, MultiLabel, Pooling, Scoring, ZeroShot};
pub use images::{Color, Normalization, Preprocessing, Resampling, Size, Step};
pub use places::{
    Detection, InstanceSegmentation, Keypoints, Nms, OrientedBoxes, SemanticSegmentation,
};
pub use texts::{Tokenizer, TokenizerFormat};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::modelzoo::source::deployment as wit;
use crate::{ArtifactName, Error, Result};

/// Everything that the host needs to build a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The network.
    pub architecture: Architecture,
    /// The artifacts with the weights, in safetensors or PyTorch format.
    pub weights: Vec<ArtifactName>,
    /// The preprocessing of images; `None` for a network whose only input is text.
    pub preprocessing: Option<Preprocessing>,
    /// The tokenizer of texts; `None` for a network whose only input is images.
    pub tokenizer: Option<Tokenizer>,
    /// What the network's outputs mean; `None` for a model whose only output is embeddings.
    pub head: Option<Head>,
    /// Where embeddings come from; `None` for the architecture's default.
    pub embeddings: Option<Embeddings>,
}

impl Plan {
    /// A plan for labels of images, with no weights yet, and [`Preprocessing::default`].
    pub fn new(architecture: Architecture, head: impl Into<Head>) -> Self {
        Self::embedder(architecture)
            .preprocessing(Preprocessing::default())
            .head(head)
    }

    /// A plan for embeddings only, with no weights yet. Set its inputs with
    /// [`Plan::preprocessing`], [`Plan::tokenizer`] or both.
    #[must_use]
    pub fn embedder(architecture: Architecture) -> Self {
        Self {
            architecture,
            weights: Vec::new(),
            preprocessing: None,
            tokenizer: None,
            head: None,
            embeddings: None,
        }
    }

    /// Sets the artifacts with the weights: one, or several shards.
    #[must_use]
    pub fn weights<W: Into<ArtifactName>>(mut self, files: impl IntoIterator<Item = W>) -> Self {
        self.weights = files.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the preprocessing of images.
    #[must_use]
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// Sets the tokenizer of texts.
    #[must_use]
    pub fn tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// Sets what the network's outputs mean.
    #[must_use]
    pub fn head(mut self, head: impl Into<Head>) -> Self {
        self.head = Some(head.into());
        self
    }

    /// Sets where embeddings come from.
    #[must_use]
    pub fn embeddings(mut self, embeddings: Embeddings) -> Self {
        self.embeddings = Some(embeddings);
        self
    }
}

/// A network that the host knows, for example `resnet` or `sequential`, and its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Its name.
    pub name: String,
    /// Its configuration. The host's documentation lists the fields of each architecture; the host
    /// refuses unknown ones.
    pub config: Map<String, Value>,
}

impl Architecture {
    /// An architecture by name, with a configuration that is a JSON object: a `json!({…})`, or a
    /// struct that serializes to one.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the configuration does not serialize to a JSON object.
    pub fn new(name: impl Into<String>, config: impl Serialize) -> Result<Self> {
        let name = name.into();
        match serde_json::to_value(config) {
            Ok(Value::Object(config)) => Ok(Self { name, config }),
            Ok(_) => Err(Error::invalid_input(format_args!(
                "the configuration of `{name}` is not a JSON object"
            ))),
            Err(error) => Err(Error::invalid_input(format_args!(
                "the configuration of `{name}`: {error}"
            ))),
        }
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
            preprocessing: plan.preprocessing.map(Into::into),
            tokenizer: plan.tokenizer.map(Into::into),
            head: plan.head.map(Into::into),
            embeddings: plan.embeddings.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelPath;
    use serde_json::json;

    #[test]
    fn plan_converts_to_the_wit_type() {
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
        let preprocessing = wit.preprocessing.unwrap();
        assert!(matches!(preprocessing.color, wit::Color::Gray));
        let [
            wit::Step::Resize(resize),
            wit::Step::ResizeShortest(shortest),
            wit::Step::CenterCrop(crop),
        ] = preprocessing.steps.as_slice()
        else {
            panic!("{:?}", preprocessing.steps);
        };
        assert_eq!((resize.to.height, resize.to.width), (8, 9));
        assert!(matches!(resize.resampling, wit::Resampling::Lanczos));
        assert_eq!(shortest.to, 7);
        assert!(matches!(shortest.resampling, wit::Resampling::Bilinear));
        assert_eq!((crop.height, crop.width), (6, 6));
        let normalize = preprocessing.normalize.unwrap();
        assert_eq!((normalize.mean, normalize.std), (vec![0.5], vec![0.25]));
        let Some(wit::Head::Classification(head)) = wit.head else {
            panic!("{:?}", wit.head);
        };
        assert_eq!(head.classes, ["a", "b"]);
        assert_eq!(head.confidence_thresh, Some(0.25));
    }

    #[test]
    fn configuration_must_be_an_object() {
        for config in [json!([1]), json!(null), json!("depth")] {
            assert_eq!(
                Architecture::new("resnet", config),
                Err(Error::invalid_input(
                    "the configuration of `resnet` is not a JSON object"
                ))
            );
        }
    }

    #[test]
    fn tokenizer_and_embeddings_convert_to_the_wit_types() {
        let path = ModelPath::new("/model", "w.safetensors");
        let plan = Plan::embedder(Architecture::new("bert", json!({})).unwrap())
            .weights([&path])
            .tokenizer(Tokenizer::json(&path).max_tokens(256))
            .embeddings(Embeddings::pooled(Pooling::Mean).layer("<x").normalize());
        let wit = wit::Plan::from(plan);
        assert!(wit.preprocessing.is_none() && wit.head.is_none());
        let tokenizer = wit.tokenizer.unwrap();
        assert_eq!(
            (tokenizer.max_tokens, tokenizer.pad_to_max),
            (Some(256), false)
        );
        let embeddings = wit.embeddings.unwrap();
        assert_eq!(embeddings.layer.as_deref(), Some("<x"));
        assert!(matches!(embeddings.pooling, wit::Pooling::Mean) && embeddings.normalize);
    }

    #[test]
    fn detection_converts_to_the_wit_type() {
        let detection = Detection::new(["ship"]).nms(0.7).max_objects(300);
        let plan = Plan::new(
            Architecture::new("yolo", json!({})).unwrap(),
            InstanceSegmentation::new(detection),
        )
        .preprocessing(Preprocessing::letterbox(640));
        let wit = wit::Plan::from(plan);
        let Some(wit::Head::InstanceSegmentation(head)) = wit.head else {
            panic!("{:?}", wit.head);
        };
        assert_eq!(head.mask_thresh, 0.5);
        let nms = head.detection.nms.unwrap();
        assert_eq!((nms.iou_thresh, nms.across_classes), (0.7, false));
        assert_eq!(head.detection.max_objects, Some(300));
        let steps = wit.preprocessing.unwrap().steps;
        let [wit::Step::Letterbox(letterbox)] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!((letterbox.to.width, letterbox.multiple), (640, Some(32)));
    }

    #[test]
    fn zero_shot_makes_one_prompt_per_class() {
        let head = ZeroShot::new("A photo of a", ["cat", "dog"]).unwrap();
        assert_eq!(head.prompts, ["A photo of a cat", "A photo of a dog"]);
        assert_eq!(ZeroShot::new("", ["cat"]).unwrap().prompts, ["cat"]);
        assert!(ZeroShot::new("A", [""; 0]).is_err());
    }
}
