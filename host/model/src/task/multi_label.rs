use serde::{Deserialize, Serialize};

use super::classes;
use crate::plan::PlanError;
use crate::plan::check;

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

impl MultiLabel {
    pub(super) fn validate(&self) -> Result<(), PlanError> {
        classes::check(&self.classes, classes::MAX_CLASSES)?;
        check::confidence("confidence_thresh", self.confidence_thresh)?;
        classes::check_filter(&self.classes, &self.filter_classes)
    }
}
