/// Why a label cannot be read: a part of a sentence, with nothing in it that a terminal would act
/// on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LabelError(String);

impl From<&str> for LabelError {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<String> for LabelError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}
