//! FiftyOne's label types, read from and written to its JSON exactly.
//!
//! One file per type, in which a declaration of its members says how they are read, written and
//! described in `metadata.json`. A new type is a file and a line in the list below; what else has
//! to know it does not compile until it does.
//!
//! Labels come from datasets that others made: sizes are capped, numpy's objects are never
//! unpickled, and nothing that is read is trusted to make sense beyond its type. Members that a
//! type does not declare are kept as they are.

pub mod array;
mod attributes;
pub mod binary;
mod classification;
mod detection;
mod document;
mod error;
mod geo;
mod heatmap;
mod keypoint;
mod kind;
pub mod npy;
pub mod number;
mod object_id;
mod plain;
mod polyline;
mod regression;
pub mod schema;
mod segmentation;
mod temporal;
pub mod vector;

use kind::Kind;
use modelzoo_base::text::escape;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use array::{Array, Element};
pub use attributes::Attributes;
pub use classification::{Classification, Classifications};
pub use detection::{Detection, Detections};
pub use error::LabelError;
pub use geo::{
    GeoLine, GeoLines, GeoLocation, GeoLocations, GeoPoint, GeoPoints, GeoPolygon, GeoPolygons,
};
pub use heatmap::Heatmap;
pub use keypoint::{Keypoint, Keypoints};
pub use object_id::{ObjectId, random};
pub use polyline::{Polyline, Polylines};
pub use regression::Regression;
pub use segmentation::Segmentation;
pub use temporal::{TemporalDetection, TemporalDetections};

/// Makes [`Label`] and [`LabelType`] from the list of types.
macro_rules! labels {
    ($( $(#[$doc:meta])* $name:ident($type:ty), )*) => {
        /// What a field of one sample holds, in FiftyOne's types.
        ///
        /// FiftyOne's JSON is [`to_json`](Label::to_json); serde's traits serve compact encodings
        /// that do not describe themselves, in which unfinished results are kept.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Label {
            $( $(#[$doc])* $name($type), )*
        }

        /// The type of a field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LabelType {
            $( $(#[$doc])* $name, )*
        }

        impl Label {
            /// The type of this label.
            #[must_use]
            pub fn kind(&self) -> LabelType {
                match self {
                    $( Self::$name(_) => LabelType::$name, )*
                }
            }

            /// FiftyOne's JSON of this label. Numbers that JSON cannot write are
            /// `{"$numberDouble": "NaN"}`.
            #[must_use]
            pub fn to_json(&self) -> Value {
                match self {
                    $( Self::$name(label) => label.write(), )*
                }
            }
        }

        impl LabelType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// FiftyOne's name for it: of a label, as `_cls` has it; of a plain value, the class
            /// of its field.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$name => <$type>::NAME, )*
                }
            }

            /// Whether it is one of FiftyOne's labels, which are documents; others are plain
            /// values.
            #[must_use]
            pub fn is_document(self) -> bool {
                match self {
                    $( Self::$name => <$type>::IS_DOCUMENT, )*
                }
            }

            /// The full name of FiftyOne's class, as `embedded_doc_type` has it for labels and
            /// `ftype` for plain values.
            #[must_use]
            pub fn class(self) -> String {
                match self {
                    $( Self::$name => <$type>::class(), )*
                }
            }

            /// Whether `value`, which a sample has in a field, is of this type.
            #[must_use]
            pub fn is_of(self, value: &Value) -> bool {
                match self {
                    $( Self::$name => <$type>::is_of(value), )*
                }
            }

            /// FiftyOne's description of a field `name` of this type, for `sample_fields`.
            #[must_use]
            pub fn field(self, name: &str) -> Value {
                match self {
                    $( Self::$name => <$type as Kind>::field(name), )*
                }
            }

            /// Reads a label of this type from FiftyOne's JSON.
            ///
            /// # Errors
            /// [`LabelError`] when the value is not one.
            pub fn read(self, value: &Value) -> Result<Label, LabelError> {
                match self {
                    $( Self::$name => <$type as Kind>::read(value).map(Label::$name), )*
                }
            }
        }
    };
}

labels! {
    /// One number for the whole sample.
    Regression(Regression),
    /// One class for the whole sample.
    Classification(Classification),
    /// Any number of classes for the whole sample.
    Classifications(Classifications),
    /// An object in an image.
    Detection(Detection),
    /// Any number of objects in an image.
    Detections(Detections),
    /// Lines or polygons in an image that are one thing.
    Polyline(Polyline),
    /// Any number of lines or polygons in an image.
    Polylines(Polylines),
    /// Points in an image that are one thing.
    Keypoint(Keypoint),
    /// Any number of groups of points in an image.
    Keypoints(Keypoints),
    /// A class for each pixel of an image.
    Segmentation(Segmentation),
    /// A number for each pixel of an image.
    Heatmap(Heatmap),
    /// Something that happens in a part of a video.
    TemporalDetection(TemporalDetection),
    /// Anything that happens in parts of a video.
    TemporalDetections(TemporalDetections),
    /// Where a sample was taken.
    GeoLocation(GeoLocation),
    /// Several places of a sample.
    GeoLocations(GeoLocations),
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// An embedding.
    Vector(Vec<f32>),
}

impl Label {
    /// Reads a label from FiftyOne's JSON, whichever type it is.
    ///
    /// # Errors
    /// [`LabelError`] when the value is not a label of a type that is read.
    pub fn from_json(value: &Value) -> Result<Self, LabelError> {
        if let Some(kind) = LabelType::ALL.iter().find(|kind| kind.is_of(value)) {
            return kind.read(value);
        }
        let class = value.as_object().map(|object| object.get("_cls"));
        match class {
            None => Err("it is not a label".into()),
            Some(None) => Err("it has no `_cls`".into()),
            Some(Some(class)) => {
                let class = escape(class.as_str().unwrap_or_default());
                Err(format!("it is a {class}, which is not a type of label that is read").into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
