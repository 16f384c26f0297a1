use serde::{Deserialize, Serialize};

use super::classes;
use crate::plan::PlanError;
use crate::plan::check;

/// The most classes, and prompts: the text network runs once for each prompt.
const MAX_PROMPTS: usize = 32_768;

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

/// One label per image: the class whose prompt is most similar to it.
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

impl ZeroShot {
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        classes::check_names("prompts", &self.prompts, "texts", MAX_PROMPTS)?;
        classes::check(&self.classes, MAX_PROMPTS)?;
        let (prompts, classes) = (self.prompts.len(), self.classes.len());
        if prompts != classes {
            let reason = format!("has {prompts} texts for {classes} classes");
            return Err(PlanError::new("prompts", reason));
        }
        if let Some(threshold) = self.confidence_thresh {
            check::confidence("confidence_thresh", threshold)?;
        }
        classes::check_filter(&self.classes, &self.filter_classes)
    }
}
