use super::attributes::Attributes;
use super::document::document;
use super::object_id::ObjectId;

document! {
    /// Points in an image that are one thing: a pose.
    pub struct Keypoint {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// Attributes of FiftyOne's older kind, documents by name.
        pub attributes: Attributes = "attributes",
        /// The class.
        pub label: Option<String> = "label",
        /// The points `[x, y]`, relative to the image, whose sides are 1; not a number where a
        /// point of the skeleton is not seen.
        pub points: Vec<[f64; 2]> = "points",
        /// How sure the model is of each point, from 0 to 1.
        pub confidence: Option<Vec<f64>> = "confidence",
        /// The number of the object, the same in all frames of a video.
        pub index: Option<i64> = "index",
    }
}

document! {
    /// Any number of groups of points in an image.
    pub struct Keypoints {
        /// The groups.
        pub keypoints: Vec<Keypoint> = "keypoints",
    }
}
