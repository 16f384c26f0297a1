//! FiftyOne's label types, read from and written to its JSON.

pub mod number;
mod object_id;
pub mod vector;

use modelzoo_base::text::escape;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use object_id::{ObjectId, random};

/// Why a label cannot be read: a part of a sentence, with nothing in it that a terminal would act
/// on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LabelError(pub String);

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

/// What a field of one sample holds, in FiftyOne's types.
///
/// FiftyOne's JSON is [`to_json`](Label::to_json); serde's traits serve compact encodings that
/// do not describe themselves, in which unfinished results are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Label {
    /// One class for the whole image.
    Classification(Classification),
    /// Any number of classes for the whole image.
    Classifications(Classifications),
    /// An embedding.
    Vector(Vec<f32>),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelType {
    /// One class for the whole image.
    Classification,
    /// Any number of classes for the whole image.
    Classifications,
    /// An embedding.
    Vector,
}

/// Any number of classes for the whole image: FiftyOne's `Classifications`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Classifications {
    /// The classes.
    pub classifications: Vec<Classification>,
    /// The scores of all classes before normalisation.
    pub logits: Option<Vec<f32>>,
}

/// One class for the whole image: FiftyOne's `Classification`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// The identity of this label.
    pub id: ObjectId,
    /// Tags that people put on the label.
    pub tags: Vec<String>,
    /// The class; absent where the model was not confident enough of any.
    pub label: Option<String>,
    /// How sure the model is, from 0 to 1.
    pub confidence: Option<f64>,
    /// The scores of all classes before normalisation.
    pub logits: Option<Vec<f32>>,
}

impl Default for Classification {
    /// A label with a new identity and nothing else.
    fn default() -> Self {
        Self {
            id: ObjectId::new(),
            tags: Vec::new(),
            label: None,
            confidence: None,
            logits: None,
        }
    }
}

impl LabelType {
    /// The name of FiftyOne's class, as `_cls` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "Classification",
            Self::Classifications => "Classifications",
            Self::Vector => "VectorField",
        }
    }

    /// The full name of FiftyOne's class, as `embedded_doc_type` has it for labels and `ftype`
    /// for others.
    #[must_use]
    pub fn class(self) -> String {
        let module = if self == Self::Vector {
            "fields"
        } else {
            "labels"
        };
        format!("fiftyone.core.{module}.{}", self.name())
    }

    /// Whether `value`, which a sample has in a field, is of this type.
    #[must_use]
    pub fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Vector => value.get("$binary").is_some() || value.is_array(),
            Self::Classification | Self::Classifications => {
                value.get("_cls").and_then(Value::as_str) == Some(self.name())
            }
        }
    }

    /// FiftyOne's description of a field `name` of this type, for `sample_fields`.
    #[must_use]
    pub fn field(self, name: &str) -> Value {
        if self == Self::Vector {
            return field(name, "VectorField", None);
        }
        let mut field = field(name, "EmbeddedDocumentField", None);
        set(&mut field, "embedded_doc_type", self.class().into());
        set(&mut field, "fields", self.members().into());
        field
    }

    fn members(self) -> Vec<Value> {
        match self {
            Self::Classification => vec![
                id_field(),
                field("tags", "ListField", Some("StringField")),
                field("label", "StringField", None),
                field("confidence", "FloatField", None),
                field("logits", "VectorField", None),
            ],
            Self::Classifications => {
                let mut list = field(
                    "classifications",
                    "ListField",
                    Some("EmbeddedDocumentField"),
                );
                let element = Self::Classification;
                set(&mut list, "embedded_doc_type", element.class().into());
                set(&mut list, "fields", element.members().into());
                vec![list, field("logits", "VectorField", None)]
            }
            Self::Vector => Vec::new(),
        }
    }
}

/// The field `id`, which documents hold as `_id`.
#[must_use]
pub fn id_field() -> Value {
    let mut id = field("id", "ObjectIdField", None);
    set(&mut id, "db_field", "_id".into());
    id
}

