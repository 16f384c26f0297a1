//! What a pickled module of Ultralytics says about itself, as JSON.
//!
//! Its attribute `yaml` is the description that the module was built from, `names` are the names of
//! its classes, and `eps` is the epsilon of its first batch norm. They are data like any other of the pickle, and whoever uses them checks them.

use serde_json::{Map, Number, Value as Json};

use super::checkpoint::{attribute, attributes, unwrapped};
use super::pickle::{Item, Pickle, Value};
use super::refusal::Refusal;

/// The attributes that are read.
const ATTRIBUTES: &[&str] = &["yaml", "names"];
/// The greatest depth.
const MAX_DEPTH: usize = 16;
/// The most values, and the most bytes of texts.
const MAX_VALUES: usize = 100_000;
const MAX_TEXT: usize = 4 << 20;

/// An object with the attributes of the module; none where there is no module.
///
/// # Errors
/// [`Refusal::Malformed`] where they are too large, or nest too deep.
pub(super) fn read(pickle: &Pickle<'_>) -> Result<Option<Json>, Refusal> {
    let Some(Item::Module(Some(state))) = pickle.item(unwrapped(pickle)?) else {
        return Ok(None);
    };
    let mut reader = Reader {
        pickle,
        values: MAX_VALUES,
        text: MAX_TEXT,
    };
    let mut found = Map::new();
    for name in ATTRIBUTES {
        if let Some(value) = attribute(pickle, attributes(pickle, *state), name) {
            found.insert((*name).to_owned(), reader.json(value, 0)?);
        }
    }
    if let Some(eps) = pickle.modules().find_map(|state| eps(pickle, state)) {
        found.insert("eps".to_owned(), eps.into());
    }
    Ok((!found.is_empty()).then_some(Json::Object(found)))
}

/// The epsilon of a module that is a batch norm.
fn eps(pickle: &Pickle<'_>, state: Value) -> Option<f64> {
    let own = attributes(pickle, state);
    let buffers = attribute(pickle, own, "_buffers")?;
    attribute(pickle, attributes(pickle, buffers), "running_mean")?;
    match attribute(pickle, own, "eps")? {
        Value::Float(eps) => Some(eps),
        _ => None,
    }
}

struct Reader<'p, 'a> {
    pickle: &'p Pickle<'a>,
    /// Values that may still be read.
    values: usize,
    /// Bytes of texts that may still be read.
    text: usize,
}

impl Reader<'_, '_> {
    /// A value as JSON; what JSON has no word for is null.
    fn json(&mut self, value: Value, depth: usize) -> Result<Json, Refusal> {
        let left = self.values.checked_sub(1);
        self.values = left.ok_or_else(too_large)?;
        if depth > MAX_DEPTH {
            return Err(
                format!("has a configuration that is nested more than {MAX_DEPTH} deep").into(),
            );
        }
        Ok(match value {
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Float(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
            Value::Text(span) => self.text(self.pickle.text(span))?.into(),
            Value::Opaque | Value::Long(_) | Value::Global(_) => Json::Null,
            Value::Item(_) => match self.pickle.item(value) {
                Some(Item::List(list) | Item::Tuple(list)) => {
                    let items = list.iter().map(|&item| self.json(item, depth + 1));
                    Json::Array(items.collect::<Result<_, _>>()?)
                }
                Some(Item::Dict(pairs)) => {
                    let mut object = Map::new();
                    for &(key, value) in pairs {
                        let key = match key {
                            Value::Text(key) => self.text(self.pickle.text(key))?,
                            Value::Int(key) => key.to_string(),
                            _ => continue,
                        };
                        object.insert(key, self.json(value, depth + 1)?);
                    }
                    Json::Object(object)
                }
                Some(Item::Object(_) | Item::Module(_) | Item::Storage(_) | Item::Tensor(_))
                | None => Json::Null,
            },
        })
    }

    fn text(&mut self, text: &str) -> Result<String, Refusal> {
        let left = self.text.checked_sub(text.len());
        self.text = left.ok_or_else(too_large)?;
        Ok(text.to_owned())
    }
}

fn too_large() -> Refusal {
    "has a configuration that is too large".into()
}
