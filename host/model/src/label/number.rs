//! Numbers in extended JSON, which writes those that JSON cannot as `{"$numberDouble": "NaN"}`.

use serde_json::{Value, json};

/// A number as extended JSON writes it: plain, unless JSON has no word for it.
#[must_use]
pub fn double(value: f64) -> Value {
    if value.is_finite() {
        return json!(value);
    }
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    json!({ "$numberDouble": name })
}

/// A number in any of extended JSON's spellings.
#[must_use]
pub fn as_double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Object(wrapped) if wrapped.len() == 1 => [
            "$numberDouble",
            "$numberInt",
            "$numberLong",
            "$numberDecimal",
        ]
        .iter()
        .find_map(|key| wrapped.get(*key))?
        .as_str()?
        .parse()
        .ok(),
        _ => None,
    }
}

/// An integer in any of extended JSON's spellings.
#[must_use]
pub fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::Object(wrapped) if wrapped.len() == 1 => ["$numberInt", "$numberLong"]
            .iter()
            .find_map(|key| wrapped.get(*key))?
            .as_str()?
            .parse()
            .ok(),
        _ => None,
    }
}
