//! The fields of a configuration, with the user's keyword arguments over them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use modelzoo_base::nearest;
use serde_json::{Map, Value};

use super::error::TranslateError as Error;

/// Fields that say where and how fast FiftyOne computes, not what.
const WITHOUT_EFFECT: [&str; 7] = [
    "channels_last",
    "cudnn_benchmark",
    "model_name",
    "model_path",
    "ragged_batches",
    "raw_inputs",
    "revision",
];
/// Fields that are objects, and those of their members that change no result here.
const HARMLESS: [(&str, &[&str]); 4] = [
    (
        "entrypoint_args",
        &["weights", "pretrained", "progress", "repo_or_dir", "model"],
    ),
    ("output_processor_args", &["store_logits", "logits_key"]),
    (
        "transformers_processor_kwargs",
        &["return_tensors", "padding", "max_length", "truncation"],
    ),
    ("transforms_args", &["use_fast"]),
];
/// Fields that decide which files are fetched: once that is done, an argument cannot change them.
const FETCHED_BY: [&str; 7] = [
    "clip_model",
    "entrypoint_args",
    "name_or_path",
    "pretrained",
    "revision",
    "tokenizer_base_filename",
    "tokenizer_base_url",
];

/// A configuration's fields. Each that is asked for is remembered, so that what nobody asked for
/// can be named at the end.
pub(super) struct Settings {
    fields: Map<String, Value>,
    asked: RefCell<BTreeSet<&'static str>>,
    /// The members of objects that were asked for, each with its field.
    members: RefCell<BTreeSet<(&'static str, &'static str)>>,
}

impl Settings {
    /// The manifest's fields, and `kwargs` over them: objects are merged one level deep, anything
    /// else is replaced, as in FiftyOne.
    pub(super) fn new(config: &Map<String, Value>, kwargs: &Map<String, Value>) -> Self {
        let mut fields = config.clone();
        for (key, value) in kwargs {
            match (fields.get_mut(key), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
                _ => {
                    fields.insert(key.clone(), value.clone());
                }
            }
        }
        Self {
            fields,
            asked: RefCell::default(),
            members: RefCell::default(),
        }
    }

    /// Refuses keyword arguments that would have to change what was downloaded.
    pub(super) fn check_kwargs(kwargs: &Map<String, Value>) -> Result<(), Error> {
        match kwargs
            .keys()
            .find(|name| FETCHED_BY.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) => Err(Error::bad(
                name,
                "decides which files are downloaded, and is the manifest's to say",
            )),
        }
    }

    /// A field that is there and not null.
    pub(super) fn get(&self, field: &'static str) -> Option<&Value> {
        self.asked.borrow_mut().insert(field);
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, field: &'static str) -> Result<Option<&str>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(Error::bad(field, "is not a text")),
        }
    }

    /// A list of texts; a single text is a list of one, unless it looks like a list itself.
    pub(super) fn texts(&self, field: &'static str) -> Result<Option<Vec<String>>, Error> {
        let bad = || Error::bad(field, "is not a list of texts");
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains(',') => Err(Error::OneText {
                field,
                value: text.clone(),
            }),
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(bad()),
        }
    }

    /// A number from 0 to 1.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a confidence has no more digits"
    )]
    pub(super) fn confidence(&self, field: &'static str) -> Result<Option<f32>, Error> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if (0.0..=1.0).contains(&number) => Ok(Some(number as f32)),
                _ => Err(Error::bad(field, "is not a number from 0 to 1")),
            },
        }
    }

    /// A number of pixels or tokens.
    pub(super) fn count(&self, field: &'static str) -> Result<Option<u32>, Error> {
        self.get(field)
            .map(|value| count(value).ok_or_else(|| Error::bad(field, "is not a positive number")))
            .transpose()
    }

    /// True or false.
    pub(super) fn flag(&self, field: &'static str) -> Result<Option<bool>, Error> {
        self.get(field)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| Error::bad(field, "is not true or false"))
            })
            .transpose()
    }

    /// The member of an object.
    pub(super) fn inner(&self, field: &'static str, member: &'static str) -> Option<&Value> {
        self.members.borrow_mut().insert((field, member));
        self.get(field)?
            .get(member)
            .filter(|value| !value.is_null())
    }

    /// Refuses fields that nobody asked for and that mean something.
    pub(super) fn finish(self) -> Result<(), Error> {
        let asked = self.asked.into_inner();
        let read = self.members.into_inner();
        for (name, harmless) in HARMLESS {
            let members = self.fields.get(name).and_then(Value::as_object);
            let other = members.and_then(|members| {
                members.keys().find(|member| {
                    let member = member.as_str();
                    !harmless.contains(&member) && !read.contains(&(name, member))
                })
            });
            if let Some(other) = other {
                return Err(Error::unknown(name, format!("`{other}` is not known")));
            }
        }
        let known = |name: &str| {
            asked.contains(name)
                || WITHOUT_EFFECT.contains(&name)
                || HARMLESS.iter().any(|(harmless, _)| *harmless == name)
        };
        match self
            .fields
            .into_iter()
            .find(|(name, value)| !known(name) && !value.is_null())
        {
            None => Ok(()),
            Some((name, _)) => Err(Error::UnknownField {
                nearest: nearest(&name, asked),
                name,
            }),
        }
    }
}

/// A positive whole number.
pub(super) fn count(value: &Value) -> Option<u32> {
    let number = value.as_u64()?;
    u32::try_from(number).ok().filter(|&number| number > 0)
}