/// FiftyOne's description of a plain field: `kind` and `element` are class
/// names in its module of fields.
#[must_use]
pub fn field(name: &str, kind: &str, element: Option<&str>) -> Value {
    let class = |class: &str| format!("fiftyone.core.fields.{class}");
    json!({
        "name": name,
        "ftype": class(kind),
        "embedded_doc_type": null,
        "subfield": element.map(class),
        "fields": [],
        "db_field": name,
        "description": null,
        "info": null,
        "read_only": false,
        "created_at": null,
    })
}

/// Sets a member of a JSON object; other values stay as they are.
pub fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

impl Label {
    /// The type of this label.
    #[must_use]
    pub fn kind(&self) -> LabelType {
        match self {
            Self::Classification(_) => LabelType::Classification,
            Self::Classifications(_) => LabelType::Classifications,
            Self::Vector(_) => LabelType::Vector,
        }
    }

    /// FiftyOne's JSON of this label: `_id`, `_cls`, `tags`, then the label's own
    /// members. Numbers that JSON has no word for are `{"$numberDouble": "NaN"}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Classification(label) => label.to_json(),
            Self::Classifications(labels) => {
                let each = labels.classifications.iter().map(Classification::to_json);
                let mut json = json!({
                    "_cls": self.kind().name(),
                    "classifications": each.collect::<Vec<_>>(),
                });
                if let Some(logits) = &labels.logits {
                    set(&mut json, "logits", vector::to_value(logits));
                }
                json
            }
            Self::Vector(vector) => vector::to_value(vector),
        }
    }

    /// Reads a label from FiftyOne's JSON.
    ///
    /// # Errors
    /// [`LabelError`] when the value is not a label of a type that is read.
    pub fn from_json(value: &Value) -> Result<Self, LabelError> {
        if LabelType::Vector.is_of(value) {
            return Ok(Self::Vector(vector::from_value(value)?));
        }
        let object = value.as_object().ok_or("it is not a label")?;
        match object.get("_cls").and_then(Value::as_str) {
            Some("Classification") => Ok(Self::Classification(classification(object)?)),
            Some("Classifications") => classifications(object).map(Self::Classifications),
            Some(other) => Err(LabelError(format!(
                "it is a {}, and only Classification and Classifications are read",
                escape(other)
            ))),
            None => Err("it has no `_cls`".into()),
        }
    }
}

impl Classification {
    fn to_json(&self) -> Value {
        let mut json = json!({
            "_id": { "$oid": self.id.to_string() },
            "_cls": LabelType::Classification.name(),
            "tags": self.tags,
            "label": self.label,
            "confidence": self.confidence.map(number::double),
        });
        if let Some(logits) = &self.logits {
            set(&mut json, "logits", vector::to_value(logits));
        }
        json
    }
}

fn classifications(object: &Map<String, Value>) -> Result<Classifications, LabelError> {
    let list = match member(object, "classifications") {
        None => Vec::new(),
        Some(list) => list
            .as_array()
            .ok_or("its `classifications` are not a list")?
            .iter()
            .map(|label| classification(label.as_object().ok_or("one of them is not a label")?))
            .collect::<Result<_, LabelError>>()?,
    };
    Ok(Classifications {
        classifications: list,
        logits: logits(object)?,
    })
}

fn logits(object: &Map<String, Value>) -> Result<Option<Vec<f32>>, LabelError> {
    member(object, "logits")
        .map(|logits| {
            vector::from_value(logits).map_err(|error| format!("its `logits`: {error}").into())
        })
        .transpose()
}

fn classification(object: &Map<String, Value>) -> Result<Classification, LabelError> {
    let id = match member(object, "_id") {
        // Some older exports have labels without an identity.
        None => ObjectId::new(),
        Some(id) => id
            .get("$oid")
            .unwrap_or(id)
            .as_str()
            .and_then(|digits| digits.parse().ok())
            .ok_or("its `_id` is not 24 hexadecimal digits")?,
    };
    let tags = match member(object, "tags") {
        None => Vec::new(),
        Some(tags) => serde_json::from_value(tags.clone())
            .map_err(|_| "its `tags` are not a list of strings")?,
    };
    let label = match member(object, "label") {
        None => None,
        Some(label) => Some(
            label
                .as_str()
                .ok_or("its `label` is not a string")?
                .to_owned(),
        ),
    };
    let confidence = match member(object, "confidence") {
        None => None,
        Some(number) => Some(number::as_double(number).ok_or("its `confidence` is not a number")?),
    };
    let logits = logits(object)?;
    Ok(Classification {
        id,
        tags,
        label,
        confidence,
        logits,
    })
}

