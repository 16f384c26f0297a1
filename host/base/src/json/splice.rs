//! Edits in the text of a JSON document that leave every other byte as it was.
//!
//! Parsing and printing again would lose what its author wrote:
//! numbers beyond a double, duplicate keys, the order, white space, escapes.
//! So a value is found by its byte range and replaced there; a new member is
//! written after the last one.

use std::ops::Range;

use super::scan::{Count, Scan, ScanError, Scanner};
use super::to_vec;

/// The most values in a document, those inside of others included. What is made of a document
/// takes many times the bytes of its smallest values.
pub const MAX_VALUES: u64 = 1 << 19;

/// The members of an object, with where their values lie in its text.
#[derive(Debug)]
pub struct Object {
    members: Vec<(String, Range<usize>)>,
    /// Where a further member goes.
    end: usize,
}

impl Object {
    /// Reads the members of the object that is the whole of `document`.
    ///
    /// # Errors
    /// `document` is not an object, or has more than [`MAX_VALUES`] values.
    pub fn parse(document: &[u8]) -> Scan<Self> {
        let mut scanner = Scanner::over(document);
        let mut members = Vec::new();
        let mut values = Count(0);
        let end = scanner.object(|scanner, key| {
            let start = position(scanner.offset());
            scanner.walk(&mut values)?;
            if values.0 > MAX_VALUES {
                return scanner.fail(format!("more than {MAX_VALUES} values"));
            }
            members.push((key, start..position(scanner.offset())));
            Scan::Ok(())
        })?;
        scanner.finish()?;
        Ok(Self {
            members,
            end: position(end),
        })
    }

    /// Where the value of `key` lies. Of duplicates the last one counts, as it
    /// does for Python's reader.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Range<usize>> {
        self.members
            .iter()
            .rev()
            .find_map(|(name, range)| (name == key).then(|| range.clone()))
    }

    /// The text of the value of `key` in `document`, which this object was read from.
    #[must_use]
    pub fn get<'a>(&self, document: &'a [u8], key: &str) -> Option<&'a [u8]> {
        document.get(self.value(key)?)
    }

    /// `document`, which this object was read from, with each key of `edits` set to its value.
    #[must_use]
    pub fn edited(&self, document: &[u8], edits: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut added = Vec::new();
        let mut changes: Vec<(Range<usize>, &[u8])> = Vec::new();
        for (key, value) in edits {
            match self.value(key) {
                Some(range) => changes.push((range, value)),
                None => {
                    if !(self.members.is_empty() && added.is_empty()) {
                        added.extend_from_slice(b", ");
                    }
                    added.extend_from_slice(&to_vec(key));
                    added.extend_from_slice(b": ");
                    added.extend_from_slice(value);
                }
            }
        }
        changes.sort_by_key(|(range, _)| range.start);
        changes.push((self.end..self.end, &added));
        replace(document, &changes)
    }
}

/// Why a value could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The document is not JSON, or not an object.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The value at this path is neither an object nor null.
    #[error("`{0}` is neither an object nor null")]
    NotAnObject(String),
}

/// `document` with the value at `path` set; objects that are missing or null on
/// the way are made.
///
/// # Errors
/// `document` is not an object, or something on the way is neither an object nor null.
pub fn set(document: &[u8], path: &[&str], value: &[u8]) -> Result<Vec<u8>, SetError> {
    let Some((key, rest)) = path.split_first() else {
        return Ok(value.to_vec());
    };
    let object = Object::parse(document)?;
    let inner = match object.get(document, key) {
        _ if rest.is_empty() => value.to_vec(),
        None | Some(b"null") => set(b"{}", rest, value)?,
        Some(inner) if inner.starts_with(b"{") => {
            set(inner, rest, value).map_err(|error| match error {
                SetError::NotAnObject(path) => SetError::NotAnObject(format!("{key}.{path}")),
                error => error,
            })?
        }
        Some(_) => return Err(SetError::NotAnObject((*key).to_owned())),
    };
    Ok(object.edited(document, &[(key, inner)]))
}

