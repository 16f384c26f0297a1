use super::{Map, OutputError, equal, finite};

/// Which part of the network's input a mask covers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MaskExtent {
    /// All of it.
    #[default]
    Input,
    /// The box that the mask belongs to, as Mask R-CNN's: 28x28 places, whatever the box.
    Box,
}

/// What the numbers of a mask are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MaskValues {
    /// The probability (0 to 1) that a pixel belongs to the area.
    #[default]
    Probabilities,
    /// The same before the sigmoid.
    Logits,
}

impl MaskValues {
    /// The number that stands for a probability, strictly between 0 and 1.
    #[must_use]
    pub fn of(self, probability: f32) -> f32 {
        match self {
            Self::Probabilities => probability,
            Self::Logits => (probability / (1.0 - probability)).ln(),
        }
    }
}

/// Areas of an image, each as a number per pixel. Their resolution may be another than that of
/// the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Masks {
    map: Map,
    /// Of each mask one number per channel of the map, which are prototypes then.
    coefficients: Option<Vec<f32>>,
    extent: MaskExtent,
    values: MaskValues,
}

impl Masks {
    /// Masks, `[masks, height, width]`: the probability (0 to 1) that a pixel of the network's
    /// input belongs to the area.
    #[must_use]
    pub fn new(map: Map) -> Self {
        Self {
            map,
            coefficients: None,
            extent: MaskExtent::default(),
            values: MaskValues::default(),
        }
    }

    /// Masks as sums of prototypes, `[prototypes, height, width]`: of each mask one factor per
    /// prototype, one mask after the other. The sums are logits. Only the masks of boxes that
    /// become labels are computed (YOLACT, arXiv 1904.02689).
    ///
    /// # Errors
    /// [`OutputError`] when a mask's factors are not complete, or one is not finite.
    pub fn from_prototypes(prototypes: Map, coefficients: Vec<f32>) -> Result<Self, OutputError> {
        let [channels, ..] = prototypes.shape();
        let whole = coefficients.len().next_multiple_of(channels.max(1));
        equal("coefficients of masks", whole, coefficients.len())?;
        finite(&coefficients)?;
        Ok(Self {
            map: prototypes,
            coefficients: Some(coefficients),
            extent: MaskExtent::Input,
            values: MaskValues::Logits,
        })
    }

    /// The same masks, which cover another part of the network's input.
    #[must_use]
    pub fn covering(self, extent: MaskExtent) -> Self {
        Self { extent, ..self }
    }

    /// How many masks.
    #[must_use]
    pub fn len(&self) -> usize {
        let [channels, ..] = self.map.shape();
        match &self.coefficients {
            Some(coefficients) => coefficients.len() / channels.max(1),
            None => channels,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers: one channel per mask, or per prototype.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Which part of the input each mask covers.
    #[must_use]
    pub fn extent(&self) -> MaskExtent {
        self.extent
    }

    /// What the numbers are.
    #[must_use]
    pub fn values(&self) -> MaskValues {
        self.values
    }

    /// The numbers of a mask, row after row, `[height, width]` of the [`map`](Self::map). [`None`]
    /// for a mask that there is not.
    #[must_use]
    pub fn mask(&self, index: usize) -> Option<Vec<f32>> {
        let Some(coefficients) = &self.coefficients else {
            return self.map.channels().nth(index).map(<[f32]>::to_vec);
        };
        let [channels, height, width] = self.map.shape();
        let factors = coefficients.chunks_exact(channels.max(1)).nth(index)?;
        let mut sums = vec![0.0; height * width];
        for (factor, prototype) in factors.iter().zip(self.map.channels()) {
            for (sum, value) in sums.iter_mut().zip(prototype) {
                *sum += factor * value;
            }
        }
        Some(sums)
    }
}
