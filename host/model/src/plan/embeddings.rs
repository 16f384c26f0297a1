use serde::{Deserialize, Serialize};

use crate::check::{self, PlanError};

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

impl Embeddings {
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        match &self.layer {
            Some(layer) => check::name("layer", layer),
            None => Ok(()),
        }
    }
}
