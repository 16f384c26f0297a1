//! JSON text, with the liberties that FiftyOne's files take.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Reads a value that [`Scanner`](modelzoo_base::json::Scanner) has accepted: `NaN`, the
/// infinities and numbers beyond a double become extended JSON's `$numberDouble`.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(&strict(text))
}

/// Strict JSON for text that the scanner has accepted.
fn strict(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let end = token_end(text, at);
        let replaced = match byte {
            b'N' => Some(&br#"{"$numberDouble":"NaN"}"#[..]),
            b'I' => Some(&br#"{"$numberDouble":"Infinity"}"#[..]),
            b'-' | b'0'..=b'9' => beyond(text.get(at..end).unwrap_or_default()),
            _ => None,
        };
        if let Some(replaced) = replaced {
            let out = out.get_or_insert_default();
            out.extend_from_slice(text.get(copied..at).unwrap_or_default());
            out.extend_from_slice(replaced);
            copied = end;
        }
        at = end;
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(text.get(copied..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

/// Where the token that begins at `at` ends.
fn token_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = match rest.first() {
        Some(b'"') => {
            let mut escaped = false;
            rest.iter()
                .skip(1)
                .position(|&byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                })
                .map_or(rest.len(), |quote| quote + 2)
        }
        Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => rest
            .iter()
            .position(|byte| !matches!(byte, b'-' | b'+' | b'.') && !byte.is_ascii_alphanumeric())
            .unwrap_or(rest.len()),
        _ => 1,
    };
    at + length
}

/// What stands for a number that no double holds.
fn beyond(number: &[u8]) -> Option<&'static [u8]> {
    let value: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    match value {
        f64::INFINITY => Some(br#"{"$numberDouble":"Infinity"}"#),
        f64::NEG_INFINITY => Some(br#"{"$numberDouble":"-Infinity"}"#),
        _ => None,
    }
}

/// `value` as FiftyOne's database can hold it: no key with a leading `$` or a
/// dot (their full-width forms stand in, as MongoDB recommends), no integer
/// beyond 64 bits with sign (its digits stand in).
pub(crate) fn storable(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let key = key.replace('.', "\u{ff0e}").replace('\0', "");
                let key = match key.strip_prefix('$') {
                    Some(rest) => format!("\u{ff04}{rest}"),
                    None => key,
                };
                (key, storable(value))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(elements) => elements.iter().map(storable).collect::<Vec<_>>().into(),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            number.to_string().into()
        }
        value => value.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use modelzoo_model::label::number::as_double;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_numbers_that_json_has_no_word_for() {
        let value: Value = parse(
            br#"{"a": NaN, "b": [-Infinity,Infinity, 1e400], "c": "NaN \" 1e999", "d": -1e999, "e": 1e3}"#,
        )
        .unwrap();
        let list = value.get("b").unwrap();
        assert!(as_double(value.get("a").unwrap()).unwrap().is_nan());
        assert_eq!(as_double(list.get(0).unwrap()), Some(f64::NEG_INFINITY));
        assert_eq!(as_double(list.get(1).unwrap()), Some(f64::INFINITY));
        assert_eq!(as_double(list.get(2).unwrap()), Some(f64::INFINITY));
        assert_eq!(value.get("c").unwrap(), "NaN \" 1e999");
        assert_eq!(as_double(value.get("d").unwrap()), Some(f64::NEG_INFINITY));
        assert_eq!(as_double(value.get("e").unwrap()), Some(1000.0));
    }

    #[test]
    fn makes_provenance_fit_a_document_database() {
        assert_eq!(
            storable(&json!({"$oid": {"a.b": [18_446_744_073_709_551_615_u64, -1, 1.5]}})),
            json!({"\u{ff04}oid": {"a\u{ff0e}b": ["18446744073709551615", -1, 1.5]}}),
        );
    }
}
