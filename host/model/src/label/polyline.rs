use super::attributes::Attributes;
use super::document::document;
use super::object_id::ObjectId;

document! {
    /// Lines or polygons in an image that are one thing.
    pub struct Polyline {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// Attributes of FiftyOne's older kind, documents by name.
        pub attributes: Attributes = "attributes",
        /// The class.
        pub label: Option<String> = "label",
        /// The lines, each its points `[x, y]`, relative to the image, whose sides are 1.
        pub points: Vec<Vec<[f64; 2]>> = "points",
        /// How sure the model is, from 0 to 1.
        pub confidence: Option<f64> = "confidence",
        /// The number of the object, the same in all frames of a video.
        pub index: Option<i64> = "index",
        /// Whether each line's last point is connected with its first.
        pub closed: bool = "closed",
        /// Whether the lines enclose an area.
        pub filled: bool = "filled",
    }
}

document! {
    /// Any number of lines or polygons in an image.
    pub struct Polylines {
        /// The lines and polygons.
        pub polylines: Vec<Polyline> = "polylines",
    }
}
