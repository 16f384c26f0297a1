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
    #[must_use]
    pub(crate) fn within(self, parent: &str) -> Self {
        Self {
            field: format!("{parent}.{}", self.field),
            reason: self.reason,
        }
    }
}
