use serde::{Deserialize, Serialize};

use super::classes::{self, Filter};
use super::scores::{scores, sigmoid};
use super::{Decode, DecodeError, Definition, OptionError, PredictOptions};
use crate::check::PlanError;
use crate::label::{self, Classifications, Label, LabelType};
use crate::output::{Output, OutputKind};
use crate::sample::Origin;

/// Any number of labels per sample: the classes whose sigmoid is large enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiLabel {
    /// The name of each output, in order; as many as the network has outputs.
    pub classes: Vec<String>,
    /// From this confidence (0 to 1) on, a class is given. The user's own threshold wins.
    pub confidence_thresh: f32,
    /// The classes that are given as labels; empty for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_classes: Vec<String>,
}

impl Definition for MultiLabel {
    fn name(&self) -> &'static str {
        "multi_label"
    }

    fn validate(&self) -> Result<(), PlanError> {
        classes::check(&self.classes, classes::MAX_CLASSES)?;
        let threshold = Some(self.confidence_thresh);
        classes::check_choice(&self.classes, threshold, &self.filter_classes)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn output(&self) -> OutputKind {
        OutputKind::Scores
    }

    fn label_type(&self) -> LabelType {
        LabelType::Classifications
    }

    fn decoder<'a>(
        &'a self,
        options: &PredictOptions,
    ) -> Result<Box<dyn Decode + 'a>, OptionError> {
        let threshold = Some(self.confidence_thresh);
        let filter = Filter::new(&self.classes, &self.filter_classes, threshold, options)?;
        Ok(Box::new(EachClass {
            filter,
            store_logits: options.store_logits,
        }))
    }
}

/// Gives each class whose probability is large enough.
struct EachClass<'a> {
    filter: Filter<'a>,
    store_logits: bool,
}

impl Decode for EachClass<'_> {
    fn decode(&self, output: Output, _: &Origin) -> Result<Option<Label>, DecodeError> {
        let scores = scores(output, self.filter.classes().len())?;
        let confidences = scores.values().iter().copied().map(sigmoid);
        let labels = confidences.enumerate().filter_map(|(class, confidence)| {
            Some(label::Classification {
                label: Some(self.filter.label(class, confidence)?.to_owned()),
                confidence: Some(f64::from(confidence)),
                ..label::Classification::default()
            })
        });
        Ok(Some(Label::Classifications(Classifications {
            classifications: labels.collect(),
            logits: self.store_logits.then(|| scores.into_values()),
            ..Classifications::default()
        })))
    }
}
