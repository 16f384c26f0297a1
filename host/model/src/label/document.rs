//! Labels that are documents: how their members are read, written and described.
//!
//! The macro [`document!`] makes all three from one declaration, which lists the members in the
//! order of FiftyOne's schema.

use serde_json::{Map, Value};

use super::array::Array;
use super::attributes::Attributes;
use super::number::{as_double, as_integer, double};
use super::object_id::ObjectId;
use super::schema::{self, field};
use super::{LabelError, binary, vector};

/// A label that is a document with members, or a document inside of one.
pub(super) trait Document: Sized {
    /// FiftyOne's name for it, as `_cls` has it.
    const CLASS: &'static str;

    /// FiftyOne's descriptions of the members.
    fn schema() -> Vec<Value>;

    /// Reads the members; what is missing or null has its default.
    ///
    /// # Errors
    /// [`LabelError`] when a member is not of its type.
    fn read(object: &Map<String, Value>) -> Result<Self, LabelError>;

    /// The document with its `_cls`, in FiftyOne's order.
    fn write(&self) -> Map<String, Value>;
}

/// The full name of a document's class.
pub(super) fn class_of<D: Document>() -> String {
    format!("fiftyone.core.labels.{}", D::CLASS)
}

/// A type that a member of a document may have.
pub(super) trait Member: Sized {
    /// Where it stands in a document: the identity is first and the class second.
    const RANK: u8 = 3;

    /// What a document without the member has.
    fn absent() -> Self;

    /// Reads it; the reason continues "its `member` …".
    fn read(value: &Value) -> Result<Self, LabelError>;

    /// Its JSON; [`None`] where the member is left out.
    fn write(&self) -> Option<Value>;

    /// FiftyOne's description of the field `name`.
    fn schema(name: &str) -> Value;
}

/// The rank of `_cls`.
pub(super) const CLASS_RANK: u8 = 1;

/// Declares a label that is a document: its members, and how they are read and written.
macro_rules! document {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$member_doc:meta])* pub $member:ident: $type:ty = $key:literal, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $( $(#[$member_doc])* pub $member: $type, )*
            /// All other members of the document, as they are in its JSON.
            pub extra: $crate::label::Attributes,
        }

        impl Default for $name {
            /// A label with a new identity, where it has one, and nothing else.
            fn default() -> Self {
                use $crate::label::document::Member;
                Self {
                    $( $member: <$type as Member>::absent(), )*
                    extra: $crate::label::Attributes::default(),
                }
            }
        }

        impl $crate::label::document::Document for $name {
            const CLASS: &'static str = stringify!($name);

            fn schema() -> Vec<serde_json::Value> {
                use $crate::label::document::Member;
                vec![ $( <$type as Member>::schema($key), )* ]
            }

            fn read(
                object: &serde_json::Map<String, serde_json::Value>,
            ) -> Result<Self, $crate::label::LabelError> {
                use $crate::label::document::{member, rest};
                Ok(Self {
                    $( $member: member(object, $key)?, )*
                    extra: rest(object, &[$( $key ),*]),
                })
            }

            fn write(&self) -> serde_json::Map<String, serde_json::Value> {
                use $crate::label::document::{Member, assemble};
                let members = [
                    $( (<$type as Member>::RANK, $key, Member::write(&self.$member)), )*
                ];
                assemble(Self::CLASS, members, &self.extra)
            }
        }
    };
}
pub(super) use document;

/// Reads a member of a document.
pub(super) fn member<M: Member>(object: &Map<String, Value>, key: &str) -> Result<M, LabelError> {
    match object.get(key).filter(|value| !value.is_null()) {
        None => Ok(M::absent()),
        Some(value) => M::read(value).map_err(|reason| format!("its `{key}`: {reason}").into()),
    }
}

/// The members of a document that are not in `known`, and not its class.
pub(super) fn rest(object: &Map<String, Value>, known: &[&str]) -> Attributes {
    let is_known = |key: &str| key == "_cls" || known.contains(&key);
    let rest = object.iter().filter(|(key, _)| !is_known(key));
    Attributes(
        rest.map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    )
}

/// A document from its members, each with its rank.
pub(super) fn assemble<const N: usize>(
    class: &str,
    mut members: [(u8, &'static str, Option<Value>); N],
    extra: &Attributes,
) -> Map<String, Value> {
    members.sort_by_key(|&(rank, ..)| rank);
    let mut object = Map::with_capacity(N + 1 + extra.len());
    let (first, others): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|&(rank, ..)| rank < CLASS_RANK);
    let class = (CLASS_RANK, "_cls", Some(class.into()));
    for (_, key, value) in first.into_iter().chain([class]).chain(others) {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
    for (key, value) in &extra.0 {
        object.entry(key).or_insert_with(|| value.clone());
    }
    object
}

impl Member for ObjectId {
    const RANK: u8 = 0;

    /// Some older exports have labels without an identity.
    fn absent() -> Self {
        Self::new()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        value
            .get("$oid")
            .unwrap_or(value)
            .as_str()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| "not 24 hexadecimal digits".into())
    }

    fn write(&self) -> Option<Value> {
        Some(serde_json::json!({ "$oid": self.to_string() }))
    }

    fn schema(_: &str) -> Value {
        schema::id_field()
    }
}

/// The attributes of an older kind: documents by name.
impl Member for Attributes {
    const RANK: u8 = 2;

    fn absent() -> Self {
        Self::default()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        let object = value.as_object().cloned().map(Self);
        object.ok_or_else(|| "not an object".into())
    }

    fn write(&self) -> Option<Value> {
        Some(self.0.clone().into())
    }

    fn schema(name: &str) -> Value {
        let class = "fiftyone.core.labels.Attribute";
        schema::documents(name, "DictField", class, Vec::new())
    }
}

impl<D: Document> Member for Vec<D> {
    fn absent() -> Self {
        Self::new()
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        let list = value.as_array().ok_or("not a list")?;
        list.iter()
            .map(|label| D::read(label.as_object().ok_or("one of them is not a label")?))
            .collect()
    }

    fn write(&self) -> Option<Value> {
        let labels = self.iter().map(|label| Value::from(label.write()));
        Some(labels.collect::<Vec<_>>().into())
    }

    fn schema(name: &str) -> Value {
        schema::documents(name, "ListField", &class_of::<D>(), D::schema())
    }
}

/// Numbers in lists of lists.
pub(super) trait Nested: Sized {
    fn read(value: &Value) -> Option<Self>;
    fn write(&self) -> Value;
}

impl Nested for f64 {
    fn read(value: &Value) -> Option<Self> {
        as_double(value)
    }

    fn write(&self) -> Value {
        double(*self)
    }
}

impl Nested for i64 {
    fn read(value: &Value) -> Option<Self> {
        as_integer(value)
    }

    fn write(&self) -> Value {
        (*self).into()
    }
}

impl<T: Nested> Nested for Vec<T> {
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }

    fn write(&self) -> Value {
        self.iter().map(T::write).collect::<Vec<_>>().into()
    }
}

