//! What an architecture's file provides: a configuration, and the network that it builds.

use candle_core::Tensor;
use modelzoo_base::nearest;
use modelzoo_model::output::{Output, OutputError, OutputKind, Scores};
use modelzoo_model::plan::Size;
use serde_json::Value;

use super::config::ConfigChecker;
use crate::device::Device;
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::precision::full;
use crate::trace::Trace;
use crate::weights::Scope;

/// The configuration of an architecture, checked as far as possible without weights.
pub(crate) trait ArchitectureConfig {
    /// Reads and checks what a plan has for the architecture that `checker` names.
    fn parse(checker: &ConfigChecker, config: &Value) -> Result<Self, Error>
    where
        Self: Sized;

    /// The channels of the images that the network takes; none where it takes any number, or no
    /// images.
    fn in_channels(&self) -> Option<usize>;

    /// Checks that images of `channels` and, where the plan fixes it, `size` can pass through the
    /// network. Returns the number of its classes, or features, where that is known.
    fn outputs(&self, channels: usize, size: Option<Size>) -> Result<Option<usize>, Error>;

    /// Builds the network with its weights.
    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error>;
}

/// A network, or a part of one, that takes images.
///
/// One that gives scores or features implements [`forward`](Self::forward) alone. One that gives
/// boxes or maps also says so by [`gives`](Self::gives) and implements
/// [`outputs`](Self::outputs); what its [`forward`](Self::forward) gives is compared with the
/// reference, and is what embeddings are taken from where a plan names no layer.
pub(crate) trait ImageTower: Send + Sync {
    /// `[batch, outputs]`: scores of classes before the softmax, or features.
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error>;

    /// The kind of the outputs for a task.
    fn gives(&self) -> OutputKind {
        OutputKind::Scores
    }

    /// One output per image, in the order of the images, of the kind that
    /// [`gives`](Self::gives) says: places in pixels of the input, counted from its edge.
    ///
    /// Boxes may be candidates that overlap, of any confidence; the task chooses, with
    /// non-maximum suppression where the plan says so. A network whose later parts only compute
    /// what is chosen uses [`modelzoo_model::nms`] itself.
    fn outputs(&self, x: FeatureMap) -> Result<Vec<Result<Output, OutputError>>, Error> {
        let scores = full(&self.forward(x, &mut Trace::off())?)?.to_vec2::<f32>()?;
        let outputs = scores
            .into_iter()
            .map(|row| Ok(Output::Scores(Scores::new(row)?)));
        Ok(outputs.collect())
    }
}

/// A network, or a part of one, that takes texts.
pub(crate) trait TextTower: Send + Sync {
    /// `[batch, features]`, or `[batch, tokens, features]` where the plan pools them.
    fn forward(&self, tokens: &TokenBatch, trace: &mut Trace<'_>) -> Result<Tensor, Error>;

    /// The most tokens of a text, where its weights limit them.
    fn max_tokens(&self) -> Option<usize>;

    /// The number of tokens in its vocabulary.
    fn vocabulary(&self) -> usize;

    /// The padding token where the tokenizer has none.
    fn padding(&self) -> u32 {
        0
    }

    /// The length that texts are padded to where the plan does not say, for a network whose tokens
    /// attend to the padding.
    fn pad_to(&self) -> Option<usize> {
        None
    }
}

/// Texts as token ids, padded at their ends to one length.
pub(crate) struct TokenBatch {
    /// The ids, row after row, each of [`len`](Self::len) tokens.
    pub(crate) ids: Vec<u32>,
    /// Tokens per row.
    pub(crate) len: usize,
    /// Tokens of each row without the padding.
    pub(crate) lengths: Vec<usize>,
}

impl TokenBatch {
    /// The tokens of each row without the padding, where any row has padding.
    pub(crate) fn padded_lengths(&self) -> Option<&[usize]> {
        let padded = self.lengths.iter().any(|&length| length < self.len);
        padded.then_some(self.lengths.as_slice())
    }
}

/// The similarity of an image and a text: `scale * cosine + bias`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Similarity {
    pub(crate) scale: f32,
    pub(crate) bias: f32,
}

/// A built network.
pub(crate) struct Network {
    pub(crate) images: Option<Box<dyn ImageTower>>,
    pub(crate) texts: Option<Box<dyn TextTower>>,
    /// Where both towers give features of one space.
    pub(crate) similarity: Option<Similarity>,
    /// The layers whose inputs and outputs a [`Trace`] can take.
    pub(crate) layers: Vec<String>,
    /// Those of these values that do not exist, inputs with a `<`: the ones inside of fused layers.
    pub(crate) hidden: Vec<String>,
    /// The layer whose output, or with a `<` whose input, is the embedding where a plan names none;
    /// none where it is the network's output.
    pub(crate) embedding: Option<String>,
    /// How many classes it has, where only the weights say so.
    pub(crate) class_count: Option<usize>,
    /// The names of the classes, where the weights have them.
    pub(crate) class_names: Option<Vec<String>>,
}

impl Network {
    /// A network that takes images only.
    pub(crate) fn of_images(
        tower: impl ImageTower + 'static,
        layers: Vec<String>,
        embedding: Option<String>,
    ) -> Self {
        Self {
            images: Some(Box::new(tower)),
            texts: None,
            similarity: None,
            layers,
            hidden: Vec::new(),
            embedding,
            class_count: None,
            class_names: None,
        }
    }

    /// Whether a [`Trace`] can take the output of a layer, or with a `<` its input.
    pub(crate) fn shows(&self, wanted: &str) -> bool {
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        let is = |known: &String, name: &str| known == name;
        self.layers.iter().any(|known| is(known, name))
            && !self.hidden.iter().any(|known| is(known, wanted))
    }

    /// Suggestions for a layer that cannot be taken: its input for its output or the reverse, or
    /// else the nearest names.
    pub(crate) fn nearest_layers(&self, wanted: &str) -> Vec<String> {
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        let input = format!("<{name}");
        match [name, &input].into_iter().find(|form| self.shows(form)) {
            Some(form) => vec![form.to_owned()],
            None => nearest(name, self.layers.iter().map(String::as_str)),
        }
    }

    /// Whether a layer belongs to the image tower. Where there are two towers, the beginning of its
    /// name tells.
    pub(crate) fn layer_is_of_images(&self, wanted: &str) -> bool {
        if self.images.is_none() || self.texts.is_none() {
            return self.images.is_some();
        }
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        ["visual.", "vision_model.", "visual_projection"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    }

    /// Whether a layer belongs to the text tower.
    pub(crate) fn layer_is_of_texts(&self, wanted: &str) -> bool {
        self.texts.is_some() && !(self.images.is_some() && self.layer_is_of_images(wanted))
    }
}
