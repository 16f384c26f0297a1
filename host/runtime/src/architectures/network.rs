//! What an architecture's file provides: a blueprint, and the network that it builds.

use candle_core::Tensor;
use modelzoo_base::nearest;

use crate::device::Device;
use crate::error::Error;
use crate::layers::FeatureMap;
use crate::plan::Size;
use crate::trace::Trace;
use crate::weights::Scope;

/// An architecture with its configuration, which is checked as far as it can be without weights.
pub(crate) trait Blueprint {
    /// The channels of the images that the network takes; none where any number would do, or
    /// where it takes no images.
    fn in_channels(&self) -> Option<usize>;

    /// Checks that images of `channels` and, where the plan fixes it, `size` can pass through the
    /// network. Returns the number of classes that it tells apart, where that is known.
    fn outputs(&self, channels: usize, size: Option<Size>) -> Result<Option<usize>, Error>;

    /// Builds the network with its weights.
    fn build(self: Box<Self>, weights: &Scope<'_>, device: &Device) -> Result<Network, Error>;
}

/// A network, or the part of one, that takes images.
pub(crate) trait ImageTower: Send + Sync {
    /// `[batch, outputs]`: scores of classes, before the softmax; or features.
    fn forward(&self, x: FeatureMap, trace: &mut Trace<'_>) -> Result<Tensor, Error>;
}

/// A network, or the part of one, that takes texts.
pub(crate) trait TextTower: Send + Sync {
    /// `[batch, features]`, or `[batch, tokens, features]` where the plan says how to pool them.
    fn forward(&self, tokens: &TokenBatch, trace: &mut Trace<'_>) -> Result<Tensor, Error>;

    /// The most tokens that it takes, where its weights say so.
    fn max_tokens(&self) -> Option<usize>;

    /// How many different tokens it knows; a larger number is none of its tokens.
    fn vocabulary(&self) -> usize;

    /// The token that texts are padded with where their tokenizer does not say.
    fn padding(&self) -> u32 {
        0
    }

    /// The length that texts are padded to where the plan does not say, for a network that takes
    /// the padding for a part of the text.
    fn pad_to(&self) -> Option<usize> {
        None
    }
}

/// Texts as numbers of tokens, padded at their ends to one length.
pub(crate) struct TokenBatch {
    /// The numbers, row after row: as many as there are [`lengths`](Self::lengths), of [`len`](Self::len)
    /// tokens each.
    pub(crate) ids: Vec<u32>,
    /// Tokens of a row.
    pub(crate) len: usize,
    /// Tokens of each row before the padding.
    pub(crate) lengths: Vec<usize>,
}

impl TokenBatch {
    /// The tokens of each row before the padding, where any row has padding.
    pub(crate) fn padded_lengths(&self) -> Option<&[usize]> {
        let padded = self.lengths.iter().any(|&length| length < self.len);
        padded.then_some(self.lengths.as_slice())
    }
}

/// How the two towers of a network compare: `scale * cosine + bias`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Similarity {
    pub(crate) scale: f32,
    pub(crate) bias: f32,
}

/// A built network.
pub(crate) struct Network {
    pub(crate) images: Option<Box<dyn ImageTower>>,
    pub(crate) texts: Option<Box<dyn TextTower>>,
    /// Given where both towers give features of one space.
    pub(crate) similarity: Option<Similarity>,
    /// The layers whose inputs and outputs a [`Trace`] hears of.
    pub(crate) layers: Vec<String>,
    /// Those values of the layers that there are not, the inputs with a `<`: between modules that
    /// are computed as one.
    pub(crate) hidden: Vec<String>,
    /// The layer whose output is the embedding when a plan names none, or its input where the
    /// name follows a `<`; none where it is the network's output.
    pub(crate) embedding: Option<String>,
}

impl Network {
    /// A network that takes images alone, with the layers that it names.
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
        }
    }

    /// Whether a [`Trace`] can hear of the output of a layer, or of its input where the name
    /// follows a `<`.
    pub(crate) fn shows(&self, wanted: &str) -> bool {
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        let is = |known: &String, name: &str| known == name;
        self.layers.iter().any(|known| is(known, name))
            && !self.hidden.iter().any(|known| is(known, wanted))
    }

    /// What may be meant by a layer that this does not show: its input for its output and the
    /// reverse, or else the nearest names.
    pub(crate) fn nearest_layers(&self, wanted: &str) -> Vec<String> {
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        let input = format!("<{name}");
        match [name, &input].into_iter().find(|form| self.shows(form)) {
            Some(form) => vec![form.to_owned()],
            None => nearest(name, self.layers.iter().map(String::as_str)),
        }
    }

    /// Whether a layer is one of the image tower, where there are two towers: its name begins as
    /// those of the published networks do.
    pub(crate) fn layer_is_of_images(&self, wanted: &str) -> bool {
        if self.images.is_none() || self.texts.is_none() {
            return self.images.is_some();
        }
        let name = wanted.strip_prefix('<').unwrap_or(wanted);
        ["visual.", "vision_model.", "visual_projection"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    }

    /// Whether a layer is one of the text tower.
    pub(crate) fn layer_is_of_texts(&self, wanted: &str) -> bool {
        self.texts.is_some() && !(self.images.is_some() && self.layer_is_of_images(wanted))
    }
}
