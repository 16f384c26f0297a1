//! The task: what a network's outputs mean, and where embeddings come from.

use super::places::{
    Detection, InstanceSegmentation, Keypoints, OrientedBoxes, SemanticSegmentation,
};
use crate::bindings::modelzoo::source::deployment as wit;
use crate::{Error, Result};

/// What the network's outputs mean.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Head {
    /// One label per image.
    Classification(Classification),
    /// Any number of labels per image.
    MultiLabel(MultiLabel),
    /// One label per image, from classes that the network was not trained for.
    ZeroShot(ZeroShot),
    /// Objects in an image: boxes.
    Detection(Detection),
    /// Objects in an image: boxes with masks.
    InstanceSegmentation(InstanceSegmentation),
    /// Objects in an image: groups of points.
    Keypoints(Keypoints),
    /// Objects in an image: rotated boxes.
    OrientedBoxes(OrientedBoxes),
    /// A class for each pixel of an image.
    SemanticSegmentation(SemanticSegmentation),
    /// A depth for each pixel of an image, as the network gives it.
    Depth,
}

/// One label per image: the class with the largest softmax probability.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Classification {
    /// The class names, in the order of the network's outputs; one per output.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) there is no label. The user's threshold overrides it.
    pub confidence_thresh: Option<f32>,
    /// The classes that become labels; empty for all classes.
    pub filter_classes: Vec<String>,
}

impl Classification {
    /// A classification with these class names, in the order of the outputs.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: strings(classes),
            ..Self::default()
        }
    }

    /// Sets the least confidence (0 to 1) of a label; with `None` every image has one.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }

    /// Restricts the labels to these classes.
    #[must_use]
    pub fn filter_classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.filter_classes = strings(classes);
        self
    }
}

/// Any number of labels per image: the classes whose sigmoid probability is large enough.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiLabel {
    /// The class names, in the order of the network's outputs; one per output.
    pub classes: Vec<String>,
    /// The least confidence (0 to 1) of a label. The user's threshold overrides it.
    pub confidence_thresh: f32,
    /// The classes that become labels; empty for all classes.
    pub filter_classes: Vec<String>,
}

impl MultiLabel {
    /// A task with these class names, in the order of the outputs, and labels from a confidence of
    /// 0.5.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: strings(classes),
            confidence_thresh: 0.5,
            filter_classes: Vec::new(),
        }
    }
}

/// How the similarities between an image and the prompts become confidences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scoring {
    /// A softmax over the classes: CLIP.
    #[default]
    Softmax,
    /// A sigmoid per class: SigLIP.
    Sigmoid,
}

/// One label per image: the class whose prompt is most similar to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZeroShot {
    /// The class names.
    pub classes: Vec<String>,
    /// The prompt of each class, in the same order.
    pub prompts: Vec<String>,
    /// How similarities become confidences.
    pub scoring: Scoring,
    /// Below this confidence (0 to 1) there is no label. The user's threshold overrides it.
    pub confidence_thresh: Option<f32>,
    /// The classes that become labels; empty for all classes.
    pub filter_classes: Vec<String>,
}

impl ZeroShot {
    /// A task whose prompts are a text, for example `"A photo of a"`, a space and the class.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when there is no class.
    pub fn new<S: Into<String>>(
        text_prompt: &str,
        classes: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let classes: Vec<String> = strings(classes);
        if classes.is_empty() {
            return Err(Error::invalid_input(
                "`classes` is empty: name what the images may show",
            ));
        }
        let prompt = |class: &String| format!("{text_prompt} {class}").trim().to_owned();
        Ok(Self {
            prompts: classes.iter().map(prompt).collect(),
            classes,
            ..Self::default()
        })
    }

    /// Sets how similarities become confidences.
    #[must_use]
    pub fn scoring(mut self, scoring: Scoring) -> Self {
        self.scoring = scoring;
        self
    }

    /// Sets the least confidence (0 to 1) of a label; with `None` every image has one.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }
}

/// How the positions of a layer's output (tokens, or cells of a feature map) become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// No pooling: the positions are concatenated.
    #[default]
    None,
    /// The first position (`[CLS]`).
    First,
    /// The mean per channel over the positions that are not padding.
    Mean,
    /// The maximum per channel over the positions that are not padding.
    Max,
}

/// Where embeddings come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Embeddings {
    /// The layer whose output is used, or its input if the name starts with `<`; `None` for the
    /// architecture's default.
    pub layer: Option<String>,
    /// How its positions become one vector.
    pub pooling: Pooling,
    /// Whether each vector is scaled to unit length (L2).
    pub normalize: bool,
}

impl Embeddings {
    /// From the architecture's default layer, with this pooling.
    #[must_use]
    pub fn pooled(pooling: Pooling) -> Self {
        Self {
            pooling,
            ..Self::default()
        }
    }

    /// From a layer's output, or its input if the name starts with `<`.
    #[must_use]
    pub fn layer(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// Scales each vector to unit length (L2).
    #[must_use]
    pub fn normalize(mut self) -> Self {
        self.normalize = true;
        self
    }
}

pub(super) fn strings<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

impl From<Classification> for Head {
    fn from(head: Classification) -> Self {
        Self::Classification(head)
    }
}

impl From<MultiLabel> for Head {
    fn from(head: MultiLabel) -> Self {
        Self::MultiLabel(head)
    }
}

impl From<ZeroShot> for Head {
    fn from(head: ZeroShot) -> Self {
        Self::ZeroShot(head)
    }
}

impl From<Head> for wit::Head {
    fn from(head: Head) -> Self {
        match head {
            Head::Classification(head) => Self::Classification(wit::Classification {
                classes: head.classes,
                confidence_thresh: head.confidence_thresh,
                filter_classes: head.filter_classes,
            }),
            Head::MultiLabel(head) => Self::MultiLabel(wit::MultiLabel {
                classes: head.classes,
                confidence_thresh: head.confidence_thresh,
                filter_classes: head.filter_classes,
            }),
            Head::ZeroShot(head) => Self::ZeroShot(wit::ZeroShot {
                classes: head.classes,
                prompts: head.prompts,
                scoring: match head.scoring {
                    Scoring::Softmax => wit::Scoring::Softmax,
                    Scoring::Sigmoid => wit::Scoring::Sigmoid,
                },
                confidence_thresh: head.confidence_thresh,
                filter_classes: head.filter_classes,
            }),
            Head::Detection(head) => Self::Detection(head.into()),
            Head::InstanceSegmentation(head) => Self::InstanceSegmentation(head.into()),
            Head::Keypoints(head) => Self::Keypoints(head.into()),
            Head::OrientedBoxes(head) => Self::OrientedBoxes(head.into()),
            Head::SemanticSegmentation(head) => Self::SemanticSegmentation(head.into()),
            Head::Depth => Self::Depth,
        }
    }
}

impl From<Embeddings> for wit::Embeddings {
    fn from(embeddings: Embeddings) -> Self {
        Self {
            layer: embeddings.layer,
            pooling: match embeddings.pooling {
                Pooling::None => wit::Pooling::None,
                Pooling::First => wit::Pooling::First,
                Pooling::Mean => wit::Pooling::Mean,
                Pooling::Max => wit::Pooling::Max,
            },
            normalize: embeddings.normalize,
        }
    }
}
