//! Places on the earth, which FiftyOne stores as GeoJSON: longitude and latitude in degrees.

use serde_json::{Value, json};

use super::LabelError;
use super::document::{Member, Nested, document};
use super::object_id::ObjectId;
use super::schema::field;

document! {
    /// Where a sample was taken.
    pub struct GeoLocation {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// A point.
        pub point: Option<GeoPoint> = "point",
        /// A line.
        pub line: Option<GeoLine> = "line",
        /// A polygon.
        pub polygon: Option<GeoPolygon> = "polygon",
    }
}

document! {
    /// Several places of a sample.
    pub struct GeoLocations {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// Points.
        pub points: Option<GeoPoints> = "points",
        /// Lines.
        pub lines: Option<GeoLines> = "lines",
        /// Polygons.
        pub polygons: Option<GeoPolygons> = "polygons",
    }
}

macro_rules! geometry {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $kind:literal, $field:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name(pub $type);

        impl Member for Option<$name> {
            fn absent() -> Self {
                None
            }

            fn read(value: &Value) -> Result<Self, LabelError> {
                if value.get("type").and_then(Value::as_str) != Some($kind) {
                    return Err(concat!("not a ", $kind, " of GeoJSON").into());
                }
                let coordinates = value.get("coordinates").and_then(Nested::read);
                let coordinates = coordinates.ok_or(concat!("not the coordinates of a ", $kind))?;
                Ok(Some($name(coordinates)))
            }

            fn write(&self) -> Option<Value> {
                let $name(coordinates) = self.as_ref()?;
                Some(json!({ "type": $kind, "coordinates": Nested::write(coordinates) }))
            }

            fn schema(name: &str) -> Value {
                field(name, $field, None)
            }
        }
    )*};
}

geometry! {
    /// A point: longitude and latitude.
    GeoPoint([f64; 2]) = "Point", "GeoPointField";
    /// A line by its points.
    GeoLine(Vec<[f64; 2]>) = "LineString", "GeoLineStringField";
    /// A polygon: its outline and then its holes, each closed by its first point.
    GeoPolygon(Vec<Vec<[f64; 2]>>) = "Polygon", "GeoPolygonField";
    /// Points.
    GeoPoints(Vec<[f64; 2]>) = "MultiPoint", "GeoMultiPointField";
    /// Lines.
    GeoLines(Vec<Vec<[f64; 2]>>) = "MultiLineString", "GeoMultiLineStringField";
    /// Polygons.
    GeoPolygons(Vec<Vec<Vec<[f64; 2]>>>) = "MultiPolygon", "GeoMultiPolygonField";
}
