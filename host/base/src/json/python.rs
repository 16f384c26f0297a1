//! JSON as Python writes it.

use std::borrow::Cow;

/// The words that Python's `json` module writes for numbers that JSON has no word for.
const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// A document with `null` in place of `NaN`, `Infinity` and `-Infinity`, so that a strict parser
/// reads what Python wrote. Strings stay as they are, and so does what is not JSON.
#[must_use]
pub fn without_nan(json: &str) -> Cow<'_, str> {
    if !json.contains("NaN") && !json.contains("Infinity") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            out.push_str("null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::without_nan;

    #[test]
    fn words_of_python_become_null_outside_of_strings() {
        let json = r#"{"a": NaN, "NaN": [-Infinity,Infinity], "é\"NaN": "Infinity \\", "b": 1}"#;
        let want = r#"{"a": null, "NaN": [null,null], "é\"NaN": "Infinity \\", "b": 1}"#;
        assert_eq!(without_nan(json), want);
        assert_eq!(without_nan(r#"{"a": 1}"#), r#"{"a": 1}"#);
    }
}