impl<T: Nested, const N: usize> Nested for [T; N] {
    fn read(value: &Value) -> Option<Self> {
        <Vec<T> as Nested>::read(value)?.try_into().ok()
    }

    fn write(&self) -> Value {
        self.iter().map(T::write).collect::<Vec<_>>().into()
    }
}

/// Members that a document may lack: how they are read, written and described.
macro_rules! optional {
    ($type:ty, $what:literal, $read:expr, $write:expr, $kind:literal, $element:expr) => {
        impl Member for Option<$type> {
            fn absent() -> Self {
                None
            }

            fn read(value: &Value) -> Result<Self, LabelError> {
                let read: fn(&Value) -> Option<$type> = $read;
                match read(value) {
                    Some(value) => Ok(Some(value)),
                    None => Err($what.into()),
                }
            }

            fn write(&self) -> Option<Value> {
                let write: fn(Option<&$type>) -> Option<Value> = $write;
                write(self.as_ref())
            }

            fn schema(name: &str) -> Value {
                field(name, $kind, $element)
            }
        }
    };
}

/// Left out where there is none.
fn some<T: Nested>(value: Option<&T>) -> Option<Value> {
    value.map(T::write)
}

/// Null where there is none, as FiftyOne writes lists.
fn or_null<T: Nested>(value: Option<&T>) -> Option<Value> {
    Some(value.map_or(Value::Null, T::write))
}

optional!(
    String,
    "not a string",
    |value| value.as_str().map(str::to_owned),
    |text| text.map(|text| text.as_str().into()),
    "StringField",
    None
);
optional!(f64, "not a number", Nested::read, some, "FloatField", None);
optional!(i64, "not an integer", Nested::read, some, "IntField", None);
optional!(
    [f64; 4],
    "not four numbers",
    Nested::read,
    or_null,
    "ListField",
    Some("FloatField")
);
optional!(
    Vec<f64>,
    "not a list of numbers",
    Nested::read,
    or_null,
    "ListField",
    Some("FloatField")
);
optional!(
    [f64; 2],
    "not two numbers",
    Nested::read,
    or_null,
    "HeatmapRangeField",
    Some("FloatField")
);
optional!(
    [i64; 2],
    "not two integers",
    Nested::read,
    some,
    "FrameSupportField",
    Some("IntField")
);

/// Members that a document always has.
macro_rules! always {
    ($type:ty, $what:literal, $read:expr, $write:expr, $kind:literal, $element:expr) => {
        impl Member for $type {
            fn absent() -> Self {
                Self::default()
            }

            fn read(value: &Value) -> Result<Self, LabelError> {
                let read: fn(&Value) -> Option<$type> = $read;
                read(value).ok_or_else(|| $what.into())
            }

            fn write(&self) -> Option<Value> {
                let write: fn(&$type) -> Value = $write;
                Some(write(self))
            }

            fn schema(name: &str) -> Value {
                field(name, $kind, $element)
            }
        }
    };
}

always!(
    bool,
    "neither true nor false",
    Value::as_bool,
    |value| (*value).into(),
    "BooleanField",
    None
);
always!(
    Vec<String>,
    "not a list of strings",
    |value| {
        let list = value.as_array()?.iter();
        list.map(|text| text.as_str().map(str::to_owned)).collect()
    },
    |texts| texts.clone().into(),
    "ListField",
    Some("StringField")
);
always!(
    Vec<[f64; 2]>,
    "not a list of points",
    Nested::read,
    Nested::write,
    "KeypointsField",
    None
);
always!(
    Vec<Vec<[f64; 2]>>,
    "not a list of lists of points",
    Nested::read,
    Nested::write,
    "PolylinePointsField",
    None
);

impl Member for Option<Vec<f32>> {
    fn absent() -> Self {
        None
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        vector::from_value(value).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_deref().map(vector::to_value)
    }

    fn schema(name: &str) -> Value {
        field(name, "VectorField", None)
    }
}

impl Member for Option<Array> {
    fn absent() -> Self {
        None
    }

    fn read(value: &Value) -> Result<Self, LabelError> {
        binary::from_value(value).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().map(binary::to_value)
    }

    fn schema(name: &str) -> Value {
        field(name, "ArrayField", None)
    }
}
