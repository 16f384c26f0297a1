use serde::{Deserialize, Serialize};

use super::classes::{self, Filter};
use super::scores::{BestClass, Scoring};
use super::{Decode, Definition, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::label::LabelType;
use crate::output::OutputKind;

/// One label per sample: the class with the largest softmax probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The name of each output, in order; as many as the network has outputs. Empty for those that
    /// the weight files name.
    pub classes: Vec<String>,
    /// Below this confidence (0 to 1) no label is given. The user's own threshold wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_thresh: Option<f32>,
    /// The classes that are given as labels; empty for all of them. A sample whose best class is
    /// another has no label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

impl Definition for Classification {
    fn name(&self) -> &'static str {
        "classification"
    }

    fn validate(&self) -> Result<(), PlanError> {
        classes::check_or_none(&self.classes)?;
        classes::check_choice(&self.classes, self.confidence_thresh, &self.filter_classes)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn classes_mut(&mut self) -> Option<&mut Vec<String>> {
        Some(&mut self.classes)
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
            scoring: Scoring::Softmax,
            store_logits: options.store_logits,
        }))
    }
}
