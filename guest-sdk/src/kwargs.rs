use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The user's keyword arguments for loading a model.
///
/// ```
/// use modelzoo_guest::Kwargs;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Options {
///     #[serde(default)]
///     classes: Option<Vec<String>>,
///     #[serde(default = "half")]
///     confidence_thresh: f32,
/// }
///
/// fn half() -> f32 { 0.5 }
///
/// # fn main() -> modelzoo_guest::Result<()> {
/// let options: Options = Kwargs::from_json(r#"{"confidence_thresh": 0.9}"#)?.parse()?;
/// assert_eq!(options.confidence_thresh, 0.9);
///
/// let error = Kwargs::from_json(r#"{"clases": []}"#)?.parse::<Options>().err();
/// assert_eq!(
///     error.map(|e| e.to_string()).as_deref(),
///     Some("unknown kwarg `clases`; known are `classes`, `confidence_thresh`"),
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kwargs(Map<String, Value>);

impl Kwargs {
    /// Reads kwargs from the text of a JSON object.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] when the text is anything else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Self).map_err(|error| {
            Error::InvalidInput(format!("the kwargs are not a JSON object: {error}"))
        })
    }

    /// Deserializes them into a struct of the source: one field per kwarg, with `#[serde(default)]`
    /// for optional ones.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] that names the kwarg when one is unknown, missing or of the wrong
    /// type. Unknown ones are always refused, with or without `#[serde(deny_unknown_fields)]`,
    /// unless the struct collects them with `#[serde(flatten)]`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(TopLevel(&self.0)).map_err(|KwargError(text)| Error::InvalidInput(text))
    }

    /// Refuses every kwarg, for a hook that takes none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] that names the first kwarg, if there is one.
    pub fn refuse_all(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Nothing {}
        self.parse().map(|Nothing {}| ())
    }

    /// The value of one kwarg.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Map<String, Value>> for Kwargs {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// An error in the kwargs, in the user's terms instead of serde's.
#[derive(Debug)]
struct KwargError(String);

impl KwargError {
    fn unknown(name: &str, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        Self(match known.as_slice() {
            [] => format!("unknown kwarg `{name}`; this model takes none"),
            [one] => format!("unknown kwarg `{name}`; known is {one}"),
            many => format!("unknown kwarg `{name}`; known are {}", many.join(", ")),
        })
    }
}

impl fmt::Display for KwargError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KwargError {}

impl de::Error for KwargError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("the kwarg `{field}` is missing"))
    }
}

/// The top-level object. serde_json's own deserializer does not tell which field an error is about.
struct TopLevel<'a>(&'a Map<String, Value>);

impl<'de> Deserializer<'de> for TopLevel<'de> {
    type Error = KwargError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, KwargError> {
        visitor.visit_map(Entries {
            rest: self.0.iter(),
            current: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, KwargError> {
        match self.0.keys().find(|key| !fields.contains(&key.as_str())) {
            Some(unknown) => Err(KwargError::unknown(unknown, fields)),
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = KwargError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, KwargError> {
        self.current = self.rest.next();
        let Some((name, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(de::value::StrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, KwargError> {
        let Some((name, value)) = self.current.take() else {
            return Err(de::Error::custom("a value was requested before its name"));
        };
        seed.deserialize(value)
            .map_err(|error| KwargError(format!("kwarg `{name}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Options {
        depth: u32,
        #[serde(default, alias = "labels")]
        classes: Option<Vec<String>>,
        #[serde(default)]
        mode: Option<Mode>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Exact,
    }

    fn parse(text: &str) -> Result<Options, String> {
        Kwargs::from_json(text)
            .and_then(|kwargs| kwargs.parse())
            .map_err(|error| match error {
                Error::InvalidInput(text) => text,
                other => panic!("{other:?} is the wrong variant"),
            })
    }

    #[test]
    fn well_formed_kwargs_are_parsed() {
        let options = parse(r#"{"mode": "fast", "depth": 18, "labels": ["a", "b"]}"#);
        assert_eq!(
            options,
            Ok(Options {
                depth: 18,
                classes: Some(vec!["a".into(), "b".into()]),
                mode: Some(Mode::Fast),
            })
        );
    }

    #[test]
    fn errors_name_the_kwarg() {
        let cases = [
            (r#"{}"#, "the kwarg `depth` is missing"),
            (
                r#"{"depth": "18"}"#,
                "kwarg `depth`: invalid type: string \"18\", expected u32",
            ),
            (
                r#"{"depth": -1}"#,
                "kwarg `depth`: invalid value: integer `-1`, expected u32",
            ),
            (
                r#"{"depth": 18, "classes": ["a", 1]}"#,
                "kwarg `classes`: invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"depth": 18, "mode": "slow"}"#,
                "kwarg `mode`: unknown variant `slow`, expected `fast` or `exact`",
            ),
        ];
        for (text, problem) in cases {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
        let unknown = parse(r#"{"depth": 18, "deepness": 2}"#).unwrap_err();
        assert!(unknown.starts_with("unknown kwarg `deepness`; known are `"));
        assert!(unknown.contains("`depth`"), "{unknown}");
    }

    #[test]
    fn only_json_objects_are_accepted() {
        for text in ["[]", "null", "7", "", "{\"a\":", "{} {}"] {
            let error = Kwargs::from_json(text).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidInput(text) if text.starts_with("the kwargs are not a JSON object")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn refuse_all_names_the_first_kwarg() {
        assert_eq!(Kwargs::default().refuse_all(), Ok(()));
        let some = Kwargs::from_json(r#"{"a": 1}"#).unwrap();
        assert_eq!(
            some.refuse_all(),
            Err(Error::invalid_input(
                "unknown kwarg `a`; this model takes none"
            ))
        );
    }

    #[test]
    fn maps_and_flattened_structs_accept_unknown_kwargs() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Open {
            depth: u32,
            #[serde(flatten)]
            rest: BTreeMap<String, Value>,
        }
        let kwargs = Kwargs::from_json(r#"{"depth": 1, "x": true}"#).unwrap();
        let open: Open = kwargs.parse().unwrap();
        assert_eq!(open.rest, BTreeMap::from([("x".into(), Value::Bool(true))]));
        let map: BTreeMap<String, Value> = kwargs.parse().unwrap();
        assert_eq!(map.len(), 2);
    }
}
