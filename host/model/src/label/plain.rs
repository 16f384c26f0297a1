//! What a field holds that is not a document: a text, a number or a vector.

use serde_json::Value;

use super::kind::Kind;
use super::number::{as_double, double};
use super::schema::{class, field};
use super::{LabelError, vector};

impl Kind for String {
    const NAME: &'static str = "StringField";
    const IS_DOCUMENT: bool = false;

    fn class() -> String {
        class(Self::NAME)
    }

    fn is_of(value: &Value) -> bool {
        value.is_string()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| "it is not a text".into())
    }

    fn write(&self) -> Value {
        self.as_str().into()
    }

    fn field(name: &str) -> Value {
        field(name, Self::NAME, None)
    }
}

impl Kind for f64 {
    const NAME: &'static str = "FloatField";
    const IS_DOCUMENT: bool = false;

    fn class() -> String {
        class(Self::NAME)
    }

    fn is_of(value: &Value) -> bool {
        as_double(value).is_some()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        as_double(value).ok_or_else(|| "it is not a number".into())
    }

    fn write(&self) -> Value {
        double(*self)
    }

    fn field(name: &str) -> Value {
        field(name, Self::NAME, None)
    }
}

impl Kind for Vec<f32> {
    const NAME: &'static str = "VectorField";
    const IS_DOCUMENT: bool = false;

    fn class() -> String {
        class(Self::NAME)
    }

    fn is_of(value: &Value) -> bool {
        value.get("$binary").is_some() || value.is_array()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        vector::from_value(value)
    }

    fn write(&self) -> Value {
        vector::to_value(self)
    }

    fn field(name: &str) -> Value {
        field(name, Self::NAME, None)
    }
}
