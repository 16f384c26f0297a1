use super::document::document;
use super::object_id::ObjectId;

document! {
    /// One number for the whole sample.
    pub struct Regression {
        /// The identity of this label.
        pub id: ObjectId = "_id",
        /// Tags that people put on the label.
        pub tags: Vec<String> = "tags",
        /// The number.
        pub value: Option<f64> = "value",
        /// How sure the model is, from 0 to 1.
        pub confidence: Option<f64> = "confidence",
    }
}
