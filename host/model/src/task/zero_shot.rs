use serde::{Deserialize, Serialize};

use super::classes::{self, Filter};
use super::scores::{BestClass, Scoring};
use super::{Decode, Definition, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::label::LabelType;
use crate::output::OutputKind;

/// The most classes, and prompts: the text network runs once for each prompt.
const MAX_PROMPTS: usize = 32_768;

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

impl Definition for ZeroShot {
    fn name(&self) -> &'static str {
        "zero_shot"
    }

    fn validate(&self) -> Result<(), PlanError> {
        classes::check_names("prompts", &self.prompts, "texts", MAX_PROMPTS)?;
        classes::check(&self.classes, MAX_PROMPTS)?;
        let (prompts, classes) = (self.prompts.len(), self.classes.len());
        if prompts != classes {
            let reason = format!("has {prompts} texts for {classes} classes");
            return Err(PlanError::new("prompts", reason));
        }
        classes::check_choice(&self.classes, self.confidence_thresh, &self.filter_classes)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn prompts(&self) -> Option<&[String]> {
        Some(&self.prompts)
    }

    fn output(&self) -> OutputKind {
        OutputKind::Scores
    }

    fn label_type(&self) -> LabelType {
        LabelType::Classification
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        let filter = Filter::new(
            &self.classes,
            &self.filter_classes,
            self.confidence_thresh,
            options,
        )?;
        Ok(Box::new(BestClass {
            filter,
            scoring: self.scoring,
            store_logits: options.store_logits,
        }))
    }
}
