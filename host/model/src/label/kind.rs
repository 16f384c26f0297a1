//! What a field of a sample may hold, as one interface over documents and plain values.

use serde_json::Value;

use super::LabelError;
use super::document::{Document, class_of};
use super::schema;

/// A type of [`Label`](super::Label).
pub(super) trait Kind: Sized {
    /// FiftyOne's name for it: of a label, as `_cls` has it; of a plain value, its field's class.
    const NAME: &'static str;
    /// Whether it is a document.
    const IS_DOCUMENT: bool;

    /// The full name of FiftyOne's class.
    fn class() -> String;

    /// Whether a value, which a sample has in a field, is of this type.
    fn is_of(value: &Value) -> bool;

    /// Reads FiftyOne's JSON.
    fn read(value: &Value) -> Result<Self, LabelError>;

    /// FiftyOne's JSON.
    fn write(&self) -> Value;

    /// FiftyOne's description of a field `name` of this type.
    fn field(name: &str) -> Value;
}

impl<D: Document> Kind for D {
    const NAME: &'static str = D::CLASS;
    const IS_DOCUMENT: bool = true;

    fn class() -> String {
        class_of::<D>()
    }

    fn is_of(value: &Value) -> bool {
        value.get("_cls").and_then(Value::as_str) == Some(D::CLASS)
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        Document::read(value.as_object().ok_or("it is not a label")?)
    }

    fn write(&self) -> Value {
        Document::write(self).into()
    }

    fn field(name: &str) -> Value {
        schema::document(name, &class_of::<D>(), D::schema())
    }
}