fn member<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn to_text(value: &Value) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }

    fn from_text(text: &[u8]) -> serde_json::Result<Value> {
        serde_json::from_slice(text)
    }

    #[test]
    fn writes_fiftyones_json() {
        let label = Label::Classification(Classification {
            id: "0123456789abcdef01234567".parse().unwrap(),
            tags: vec!["a".to_owned()],
            label: Some("cat".to_owned()),
            confidence: Some(0.5),
            logits: None,
        });
        assert_eq!(
            String::from_utf8(to_text(&label.to_json())).unwrap(),
            r#"{"_id":{"$oid":"0123456789abcdef01234567"},"_cls":"Classification","tags":["a"],"label":"cat","confidence":0.5}"#,
        );
    }

    #[test]
    fn reads_back_what_it_writes() {
        for (confidence, logits) in [
            (None, None),
            (Some(f64::from(0.9_f32)), Some(vec![1.0, f32::INFINITY])),
            (Some(f64::NEG_INFINITY), Some(vec![])),
        ] {
            let label = Label::Classification(Classification {
                label: confidence.map(|_| "x\u{1b}".to_owned()),
                confidence,
                logits,
                ..Classification::default()
            });
            let text = to_text(&label.to_json());
            assert_eq!(Label::from_json(&from_text(&text).unwrap()).unwrap(), label);
        }
    }

    #[test]
    fn several_classes_and_vectors_are_read_back_too() {
        let cat = Classification {
            label: Some("cat".to_owned()),
            ..Classification::default()
        };
        for label in [
            Label::Classifications(Classifications {
                classifications: vec![cat.clone(), cat],
                logits: Some(vec![0.5, -1.0]),
            }),
            Label::Classifications(Classifications::default()),
            Label::Vector(vec![1.5, -2.0, 0.0]),
        ] {
            let text = to_text(&label.to_json());
            let read = Label::from_json(&from_text(&text).unwrap());
            assert_eq!(read.unwrap(), label);
        }
    }

    #[test]
    fn nan_is_written_as_extended_json_and_read_in_both_forms() {
        let json = Label::Classification(Classification {
            confidence: Some(f64::NAN),
            ..Classification::default()
        })
        .to_json();
        assert_eq!(
            json.get("confidence"),
            Some(&json!({"$numberDouble": "NaN"}))
        );
        for text in [
            to_text(&json),
            br#"{"_cls": "Classification", "confidence": {"$numberDouble": "NaN"}}"#.to_vec(),
        ] {
            let Label::Classification(label) =
                Label::from_json(&from_text(&text).unwrap()).unwrap()
            else {
                panic!("not a Classification");
            };
            assert!(label.confidence.unwrap().is_nan());
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_label() {
        for (value, reason) in [
            (json!("cat"), "not a label"),
            (json!({"label": "cat"}), "no `_cls`"),
            (
                json!({"_cls": "Detections\u{1b}"}),
                "it is a Detections\\u{1b}, and",
            ),
            (
                json!({"_cls": "Classification", "_id": {"$oid": "12"}}),
                "`_id`",
            ),
            (json!({"_cls": "Classification", "label": 1}), "`label`"),
            (json!({"_cls": "Classification", "tags": [1]}), "`tags`"),
            (
                json!({"_cls": "Classification", "confidence": "high"}),
                "`confidence`",
            ),
            (
                json!({"_cls": "Classification", "logits": "%"}),
                "bad base64",
            ),
        ] {
            let error = Label::from_json(&value).unwrap_err().to_string();
            assert!(error.contains(reason), "{error} / {reason}");
        }
    }
}
