//! A plan: everything that is needed to build a model, as data.
//!
//! It mirrors the `deployment` interface of `wit/v0.1` field for field, with snake case where
//! WIT has kebab case, so that a guest's answer and a file describe a model in one way:
//!
//! ```
//! use modelzoo_model::plan::Plan;
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

mod architecture;
mod embeddings;
mod preprocessing;
mod tokenizer;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use architecture::Architecture;
pub use embeddings::{Embeddings, Pooling};
pub use preprocessing::{Color, MAX_SIDE, Normalization, Preprocessing, Resampling, Step};
pub use tokenizer::{MAX_TOKENS, Tokenizer, TokenizerFormat};

use crate::check;
pub use crate::check::PlanError;
pub use crate::geometry::Size;
use crate::task::Task;

/// The most weight files.
const WEIGHTS: usize = 1024;

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
    pub head: Option<Task>,
    /// Where embeddings come from; without it, from where the architecture says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<Embeddings>,
}

impl Plan {
    /// Checks everything that can be checked without the weights and without knowing the
    /// architecture: that what could be large is bounded, that numbers are finite and in range,
    /// and that the parts fit together.
    ///
    /// # Errors
    /// [`PlanError`] names the first field that is wrong.
    pub fn validate(&self) -> Result<(), PlanError> {
        self.architecture.validate()?;
        self.validate_weights()?;
        if let Some(preprocessing) = &self.preprocessing {
            let checked = preprocessing.validate();
            checked.map_err(|e| e.within("preprocessing"))?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            tokenizer.validate().map_err(|e| e.within("tokenizer"))?;
        }
        if let Some(embeddings) = &self.embeddings {
            embeddings.validate().map_err(|e| e.within("embeddings"))?;
        }
        if self.preprocessing.is_none() && self.tokenizer.is_none() {
            let reason = "or `tokenizer` must be given: the model takes nothing";
            return Err(PlanError::new("preprocessing", reason));
        }
        let Some(task) = &self.head else {
            return Ok(());
        };
        if self.preprocessing.is_none() {
            let reason = "needs images, so `preprocessing` too";
            return Err(PlanError::new("head", reason));
        }
        if task.prompts().is_some() && self.tokenizer.is_none() {
            let reason = format!(
                "must be given: the prompts of `head.{}` are texts",
                task.name()
            );
            return Err(PlanError::new("tokenizer", reason));
        }
        task.validate().map_err(|e| e.within("head"))
    }

    fn validate_weights(&self) -> Result<(), PlanError> {
        if self.weights.is_empty() {
            return Err(PlanError::new("weights", "names no file"));
        }
        check::count("weights", self.weights.len(), WEIGHTS, "files")?;
        let mut seen = HashSet::new();
        for (index, name) in self.weights.iter().enumerate() {
            let field = format!("weights[{index}]");
            check::file(&field, name)?;
            if !seen.insert(name) {
                let reason = format!("names {} again", check::shown(name));
                return Err(PlanError::new(field, reason));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