/// `array`, the text of an array, with one more element.
///
/// # Errors
/// `array` is not an array.
pub fn push(array: &[u8], element: &[u8]) -> Scan<Vec<u8>> {
    let mut scanner = Scanner::over(array);
    let mut count = 0_usize;
    let end = position(scanner.array(|scanner| {
        count += 1;
        scanner.skip_value()
    })?);
    scanner.finish()?;
    let comma: &[u8] = if count == 0 { b"" } else { b", " };
    Ok(replace(array, &[(end..end, comma), (end..end, element)]))
}

/// An offset in text that is in memory.
fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// `document` with ranges replaced; they are in order and do not overlap.
fn replace(document: &[u8], changes: &[(Range<usize>, &[u8])]) -> Vec<u8> {
    let more: usize = changes.iter().map(|(_, by)| by.len()).sum();
    let mut edited = Vec::with_capacity(document.len() + more);
    let mut copied = 0;
    for (range, by) in changes {
        edited.extend_from_slice(document.get(copied..range.start).unwrap_or_default());
        edited.extend_from_slice(by);
        copied = range.end;
    }
    edited.extend_from_slice(document.get(copied..).unwrap_or_default());
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(document: &str, path: &[&str]) -> String {
        String::from_utf8(set(document.as_bytes(), path, b"NEW").unwrap()).unwrap()
    }

    #[test]
    fn set_replaces_one_value_and_nothing_else() {
        assert_eq!(
            set_in(
                "{ \"a\" :1e400,\"b\": [ 1.0000000000000000001 ,NaN],\n\t\"c\":\"\\u00e9\" }\n",
                &["b"]
            ),
            "{ \"a\" :1e400,\"b\": NEW,\n\t\"c\":\"\\u00e9\" }\n",
        );
    }

    #[test]
    fn document_of_too_many_values_is_refused() {
        let of = |values: usize| format!("{{\"a\":[{}0]}}", "0,".repeat(values - 2));
        let most = MAX_VALUES as usize;
        assert!(Object::parse(of(most).as_bytes()).is_ok());
        let error = Object::parse(of(most + 1).as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("more than 524288 values"),
            "{error}"
        );
    }

    #[test]
    fn last_of_duplicates_is_replaced() {
        assert_eq!(
            set_in(r#"{"a": 1, "\u0061": 2, "b": 3}"#, &["a"]),
            r#"{"a": 1, "\u0061": NEW, "b": 3}"#,
        );
    }

    #[test]
    fn new_member_follows_the_last() {
        assert_eq!(set_in("{ }", &["a"]), "{\"a\": NEW }");
        assert_eq!(set_in("{\"b\":1\n}", &["a"]), "{\"b\":1, \"a\": NEW\n}");
    }

    #[test]
    fn missing_objects_on_the_way_are_made() {
        assert_eq!(
            set_in(r#"{"info":null,"x":0}"#, &["info", "m", "f"]),
            r#"{"info":{"m": {"f": NEW}},"x":0}"#,
        );
        assert_eq!(
            set_in(r#"{"info": {"m":{"g":1} }}"#, &["info", "m", "f"]),
            r#"{"info": {"m":{"g":1, "f": NEW} }}"#,
        );
        assert!(matches!(
            set(br#"{"info": {"m":[]}}"#, &["info", "m", "f"], b"1"),
            Err(SetError::NotAnObject(path)) if path == "info.m"
        ));
    }

    #[test]
    fn element_is_added_at_the_end() {
        assert_eq!(push(b"[ ]", b"1").unwrap(), b"[1 ]");
        assert_eq!(push(b"[{\"a\":1} ]", b"2").unwrap(), b"[{\"a\":1}, 2 ]");
    }
}
