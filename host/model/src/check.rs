//! What is wrong with a plan, and the checks that its parts share.

use modelzoo_base::text::{excerpt, is_unsafe};

/// What is wrong with a plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct PlanError {
    /// The field, for example `preprocessing.normalize.std` or `weights[2]`.
    pub field: String,
    /// What is wrong with it. Text of the plan is escaped and cut.
    pub reason: String,
}

impl PlanError {
    /// An error about a field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same error, of a field of `parent`.
    pub(crate) fn within(self, parent: &str) -> Self {
        Self {
            field: format!("{parent}.{}", self.field),
            reason: self.reason,
        }
    }
}

/// The most bytes of an architecture's or a layer's name.
pub(crate) const NAME_BYTES: usize = 128;
/// The most bytes of one of the plan's texts that a message repeats.
const SHOWN: usize = 100;

/// Text of a plan as a message shows it: cut, and nothing in it that a terminal would act on.
pub(crate) fn shown(text: &str) -> String {
    format!("`{}`", excerpt(text, SHOWN))
}

/// Checks the name of an architecture or a layer.
pub(crate) fn name(field: &str, name: &str) -> Result<(), PlanError> {
    let bytes = name.len();
    if !(1..=NAME_BYTES).contains(&bytes) {
        let reason = format!("has {bytes} bytes, not 1 to {NAME_BYTES}");
        return Err(PlanError::new(field, reason));
    }
    if name.contains(is_unsafe) {
        let reason = "has control characters or others that do not print";
        return Err(PlanError::new(field, reason));
    }
    Ok(())
}

/// Checks the name of a file, which is relative to the model's directory.
pub(crate) fn file(field: &str, name: &str) -> Result<(), PlanError> {
    let is_inside = |part: &str| !matches!(part, "" | "." | "..");
    if name.contains(['\\', '\0']) || !name.split('/').all(is_inside) {
        let reason = format!("{} is not a name inside the model's directory", shown(name));
        return Err(PlanError::new(field, reason));
    }
    Ok(())
}

/// Checks how many elements a list has.
pub(crate) fn count(field: &str, len: usize, most: usize, what: &str) -> Result<(), PlanError> {
    if len > most {
        let reason = format!("has {len} {what}; at most {most} are allowed");
        return Err(PlanError::new(field, reason));
    }
    Ok(())
}

/// Checks a threshold for confidences.
pub(crate) fn confidence(field: &str, threshold: f32) -> Result<(), PlanError> {
    if (0.0..=1.0).contains(&threshold) {
        Ok(())
    } else {
        let reason = format!("must be 0 to 1, and is {threshold}");
        Err(PlanError::new(field, reason))
    }
}
