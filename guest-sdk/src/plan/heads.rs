//! What a network's output means, and where embeddings come from.

use crate::bindings::modelzoo::source::deployment as wit;
use crate::{Error, Result};

/// What the network's output means.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Head {
    /// One label an image.
    Classification(Classification),
    /// Any number of labels an image.
    MultiLabel(MultiLabel),
    /// One label an image, of classes that the network was not trained for.
    ZeroShot(ZeroShot),
}

/// One label an image: the class with the largest softmax probability.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Classification {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them.
    pub filter_classes: Vec<String>,
}

impl Classification {
    /// A classification with the name of each output, in order.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: strings(classes),
            ..Self::default()
        }
    }

    /// Gives no label below this confidence (0 to 1). `None` always gives one.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }

    /// Gives these classes alone as labels.
    #[must_use]
    pub fn filter_classes<S: Into<String>>(mut self, classes: impl IntoIterator<Item = S>) -> Self {
        self.filter_classes = strings(classes);
        self
    }
}

/// Any number of labels an image: the classes whose sigmoid is large enough.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiLabel {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// From this confidence (0 to 1) on, a class is given. The user's own threshold wins.
    pub confidence_thresh: f32,
    /// The classes that are given as labels; empty for all of them.
    pub filter_classes: Vec<String>,
}

impl MultiLabel {
    /// A head with the name of each output, in order, that gives a class from the confidence 0.5
    /// on.
    pub fn new<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self {
            classes: strings(classes),
            confidence_thresh: 0.5,
            filter_classes: Vec::new(),
        }
    }
}

/// How the similarities of an image to the prompts become confidences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scoring {
    /// All classes share one: CLIP.
    #[default]
    Softmax,
    /// Each class for itself, as SigLIP was trained.
    Sigmoid,
}

/// One label an image: the class whose prompt is most similar to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZeroShot {
    /// The labels.
    pub classes: Vec<String>,
    /// The text that stands for each class, as many as there are classes.
    pub prompts: Vec<String>,
    /// How similarities become confidences.
    pub scoring: Scoring,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them.
    pub filter_classes: Vec<String>,
}

impl ZeroShot {
    /// A head whose prompts are a text, a space and the class: `"A photo of a"`.
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

    /// Gives no label below this confidence (0 to 1). `None` always gives one.
    #[must_use]
    pub fn confidence_thresh(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence_thresh = confidence.into();
        self
    }
}

/// How the positions of a layer's output (tokens, or places of a feature map) become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Embeddings {
    /// The layer whose output is taken, or its input where the name follows a `<`; without it,
    /// the one that the architecture says.
    pub layer: Option<String>,
    /// How its positions become one vector.
    pub pooling: Pooling,
    /// Whether each vector is divided by its length.
    pub normalize: bool,
}

impl Embeddings {
    /// From the layer that the architecture says, its positions pooled so.
    #[must_use]
    pub fn pooled(pooling: Pooling) -> Self {
        Self {
            pooling,
            ..Self::default()
        }
    }

    /// From a layer's output, or from its input where the name follows a `<`.
    #[must_use]
    pub fn layer(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// Divides each vector by its length.
    #[must_use]
    pub fn normalize(mut self) -> Self {
        self.normalize = true;
        self
    }
}

fn strings<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
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
